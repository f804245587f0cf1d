"""A judge's standing among the published ones.

Only a complete overall is placed, and only among rows scored the same way. RM-Bench, and with it the
three-benchmark average, is published under two scorings: the official matrix, and RM-R1's own script, which
reads its third style file twice and never the second. Rows of the other scoring are shown apart, without a
rank; rows whose scoring is not stated stand in both fields and are marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rmr1.bench.published.rows import AVERAGE, THREE, TITLES, PublishedRow, load_rows

_LEAST, _MOST = -0.02, 1.02
"""RewardBench 2's Ties has a term beyond its shares, so that a judge that is always right can be above 1 and
one that is always wrong below 0; a percentage is far above."""
_TWO_SCORINGS = ("rm-bench", AVERAGE)
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A complete overall among the published ones."""

    benchmark: str
    value: float
    """The judge's overall, a share."""
    interval: tuple[float, float] | None
    as_published: bool
    field: tuple[PublishedRow, ...]
    """Comparable rows, one per model, best first."""
    apart: tuple[PublishedRow, ...]
    """Rows of models that are published only under another scoring, best first; they have no rank."""

    @property
    def title(self) -> str:
        return TITLES[self.benchmark]

    @property
    def above(self) -> tuple[PublishedRow, ...]:
        return tuple(row for row in self.field if self._gap(row) > 0)

    @property
    def level(self) -> tuple[PublishedRow, ...]:
        """Rows that print the judge's own figure, at their number of digits."""
        return tuple(row for row in self.field if self._gap(row) == 0)

    @property
    def below(self) -> tuple[PublishedRow, ...]:
        return tuple(row for row in self.field if self._gap(row) < 0)

    @property
    def within(self) -> tuple[PublishedRow, ...]:
        """Rows inside the judge's interval; empty where it has none."""
        if self.interval is None:
            return ()
        low, high = self.interval
        return tuple(row for row in self.field if low <= row.overall.value <= high)

    @property
    def rank(self) -> int:
        """The rank, from 1; equal figures share the better rank."""
        return len(self.above) + 1

    @property
    def total(self) -> int:
        """Published judges of the field and this one."""
        return len(self.field) + 1

    @property
    def scoring_note(self) -> str | None:
        """How this and the published figures are scored, where there is more than one way."""
        said = []
        if self.benchmark in _TWO_SCORINGS:
            which = "its RM-Bench " if self.benchmark == AVERAGE else ""
            way = (
                "as RM-R1's script does, style file 3 read twice"
                if self.as_published
                else "by the official rule"
            )
            said.append(f"{which}scored {way}")
        if unstated := sum(row.scoring == "unstated" for row in self.field):
            said.append(f"for {unstated} of {len(self.field)} published figures the scoring is not stated")
        if self.apart:
            said.append(f"{len(self.apart)} scored another way stand apart, without a rank")
        return "; ".join(said) or None

    def sentence(self) -> str:
        """One line: rank, neighbours, and how far the interval reaches."""
        if not self.field:
            return f"{self.title}: {100 * self.value:.1f}, nothing comparable is published"
        text = f"{self.title}: {100 * self.value:.1f}, rank {self.rank} of {self.total} ({len(self.field)} published)"
        if self.level:
            text += f", level with {self.level[0].model}"
            text += f" and {len(self.level) - 1} more" * (len(self.level) > 1)
        else:
            near = [f"below {row.model} at {row.overall}" for row in self.above[-1:]]
            near += [f"above {row.model} at {row.overall}" for row in self.below[:1]]
            text += ", " + " and ".join(near)
        if self.interval is not None:
            num = len(self.within)
            text += f"; its interval holds {num} published figure{'' if num == 1 else 's'}"
        return text

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "benchmark": self.benchmark,
            "value": self.value,
            "interval": self.interval,
            "as_published": self.as_published,
            "rank": self.rank,
            "of": self.total,
            "within_interval": [row.model for row in self.within],
            "scoring": self.scoring_note,
            "field": [row.describe() for row in self.field],
            "apart": [row.describe() for row in self.apart],
        }

    def _gap(self, row: PublishedRow) -> float:
        """Published minus own; 0 where the own figure rounds to the printed one."""
        gap = row.overall.value - self.value
        return 0.0 if abs(gap) <= row.overall.rounding + _SLACK else gap


def place(
    benchmark: str,
    overall: float | None,
    *,
    interval: tuple[float, float] | None = None,
    as_published: bool = False,
    rows: Iterable[PublishedRow] | None = None,
) -> Standing | None:
    """The standing of an overall figure; None if it is partial (None) or nothing is published for the benchmark.

    `overall` and `interval` are shares, of RewardBench 2 possibly a little outside [0, 1]. JudgeBench means its set of GPT-4o answers, the one that
    judges are published on. `as_published` says that RM-Bench was scored with RM-R1's fault. For the
    benchmark "average", `overall` comes from `average_three`.
    """
    if overall is None or benchmark not in TITLES:
        return None
    if not _LEAST < overall < _MOST:
        raise ValueError(f"{overall} is not a share")
    own = "faulty" if as_published and benchmark in _TWO_SCORINGS else "official"
    field: dict[str, PublishedRow] = {}
    apart: dict[str, PublishedRow] = {}
    for row in load_rows() if rows is None else rows:
        if row.benchmark == benchmark and row.left_out is None:
            (field if row.scoring in (own, "unstated") else apart).setdefault(row.model, row)
    return Standing(
        benchmark=benchmark,
        value=overall,
        interval=interval,
        as_published=as_published,
        field=_sort(field.values()),
        apart=_sort(row for model, row in apart.items() if model not in field),
    )


def average_three(overalls: Mapping[str, float | None]) -> float | None:
    """RM-R1's average: the unweighted mean over RewardBench, RM-Bench and RMB; None unless all are complete."""
    values = [overalls.get(name) for name in THREE]
    known = [value for value in values if value is not None]
    return sum(known) / len(THREE) if len(known) == len(THREE) else None


def _sort(rows: Iterable[PublishedRow]) -> tuple[PublishedRow, ...]:
    return tuple(sorted(rows, key=lambda row: (-row.overall.value, row.model)))
