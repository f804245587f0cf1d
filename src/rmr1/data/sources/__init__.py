"""The forms of dataset that can be read, and which one a row has."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from rmr1.data.sources import benchmarks, own, preference
from rmr1.data.sources.reader import Reader, quote_all, shorten
from rmr1.errors import ConfigError, DataError

READERS: tuple[Reader, ...] = (*own.READERS, *preference.READERS, *benchmarks.READERS)

_BY_SIZE = sorted(READERS, key=lambda reader: -len(reader.columns))

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("question", "query", "instruction", "input", "problem", "context"),
    "chosen": ("better", "preferred", "accepted", "winner", "good", "best", "positive", "win"),
    "rejected": ("worse", "reject", "dispreferred", "loser", "bad", "worst", "negative", "lose"),
    "response_a": ("answer_a", "output_a", "a", "response_1", "answer_1", "output_1", "answer1", "response1"),
    "response_b": ("answer_b", "output_b", "b", "response_2", "answer_2", "output_2", "answer2", "response2"),
    "label": ("preference", "winner", "verdict", "choice"),
}
"""Column names that are guessed at, but only in the advice of an error."""

_GENERAL = (("prompt", "chosen", "rejected"), ("prompt", "response_a", "response_b"))


def find_reader(name: str) -> Reader:
    """The reader called `name`.

    Raises:
        ConfigError: there is none.
    """
    for reader in READERS:
        if reader.name == name:
            return reader
    names = [reader.name for reader in READERS]
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}"
    raise ConfigError(f"no data format {name!r}; {advice}")


def recognise(columns: Iterable[str], data: Mapping[str, Any] | None = None) -> Reader:
    """The reader for a row with these columns: the one that asks for most of them.

    `data`, the row itself, tells forms with the same columns apart (texts, message lists, lists of
    texts). Without it the first of them is meant.

    Raises:
        DataError: no form has these columns.
    """
    names = tuple(columns)
    candidates = _with_columns(names)
    if not candidates:
        raise DataError(_advise(names))
    for reader in candidates:
        if data is None or reader.fits is None or reader.fits(data):
            return reader
    return candidates[0]


@lru_cache(maxsize=256)
def _with_columns(names: tuple[str, ...]) -> tuple[Reader, ...]:
    seen = set(names)
    return tuple(reader for reader in _BY_SIZE if seen.issuperset(reader.columns))


def _advise(names: tuple[str, ...]) -> str:
    """What was seen, what comes nearest, and how to name the columns."""
    seen = f"no known form has the columns {quote_all([*names[:12]])}" if names else "the row has no columns"
    for wanted in _GENERAL:
        mapping = {column: _guess(column, names) for column in wanted}
        if all(mapping.values()):
            flags = " ".join(
                f"--map {shlex.quote(f'{ours}={theirs}')}"
                for ours, theirs in mapping.items()
                if ours != theirs
            )
            return f"{seen}; if they mean what they say, pass {flags}"
    nearest = max(READERS, key=lambda reader: _overlap(reader, names))
    missing = [column for column in nearest.columns if column not in names]
    if _overlap(nearest, names) < 0.5:
        example = "--map prompt=question --map chosen=better --map rejected=worse"
        return f"{seen}; name yours with --map, as in {example}"
    flags = " ".join(f"--map {column}=COLUMN" for column in missing)
    return (
        f"{seen}; the nearest is {nearest.name!r}, which lacks {quote_all(missing)}: name them with {flags}"
    )


def _guess(column: str, names: tuple[str, ...]) -> str | None:
    if column in names:
        return column
    lower = {name.lower().replace(" ", "_").replace("-", "_"): name for name in names}
    return next((lower[one] for one in _SYNONYMS[column] if one in lower), None)


def _overlap(reader: Reader, names: tuple[str, ...]) -> float:
    return sum(column in names for column in reader.columns) / len(reader.columns)


def require_columns(reader: Reader, data: Mapping[str, Any]) -> None:
    """
    Raises:
        DataError: the row lacks a column of the form.
    """
    for column in reader.columns:
        if column not in data:
            needs = quote_all(reader.columns)
            raise DataError(f"no column {column!r}; the form {reader.name!r} needs {needs}")


def refuse_unknown_columns(reader: Reader, data: Mapping[str, Any]) -> None:
    """
    Raises:
        DataError: the row has a column that the form forbids.
    """
    if reader.allowed is None:
        return
    for column in data:
        if column not in reader.allowed:
            near = difflib.get_close_matches(column, reader.allowed, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {quote_all(reader.allowed)}"
            raise DataError(f"unknown column {shorten(column)} in the form {reader.name!r}; {advice}")


__all__ = ["READERS", "Reader", "find_reader", "recognise", "refuse_unknown_columns", "require_columns"]
