"""Facts -> columns: an array for each field, an entry for each judgment; what figures are computed from.

flag      int8: 1 yes, 0 no, -1 not known
name      a code, an index into the column's names; -1 none
count     whole numbers
number    float64; nan where there is none
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.audit.facts import UNIQUE, FactKind, Facts, list_kinds
from rmr1.errors import ConfigError

Array = NDArray[Any]

_LARGE = ("prompt", "prompt_tokens", "completion_tokens")
"""Counts that need 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Some fields of many facts."""

    numbers: Mapping[str, Array]
    """Field -> its entries; of names their codes."""
    names: Mapping[str, tuple[str, ...]]
    """Field of the kind "name" -> what its codes stand for."""

    def __len__(self) -> int:
        return len(next(iter(self.numbers.values()))) if self.numbers else 0

    def take(self, chosen: Array) -> Columns:
        """The entries at these places, or those of a mask."""
        return Columns(numbers={name: one[chosen] for name, one in self.numbers.items()}, names=self.names)

    def is_named(self, field: str, name: str) -> NDArray[np.bool_]:
        """Whether the field says `name`, entry by entry."""
        names = self.names[field]
        equal: NDArray[np.bool_] = self.numbers[field] == (names.index(name) if name in names else -2)
        return equal

    def count_names(self, field: str) -> dict[str | None, int]:
        """Name -> entries that have it, the most frequent first; None for those that have none."""
        names = (None, *self.names[field])
        counts = np.bincount(self.numbers[field].astype(np.int64) + 1, minlength=len(names))
        pairs = sorted(zip(names, counts.tolist(), strict=True), key=lambda one: (-one[1], one[0] or ""))
        return {name: count for name, count in pairs if count}


def choose_type(field: str) -> np.dtype[Any]:
    """What a field's entries are held as."""
    kind = kind_of(field)
    types: dict[FactKind, str] = {"flag": "i1", "name": "<i4", "number": "<f8"}
    return np.dtype(types.get(kind, "<i8" if field in _LARGE else "<i4"))


def kind_of(field: str) -> FactKind:
    """What a field of `Facts` is.

    Raises:
        ConfigError: there is no such field, or it has no column.
    """
    kinds = list_kinds()
    if field not in kinds or field in UNIQUE:
        raise ConfigError(
            f"{field!r} is no column; there are {', '.join(one for one in kinds if one not in UNIQUE)}"
        )
    return kinds[field]


class Gathering:
    """Facts come in one by one, columns come out; some 80 bytes a judgment for all that figures need."""

    def __init__(self, fields: Iterable[str]):
        self._kinds = {field: kind_of(field) for field in fields}
        codes: dict[FactKind, str] = {"flag": "b", "name": "b", "number": "d"}
        self._arrays: dict[str, array[Any]] = {
            field: array(codes.get(kind, "q" if field in _LARGE else "i"))
            for field, kind in self._kinds.items()
        }
        self._names: dict[str, dict[str, int]] = {
            field: {} for field, kind in self._kinds.items() if kind == "name"
        }

    def add(self, facts: Facts) -> None:
        """Take in one judgment's facts."""
        for field, kind in self._kinds.items():
            value = getattr(facts, field)
            if kind == "name":
                value = -1 if value is None else self._code(field, value)
            elif value is None:
                value = float("nan") if kind == "number" else -1
            self._arrays[field].append(value)

    def _code(self, field: str, name: str) -> int:
        names = self._names[field]
        code = names.setdefault(name, len(names))
        if code > 127 and self._arrays[field].typecode == "b":
            self._arrays[field] = array("i", self._arrays[field])
        return code

    def columns(self) -> Columns:
        """What has come in so far."""
        return Columns(
            numbers={field: np.array(values) for field, values in self._arrays.items()},
            names={field: tuple(names) for field, names in self._names.items()},
        )
