"""What a benchmark is, and what a score looks like.

A benchmark reads its official files as pairs and turns judgments of those pairs into scores; both are
plain functions, so a live run, a finished run and recorded outputs of other judges are scored by the
same code. A score of the whole is given only for the whole official data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.bench.metrics import wilson_interval
from rmr1.judge.settings import Placement
from rmr1.records import Judgment, PreferencePair


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A share of right answers, and what it is a share of."""

    group: str
    name: str
    correct: int
    total: int
    official: int | None = None
    """How many there are in the official data; None where that is no fixed number."""
    no_verdict: int = 0
    """Of the `total`, how many lack a verdict; they score 0."""
    ties: int = 0
    """Of the `total`, how many were called a tie; a tie is no win."""

    @property
    def value(self) -> float | None:
        """In [0, 1]; None where there is nothing to count."""
        return self.correct / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval of `value`."""
        return wilson_interval(self.correct, self.total)

    @property
    def is_complete(self) -> bool:
        return self.official is None or self.total == self.official

    def describe(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "name": self.name,
            "value": self.value,
            "interval": self.interval,
            "correct": self.correct,
            "total": self.total,
            "official": self.official,
            "no_verdict": self.no_verdict,
            "ties": self.ties,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """The benchmark's one number for a group, or why there is none."""

    group: str
    value: float | None
    """In [0, 1]; None unless every item of the official data is scored."""
    total: int
    official: int | None
    """Items of the official data; None for data that is no part of it."""
    correct: int | None = None
    """Of the `total`, where the number is a plain share."""
    no_verdict: int = 0
    ties: int = 0
    interval: tuple[float, float] | None = None
    """Wilson's 95% interval where the number is a plain share."""
    missing: tuple[str, ...] = ()
    """Parts of the official data that lack items."""

    @property
    def status(self) -> str:
        """`complete`, `partial: 10 of 350` or `not official: 12 items`."""
        if self.value is not None:
            return "complete"
        if self.official is None:
            return f"not official: {self.total} items"
        return f"partial: {self.total} of {self.official}"

    def describe(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "value": self.value,
            "status": self.status,
            "interval": self.interval,
            "correct": self.correct,
            "total": self.total,
            "official": self.official,
            "no_verdict": self.no_verdict,
            "ties": self.ties,
            "missing": list(self.missing),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkScores:
    """All scores of one judge on one benchmark."""

    benchmark: str
    overall: tuple[Overall, ...]
    figures: tuple[Figure, ...]
    """What the benchmark reports."""
    categories: tuple[Figure, ...]
    """The finest division, for the record."""
    judgments: int
    unfinished: int = 0
    """Items left out because some of their judgments are missing."""
    orders: tuple[tuple[str, int], ...] = ()
    """How many judgments were asked `given`, `swapped`, `both` ways, or are bare `scores`."""
    problems: tuple[tuple[str, int], ...] = ()
    """Why verdicts are missing (`rmr1.records.Problem`), and how often."""
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "benchmark": self.benchmark,
            "overall": [one.describe() for one in self.overall],
            "figures": [one.describe() for one in self.figures],
            "categories": [one.describe() for one in self.categories],
            "judgments": self.judgments,
            "unfinished": self.unfinished,
            "orders": dict(self.orders),
            "problems": dict(self.problems),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark: where its data lies, how it is read and how judgments of it are scored."""

    name: str
    title: str
    order: Placement
    """The benchmark's own placement, used unless another is asked for."""
    placements: tuple[Placement, ...]
    """Those that mean something for it."""
    find_files: Callable[[Path], list[Path]]
    """The data files in a folder. Raises DataError where there are none."""
    read_pairs: Callable[[Path, int | None], Iterator[PreferencePair]]
    """Folder and limit (items of each part) -> pairs with unique ids. Raises DataError."""
    score: Callable[[Iterable[Judgment]], BenchmarkScores]
    """Judgments of such pairs, in any sequence -> scores. Raises DataError for other pairs."""


@dataclass(slots=True)
class Count:
    """A growing figure."""

    correct: int = 0
    total: int = 0
    no_verdict: int = 0
    ties: int = 0

    def add(self, *, correct: bool, no_verdict: bool = False, tie: bool = False) -> None:
        self.total += 1
        self.correct += correct
        self.no_verdict += no_verdict
        self.ties += tie

    def figure(self, group: str, name: str, official: int | None = None) -> Figure:
        return Figure(
            group=group,
            name=name,
            correct=self.correct,
            total=self.total,
            official=official,
            no_verdict=self.no_verdict,
            ties=self.ties,
        )


def sum_counts(counts: Iterable[Count]) -> Count:
    whole = Count()
    for one in counts:
        whole.correct += one.correct
        whole.total += one.total
        whole.no_verdict += one.no_verdict
        whole.ties += one.ties
    return whole


def placement_of(judgment: Judgment) -> str:
    """`given`, `swapped`, `both`, or `scores` for a scalar judgment."""
    orders = judgment.orders
    if not orders:
        return "scores" if judgment.scores is not None else "none"
    return "both" if len(orders) == 2 else orders[0]
