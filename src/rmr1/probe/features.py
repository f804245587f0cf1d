"""Features of many rows, by field: which rows have them, and on which side.

A *pair feature* is of the whole row and is held against the label. A *side feature* is of one answer: what
counts is whether the better or the worse answer has it, so that sides and their placement play no part.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmr1.stats import Booleans

Unit = Literal["pair", "side"]

_KEPT_EXAMPLES = 6
_KEPT_SETS = 1000
"""Sets of features for which rows are kept to quote from."""
_WITHOUT = "without "
_RECENT_SETS = 64
"""Found again without looking up every name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One row that has a feature."""

    row: int
    sign: int
    """1 if the better answer has it, -1 if the worse one; of a pair feature 1 if A wins."""
    excerpt: str


class Outside(NamedTuple):
    """The rows without a pair feature."""

    name: str
    examples: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature of a field, over all rows."""

    name: str
    rows: NDArray[np.int32]
    """Rising."""
    signs: NDArray[np.int8]
    """Signs as in `Occurrence`."""
    examples: tuple[Occurrence, ...]
    outside: Outside | None = None
    """All other rows of a pair feature; None if another feature has just those."""


@dataclass(slots=True)
class _Column:
    rows: array[int] = field(default_factory=lambda: array("i"))
    signs: array[int] = field(default_factory=lambda: array("b"))
    examples: list[Occurrence] = field(default_factory=list)


class SideFeatures:
    """Side features of one field; rows are added in rising order."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}

    def add(self, row: int, better: Mapping[str, str], worse: Mapping[str, str]) -> None:
        """feature -> excerpt of both answers; what both have tells nothing."""
        for one, other, sign in ((better, worse, 1), (worse, better, -1)):
            for name, excerpt in one.items():
                if name not in other:
                    column = self._columns.setdefault(name, _Column())
                    column.rows.append(row)
                    column.signs.append(sign)
                    if len(column.examples) < _KEPT_EXAMPLES:
                        column.examples.append(Occurrence(row=row, sign=sign, excerpt=excerpt))

    def build(self, *, fewest: int, most: int) -> tuple[Feature, ...]:
        """Features with at least `fewest` occurrences, the `most` frequent ones; of equal ones the first."""
        found: dict[bytes, Feature] = {}
        for name, column in self._columns.items():
            if len(column.rows) >= fewest:
                found.setdefault(
                    column.rows.tobytes() + column.signs.tobytes(),
                    Feature(
                        name=name,
                        rows=np.array(column.rows, dtype=np.int32),
                        signs=np.array(column.signs, dtype=np.int8),
                        examples=tuple(column.examples),
                    ),
                )
        return _most_frequent(found.values(), most)


@dataclass(slots=True)
class _Set:
    names: array[int]
    rows: array[int] = field(default_factory=lambda: array("i"))
    kept: list[tuple[int, Callable[[str], str]]] = field(default_factory=list)


class PairFeatures:
    """Pair features of one field; rows are added in rising order. Rows with the same features share one set."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._sets: dict[bytes, _Set] = {}
        self._recent: dict[tuple[str, ...], _Set] = {}

    def add(self, row: int, features: Iterable[str], excerpt: Callable[[str], str]) -> None:
        """The different features of a row; `excerpt` shows where one stands."""
        listed = tuple(features)
        found = self._recent.get(listed)
        if found is None:
            names = array("i", [self._names.setdefault(name, len(self._names)) for name in listed])
            found = self._recent[listed] = self._sets.setdefault(names.tobytes(), _Set(names))
            if len(self._recent) > _RECENT_SETS:
                self._recent.clear()
        found.rows.append(row)
        if len(found.kept) < 3 and len(self._sets) <= _KEPT_SETS:
            found.kept.append((row, excerpt))

    def build(self, is_a: Booleans, *, fewest: int, most: int) -> tuple[Feature, ...]:
        """Features with at least `fewest` occurrences, the `most` frequent ones; of equal ones one.

        A feature that more than half of the rows have is turned round: the rare rows are listed, the others are its
        `outside`. `is_a` says of every row whether A is the better answer.
        """
        sets = [*self._sets.values(), *self._find_bare(len(is_a))]
        members: list[list[int]] = [[] for _ in self._names]
        for index, one in enumerate(sets):
            for number in one.names:
                members[number].append(index)
        signs = np.where(is_a, 1, -1).astype(np.int8)
        found: dict[tuple[int, ...], Feature] = {}
        for name, number in self._names.items():
            having = set(members[number])
            is_turned = 2 * sum(len(sets[index].rows) for index in having) > len(is_a)
            inside = _complement(having, len(sets)) if is_turned else tuple(members[number])
            if sum(len(sets[index].rows) for index in inside) < fewest:
                continue
            same = found.get(inside)
            with_it = Outside(name, _quote((sets[index] for index in members[number]), signs, name))
            if same is not None:
                if is_turned and same.outside is not None and same.outside.name.startswith(_WITHOUT):
                    found[inside] = replace(same, outside=with_it)
                elif not is_turned and same.name.startswith(_WITHOUT):
                    found[inside] = replace(same, name=name, examples=with_it.examples)
                continue
            others = (one for index, one in enumerate(sets) if index not in having)
            without = Outside(f"{_WITHOUT}{name}", _quote(others, signs, None))
            near, far = (without, with_it) if is_turned else (with_it, without)
            rows = np.sort(np.concatenate([np.array(sets[index].rows, dtype=np.int32) for index in inside]))
            found[inside] = Feature(
                name=near.name, rows=rows, signs=signs[rows], examples=near.examples, outside=far
            )
        for inside, feature in found.items():
            is_half = 2 * len(feature.rows) == len(is_a)
            if is_half and _complement(set(inside), len(sets)) in found:
                found[inside] = replace(feature, outside=None)
        return _most_frequent(found.values(), most)

    def _find_bare(self, number: int) -> Iterator[_Set]:
        seen = np.zeros(number, dtype=bool)
        for one in self._sets.values():
            seen[np.array(one.rows, dtype=np.int32)] = True
        rows = np.flatnonzero(~seen).tolist()
        if rows:
            found = _Set(names=array("i"), rows=array("i", rows))
            found.kept.extend((row, str) for row in rows[: 2 * _KEPT_EXAMPLES])
            yield found


def _complement(some: set[int], number: int) -> tuple[int, ...]:
    return tuple(index for index in range(number) if index not in some)


def _quote(sets: Iterable[_Set], signs: NDArray[np.int8], name: str | None) -> tuple[Occurrence, ...]:
    kept = [one for found, _ in zip(sets, range(50), strict=False) for one in found.kept]
    return tuple(
        Occurrence(row=row, sign=int(signs[row]), excerpt="" if name is None else excerpt(name))
        for row, excerpt in sorted(kept, key=lambda one: one[0])[: 2 * _KEPT_EXAMPLES]
    )


def _most_frequent(features: Iterable[Feature], most: int) -> tuple[Feature, ...]:
    return tuple(sorted(features, key=lambda feature: -len(feature.rows))[:most])
