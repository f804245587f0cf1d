"""People's labels in Label Studio's form, there and back: annotations of a pairwise interface, and the JSON that it exports.

    {"data": {"key": "...", "placed": "...", "text1": ..., "text2": ...},
     "annotations": [{"completed_by": {"email": "ada@x.org"}, "was_cancelled": false, "updated_at": "...",
                      "result": [{"type": "pairwise", "value": {"selected": "left"}, ...}]}]}

A task names its judgment by `key` or `id`, or is known by its two answers (`text1` and `text2`, or `response_a` and
`response_b`). Which of them was the left one is told by `placed`, by the texts, or is the pair's A. A tie is a choice called
"tie" beside the pairwise element, which has none; a cancelled annotation is a skip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmr1.active.sides import Shown, name_side, unseal
from rmr1.audit.label_files import Given, LabelFile, read_label_file, read_time, refuse_second
from rmr1.audit.naming import choose_named, find_named
from rmr1.audit.quotes import answer_text
from rmr1.data.files import Row, scan_rows
from rmr1.errors import ConfigError, DataError
from rmr1.messages import Messages
from rmr1.records import PreferencePair, Side
from rmr1.store.labels import HumanLabel, check_label
from rmr1.store.runs import read_judgments

_SELECTED: Mapping[str, Shown] = {"left": "1", "right": "2", "tie": "tie"}
_SHOWN = {said: selected for selected, said in _SELECTED.items()}
_ANSWERS = (("text1", "text2"), ("response_a", "response_b"))
"""Columns of a task that hold the left and the right answer."""


def write_annotation(label: HumanLabel, first: Side) -> dict[str, Any]:
    """A label as an annotation of a task whose left answer is `first`."""
    result = []
    if label.label is not None:
        said = next(shown for shown in _SHOWN if name_side(shown, first) == label.label)
        kind, value = (
            ("choices", {"choices": ["tie"]}) if said == "tie" else ("pairwise", {"selected": _SHOWN[said]})
        )
        name = "tie" if said == "tie" else "pw"
        result.append({"id": label.key, "from_name": name, "to_name": "text1", "type": kind, "value": value})
    return {
        "completed_by": {"email": label.who},
        "was_cancelled": label.is_skipped,
        "created_at": label.when,
        "updated_at": label.when,
        "result": result,
    }


def read_labels_of(source: str | Path, folder: str | Path, *, who: str, when: str) -> LabelFile:
    """The labels of a file for the judgments of a run: one of Label Studio's JSON, or what `read_label_file` reads. `who`
    and `when` are those of rows without.

    Raises:
        DataError: The file is missing or holds nothing. RunError: `folder` is no run.
    """
    first = next(iter(scan_rows(source)), None)
    if not isinstance(first, Row) or not _is_task(first):
        return read_label_file(source, folder, who=who, when=when)
    tasks: list[Row] = []
    errors: list[DataError] = []
    for row in scan_rows(source):
        if isinstance(row, DataError):
            errors.append(row)
        elif _is_task(row):
            tasks.append(row)
        else:
            errors.append(
                DataError(
                    "no object 'data' with a list 'annotations'; expected a task of Label Studio",
                    path=row.path,
                    line=row.line,
                )
            )
    labels: list[Given] = []
    names = _Names(folder, [row.data["data"] for row in tasks])
    for row in tasks:
        try:
            key, first_side = names.find(row.data["data"])
        except (DataError, ConfigError) as error:
            errors.append(DataError(getattr(error, "message", str(error)), path=row.path, line=row.line))
            continue
        is_blind = unseal(key, str(row.data["data"].get("placed", ""))) is not None and not row.data.get(
            "predictions"
        )
        for number, annotation in enumerate(row.data.get("annotations", ()), start=1):
            place = f"annotation {annotation.get('id', number) if isinstance(annotation, dict) else number}"
            try:
                label = _read_annotation(annotation, key, first_side, who=who, when=when, is_blind=is_blind)
                labels.append(Given(row=row, place=place, label=label, is_dated=False))
            except (DataError, ConfigError) as error:
                told = getattr(error, "message", str(error))
                errors.append(DataError(f"{place}: {told}", path=row.path, line=row.line))
    return refuse_second(labels, errors)


def _is_task(row: Row) -> bool:
    return isinstance(row.data.get("data"), dict) and isinstance(row.data.get("annotations", []), list)


class _Names:
    """The judgments that tasks are about; the run is read once for those with a name, once more for those without."""

    def __init__(self, folder: str | Path, tasks: Sequence[Mapping[str, Any]]):
        self._folder = folder
        self._keys = find_named(folder, {name for data in tasks if (name := _name(data))})
        self._by_texts: dict[frozenset[str], list[tuple[str, PreferencePair]]] = {}
        wanted = {frozenset(texts) for data in tasks if (texts := _find_texts(data)) is not None}
        if wanted:
            for key, judgment in read_judgments(folder):
                both = frozenset(map(_text_of, judgment.pair.responses))
                if both in wanted:
                    self._by_texts.setdefault(both, []).append((key, judgment.pair))

    def find(self, data: Mapping[str, Any]) -> tuple[str, Side]:
        """A judgment's key, and which of its answers is the task's left one.

        Raises:
            DataError: There is none, or there are several, or the left answer is neither of its two.
        """
        texts = _find_texts(data)
        found = [] if texts is None else self._by_texts.get(frozenset(texts), [])
        name = _name(data)
        if name:
            key = choose_named(self._folder, name, self._keys[name])
            found = [one for one in found if one[0] == key]
        elif len(found) != 1:
            what = "no judgment has" if not found else f"{len(found)} judgments have"
            raise DataError(f"neither key nor id, and {what} these two answers; name the judgment")
        else:
            key = found[0][0]
        if "placed" in data:
            side = unseal(key, str(data["placed"]))
            if side is None:
                raise DataError("'placed' is that of another judgment; the task was changed")
            return key, side
        if texts is None:
            return key, "A"
        if not found:
            raise DataError(f"its answers are not those of judgment {key[:12]}; the task was changed")
        return key, "A" if _text_of(found[0][1].response_a) == texts[0] else "B"


def _text_of(messages: Messages) -> str:
    """An answer as a file of UTF-8 holds it."""
    return answer_text(messages).encode("utf-8", "backslashreplace").decode()


def _name(data: Mapping[str, Any]) -> str:
    return str(data.get("key") or data.get("id") or "")


def _find_texts(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The left and the right answer, of a task that does not tell by `placed`."""
    if "placed" in data:
        return None
    for left, right in _ANSWERS:
        if isinstance(data.get(left), str) and isinstance(data.get(right), str):
            return data[left], data[right]
    return None


