"""The table that every number of a benchmark comes from.

    judgments ──tally──> Outcomes (Part by Part) ──rule──> Measures ──> values, intervals, comparisons

An `Outcomes` holds, part by part, what the benchmark's rule gives each item. A `Measure` says how one
number comes from the parts: an *estimate*, a function of `Resamples`, which are B draws of every part's items.
The value is the estimate of the one draw in which every item stands once (`whole`), an interval comes from B
that draw prompts (`rmr1.bench.draws`).

Letters in shapes: B resamples, I items of a part, C cells, K rows, D columns.

Estimates are put together from four functions, and from any other function of `Resamples`:

    share("llmbar-natural", "mt-bench-hard")        all items of both count alike
    mean(share("a"), share("b"))                    unweighted mean of numbers
    weighted_mean({share("a"): 984, ...})           mean by official sizes
    share("chat", cells=(1, 2, 5))                  some cells of a matrix
    lambda resamples: f(resamples.rows("ties"), resamples.weights("ties"))      [K, D], [B, K] -> [B]
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.stats import Floats, Numbers

NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The items of the finest division that the benchmark's rule knows."""

    name: str
    """Unique in its benchmark."""
    items: Sequence[str]
    """[I] ids within the part; unique unless the data repeats one."""
    credits: Floats
    """[I, C] what the rule gives, in [0, 1]; one cell for plain accuracy, nine for a 3x3 matrix."""
    no_verdict: NDArray[np.int32]
    """[I] judgments of the item without a verdict."""
    ties: NDArray[np.int32]
    """[I] judgments of the item that are ties."""
    official: int | None = None
    """Items of the official data; None if that is no fixed number."""
    clusters: Numbers | None = None
    """[I] number of the item's prompt, the same in every part; None if no two items share one."""
    adds_prompts: bool = False
    """Whether the rule adds up the items of a prompt first: the same sum, rounded as such."""
    beside: Mapping[str, Floats] = field(default_factory=dict)
    """Name -> [I] further shares that the rule does not count; NaN if an item has none."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def num_distinct(self) -> int:
        return len(set(self.items))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What outcomes and scores say of the judgments that they are from."""

    benchmark: str
    judgments: int
    unfinished: int = 0
    """Items left out because some of their judgments are missing."""
    failed: int = 0
    """Judgments left out because the engine did not answer."""
    orders: Mapping[str, int] = field(default_factory=dict)
    """How many judgments were asked `given`, `swapped`, `both` ways, or are bare `scores`."""
    problems: Mapping[str, int] = field(default_factory=dict)
    """Why verdicts are missing (`rmr1.records.Problem`), and how often."""
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    """How asking or scoring departs from what is published; such scores have no place among published ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes(Counted):
    """What a benchmark's rule made of a judge's judgments."""

    parts: Mapping[str, Part]
    """Every official part is there, empty ones too."""
    reliability: Mapping[str, Any] | None = None
    """How far the probabilities of the labelled judgments can be trusted (`rmr1.judge.reliability`), as in the summary
    of a run; None if none has one."""


class Resamples:
    """B draws of every part's items, as weights of its rows."""

    def __init__(self, tables: Mapping[str, Table], weights: Floats, places: Mapping[str, Numbers]):
        """`weights` is [B, N]; `places` says of every part which of the N its rows are."""
        self._tables = tables
        self._weights = weights
        self._places = places
        self._sums: dict[str, Floats] = {}
        self.num = len(weights)
        """B."""

    def __contains__(self, part: str) -> bool:
        return part in self._tables

    def rows(self, part: str) -> Floats:
        """[K, D] the cells, and after them what `Part.beside` holds."""
        return self._tables[part].rows

    def weights(self, part: str) -> Floats:
        """[B, K] how often each row was drawn."""
        return self._weights[:, self._places[part]]

    def sums(self, part: str) -> Floats:
        """[B, D + 1] column sums of the drawn items; the last column is how many they are."""
        if part not in self._sums:
            self._sums[part] = self.weights(part) @ self._tables[part].columns
        return self._sums[part]

    def num_cells(self, part: str) -> int:
        return self._tables[part].num_cells

    def beside(self, part: str, name: str) -> tuple[Floats, Floats]:
        """([B], [B]) sum and number of a share that stands beside; zeros if the part has none."""
        table = self._tables[part]
        if name not in table.beside:
            return np.zeros(self.num), np.zeros(self.num)
        start = table.num_cells + 2 * table.beside.index(name)
        return self.sums(part)[:, start], self.sums(part)[:, start + 1]


