"""Names of columns: which one of ours was meant by one that is written a little differently."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

OPTIONAL = ("id", "label", "best", "source", "subset", "domain", "system", "input", "winner")
"""Columns that a form may have besides those that it is known by, found whatever their case."""

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("question", "query", "instruction", "input", "problem", "context"),
    "chosen": ("better", "preferred", "accepted", "winner", "good", "best", "positive", "win"),
    "rejected": ("worse", "reject", "dispreferred", "loser", "bad", "worst", "negative", "lose"),
    "response_a": ("answer_a", "output_a", "a", "response_1", "answer_1", "output_1", "answer1", "response1"),
    "response_b": ("answer_b", "output_b", "b", "response_2", "answer_2", "output_2", "answer2", "response2"),
    "responses": ("answers", "candidates", "completions", "outputs", "generations", "samples"),
    "label": ("preference", "preferred", "winner", "verdict", "choice"),
}
"""Column names that are guessed at, but only in the advice of an error."""


def fold(name: str) -> str:
    """A name without case and outer spaces."""
    return name.strip("\ufeff \t\r\n").casefold()


def locate(wanted: Iterable[str], names: Sequence[str], known: Collection[str]) -> dict[str, str] | None:
    """The place of each wanted column: as it is called, or the one name that differs in case and outer spaces only;
    None if one is missing. A name that is `known` is never taken for another: `response_a` is not JudgeBench's
    `response_A`."""
    found = {}
    for column in wanted:
        if column in names:
            found[column] = column
            continue
        near = [name for name in names if name not in known and fold(name) == fold(column)]
        if len(near) != 1:
            return None
        found[column] = near[0]
    return found


def guess(column: str, names: Sequence[str]) -> str | None:
    """The column that is probably meant by one of ours, for advice."""
    if column in names:
        return column
    lower = {re.sub(r"[ -]", "_", fold(name)): name for name in names}
    return next((lower[one] for one in (column, *_SYNONYMS.get(column, ())) if one in lower), None)


def find_slip(column: str, names: Iterable[str]) -> str | None:
    """A name that is one slip of the keyboard away from the column's."""
    return next((name for name in names if _is_slip(fold(name), column)), None)


def _is_slip(name: str, meant: str) -> bool:
    if name == meant:
        return True
    start = 0
    while start < min(len(name), len(meant)) and name[start] == meant[start]:
        start += 1
    rest, other = name[start:], meant[start:]
    return (
        rest[1:] == other[1:]
        or rest[1:] == other
        or rest == other[1:]
        or (rest[:2] == other[1::-1] and rest[2:] == other[2:])
    )


def find_delimiter(names: Sequence[str]) -> str | None:
    """What separates the columns of a table that was read with another delimiter."""
    if any(len(re.split("[;\t|]", name)) > 1 for name in names):
        return max(";\t|", key=lambda one: sum(name.count(one) for name in names))
    return None
