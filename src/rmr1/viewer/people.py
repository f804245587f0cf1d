"""What a person says of a judgment in the viewer -> the run's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rmr1.errors import ConfigError
from rmr1.records import Label
from rmr1.store.labels import HumanLabel, append_label, begin_label
from rmr1.viewer.runs import OpenRun

_MOST_LETTERS = 10_000
_MOST_SHOWN = 50
_LABELS: tuple[Label, ...] = ("A", "B", "tie")
TAKE_BACK = "none"
"""The form's label of a person who takes theirs back."""


def store_mark(run: OpenRun, key: str, form: Mapping[str, str], *, is_blind: bool) -> None:
    """Append what the form says, `is_blind` if the person had not seen the verdict. What they do not say anew stays as
    they said it last.

    Raises:
        ConfigError: it says nothing, or what cannot be. RunError: the run cannot be written.
    """
    who, said = form.get("who", "").strip(), form.get("label", "")
    side = next((one for one in _LABELS if one == said), None)
    if side is None and said not in ("", TAKE_BACK):
        raise ConfigError(f"label {said!r}: expected {', '.join(_LABELS)}, {TAKE_BACK}, or nothing")
    wrong = {"yes": True, "no": False}.get(form.get("judge_wrong", ""))
    note = form.get("note", "").replace("\r\n", "\n").strip()
    if not who:
        raise ConfigError("say who you are: a label is somebody's")
    if len(note) > _MOST_LETTERS or len(who) > 200:
        raise ConfigError(
            f"a note of more than {_MOST_LETTERS} characters, or a name of more than 200, is not taken"
        )
    if not (said or note) and wrong is None:
        raise ConfigError("a label that says nothing; give a side, whether the judge is wrong, or a note")
    label = begin_label(run.labels_of(key), key, who)
    if said:
        label = replace(label, label=side, is_blind=is_blind and side is not None)
    if wrong is not None:
        label = replace(label, is_judge_wrong=wrong)
    append_label(run.folder, replace(label, note=note) if note else label)


def list_marks(labels: Sequence[HumanLabel]) -> list[dict[str, Any]]:
    """What people said of a judgment, the last first."""
    return [
        {
            "who": one.who,
            "when": one.when.replace("T", " ").rstrip("Z") + " UTC",
            "label": one.label,
            "wrong": one.is_judge_wrong,
            "note": one.note,
            "criterion": one.criterion,
            "did": "skipped it" if one.is_skipped else "took it back" if one.is_undone else None,
            "blind": one.is_blind,
        }
        for one in reversed(labels[-_MOST_SHOWN:])
    ]
