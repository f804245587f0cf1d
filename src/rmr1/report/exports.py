"""Judgments -> files of other programs: tables, preferences to train on, tasks for annotators, logs of evaluations.

Everything is written judgment by judgment, so memory does not grow with the run. What a form cannot hold is left
out and counted by its reason.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import IO, Any

from rmr1.active.exchange import write_annotation
from rmr1.active.said import find_standing, is_answer
from rmr1.active.sides import draw_first, seal
from rmr1.errors import reason_of
from rmr1.plugins import require
from rmr1.records import Judgment
from rmr1.report.inspect_log import write_inspect
from rmr1.report.rows import COLUMNS, clean, judgment_row
from rmr1.report.selection import Selection
from rmr1.store.codec import dump_record, dumps
from rmr1.store.labels import HumanLabel, read_labels

LeftOut = Counter[str]
"""Reason -> judgments that were not written for it."""

_BATCH = 256
"""Rows of a Parquet file that are held at once."""

LABELLING = """<View>
  <Header value="Which answer is better?"/>
  <Text name="question" value="$question"/>
  <Pairwise name="pw" toName="text1,text2"/>
  <Choices name="tie" toName="text1">
    <Choice value="tie"/>
  </Choices>
  <View style="display: flex; gap: 1em">
    <Text name="text1" value="$text1"/>
    <Text name="text2" value="$text2"/>
  </View>
</View>"""
"""The labelling interface that the tasks for Label Studio are made for."""


def write_csv(selection: Selection, file: IO[bytes]) -> LeftOut:
    """A header and a row of `COLUMNS` for each judgment; what is missing is empty."""
    page = io.StringIO(newline="")
    table = csv.DictWriter(page, COLUMNS, lineterminator="\n")
    table.writeheader()
    for key, judgment in selection:
        table.writerow(judgment_row(key, judgment))
        file.write(_take(page))
    file.write(_take(page))
    return Counter()


def _take(page: io.StringIO) -> bytes:
    text = page.getvalue()
    page.seek(0)
    page.truncate()
    return text.encode("utf-8", "backslashreplace")


def write_parquet(selection: Selection, file: IO[bytes]) -> LeftOut:
    """The same rows with types: text, double, int64 and bool.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    with require("Parquet", "parquet"):
        import pyarrow
        import pyarrow.parquet
    kinds = {
        "text": pyarrow.large_string(),
        "number": pyarrow.float64(),
        "count": pyarrow.int64(),
        "yes or no": pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, kinds[column.kind]) for name, column in COLUMNS.items()])
    rows = (judgment_row(key, judgment) for key, judgment in selection)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        try:
            while batch := list(islice(rows, _BATCH)):
                writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
        except pyarrow.ArrowException as error:
            raise OSError(reason_of(error)) from None
    return Counter()


def write_trl(selection: Selection, file: IO[bytes]) -> LeftOut:
    """TRL's conversational preferences, a line each: `prompt`, `chosen`, `rejected`. The judge's winner is chosen; if the
    selection has people's labels, theirs is.
    """
    left: LeftOut = Counter()
    for key, judgment in selection:
        pair = judgment.pair
        better = pair.label if selection.has_people_label(key) else judgment.winner
        if judgment.kind == "choice":
            left["a choice among four"] += 1
        elif key in selection.settled.disputed:
            left["people disagree"] += 1
        elif better not in ("A", "B"):
            left["a tie" if better == "tie" else "no verdict"] += 1
        else:
            sides = pair.responses if better == "A" else pair.responses[::-1]
            parts = {"prompt": pair.prompt, "chosen": sides[0], "rejected": sides[1]}
            row = {name: [dump_record(one) for one in messages] for name, messages in parts.items()}
            file.write(dumps(row) + b"\n")
    return left


