"""What people say of a run's judgments: one record for every label, beside the run.

    runs/x/labels.jsonl       {"key": item, "who": "...", "when": "2026-11-30T16:20:02Z", ...}, only appended to

A person who changes their mind adds a line; the last one of each person counts. People who disagree have settled
nothing, so that such an item has no label. A line is on the disk before the call that adds it returns; one that a kill
cut short is left out, and cut off when the next one is written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from rmr1.errors import ConfigError, DataError, RunError
from rmr1.records import Label, PreferencePair
from rmr1.store.codec import dump_record, dumps, load_record
from rmr1.store.folder import hold
from rmr1.store.lines import append_line, cut_torn_line
from rmr1.store.replace import writing
from rmr1.store.runs import iterate_lines, read_description, read_judgments

LABELS_FILE = "labels.jsonl"
_LOCK_FILE = ".labels.lock"
_LABELS = ("A", "B", "tie")
_KEPT = "earlier labels are kept: free space or permissions, then label again"
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanLabel:
    """What one person said of one judgment."""

    key: str
    """The item's key in the run."""
    who: str
    when: str
    """UTC, as 2026-11-30T16:20:02Z."""
    label: Label | None = None
    """The better answer, in the pair's frame; None if the person did not say."""
    is_blind: bool = False
    """Whether the person had seen neither the judge's verdict nor another label."""
    is_judge_wrong: bool | None = None
    """Whether the person called the judge wrong, for its verdict or its reasons; None if they did not say."""
    note: str | None = None
    criterion: str | None = None
    """What decides in the person's view: the name or text of a criterion that was shown, or their own words."""
    is_skipped: bool = False
    """Whether the person was asked and passed on."""
    is_undone: bool = False
    """Whether the person takes back all that they said of the item, so that they can be asked again."""


def now() -> str:
    """The time as `HumanLabel.when` has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_label(folder: str | Path, label: HumanLabel) -> None:
    """Add a label to those of a run. A run that is being judged can be labelled meanwhile.

    Raises:
        ConfigError: it names nobody, no item or an unknown side, says nothing, or has a time of another form.
        RunError: it is no run folder, another process keeps it locked, or it cannot be written.
    """
    append_labels(folder, (label,))


def append_labels(folder: str | Path, labels: Sequence[HumanLabel]) -> None:
    """Add labels to those of a run, all or none of them; what is wrong with one is an error as in `append_label`. Without
    labels it is only tried whether the folder can be written."""
    folder = Path(folder)
    read_description(folder)
    for label in labels:
        check_label(label)
    path = folder / LABELS_FILE
    with ExitStack() as opened, writing(path, _KEPT):
        _hold(folder, opened)
        if not labels:
            return
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        opened.callback(os.close, handle)
        cut_torn_line(handle)
        append_line(handle, b"".join(dumps(dump_record(label)) + b"\n" for label in labels))
        os.fsync(handle)  # a person's answer is asked for once


def read_labels(folder: str | Path) -> Iterator[HumanLabel]:
    """Every label of a run, in the sequence in which they were given; none if nobody has labelled.

    Raises:
        DataError: a line is damaged.
    """
    path = Path(folder) / LABELS_FILE
    for number, values in iterate_lines(path):
        try:
            yield load_record(HumanLabel, values)
        except DataError as error:
            raise DataError(error.message, path=path, line=number) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledLabels:
    """What people agree on."""

    labels: dict[str, Label]
    """Item's key -> the side that everybody who named one names."""
    disputed: frozenset[str] = frozenset()
    """Keys of items of which people name different sides."""
    opinions: dict[str, tuple[Label, ...]] = field(default_factory=dict, compare=False)
    """Item's key -> the side that each person names, of items of which several name one."""


def begin_label(known: Iterable[HumanLabel], key: str, who: str) -> HumanLabel:
    """A new label of this person, with what they said of the item last and may not say anew."""
    last = HumanLabel(key=key, who=who, when=now())
    for one in known:
        if (one.key, one.who) == (key, who):
            last = last if one.is_undone else replace(one, when=last.when, is_skipped=False)
    return last


def settle_labels(labels: Iterable[HumanLabel]) -> SettledLabels:
    """The last label of each person counts; one that names no side takes the person's earlier one back.

    >>> one = HumanLabel(key="k", who="ada", when="2026-11-30T16:20:02Z", label="A")
    >>> settle_labels([one]).labels
    {'k': 'A'}
    """
    last = {(one.key, one.who): one.label for one in labels}
    named: dict[str, list[Label]] = {}
    for (key, _), label in last.items():
        if label is not None:
            named.setdefault(key, []).append(label)
    return SettledLabels(
        labels={key: sides[0] for key, sides in named.items() if len(set(sides)) == 1},
        disputed=frozenset(key for key, sides in named.items() if len(set(sides)) > 1),
        opinions={key: tuple(sides) for key, sides in named.items() if len(sides) > 1},
    )


def read_labelled_pairs(folder: str | Path) -> Iterator[tuple[str, PreferencePair]]:
    """(key, pair) of every judgment with a settled label, which takes the place of the pair's own."""
    settled = settle_labels(read_labels(folder)).labels
    for key, judgment in read_judgments(folder):
        if (label := settled.get(key)) is not None:
            yield key, replace(judgment.pair, label=label)


def check_label(label: HumanLabel) -> None:
    """Refuse what `append_label` refuses, by a ConfigError."""
    for name in ("key", "who"):
        if not getattr(label, name).strip():
            raise ConfigError(f"a label without {name!r}; say whose it is and of which item")
    if label.label not in (*_LABELS, None):
        raise ConfigError(f"label {label.label!r} is not {', '.join(_LABELS[:-1])} or {_LABELS[-1]}")
    says = label.label is not None or label.is_judge_wrong is not None or label.is_skipped or label.is_undone
    if not says and not (label.note or "").strip() and not (label.criterion or "").strip():
        raise ConfigError("a label that says nothing; give a side, whether the judge is wrong, or a note")
    try:
        datetime.strptime(label.when, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise ConfigError(f"time {label.when!r} is not of the form 2026-11-30T16:20:02Z") from None


def _hold(folder: Path, opened: ExitStack) -> None:
    """Lock the labels; another writer is done in moments."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            opened.enter_context(hold(folder, folder / _LOCK_FILE))
            return
        except RunError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
