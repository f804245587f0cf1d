"""The forms of dataset that can be read, and which one a row has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from rmr1.data.files import Row, is_missing
from rmr1.data.sources import benchmarks, own, preference, rated
from rmr1.data.sources.columns import OPTIONAL, find_delimiter, find_slip, fold, guess, locate
from rmr1.data.sources.labels import WINNERS, find_label, label_column
from rmr1.data.sources.messages import decode_messages
from rmr1.data.sources.reader import Reader, join_input
from rmr1.data.sources.values import as_number, quote_all, shorten
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.nearest import find_nearest

READERS: tuple[Reader, ...] = (
    *own.READERS,
    *preference.READERS,
    *rated.READERS,
    *benchmarks.READERS,
)

_BY_SIZE = sorted(READERS, key=lambda reader: -len(reader.columns))
_KNOWN = frozenset({*OPTIONAL, *(column for reader in READERS for column in reader.columns)})
_GENERAL = (
    ("prompt", "chosen", "rejected"),
    ("prompt", "response_a", "response_b"),
    ("prompt", "responses"),
)


def find_reader(name: str) -> Reader:
    """The reader called `name`."""
    readers = {reader.name: reader for reader in READERS}
    if name in readers:
        return readers[name]
    near = find_nearest(name, readers)
    advice = f"did you mean {near!r}?" if near else f"expected one of {', '.join(readers)}"
    raise ConfigError(f"no data format {name!r}; {advice}")


def recognise(columns: Iterable[str], data: Mapping[str, Any] | None = None) -> Reader:
    """The reader for a row with these columns: the one that asks for most of them.

    `data`, the row itself, tells forms with the same columns apart (texts, message lists, lists of
    texts). Without it the first of them is meant.

    Raises:
        DataError: no form has these columns.
    """
    return _choose(tuple(columns), data)[0]


def read_form(row: Row, fixed: Reader | None = None) -> tuple[Reader, Row]:
    """The reader of a row, and the row under the reader's names, with messages that were written into a text as
    messages."""
    data: Mapping[str, Any] = decode_messages(row.data)
    if fixed is None:
        reader, places = _choose(tuple(data), data)
    else:
        reader, places = fixed, _require_columns(fixed.name, tuple(data))
    data = _rename(data, places)
    if fixed is None:
        _refuse_near_label(reader, data)
    _refuse_second_input(reader, data)
    if row.labels is not None and label_column(data, reader.label) is None:
        lacks = "has none" if reader.label is None else f"has it in {reader.label!r}, which the row lacks"
        raise DataError(
            f"{name_option('labels')} maps the values of a label's column, and the form {reader.name!r} {lacks}"
        )
    return reader, Row(data=dict(data), path=row.path, line=row.line, labels=row.labels)


def map_columns(data: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row under our names; a column that is moved is gone from its old name.

    To name the prompt's column is to say that `input` is no part of it, unless that column is an instruction.
    """
    moved = set(columns.values())
    missing = [theirs for theirs in columns.values() if theirs not in data]
    if missing:
        raise DataError(f"no column {missing[0]!r} to map; the columns are {quote_all([*data][:12])}")
    renamed = {name: value for name, value in data.items() if name not in columns and name not in moved}
    renamed |= {ours: data[theirs] for ours, theirs in columns.items()}
    if "prompt" in columns and "input" not in columns:
        more = renamed.pop("input", None)
        if fold(columns["prompt"]) == "instruction" and isinstance(more, str) and not is_missing(more):
            if not isinstance(renamed["prompt"], str):
                raise DataError(f"'input' cannot be joined to {columns['prompt']!r}, which is no text")
            renamed["prompt"] = join_input(renamed["prompt"], more)
    return renamed


def _choose(names: tuple[str, ...], data: Mapping[str, Any] | None) -> tuple[Reader, Mapping[str, str]]:
    candidates = _with_columns(names)
    if not candidates:
        raise DataError(_advise(names))
    if data is not None:
        for reader, places in candidates:
            if reader.fits is None or reader.fits(_rename(data, places)):
                return reader, places
    return candidates[0]