def _read_annotation(
    annotation: Any, key: str, first: Side, *, who: str, when: str, is_blind: bool
) -> HumanLabel:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise DataError("no list 'result'; export the project as JSON, not as JSON-MIN")
    label = HumanLabel(
        key=key,
        who=_name_annotator(annotation.get("completed_by"), who),
        when=read_time(annotation.get("updated_at") or annotation.get("created_at") or when),
    )
    if annotation.get("was_cancelled"):
        label = replace(label, is_skipped=True)
    else:
        said = list(dict.fromkeys(_read_choices(annotation["result"])))
        if len(said) != 1:
            told = "nothing is selected" if not said else f"{' and '.join(said)} are selected together"
            raise DataError(f"{told}; expected one of left, right and tie")
        if said[0] not in _SELECTED:
            raise DataError(f"{said[0]!r} is selected; expected left, right or tie")
        label = replace(label, label=name_side(_SELECTED[said[0]], first), is_blind=is_blind)
    check_label(label)
    return label


def _read_choices(result: Sequence[Any]) -> Iterator[str]:
    """What is selected in the pairwise element, and in elements of choices."""
    for one in result:
        value = one.get("value") if isinstance(one, dict) else None
        if not isinstance(value, dict):
            raise DataError("a part of 'result' has no value")
        if one.get("type") == "pairwise" and value.get("selected") not in (None, "none"):
            yield str(value["selected"]).casefold()
        elif one.get("type") == "choices":
            chosen = value.get("choices")
            yield from (
                str(choice).casefold() for choice in (chosen if isinstance(chosen, list) else [chosen])
            )


def _name_annotator(found: Any, who: str) -> str:
    """An annotator's address, or the number that Label Studio knows them by."""
    if isinstance(found, dict):
        found = found.get("email") or found.get("id")
    if found is None or found == "":
        return who
    return found if isinstance(found, str) else f"annotator {found}"
