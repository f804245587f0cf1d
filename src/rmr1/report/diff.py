"""Two answers -> what both have, and what only one of them has, word by word.

The words in both are a longest common subsequence, found with the bit vectors of Hyyrö ("Bit-parallel LCS-length
computation revisited", 2004): exact, and fast enough for answers of 100,000 characters. Longer ones are compared line
by line first, and by words only between the lines that both have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from rmr1.errors import DataError

Kind = Literal["same", "a", "b"]

MOST_CHARS = 500_000
"""Characters of one text; beyond, a single long one takes seconds."""
MOST_CELLS = 400_000_000
"""Words of one answer times words of the other up to which they are compared: 50 MB of bits, a few tenths of a second."""
_WORD = re.compile(
    r"\s*(?:[\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+|\S)|\s+"
)
"""A word or a sign with the white space before it; of scripts without spaces, one character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffPiece:
    """A stretch of the two texts."""

    kind: Kind
    """"same": both have it; "a" or "b": only that one has it."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Two texts as one sequence of pieces; those of one text, joined, are that text."""

    pieces: tuple[DiffPiece, ...]
    """Pieces are in reading order, none is empty, neighbours are of different kinds, and "a" comes before "b"."""
    unit: Literal["word", "line"]
    """"line" if a stretch was too long to be compared by words."""

    @property
    def share(self) -> float:
        """The share of characters that stand in both, from 0 to 1; 1 of two empty texts."""
        same = sum(len(one.text) for one in self.pieces if one.kind == "same")
        only = sum(len(one.text) for one in self.pieces if one.kind != "same")
        return 2 * same / (2 * same + only) if self.pieces else 1.0

    def side(self, side: Literal["a", "b"]) -> tuple[DiffPiece, ...]:
        """The pieces of one text, to be shown beside the other."""
        return tuple(one for one in self.pieces if one.kind in ("same", side))


def diff_words(a: str, b: str) -> Diff:
    """Compare two texts; a few words that both happen to have amid longer changes count as changed.

    Raises:
        DataError: both have tens of thousands of lines, or one is longer than `MOST_CHARS`.

    >>> [(one.kind, one.text) for one in diff_words("It is 34 coins.", "It is 33 coins.").pieces]
    [('same', 'It is'), ('a', ' 34'), ('b', ' 33'), ('same', ' coins.')]
    """
    if max(len(a), len(b)) > MOST_CHARS:
        raise DataError(
            f"the answers have {len(a):,} and {len(b):,} characters: more than {MOST_CHARS:,} are not compared; read them one by one"
        )
    words = _WORD.findall(a), _WORD.findall(b)
    if len(words[0]) * len(words[1]) <= MOST_CELLS:
        return Diff(pieces=_join(_clean(_join(_compare(*words)))), unit="word")
    lines = a.splitlines(keepends=True), b.splitlines(keepends=True)
    if len(lines[0]) * len(lines[1]) > MOST_CELLS:
        raise DataError(
            f"the answers have {len(lines[0]):,} and {len(lines[1]):,} lines: too many to be compared; read them one by one"
        )
    runs, unit, left = [], "word", MOST_CELLS
    for is_same, group in groupby(_join(_compare(*lines)), key=lambda one: one.kind == "same"):
        stretch = list(group)
        if not is_same and len(stretch) == 2:
            inside = [_WORD.findall(one.text) for one in stretch]
            cells = len(inside[0]) * len(inside[1])
            if cells <= left:
                left -= cells
                stretch = list(_clean(_join(_compare(*inside))))
            else:
                unit = "line"
        runs += stretch
    return Diff(pieces=_join(runs), unit="word" if unit == "word" else "line")


def _compare(a: Sequence[str], b: Sequence[str]) -> Iterator[DiffPiece]:
    """Every element of both sequences as a piece."""
    start, stop = 0, min(len(a), len(b))
    while start < stop and a[start] == b[start]:
        start += 1
    tail = 0
    while tail < stop - start and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    yield from (DiffPiece(kind="same", text=one) for one in a[:start])
    yield from _trace(a[start : len(a) - tail], b[start : len(b) - tail])
    yield from (DiffPiece(kind="same", text=one) for one in a[len(a) - tail :])


def _trace(a: Sequence[str], b: Sequence[str]) -> list[DiffPiece]:
    """Row j of the table is a number: its bit i is 0 if the longest common subsequence of a[:i+1] and b[:j] is longer than
    that of a[:i] and b[:j]."""
    places: dict[str, int] = {}
    for number, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << number
    whole = (1 << len(a)) - 1
    row, rows = whole, []
    for word in b:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & whole
        rows.append(row.to_bytes((len(a) + 7) // 8, "little"))
    found: list[DiffPiece] = []
    i, j = len(a) - 1, len(b) - 1
    while i >= 0 and j >= 0:
        if rows[j][i >> 3] >> (i & 7) & 1:
            found.append(DiffPiece(kind="a", text=a[i]))
            i -= 1
        elif j and not rows[j - 1][i >> 3] >> (i & 7) & 1:
            found.append(DiffPiece(kind="b", text=b[j]))
            j -= 1
        else:
            found.append(DiffPiece(kind="same", text=a[i]))
            i, j = i - 1, j - 1
    found += [DiffPiece(kind="a", text=word) for word in a[: i + 1][::-1]]
    found += [DiffPiece(kind="b", text=word) for word in b[: j + 1][::-1]]
    return found[::-1]


def _join(pieces: Iterator[DiffPiece] | Sequence[DiffPiece]) -> tuple[DiffPiece, ...]:
    """Neighbours of one kind as one, and within a change what A has first."""
    joined = []
    for is_same, group in groupby(pieces, key=lambda one: one.kind == "same"):
        stretch = list(group)
        kinds: tuple[Kind, ...] = ("same",) if is_same else ("a", "b")
        for kind in kinds:
            if text := "".join(one.text for one in stretch if one.kind == kind):
                joined.append(DiffPiece(kind=kind, text=text))
    return tuple(joined)


def _clean(pieces: Sequence[DiffPiece]) -> Iterator[DiffPiece]:
    """A common stretch no longer than the change before it and the one behind it is part of one change."""
    runs = [list(group) for _, group in groupby(pieces, key=lambda one: one.kind == "same")]
    kept: list[list[DiffPiece]] = []
    for run in runs:
        kept.append(run)
        while len(kept) > 2 and kept[-1][0].kind != "same":
            common = kept[-2][0].text
            if len(common.strip()) > min(_size(kept[-3]), _size(kept[-1])):
                break
            both = [DiffPiece(kind="a", text=common), DiffPiece(kind="b", text=common)]
            kept[-3:] = [[*kept[-3], *both, *kept[-1]]]
    return (piece for run in kept for piece in run)


def _size(change: Sequence[DiffPiece]) -> int:
    """The characters of the longer side of a change."""
    return max(sum(len(one.text) for one in change if one.kind == kind) for kind in ("a", "b"))
