"""What a benchmark is, and what its scores look like.

    data ──read_pairs──> PreferencePair ──judge──> Judgment ──ruling_of──> Ruling
                                                                            │ tally
                      BenchmarkScores <──score_outcomes── Measures <──rule── Outcomes

Whatever scoring needs to know of a pair stands in its id, source, subset and label. `tally` turns rulings
into the table of credits that `rmr1.bench.outcomes` describes; `rule`, given a variant's name ("as-published":
the reference's known faults), names the numbers that are reported of it. Everything after that is common to
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.bench.draws import estimate_intervals
from rmr1.bench.outcomes import (
    NUM_RESAMPLES,
    Counted,
    Measure,
    Measures,
    Outcomes,
    Part,
    Whole,
    estimate_values,
    number_prompts,
)
from rmr1.errors import ConfigError
from rmr1.judge.base import PairJudge
from rmr1.judge.settings import Placement
from rmr1.records import Judgment, PreferencePair
from rmr1.stats import Floats, Numbers, share_interval, wilson_interval
from rmr1.store.rulings import Ruling, ruling_of

Interval = tuple[float, float]

OFFICIAL_RULE = "official"
AS_PUBLISHED = "as-published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number, and what it was counted over."""

    group: str
    name: str
    value: float | None
    """A share in [0, 1]; None if there is nothing to count."""
    interval: Interval | None = None
    """95%: Wilson's of a share of right and wrong items, else the bootstrap's; by prompt if items share
    prompts."""
    correct: float | None = None
    """Credit earned, if the number is a plain share of items."""
    total: int = 0
    prompts: int | None = None
    """Prompts that the items come from; None if no two share one."""
    official: int | None = None
    """Items of the official data; None if that is no fixed number."""
    no_verdict: int = 0
    """Items that lack a verdict."""
    ties: int = 0
    """Items of which something was called a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall(Figure):
    """The number of a group; its value is None unless every item of the official data is scored."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkScores(Counted):
    """All scores of one judge on one benchmark."""

    overall: tuple[Overall, ...]
    figures: tuple[Figure, ...]
    """What the benchmark reports."""
    categories: tuple[Figure, ...]
    """The finest division, for the record."""
    variant: str = OFFICIAL_RULE

    @property
    def is_complete(self) -> bool:
        """Whether every official part is there."""
        return bool(self.overall) and all(one.value is not None for one in self.overall)

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        overall = [{**asdict(one), "status": one.status} for one in self.overall]
        return {**asdict(self), "overall": overall}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Another way to put a benchmark's items to a judge than pair by pair."""

    name: str
    """`ratings` or `four_way`."""
    about: str
    """One line: what is asked, and what was adapted."""
    read_pairs: Callable[[Path, int | None], Iterator[PreferencePair]]
    adapt: Callable[[PairJudge], PairJudge]
    """The same model, asked in this way. Raises ConfigError for a judge that cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The place of its data, how it is read and how judgments of it are scored."""

    name: str
    title: str
    order: Placement = "seeded"
    """The placement, unless another is asked for."""
    placements: tuple[Placement, ...] = ("seeded", "both")
    """Those that mean something for it."""
    find_files: Callable[[Path], list[Path]]
    """The data files in a folder. Raises DataError if there are none."""
    read_pairs: Callable[[Path, int | None], Iterator[PreferencePair]]
    """Folder and limit (items of each part) -> pairs with unique ids. Raises DataError."""
    tally: Callable[[Iterable[Ruling]], Outcomes]
    """Rulings of such pairs, in any sequence -> outcomes. Raises DataError for other pairs."""
    rule: Callable[[Outcomes, str], Measures]
    """Outcomes and variant -> what is reported of them."""
    variants: Mapping[str, str] = field(default_factory=dict)
    """Name -> what it changes, in words; `official` is always there."""
    askings: Mapping[str, Asking] = field(default_factory=dict)
    """Ways of asking by name, besides `pairs`."""
    is_sized: bool = True
    """Whether its data has an official size; own data is what there is."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How own data is read; a run goes on only if it is the same."""
    hub: str | None = None
    """Its dataset on the hub (`NAME@SPLIT`), which `read_pairs` takes as a path; never read unasked."""

    def measures(self, outcomes: Outcomes, variant: str = OFFICIAL_RULE) -> Measures:
        """What the rule, or a variant that the benchmark has, reports of a table."""
        if variant != OFFICIAL_RULE and variant not in self.variants:
            known = ", ".join([OFFICIAL_RULE, *self.variants])
            raise ConfigError(f"{self.title} has no scoring {variant!r}; it has {known}")
        return self.rule(outcomes, variant)


