"""labels.jsonl -> the table of what people say of each judgment, and columns in which their labels win."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmr1.audit.columns import Columns
from rmr1.report.rows import clean
from rmr1.store.labels import HumanLabel, settle_labels
from rmr1.viewer.schema import write_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What people say of a judgment."""

    label: str | None
    """The side on which all who name one agree."""
    is_disputed: bool
    is_judge_wrong: bool | None
    """Whether anybody calls the judge wrong; None if nobody says."""
    num_people: int


def write_marks(connection: sqlite3.Connection, labels: Sequence[HumanLabel], state: str) -> None:
    """Put what people say in the place of what was there; `state` tells the file that it was read from."""
    settled = settle_labels(labels)
    last = {(one.key, one.who): one for one in labels}
    people: dict[str, list[HumanLabel]] = {}
    for (key, _), label in last.items():
        if label.is_undone or label.is_skipped:
            continue
        people.setdefault(key, []).append(label)
    rows = []
    for key, said in people.items():
        judged = [one.is_judge_wrong for one in said if one.is_judge_wrong is not None]
        is_wrong = any(judged) if judged else None
        rows.append((clean(key), settled.labels.get(key), key in settled.disputed, is_wrong, len(said)))
    connection.execute("begin immediate")
    try:
        connection.execute("delete from marks")
        connection.executemany("insert or replace into marks values (?, ?, ?, ?, ?)", rows)
        write_state(connection, labels=state)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def read_mark(connection: sqlite3.Connection, key: str) -> Mark | None:
    """What people say of the judgment under this key; None if nobody has said anything."""
    found = connection.execute(
        "select label, is_disputed, is_judge_wrong, num_people from marks where key = ?", (key,)
    ).fetchone()
    if found is None:
        return None
    label, is_disputed, is_wrong, people = found
    return Mark(
        label=label,
        is_disputed=bool(is_disputed),
        is_judge_wrong=None if is_wrong is None else bool(is_wrong),
        num_people=people,
    )


def relabel(connection: sqlite3.Connection, columns: Columns) -> Columns:
    """The columns of all judgments, `label`, `winner` and `is_right` among them, with what people agree on in the place
    of the data's label; a judgment of which they disagree has none."""
    found = connection.execute(
        "select number, marks.label from facts join marks using (key) where marks.label is not null or is_disputed"
    ).fetchall()
    names = list(columns.names["label"])
    label_I, is_right_I = columns.numbers["label"].copy(), columns.numbers["is_right"].copy()
    winners = np.array([*columns.names["winner"], ""], dtype=object)
    for number, label in found:
        place = number - 1
        if label is None:
            label_I[place] = is_right_I[place] = -1
            continue
        if label not in names:
            names.append(label)
        label_I[place] = names.index(label)
        is_right_I[place] = winners[columns.numbers["winner"][place]] == label
    return Columns(
        numbers={**columns.numbers, "label": label_I, "is_right": is_right_I},
        names={**columns.names, "label": tuple(names)},
    )