@lru_cache(maxsize=256)
def _with_columns(names: tuple[str, ...]) -> tuple[tuple[Reader, Mapping[str, str]], ...]:
    found = ((reader, _find_columns(reader, names)) for reader in _BY_SIZE)
    return tuple((reader, places) for reader, places in found if places is not None)


@lru_cache(maxsize=256)
def _require_columns(form: str, names: tuple[str, ...]) -> Mapping[str, str]:
    reader = find_reader(form)
    places = _find_columns(reader, names)
    if places is None:
        missing = next(column for column in reader.columns if locate((column,), names, _KNOWN) is None)
        needs = quote_all(reader.columns)
        raise DataError(f"no column {missing!r}; the form {form!r} needs {needs}")
    return places


def _find_columns(reader: Reader, names: tuple[str, ...]) -> Mapping[str, str] | None:
    """Our name to the row's, of every column that is called otherwise there; None where one is missing."""
    required = locate(reader.columns, names, _KNOWN)
    if required is None:
        return None
    rest = tuple(name for name in names if name not in required.values())
    optional = [locate((column,), rest, _KNOWN) for column in OPTIONAL if column not in required]
    places = required | {ours: theirs for one in optional if one for ours, theirs in one.items()}
    return {ours: theirs for ours, theirs in places.items() if ours != theirs}


def _rename(data: Mapping[str, Any], places: Mapping[str, str]) -> Mapping[str, Any]:
    if not places:
        return data
    ours = {theirs: name for name, theirs in places.items()}
    return {ours.get(name, name): value for name, value in data.items()}


def _refuse_near_label(reader: Reader, data: Mapping[str, Any]) -> None:
    if reader.label is None or label_column(data, reader.label) is not None:
        return
    if (slip := find_slip(reader.label, data)) is not None:
        raise DataError(
            f"unknown column {shorten(slip)} in the form {reader.name!r}; did you mean {reader.label!r}?"
        )
    near = guess(reader.label, (*data,))
    if near is not None and (find_label(data[near], WINNERS) or as_number(data[near]) in (0, 1, 2)):
        raise DataError(
            f"no column {reader.label!r}, but {near!r} says {shorten(data[near])}; if that names the better answer, pass "
            f"{name_option('columns', {reader.label: near})}, else {name_option('format', reader.name)}, which passes "
            "over it"
        )


def _refuse_second_input(reader: Reader, data: Mapping[str, Any]) -> None:
    if "prompt" not in reader.columns or "input" in reader.columns:
        return
    prompt, more = data["prompt"], data.get("input")
    if not isinstance(more, str) or is_missing(more) or not more.strip():
        return
    if isinstance(prompt, str) and (more.strip() in prompt or prompt.strip() in more):
        return
    raise DataError(
        "'input' says something that 'prompt' does not: write both into 'prompt', or pass "
        f"{name_option('columns', {'prompt': 'prompt'})} to leave 'input' out"
    )


def _advise(names: tuple[str, ...]) -> str:
    seen = f"no known form has the columns {quote_all([*names[:12]])}" if names else "the row has no columns"
    if (delimiter := find_delimiter(names)) is not None:
        return (
            f"{seen}; they look separated by {delimiter!r}, but not by it alone: separate all columns alike"
        )
    for wanted in _GENERAL:
        mapping = {column: guess(column, names) for column in wanted}
        if all(mapping.values()):
            named = {ours: theirs for ours, theirs in mapping.items() if ours != theirs}
            return f"{seen}; if they mean what they say, pass {name_option('columns', named)}"
    nearest = max(READERS, key=lambda reader: _overlap(reader, names))
    missing = [column for column in nearest.columns if column not in names]
    if _overlap(nearest, names) < 0.5:
        example = {"prompt": "question", "chosen": "better", "rejected": "worse"}
        return f"{seen}; name yours with {name_option('columns')}, as in {name_option('columns', example)}"
    told = name_option("columns", dict.fromkeys(missing, "COLUMN"))
    return f"{seen}; the nearest is {nearest.name!r}, which lacks {quote_all(missing)}: name them with {told}"


def _overlap(reader: Reader, names: tuple[str, ...]) -> float:
    return sum(column in names for column in reader.columns) / len(reader.columns)


__all__ = ["READERS", "Reader", "find_reader", "map_columns", "read_form", "recognise"]