def write_pairs(selection: Selection, file: IO[bytes]) -> LeftOut:
    """Pairs in rmr1's own form, a line each, to be judged or trained on again; with people's labels only those that have
    one."""
    left: LeftOut = Counter()
    for key, judgment in selection:
        if selection.with_labels and not selection.has_people_label(key):
            left["people disagree" if key in selection.settled.disputed else "no label of people"] += 1
        elif judgment.pair.others:
            left["a choice among four"] += 1
        else:
            file.write(dumps({"label": None, **dump_record(judgment.pair)}) + b"\n")
    return left


def write_label_studio(selection: Selection, file: IO[bytes]) -> LeftOut:
    """One JSON list of tasks for Label Studio's pairwise interface (`LABELLING`), the judge's verdict as the prediction;
    a tie or no verdict is a task without one. With people's labels each is an annotation."""
    return _write_tasks(selection, file, is_blind=False)


def write_blind_tasks(selection: Selection, file: IO[bytes]) -> LeftOut:
    """The same without anything that the judge or the data say of the pair, and with the answers' places drawn by lot;
    with people's labels only the blind ones."""
    return _write_tasks(selection, file, is_blind=True)


def _write_tasks(selection: Selection, file: IO[bytes], *, is_blind: bool) -> LeftOut:
    left: LeftOut = Counter()
    is_first = True
    said: dict[str, list[HumanLabel]] = {}
    for one in read_labels(selection.folder) if selection.with_labels else ():
        said.setdefault(one.key, []).append(one)
    for key, judgment in selection:
        if judgment.pair.others:
            left["a choice among four"] += 1
            continue
        task = (
            _make_blind_task(key, judgment) if is_blind else _make_task(key, judgment, selection.model_name)
        )
        first = draw_first(0, key, "") if is_blind else "A"
        kept = _list_kept(said.get(key, []), is_blind=is_blind)
        if kept:
            task["annotations"] = [write_annotation(one, first) for one in kept]
        file.write((b"[\n" if is_first else b",\n") + dumps(task))
        is_first = False
    file.write(b"[]\n" if is_first else b"\n]\n")
    return left


def _list_kept(labels: Sequence[HumanLabel], *, is_blind: bool) -> list[HumanLabel]:
    """What each person says of an item last, if it is a side or a skip, or with `is_blind` if they saw no verdict."""
    standing = [
        one for who in sorted({one.who for one in labels}) for one in find_standing(labels, who).values()
    ]
    return [one for one in standing if is_answer(one) or (one.label is not None and not is_blind)]


def _make_blind_task(key: str, judgment: Judgment) -> dict[str, Any]:
    row, first = judgment_row(key, judgment), draw_first(0, key, "")
    texts = (row["answer_a"], row["answer_b"]) if first == "A" else (row["answer_b"], row["answer_a"])
    names = {"key": key, "placed": seal(key, first), "question": row["question"]}
    return {"data": {**names, "text1": texts[0], "text2": texts[1]}}


def _make_task(key: str, judgment: Judgment, model: str) -> dict[str, Any]:
    row = judgment_row(key, judgment)
    names = ("key", "id", "subset", "label", "winner", "problem", "reasoning")
    data = {
        **{name: row[name] for name in names},
        "question": row["question"],
        "text1": row["answer_a"],
        "text2": row["answer_b"],
    }
    selected = {"A": "left", "B": "right"}.get(judgment.winner or "")
    if selected is None:
        return {"data": data}
    # One of the two texts: the check of imports (label-studio-sdk) refuses the tag's own name and both together.
    said = {"from_name": "pw", "to_name": "text1", "type": "pairwise", "value": {"selected": selected}}
    prediction: dict[str, Any] = {"model_version": clean(model), "result": [{"id": key, **said}]}
    if row["confidence"] is not None:
        prediction["score"] = row["confidence"]
    return {"data": data, "predictions": [prediction]}


FORMS: Mapping[str, Callable[[Selection, IO[bytes]], LeftOut]] = MappingProxyType(
    {
        "csv": write_csv,
        "parquet": write_parquet,
        "trl": write_trl,
        "pairs": write_pairs,
        "labelstudio": write_label_studio,
        "labelstudio-blind": write_blind_tasks,
        "inspect": write_inspect,
    }
)
"""What a run can be exported to."""
