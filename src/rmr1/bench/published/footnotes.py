"""What has to be known about a published row, as letters that fit into a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rmr1.bench.published.checks import check_rows
from rmr1.bench.published.rows import PublishedRow

MARKS: Mapping[str, str] = {
    "c": "marked as possibly contaminated by the authors of its table",
    "d": "its parts do not give its overall",
    "m": "the mean of its three figures, no average is printed",
    "s": "quoted from another paper or a leaderboard, not rechecked",
    "?": "which scoring was used is not stated",
    "x": "scored another way, not ranked",
}


def marks_of(row: PublishedRow, *, is_apart: bool = False) -> str:
    """The letters of `MARKS` that apply to a row, in their order; `is_apart` where it has no rank."""
    applies = {
        "c": row.is_contaminated,
        "d": (row.table, row.model, row.benchmark) in _keys_of_differences(),
        "m": row.is_derived,
        "s": row.source in ("secondary", "leaderboard"),
        "?": row.scoring == "unstated",
        "x": is_apart,
    }
    return "".join(mark for mark in MARKS if applies[mark])


@cache
def _keys_of_differences() -> frozenset[tuple[str, str, str]]:
    return frozenset((one.row.table, one.row.model, one.row.benchmark) for one in check_rows())