Estimate = Callable[[Resamples], Floats]
"""[B] values, NaN where there is nothing to count."""


def share(*parts: str, cells: Sequence[int] | None = None, beside: str | None = None) -> Estimate:
    """The mean credit of the parts that are there, over `cells` or of a share that stands beside."""

    def estimate(resamples: Resamples) -> Floats:
        credit, count = np.zeros(resamples.num), np.zeros(resamples.num)
        for part in parts:
            if part not in resamples:
                continue
            if beside is not None:
                one, many = resamples.beside(part, beside)
            else:
                sums, num_cells = resamples.sums(part), resamples.num_cells(part)
                chosen = sums[:, :num_cells] if cells is None else sums[:, list(cells)]
                one, many = chosen.sum(axis=1), sums[:, -1] * chosen.shape[1]
            credit, count = credit + one, count + many
        return _divide(credit, count)

    return estimate


def mean(*estimates: Estimate) -> Estimate:
    """The unweighted mean; NaN where one of them is."""

    def estimate(resamples: Resamples) -> Floats:
        values: Floats = np.stack([one(resamples) for one in estimates]).mean(axis=0)
        return values

    return estimate


def weighted_mean(weights: Mapping[Estimate, float]) -> Estimate:
    """The mean by these weights; NaN where one of the estimates is."""
    whole = sum(weights.values())

    def estimate(resamples: Resamples) -> Floats:
        values = np.zeros(resamples.num)
        for one, weight in weights.items():
            values = values + weight * one(resamples)
        return values / whole

    return estimate


def _divide(credit: Floats, count: Floats) -> Floats:
    quotient: Floats = np.divide(credit, count, out=np.full(credit.shape, np.nan), where=count > 0)
    return quotient


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a benchmark: its name and how it comes from the parts."""

    group: str
    name: str
    parts: tuple[str, ...]
    """What is counted beside it (total, no verdict, ties, official size) is summed over these."""
    estimate: Estimate | None = None
    """None: the plain share of the parts' credits."""
    beside: str | None = None
    """The plain share of what `Part.beside` holds under this name."""
    official: int | None = None
    """Its official size, if the parts do not know theirs."""

    @property
    def is_share(self) -> bool:
        return self.estimate is None

    def estimator(self) -> Estimate:
        return share(*self.parts, beside=self.beside) if self.estimate is None else self.estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The benchmark's number for a group: given only if every measure in `needs` is complete."""

    measure: Measure
    needs: tuple[Measure, ...]
    is_official: bool = True
    """Whether there is official data of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What a benchmark's rule reports of some outcomes."""

    overall: tuple[Whole, ...]
    figures: tuple[Measure, ...]
    categories: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()


class Table:
    """The rows of a part: cells, then value and presence of every share that stands beside."""

    def __init__(self, part: Part):
        self.num_cells: int = part.credits.shape[1]
        self.beside = tuple(part.beside)
        columns = [part.credits]
        for values in part.beside.values():
            is_known = ~np.isnan(values)
            columns.append(np.column_stack([np.where(is_known, values, 0.0), is_known]))
        self.rows: Floats = np.concatenate(columns, axis=1, dtype=np.float64)
        """[K, D]."""
        self.sizes: Floats = np.ones(len(self.rows))
        """[K] how many items a row is the sum of."""

    @property
    def columns(self) -> Floats:
        """[K, D + 1] the rows, and last their sizes."""
        return np.column_stack([self.rows, self.sizes])

    def replace_rows(self, rows: Floats, sizes: Floats) -> Table:
        """The same columns with other rows."""
        table = copy(self)
        table.rows, table.sizes = rows, sizes
        return table