def score_outcomes(
    benchmark: Benchmark,
    outcomes: Outcomes,
    *,
    variant: str = OFFICIAL_RULE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> BenchmarkScores:
    """The scores of a table; `num_resamples` 0 leaves out the intervals that need a bootstrap.

    Raises:
        ConfigError: the benchmark has no such variant.
    """
    measures = benchmark.measures(outcomes, variant)
    counts = ItemCounts(outcomes)
    wholes = [one.measure for one in measures.overall]
    every = [*wholes, *measures.figures, *measures.categories]
    values = estimate_values(outcomes, every)
    intervals = _intervals(outcomes, counts, every, values, num_resamples, seed)
    figures = [counts.figure(*one) for one in zip(every, values, intervals, strict=True)]
    num_wholes, num_figures = len(wholes), len(wholes) + len(measures.figures)
    return BenchmarkScores(
        benchmark=outcomes.benchmark,
        overall=tuple(map(counts.overall, measures.overall, figures)),
        figures=tuple(figures[num_wholes:num_figures]),
        categories=tuple(figures[num_figures:]),
        judgments=outcomes.judgments,
        unfinished=outcomes.unfinished,
        failed=outcomes.failed,
        orders=dict(sorted(outcomes.orders.items())),
        problems=dict(sorted(outcomes.problems.items())),
        variant=variant,
        notes=(*measures.notes, *outcomes.notes, *_shared_prompts(counts, wholes)),
        deviations=(
            *(() if variant in (OFFICIAL_RULE, AS_PUBLISHED) else (f"scored by {variant!r}",)),
            *outcomes.deviations,
        ),
    )


def score_judgments(
    benchmark: Benchmark,
    judgments: Iterable[Judgment],
    *,
    variant: str = OFFICIAL_RULE,
    num_resamples: int = NUM_RESAMPLES,
) -> BenchmarkScores:
    """The scores of judgments at hand.

    Raises:
        DataError: a judgment is not of this benchmark's pairs.
    """
    outcomes = benchmark.tally(ruling_of(judgment) for judgment in judgments)
    return score_outcomes(benchmark, outcomes, variant=variant, num_resamples=num_resamples)


class ItemCounts:
    """What stands beside a measure, summed over its parts."""

    def __init__(self, outcomes: Outcomes):
        self._parts = outcomes.parts

    def parts(self, measure: Measure) -> list[Part]:
        return [self._parts[name] for name in measure.parts if name in self._parts]

    def columns(self, measure: Measure) -> list[tuple[Part, Floats]]:
        """[I] of each part: the first cell of its credits, or what stands beside; NaN if an item does not count."""
        if measure.beside is None:
            return [(part, part.credits[:, 0]) for part in self.parts(measure)]
        return [
            (part, part.beside[measure.beside])
            for part in self.parts(measure)
            if measure.beside in part.beside
        ]

    def total(self, measure: Measure) -> int:
        return sum(int((~np.isnan(values)).sum()) for _, values in self.columns(measure))

    def official(self, measure: Measure) -> int | None:
        if measure.official is not None or measure.beside is not None:
            return measure.official
        sizes = [part.official for part in self.parts(measure)]
        return None if not sizes or None in sizes else sum(size for size in sizes if size is not None)

    def is_complete(self, measure: Measure) -> bool:
        """Whether it holds its official number of different items."""
        official = self.official(measure)
        return official is None or self.distinct(measure) == official == self.total(measure)

    def distinct(self, measure: Measure) -> int:
        return sum(part.num_distinct for part in self.parts(measure))

    def is_plain(self, measure: Measure) -> bool:
        return measure.is_share and all(part.credits.shape[1] == 1 for part in self.parts(measure))

    def correct(self, measure: Measure) -> float | None:
        """Credit earned; None if the measure is no plain share."""
        if not self.is_plain(measure):
            return None
        credit = float(sum(np.nansum(values) for _, values in self.columns(measure)))
        return int(credit) if credit.is_integer() else credit

    def is_binary(self, measure: Measure) -> bool:
        """Whether it is a share of items that are right or wrong."""
        return self.is_plain(measure) and all(
            bool(((values == 0) | (values == 1) | np.isnan(values)).all())
            for _, values in self.columns(measure)
        )

    def prompts(self, measure: Measure) -> int | None:
        """How many prompts its items come from; None if no two of them share one."""
        numbers_I = self._numbers_of(measure)
        num = len(np.unique(numbers_I))
        return num if num < len(numbers_I) else None

    def interval(self, measure: Measure) -> Interval | None:
        """Wilson's interval of a share of right and wrong items, by prompt if two items share one."""
        if self.prompts(measure) is None:
            return wilson_interval(int(self.correct(measure) or 0), self.total(measure))
        values_I = np.concatenate([values[~np.isnan(values)] for _, values in self.columns(measure)])
        return share_interval(values_I, self._numbers_of(measure))

    def _numbers_of(self, measure: Measure) -> Numbers:
        found = [np.empty(0, dtype=np.int64)]
        for part, values in self.columns(measure) if self._numbers else ():
            found.append(self._numbers[part.name][~np.isnan(values)])
        return np.concatenate(found)

    @cached_property
    def _numbers(self) -> Mapping[str, Numbers]:
        """Empty if no two items share a prompt."""
        parts = list(self._parts.values())
        if all(part.clusters is None for part in parts):
            return {}
        return dict(zip((part.name for part in parts), number_prompts(parts), strict=True))

    def figure(self, measure: Measure, value: float | None, interval: Interval | None) -> Figure:
        parts = self.parts(measure)
        return Figure(
            group=measure.group,
            name=measure.name,
            value=value,
            interval=interval,
            correct=self.correct(measure),
            total=self.total(measure),
            prompts=self.prompts(measure),
            official=self.official(measure),
            no_verdict=sum(int(np.count_nonzero(part.no_verdict)) for part in parts),
            ties=sum(int(np.count_nonzero(part.ties)) for part in parts),
        )

    def overall(self, whole: Whole, figure: Figure) -> Overall:
        missing = tuple(need.name for need in whole.needs if not self.is_complete(need))
        official = sum(self.official(need) or 0 for need in whole.needs) if whole.is_official else None
        known = {**asdict(figure), "total": self.distinct(whole.measure), "official": official}
        if official is None or missing:
            known |= {"value": None, "interval": None}
        return Overall(**known, missing=missing)


def _shared_prompts(counts: ItemCounts, wholes: Sequence[Measure]) -> Iterator[str]:
    for one in wholes:
        if (num := counts.prompts(one)) is not None:
            where = f"{one.group}: " if len(wholes) > 1 else ""
            yield (
                f"{where}{counts.total(one)} items of {num} prompts; intervals take the items of a prompt together"
            )


def _intervals(
    outcomes: Outcomes,
    counts: ItemCounts,
    measures: list[Measure],
    values: list[float | None],
    num: int,
    seed: int,
) -> Iterator[Interval | None]:
    is_binary = [counts.is_binary(measure) for measure in measures]
    is_drawn = [
        num > 0 and value is not None and not binary for value, binary in zip(values, is_binary, strict=True)
    ]
    drawn = iter(estimate_intervals(outcomes, list(compress(measures, is_drawn)), num=num, seed=seed))
    for index, measure in enumerate(measures):
        if is_drawn[index]:
            yield next(drawn)
        else:
            is_known = is_binary[index] and values[index] is not None
            yield counts.interval(measure) if is_known else None
