"""Draws of prompts: the bootstrap of any number of a benchmark, and the exchange of two judges.

A judge that fails at a prompt tends to fail at all of its items. What is drawn, or exchanged, is therefore always
a whole prompt with all its items, in whichever parts of the benchmark they count.

    Outcomes, or two of the same items ──gather_prompts──> Prompts ──bootstrap──> Resamples, interval
                                                                   ──swap───────> Resamples of both, p-value

*Strata.* Official parts have fixed sizes, so prompts are drawn inside the one that holds most of their items (of
equals the first). Prompts of no official part, and those that are alone in theirs, are drawn together.

*Few prompts.* Of n prompts of a stratum n - 1 are drawn and weighted by n / (n - 1), which makes the variance
of the draws that of the mean without bias (Rao and Wu 1988, section 3; McCarthy and Snowden 1985). The
percentiles are those of Student's t (Hesterberg 2015, "What teachers should know about the bootstrap", expanded
percentile intervals). Its degrees of freedom are 2 V^2 / var(V), if V is the variance of the number
(Satterthwaite 1946) and var(V) is from the fourth moments of what its prompts add to it (Potthoff, Woodbury and
Manton 1992): few if a small part or a few prompts make up the variance.

Prompts that have the same results everywhere are of one kind. A draw is a multinomial over the kinds: exactly
the distribution of drawing prompts, at a cost that does not grow with their number. Two runs over the same
items, in the same order, are drawn together.

Letters in shapes: B draws, N kinds, P prompts, I items, K rows of a part, D columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from rmr1.bench.outcomes import NUM_RESAMPLES, Measure, Outcomes, Resamples, Table, number_prompts
from rmr1.stats import Floats, Numbers, percentile_interval, variance_between

MOST_WEIGHTS = 4_000_000
"""Numbers that one batch of draws may hold: 32 MB."""

_MOST_KINDS = 4096
"""Kinds of prompts in one batch of `add_each`."""

_STEP = 1e-3
"""Prompts that `add_each` adds: few, so that numbers change in proportion."""

_REST = ""
"""The stratum of prompts that have no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of one table, or of two over the same items, by kind."""

    counts: Numbers
    """[N] prompts of each kind."""
    strata: Mapping[str, Numbers]
    """Name -> the kinds that are drawn from together."""
    tables: tuple[Mapping[str, Table], ...]
    """The parts of each table; a row is what one kind of prompt has there."""
    places: Mapping[str, Numbers]
    """[K] of each part: the kinds of its rows."""

    def num(self, parts: Sequence[str]) -> int:
        """The number of prompts with items in these parts."""
        is_there = np.zeros(len(self.counts), dtype=bool)
        for name in parts:
            if name in self.places:
                is_there[self.places[name]] = True
        return int(self.counts[is_there].sum())


def gather_prompts(outcomes: Sequence[Outcomes]) -> Prompts:
    """The prompts of one table, or of two of the same items."""
    first = outcomes[0]
    names = [name for name, part in first.parts.items() if len(part)]
    for one in outcomes:
        for name in names:
            if len(one.parts[name]) != len(first.parts[name]):
                raise ValueError(f"part {name!r} does not hold the same items everywhere")
    numbers = number_prompts([first.parts[name] for name in names])
    num_prompts = 1 + max((int(one.max()) for one in numbers), default=-1)
    kind_P = np.zeros(num_prompts, dtype=np.int64)
    most_P, home_P = np.zeros(num_prompts), np.full(num_prompts, len(names))
    sums, holders, num_kinds = [], [], 1
    for number, (name, items_I) in enumerate(zip(names, numbers, strict=True)):
        tables = [Table(one.parts[name]) for one in outcomes]
        columns = np.column_stack([*(one.rows for one in tables), tables[0].sizes])
        holders_K, index_I = np.unique(items_I, return_inverse=True)
        counted = [np.bincount(index_I, column, len(holders_K)) for column in columns.T]
        sums_K = np.column_stack(counted).astype(np.float64, copy=False)
        # A prompt's kind is what it has in all parts, so it changes with every part that holds the prompt.
        distinct, row_K = np.unique(sums_K, axis=0, return_inverse=True)
        told_apart = kind_P[holders_K] * len(distinct) + row_K.reshape(-1)
        _, kind_K = np.unique(told_apart, return_inverse=True)
        kind_P[holders_K] = num_kinds + kind_K
        num_kinds += len(holders_K)
        if first.parts[name].official is not None:
            is_most = sums_K[:, -1] > most_P[holders_K]
            most_P[holders_K[is_most]] = sums_K[is_most, -1]
            home_P[holders_K[is_most]] = number
        sums.append(sums_K)
        holders.append(holders_K)
    _, some_N, kind_P, counts_N = np.unique(
        kind_P, return_index=True, return_inverse=True, return_counts=True
    )
    places: dict[str, Numbers] = {}
    found: list[dict[str, Table]] = [{} for _ in outcomes]
    for name, sums_K, holders_K in zip(names, sums, holders, strict=True):
        places[name], some_K = np.unique(kind_P[holders_K], return_index=True)
        rows, start = sums_K[some_K], 0
        for tables_of, one in zip(found, outcomes, strict=True):
            table = Table(one.parts[name])
            width = table.rows.shape[1]
            tables_of[name] = table.replace_rows(rows[:, start : start + width], rows[:, -1])
            start += width
    return Prompts(
        counts=counts_N,
        strata=_stratify(names, home_P[some_N], counts_N),
        tables=tuple(found),
        places=places,
    )


def _stratify(names: Sequence[str], home_N: Numbers, counts_N: Numbers) -> dict[str, Numbers]:
    """One prompt alone says nothing of how prompts differ."""
    sizes = np.bincount(home_N, counts_N, len(names) + 1)[:-1]
    strata = {
        name: np.flatnonzero(home_N == number) for number, name in enumerate(names) if sizes[number] >= 2
    }
    is_alone = ~np.isin(home_N, np.flatnonzero(sizes >= 2))
    if is_alone.any():
        rest = np.flatnonzero(is_alone)
        if counts_N[rest].sum() < 2 and strata:
            smallest = min(strata, key=lambda name: counts_N[strata[name]].sum())
            strata[smallest] = np.concatenate([strata[smallest], rest])
        else:
            strata[_REST] = rest
    return strata


def bootstrap(
    prompts: Prompts, *, num: int = NUM_RESAMPLES, seed: int = 0
) -> Iterator[tuple[Resamples, ...]]:
    """Draw prompts with replacement inside every stratum, `num` times in all, in batches of bounded size.

    The same prompts are drawn for all tables. A stratum's draws depend on the seed, its name and its kinds alone.
    """
    generators = {name: _generator(seed, name) for name in prompts.strata}
    for size in _batches(num, len(prompts.counts)):
        weights = np.empty((size, len(prompts.counts)))
        for name, kinds in prompts.strata.items():
            counts = prompts.counts[kinds]
            total = int(counts.sum())
            drawn = generators[name].multinomial(total - 1, counts / total, size=size)
            weights[:, kinds] = drawn * (total / (total - 1)) if total > 1 else np.nan
        yield tuple(Resamples(tables, weights, prompts.places) for tables in prompts.tables)


def swap(
    prompts: Prompts, *, num: int = NUM_RESAMPLES, seed: int = 0
) -> Iterator[tuple[Resamples, Resamples]]:
    """Two tables with their results exchanged for each prompt with chance 1/2, `num` times in all."""
    first, second = prompts.tables
    generator = _generator(seed, "swap")
    # Each row twice: first as the new judge's results, then as the old one's.
    tables = {
        name: one.replace_rows(
            np.concatenate([one.rows, second[name].rows]), np.concatenate([one.sizes, one.sizes])
        )
        for name, one in first.items()
    }
    num_kinds = len(prompts.counts)
    places = {name: np.concatenate([kinds, num_kinds + kinds]) for name, kinds in prompts.places.items()}
    for size in _batches(num, 2 * num_kinds):
        swapped = generator.binomial(prompts.counts, 0.5, size=(size, num_kinds))
        kept = prompts.counts - swapped
        yield (
            Resamples(tables, np.concatenate([kept, swapped], axis=1, dtype=np.float64), places),
            Resamples(tables, np.concatenate([swapped, kept], axis=1, dtype=np.float64), places),
        )


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(name.encode(errors="surrogatepass"))])


def _batches(num: int, width: int) -> Iterator[int]:
    most = max(1, MOST_WEIGHTS // max(1, width))
    for start in range(0, num, most):
        yield min(most, num - start)


class _Added(Resamples):
    """Every prompt once, and of one kind a little more: a draw for each of the kinds from `first` on."""

    def __init__(self, tables: Mapping[str, Table], prompts: Prompts, first: int, num: int):
        super().__init__(tables, prompts.counts[None, :].astype(np.float64), prompts.places)
        self.num = num
        self._first = first

    def weights(self, part: str) -> Floats:
        kinds_B = self._first + np.arange(self.num)
        more: Floats = _STEP * (self._places[part] == kinds_B[:, None])
        return super().weights(part) + more

    def sums(self, part: str) -> Floats:
        """Those of the weights, without multiplying what is nearly all the same."""
        if part not in self._sums:
            draws_K, columns = self._places[part] - self._first, self._tables[part].columns
            sums = np.repeat(super().weights(part) @ columns, self.num, axis=0)
            is_added = (draws_K >= 0) & (draws_K < self.num)
            sums[draws_K[is_added]] += _STEP * columns[is_added]
            self._sums[part] = sums
        return self._sums[part]


def add_each(prompts: Prompts) -> Iterator[tuple[Resamples, ...]]:
    """A draw for each kind, in which a little more of it stands."""
    for first in range(0, len(prompts.counts), _MOST_KINDS):
        num = min(_MOST_KINDS, len(prompts.counts) - first)
        yield tuple(_Added(tables, prompts, first, num) for tables in prompts.tables)


def evaluate(measures: Sequence[Measure], samples: Iterable[tuple[Resamples, ...]]) -> Floats:
    """[measures, B] values of one table, or differences of two; NaN without anything to count."""
    estimators = [measure.estimator() for measure in measures]
    found = [np.empty((len(measures), 0))]
    for tables in samples:
        values = [np.stack([estimator(one) for estimator in estimators]) for one in tables]
        found.append(values[0] if len(values) == 1 else values[0] - values[1])
    return np.concatenate(found, axis=1)


def draw_values(
    prompts: Prompts, measures: Sequence[Measure], *, num: int = NUM_RESAMPLES, seed: int = 0
) -> Floats:
    """[measures, num] bootstrap values, or differences of two tables, all from the same draws."""
    return evaluate(measures, bootstrap(prompts, num=num, seed=seed))


def find_freedom(prompts: Prompts, measures: Sequence[Measure]) -> Floats:
    """[measures] degrees of freedom of each one's variance, at least 1; of two tables, of their difference's.

    The number changes by a with a little more of a prompt, less the mean of that in the prompt's stratum; variances and
    their own (`variance_between`) add up over strata.
    """
    values = evaluate(measures, add_each(prompts))
    variance, spread = np.zeros(len(measures)), np.zeros(len(measures))
    for kinds in prompts.strata.values():
        counts = prompts.counts[kinds].astype(np.float64)
        if (n := counts.sum()) < 2:
            continue
        own, of_own = variance_between(values[:, kinds] - (values[:, kinds] @ counts / n)[:, None], counts)
        variance += own
        spread += of_own
    return np.maximum(1.0, np.divide(2 * variance**2, spread, out=np.ones_like(spread), where=spread > 0))


def estimate_intervals(
    outcomes: Outcomes, measures: Sequence[Measure], *, num: int = NUM_RESAMPLES, seed: int = 0
) -> list[tuple[float, float] | None]:
    """95% bootstrap intervals, all from the same draws; None without anything to count, or of one prompt."""
    return draw_intervals(gather_prompts([outcomes]), measures, num=num, seed=seed) if measures else []


def draw_intervals(
    prompts: Prompts, measures: Sequence[Measure], *, num: int = NUM_RESAMPLES, seed: int = 0
) -> list[tuple[float, float] | None]:
    """The same of prompts; of two tables, intervals of the difference."""
    drawn = draw_values(prompts, measures, num=num, seed=seed)
    freedom = find_freedom(prompts, measures)
    found: list[tuple[float, float] | None] = []
    for measure, values_B, one in zip(measures, drawn, freedom.tolist(), strict=True):
        known = values_B[~np.isnan(values_B)]
        is_enough = len(known) and 2 * len(known) >= num and prompts.num(measure.parts) >= 2
        found.append(percentile_interval(known, freedom=one) if is_enough else None)
    return found
