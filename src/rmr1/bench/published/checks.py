"""Do published figures agree with themselves?

`check_rows` follows each overall from its parts by the benchmark's rule; `find_disagreements` compares
tables that print the same figure. Both know how far rounding reaches and list only what lies beyond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from rmr1.bench.published.rows import Printed, PublishedRow, load_rows

# Sizes of JudgeBench's categories in the set of GPT-4o answers: its overall is a share of all pairs. Every
# other overall here is an unweighted mean of its parts.
_WEIGHTS: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("judgebench", "categories"): {"Knowledge": 154, "Reasoning": 98, "Math": 56, "Coding": 42}
}

_SLACK = 1e-9
"""Sums of doubles, and figures on the very edge of their rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An overall that does not follow from its parts."""

    row: PublishedRow
    group: str
    """The parts that both figures are of."""
    follows: float
    """What follows from them, a share."""
    allowed: float
    """The reach of rounding, as a share."""

    @property
    def size(self) -> float:
        """Printed overall minus what follows, a share."""
        return self.row.overall.value - self.follows

    def __str__(self) -> str:
        return (
            f"{self.row.table}: {self.row.model}: printed {self.row.overall}, "
            f"its {self.group} give {100 * self.follows:.2f} (rounding explains {100 * self.allowed:.2f})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two tables that print different figures for the same model, benchmark and scoring."""

    first: PublishedRow
    second: PublishedRow

    def __str__(self) -> str:
        first, second = self.first, self.second
        return (
            f"{first.benchmark}: {first.model}: {first.overall} in {first.table}, "
            f"{second.overall} in {second.table}"
        )


def follow(benchmark: str, group: str, parts: Mapping[str, Printed]) -> tuple[float, float]:
    """What overall follows from a group of parts, and how far their rounding moves it; shares."""
    weights = _WEIGHTS.get((benchmark, group), dict.fromkeys(parts, 1))
    whole = sum(weights.values())
    value = sum(weights[name] * one.value for name, one in parts.items()) / whole
    reach = sum(weights[name] * one.rounding for name, one in parts.items()) / whole
    return value, reach


def check_rows(rows: Iterable[PublishedRow] | None = None) -> tuple[Difference, ...]:
    """Rows whose overall does not follow from a group of their parts within rounding; all rows by default."""
    found = []
    for row in load_rows() if rows is None else rows:
        for group, parts in row.parts.items():
            value, reach = follow(row.benchmark, group, parts)
            allowed = reach + row.overall.rounding
            if abs(row.overall.value - value) > allowed + _SLACK:
                found.append(Difference(row=row, group=group, follows=value, allowed=allowed))
    return tuple(found)


def find_disagreements(rows: Iterable[PublishedRow] | None = None) -> tuple[Disagreement, ...]:
    """Rows for the same model, benchmark and scoring whose overalls differ beyond rounding; each pair of figures once."""
    by_figure: dict[tuple[str, str, str], list[PublishedRow]] = {}
    for row in load_rows() if rows is None else rows:
        by_figure.setdefault((row.benchmark, row.model, row.scoring), []).append(row)
    found = []
    for same in by_figure.values():
        seen = set()
        for first, second in combinations(same, 2):
            figures = frozenset((first.overall, second.overall))
            reach = first.overall.rounding + second.overall.rounding
            if figures not in seen and abs(first.overall.value - second.overall.value) > reach + _SLACK:
                seen.add(figures)
                found.append(Disagreement(first=first, second=second))
    return tuple(found)