def whole(outcomes: Outcomes) -> Resamples:
    """The one draw in which every item stands once: B is 1."""
    tables = {name: _sum_prompts(part) for name, part in outcomes.parts.items() if len(part)}
    places = {name: np.arange(len(one.rows)) for name, one in tables.items()}
    return Resamples(tables, np.ones((1, max(map(len, places.values()), default=0))), places)


def _sum_prompts(part: Part) -> Table:
    """A row for each prompt of a part that adds them up, in the order that they come in."""
    table = Table(part)
    if not part.adds_prompts or part.clusters is None:
        return table
    _, first, index = np.unique(part.clusters, return_index=True, return_inverse=True)
    places = np.argsort(np.argsort(first))[index]
    rows, sizes = np.zeros((len(first), table.rows.shape[1])), np.bincount(places).astype(np.float64)
    np.add.at(rows, places, table.rows)
    return table.replace_rows(rows, sizes)


def estimate_values(outcomes: Outcomes, measures: Sequence[Measure]) -> list[float | None]:
    """Every measure's value; None where there is nothing to count."""
    sample = whole(outcomes)
    values = [float(measure.estimator()(sample)[0]) for measure in measures]
    return [None if np.isnan(value) else value for value in values]


def number_prompts(parts: Sequence[Part]) -> list[Numbers]:
    """[I] of each part: the number of every item's prompt, from 0, equal in all parts."""
    known = [part.clusters for part in parts if part.clusters is not None]
    distinct, index = (
        np.unique(np.concatenate(known), return_inverse=True) if known else (np.empty(0), np.empty(0, int))
    )
    found, start, after = [], 0, len(distinct)
    for part in parts:
        if part.clusters is None:
            found.append(np.arange(after, after + len(part)))
            after += len(part)
        else:
            found.append(index[start : start + len(part)])
            start += len(part)
    return found


def drop_lone_prompts(parts: Sequence[Part]) -> list[Part]:
    """The parts, without clusters if no two items share a prompt."""
    numbers = number_prompts(parts)
    num_items = sum(map(len, numbers))
    if num_items and len(np.unique(np.concatenate(numbers))) < num_items:
        return list(parts)
    return [replace(part, clusters=None) for part in parts]


class PartBuilder:
    """A part that grows item by item: append to its lists, `num_cells` credits as a sequence if several."""

    def __init__(self, name: str, official: int | None = None, *, num_cells: int = 1):
        self.name = name
        self.official = official
        self.num_cells = num_cells
        self.adds_prompts = False
        self.items: list[str] = []
        self.credits: list[Any] = []
        self.no_verdict: list[int] = []
        self.ties: list[int] = []
        self.clusters = array("q")
        """The number of each item's prompt (`Ruling.prompt`); empty where every item has its own."""
        self._beside: dict[str, dict[int, float]] = {}

    def noted(self, name: str, places: Sequence[int]) -> list[float]:
        """What stands beside the items at these places, if it does."""
        values = self._beside.get(name, {})
        return [values[place] for place in places if place in values]

    def note(self, name: str, value: float) -> None:
        """A share that stands beside the item added last."""
        self._beside.setdefault(name, {})[len(self.items) - 1] = value

    def build(self) -> Part:
        num = len(self.items)
        return Part(
            name=self.name,
            items=tuple(self.items),
            credits=np.array(self.credits, dtype=np.float64).reshape(num, self.num_cells),
            no_verdict=np.array(self.no_verdict, dtype=np.int32),
            ties=np.array(self.ties, dtype=np.int32),
            official=self.official,
            clusters=np.array(self.clusters, dtype=np.int64) if self.clusters else None,
            adds_prompts=self.adds_prompts,
            beside={name: _spread(values, num) for name, values in self._beside.items()},
        )


def _spread(values: Mapping[int, float], num: int) -> Floats:
    spread = np.full(num, np.nan)
    spread[list(values)] = list(values.values())
    return spread
