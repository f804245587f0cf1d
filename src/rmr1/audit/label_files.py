"""A file of people's labels -> labels of a run: JSON lines, CSV or what else `rmr1.data.files` reads, a label a row.

Columns are those of `HumanLabel`, so that the labels.jsonl of a copy of the run is such a file; `id` may take the place
of `key`, and `who` and `when` may be left out. A row that cannot be used is an error of its own. Several rows of one person
on one item are a change of mind if each has its time, and the latest counts; without times nothing says which counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmr1.audit.naming import choose_named, find_named
from rmr1.data.files import Row, is_missing, scan_rows
from rmr1.errors import ConfigError, DataError
from rmr1.nearest import suggest
from rmr1.records import Label
from rmr1.screen import one_line
from rmr1.store.labels import HumanLabel, check_label

COLUMNS = ("key", "id", *(one.name for one in fields(HumanLabel) if one.name != "key"))
_LABELS: Mapping[str, Label] = {"a": "A", "b": "B", "tie": "tie"}
_SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """What a file of labels holds for a run."""

    labels: tuple[HumanLabel, ...]
    errors: tuple[DataError, ...]
    """A row that cannot be used, each with its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A label as a file gives it."""

    row: Row
    place: str
    """Where in the row it is, if a row holds several."""
    label: HumanLabel
    is_dated: bool
    """Whether its time orders it among others of the same person on the same item."""


def read_label_file(source: str | Path, folder: str | Path, *, who: str, when: str) -> LabelFile:
    """The labels of a file, for the judgments of the run in `folder`; `who` and `when` are those of rows without.

    Raises:
        DataError: the file is missing or holds nothing. RunError: `folder` is no run.
    """
    rows, errors = [], []
    for row in scan_rows(source):
        try:
            if isinstance(row, DataError):
                raise row
            rows.append((row, *_read(row, who, when)))
        except (DataError, ConfigError) as error:
            errors.append(error if isinstance(error, DataError) else _place(error, row))
    if not rows and not errors:
        raise DataError("no rows in it", path=source)
    keys = find_named(folder, {name for _, name, _ in rows})
    labels = []
    for row, name, label in rows:
        try:
            named = replace(label, key=choose_named(folder, name, keys[name]))
            is_dated = not is_missing(row.data.get("when")) and row.data["when"] != ""
            labels.append(Given(row=row, place="", label=named, is_dated=is_dated))
        except DataError as error:
            errors.append(DataError(error.message, path=row.path, line=row.line))
    return refuse_second(labels, errors)


def refuse_second(given: Sequence[Given], errors: Sequence[DataError]) -> LabelFile:
    """The labels in the sequence of their times. A second one of a person on an item is an error, which names both lines,
    unless each has a time of its own."""
    kept: list[HumanLabel] = []
    found = list(errors)
    seen: dict[tuple[str, str], list[Given]] = {}
    for one in given:
        before = seen.setdefault((one.label.key, one.label.who), [])
        if any(one.label == other.label for other in before if one.is_dated and other.is_dated):
            continue  # the same line once more
        clash = next(
            (
                other
                for other in before
                if not (one.is_dated and other.is_dated) or one.label.when == other.label.when
            ),
            None,
        )
        before.append(one)
        if clash is None:
            kept.append(one.label)
            continue
        there = f"line {clash.row.line}" + (f", {clash.place}" if clash.place else "")
        here = f"{one.place}: " if one.place else ""
        found.append(
            DataError(
                f"{here}a second label of {one_line(one.label.who)} on item {one.label.key[:12]} (the first: {there}), and "
                "nothing says which counts; leave one out"
                + ("" if one.place else ", or give each the time at which it was given in 'when'"),
                path=one.row.path,
                line=one.row.line,
            )
        )
    return LabelFile(
        labels=tuple(sorted(kept, key=lambda label: label.when)),
        errors=tuple(sorted(found, key=lambda error: error.line or 0)),
    )


def leave_known(labels: Sequence[HumanLabel], known: Sequence[HumanLabel], *, when: str) -> list[HumanLabel]:
    """The labels without those that a run has already; one of the time `when`, which was not given, is known if the same
    person's last one says the same."""
    seen = set(known)
    last = {(one.key, one.who): replace(one, when="") for one in known}
    return [
        one
        for one in labels
        if one not in seen
        and not (one.when == when and last.get((one.key, one.who)) == replace(one, when=""))
    ]


def _read(row: Row, who: str, when: str) -> tuple[str, HumanLabel]:
    """What names the judgment, and the label with that in the place of its key."""
    for column in row.data:
        if column not in COLUMNS:
            raise ConfigError(
                f"unknown column {column!r}{suggest(column, COLUMNS)}; known are {', '.join(COLUMNS)}"
            )
    cells = {name: value for name, value in row.data.items() if not is_missing(value) and value != ""}
    name = str(cells.get("key", cells.get("id", "")))
    if not name:
        raise ConfigError("neither key nor id; say which judgment is labelled")
    label = HumanLabel(
        key=name,
        who=str(cells.get("who", who)),
        when=read_time(cells.get("when", when)),
        label=_read_value("label", cells, _LABELS, "A, B or tie"),
        is_blind=bool(_read_value("is_blind", cells, _SWITCHES, "true or false")),
        is_judge_wrong=_read_value("is_judge_wrong", cells, _SWITCHES, "true or false"),
        note=None if "note" not in cells else str(cells["note"]),
        criterion=None if "criterion" not in cells else str(cells["criterion"]),
        is_skipped=bool(_read_value("is_skipped", cells, _SWITCHES, "true or false")),
        is_undone=bool(_read_value("is_undone", cells, _SWITCHES, "true or false")),
    )
    check_label(label)
    return name, label


def _read_value(name: str, cells: Mapping[str, Any], known: Mapping[str, Any], expected: str) -> Any:
    if name not in cells:
        return None
    if (found := str(cells[name]).strip().casefold()) not in known:
        raise ConfigError(f"{name} {cells[name]!r} is not {expected}")
    return known[found]


def read_time(value: Any) -> str:
    """A time with its zone, as labels have it.

    Raises:
        ConfigError: It is none, or has no zone.
    """
    try:
        time = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ConfigError(f"when {value!r} is no time; expected one like 2026-11-30T16:20:02Z") from None
    if time.tzinfo is None:
        raise ConfigError(f"when {value!r} has no time zone; expected one like 2026-11-30T16:20:02Z")
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(error: ConfigError, row: Row | DataError) -> DataError:
    return DataError(str(error), path=row.path, line=row.line)
