"""Two indexes -> their judgments of the same items, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.audit.columns import Columns
from rmr1.viewer.index import Index

_FIELDS = ("is_right", "winner", "label", "prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """An entry of each array for each shared item, in the sequence of the first run."""

    number_a: NDArray[np.int64]
    """The judgment's number in the first run."""
    number_b: NDArray[np.int64]
    right_a: NDArray[np.int8]
    """1 right, 0 wrong, -1 not labelled."""
    right_b: NDArray[np.int8]
    prompt: NDArray[np.int64]
    """Equal for items that share their prompt."""
    has_other_winner: NDArray[np.bool_]
    is_silent: NDArray[np.bool_]
    """Neither has a verdict."""
    has_other_label: NDArray[np.bool_]
    """Both are labelled, and not alike."""

    def __len__(self) -> int:
        return len(self.number_a)


def join_runs(a: Index, b: Index) -> Joined:
    """The items that both runs hold, by their keys: the same texts, and of repeated ones the same occurrence."""
    places_a, places_b = match_keys(a.keys(), b.keys())
    one, other = (index.columns(*_FIELDS).take(places) for index, places in ((a, places_a), (b, places_b)))
    return Joined(
        number_a=places_a + 1,
        number_b=places_b + 1,
        right_a=one.numbers["is_right"],
        right_b=other.numbers["is_right"],
        prompt=one.numbers["prompt"],
        has_other_winner=_differ(one, other, "winner"),
        is_silent=(one.numbers["winner"] < 0) & (other.numbers["winner"] < 0),
        has_other_label=_differ(one, other, "label")
        & (one.numbers["label"] >= 0)
        & (other.numbers["label"] >= 0),
    )


def match_keys(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the keys that both have, in the sequence of `a`; of one that is there several times the first.

    >>> [one.tolist() for one in match_keys(np.array([b"x", b"y", b"z"]), np.array([b"z", b"x"]))]
    [[0, 2], [1, 0]]
    """
    a, first_a = np.unique(a, return_index=True)
    b, first_b = np.unique(b, return_index=True)
    _, places_a, places_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    places_a, places_b = first_a[places_a], first_b[places_b]
    order = np.argsort(places_a)
    return places_a[order].astype(np.int64), places_b[order].astype(np.int64)


def _differ(one: Columns, other: Columns, field: str) -> NDArray[np.bool_]:
    """Whether the names of a field differ; each run has codes of its own."""
    known = {name: code for code, name in enumerate(other.names[field])}
    codes = np.array([*(known.get(name, -2) for name in one.names[field]), -1])
    differ: NDArray[np.bool_] = codes[one.numbers[field]] != other.numbers[field]
    return differ
