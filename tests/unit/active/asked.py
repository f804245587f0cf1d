"""Runs with verdicts by hand, to be labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rmr1.messages import assistant, user
from rmr1.records import Judgment, Label, PreferencePair
from rmr1.store.codec import dump_record, dumps
from rmr1.store.labels import HumanLabel, append_label
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE

WHEN = "2026-11-30T16:20:02Z"
RUN = '{"format": 1, "model_name": "by hand", "model": {"name": "by hand"}, "prompt": {}, "settings": {"seed": 0}}'


def key_of(number: int) -> str:
    """The key of the item with this number, from 0."""
    return f"{number:032x}"


def make_judgment(
    number: int, winner: str | None, *, p: float | None = None, prompt: str | None = None
) -> Judgment:
    """A judgment of scores, so that its probability is p, or of no verdict."""
    from math import log

    pair = PreferencePair(
        id=f"item-{number}",
        prompt=(user(prompt or f"Question {number}?"),),
        response_a=(assistant(f"The A of {number}."),),
        response_b=(assistant(f"The B of {number}."),),
        label="A",
    )
    scores = None if p is None else (log(p / (1 - p)), 0.0)
    kind = "pair" if p is None else "score"
    made = Judgment(
        pair=pair, family="direct", rule="tagged", kind=kind, winner=winner, votes=(), scores=scores
    )
    return made if winner is not None else replace(made, problem="no_verdict")


def write_run(folder: Path, judgments: Sequence[Judgment], *, first: int = 0) -> Path:
    """A run of these judgments, or more lines of one."""
    folder.mkdir(parents=True, exist_ok=True)
    if not first:
        (folder / RUN_FILE).write_text(RUN)
    with (folder / JUDGMENTS_FILE).open("ab") as file:
        for number, one in enumerate(judgments, start=first):
            file.write(dumps({"key": key_of(number), **dump_record(one)}) + b"\n")
    return folder


def say(folder: Path, number: int, who: str, label: Label | None, **more: object) -> HumanLabel:
    """A blind label, unless told otherwise."""
    values = {"is_blind": label is not None, **more}
    one = HumanLabel(key=key_of(number), who=who, when=WHEN, label=label, **values)  # type: ignore[arg-type]
    append_label(folder, one)
    return one
