"""What a person says of a judgment in the viewer -> the run's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmr1.errors import ConfigError
from rmr1.records import Label
from rmr1.store.labels import HumanLabel, append_label, now, read_labels
from rmr1.viewer.runs import OpenRun

_MOST_LETTERS = 10_000
_LABELS: tuple[Label, ...] = ("A", "B", "tie")


def store_mark(run: OpenRun, key: str, form: Mapping[str, str], *, is_blind: bool) -> None:
    """Append what the form says, `is_blind` if the person had not seen the verdict.

    Raises:
        ConfigError: it says nothing, or what cannot be. RunError: the run cannot be written.
    """
    said = form.get("label", "")
    label = next((one for one in _LABELS if one == said), None)
    if said and label is None:
        raise ConfigError(f"label {said!r}: expected {', '.join(_LABELS)}, or none")
    wrong = {"": None, "yes": True, "no": False}.get(form.get("judge_wrong", ""))
    note = form.get("note", "").replace("\r\n", "\n").strip()
    who = form.get("who", "").strip()
    if not who:
        raise ConfigError("say who you are: a label is somebody's")
    if len(note) > _MOST_LETTERS or len(who) > 200:
        raise ConfigError(
            f"a note of more than {_MOST_LETTERS} characters, or a name of more than 200, is not taken"
        )
    one = HumanLabel(
        key=key,
        who=who,
        when=now(),
        label=label,
        is_blind=is_blind,
        is_judge_wrong=wrong,
        note=note or None,
    )
    append_label(run.folder, one)


def list_marks(run: OpenRun, key: str) -> list[dict[str, Any]]:
    """What people said of a judgment, the last first."""
    found = [one for one in read_labels(run.folder) if one.key == key]
    return [
        {
            "who": one.who,
            "when": one.when.replace("T", " ").rstrip("Z") + " UTC",
            "label": one.label,
            "wrong": one.is_judge_wrong,
            "note": one.note,
            "blind": one.is_blind,
        }
        for one in reversed(found)
    ]
