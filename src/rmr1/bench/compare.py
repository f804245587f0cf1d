"""Two runs of one benchmark, compared item by item, and the gate that a CI puts on it.

    run, run ──tally──> Outcomes, Outcomes ──pair_outcomes──> Paired ──compare_outcomes──> Comparison
                                                                                           │ check_baseline
    BenchmarkScores, Comparison, lowest score ──────────────────────────────────────────> Gate

Compared is what both runs hold (`rmr1.bench.pairing`). Every figure of the benchmark is computed
for both runs over the shared items; its difference has

- an interval: the percentile bootstrap over items, the same items drawn for both runs (clusters whole);
- a p-value of "both judges are alike". Where the figure is a share of right items this is McNemar's test,
  mid-p form. Elsewhere (means of sections, matrices, lists) it is the same idea by simulation, the *swap
  test*: if the judges are alike, their results on any item may be exchanged; how often does exchanging
  at random give a difference as large? McNemar's test is its exact form for right and wrong items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.bench.base import OFFICIAL_RULE, Benchmark, BenchmarkScores, Counts
from rmr1.bench.metrics import McNemarTest, mcnemar_test, percentile_interval
from rmr1.bench.outcomes import (
    NUM_RESAMPLES,
    Estimate,
    Floats,
    Measure,
    Outcomes,
    Resamples,
    bootstrap,
    whole,
)
from rmr1.bench.pairing import LeftOut, Paired, Source, find_changed, left_out, name_some, pair_outcomes, swap
from rmr1.bench.run import read_finished
from rmr1.data.rulings import Ruling, read_rulings, ruling_of
from rmr1.data.runs import RUN_FILE
from rmr1.errors import ConfigError, DataError

ALPHA = 0.05
"""Two-sided level at which a difference counts as more than chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of both runs, over the shared items."""

    group: str
    name: str
    items: int
    new: float | None
    """In [0, 1]; None where there is nothing to count."""
    old: float | None
    difference: float | None = None
    """`new` less `old`."""
    interval: tuple[float, float] | None = None
    """95%, of the difference."""
    p: float | None = None
    """Two-sided; None where there is no difference to test or nothing was drawn."""
    test: McNemarTest | None = None
    """First is new. None where the figure is no share of right and wrong items: `p` is the swap test's."""
    better: int | None = None
    """Items for which the new judge earned more; None where an item's credit is no single number."""
    worse: int | None = None
    is_partial: bool = False
    """An overall over less than the official data."""

    @property
    def is_worse(self) -> bool:
        """Whether new is below old by more than chance explains, at 5%."""
        return self.difference is not None and self.difference < 0 and self.p is not None and self.p <= ALPHA

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        test = values.pop("test")
        exact = None if test is None else test["exact_p"]
        return {**values, "p_of": "mcnemar mid-p" if test else "swap test", "mcnemar_exact_p": exact}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A new run beside an old one."""

    benchmark: str
    overall: tuple[Difference, ...]
    figures: tuple[Difference, ...]
    categories: tuple[Difference, ...]
    """The finest division; empty where it was not asked for."""
    shared: int
    """Items of the overall scores that both runs hold."""
    only_new: LeftOut
    only_old: LeftOut
    changed: LeftOut
    """Pairs of one id whose texts or label are not the same in both runs."""
    variant: str = OFFICIAL_RULE
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "benchmark": self.benchmark,
            "variant": self.variant,
            "overall": [one.describe() for one in self.overall],
            "figures": [one.describe() for one in self.figures],
            "categories": [one.describe() for one in self.categories],
            "shared": self.shared,
            "only_new": self.only_new.describe(),
            "only_old": self.only_old.describe(),
            "changed": self.changed.describe(),
            "notes": list(self.notes),
        }


def find_source(path: Path, rule: str | None = None) -> Source:
    """A run folder, or recorded outputs of another judge. With `rule` the stored texts are read again by it.

    Raises:
        DataError: there is nothing that can be read. ConfigError: the rule is unknown or does not fit.
    """
    if rule is None and (path / RUN_FILE).is_file():
        return path
    return list(read_finished(path, rule))


def compare_runs(
    benchmark: Benchmark,
    new: Source,
    old: Source,
    *,
    variant: str = OFFICIAL_RULE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    categories: bool = False,
) -> Comparison:
    """Compare two runs of a benchmark, with `categories` to its finest division.

    Raises:
        DataError: a run cannot be read, is of another benchmark, or shares no item with the other.
        RunError: a folder is no run folder.
    """
    changed = find_changed(new, old)
    outcomes = [
        benchmark.tally(one for one in _rulings(source) if one.id not in changed) for source in (new, old)
    ]
    if changed and not any(one.judgments for one in outcomes):
        raise DataError(
            f"the runs share no pair of {benchmark.name}: {len(changed)} have one id "
            f"({name_some(sorted(changed))}) but other texts or another label; were they made from the same data?"
        )
    comparison = compare_outcomes(
        benchmark,
        *outcomes,
        variant=variant,
        num_resamples=num_resamples,
        seed=seed,
        categories=categories,
    )
    return replace(comparison, changed=left_out(sorted(changed)))


def _rulings(source: Source) -> Iterator[Ruling]:
    return read_rulings(source) if isinstance(source, Path) else map(ruling_of, source)


def compare_outcomes(
    benchmark: Benchmark,
    new: Outcomes,
    old: Outcomes,
    *,
    variant: str = OFFICIAL_RULE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    categories: bool = False,
) -> Comparison:
    """Compare two tables; `num_resamples` 0 leaves out intervals and swap tests.

    Raises:
        DataError: the tables share no item. ConfigError: the benchmark has no such variant.
    """
    if variant != OFFICIAL_RULE and variant not in benchmark.variants:
        raise ConfigError(f"{benchmark.title} has no scoring {variant!r}")
    paired = pair_outcomes(new, old)
    rules = benchmark.rule(paired.new, variant), benchmark.rule(paired.old, variant)
    wholes = [one.measure for one in rules[0].overall]
    figures = _in_both(rules[0].figures, rules[1].figures)
    finest = _in_both(rules[0].categories, rules[1].categories) if categories else []
    differences = _differences(paired, [*wholes, *figures, *finest], num_resamples, seed)
    num_figures = len(wholes) + len(figures)
    counts = Counts(paired.new)
    overall = [
        replace(
            one, is_partial=not rule.is_official or not all(counts.is_complete(need) for need in rule.needs)
        )
        for one, rule in zip(differences, rules[0].overall, strict=False)
    ]
    scored = {name for one in wholes for name in one.parts}
    return Comparison(
        benchmark=new.benchmark,
        overall=tuple(overall),
        figures=tuple(differences[len(wholes) : num_figures]),
        categories=tuple(differences[num_figures:]),
        shared=sum(len(paired.new.parts[name]) for name in scored if name in paired.new.parts),
        only_new=paired.only_new,
        only_old=paired.only_old,
        changed=LeftOut(),
        variant=variant,
        notes=tuple(_notes(new, old)),
    )


def _in_both(new: Sequence[Measure], old: Sequence[Measure]) -> list[Measure]:
    known = {(one.group, one.name) for one in old}
    return [one for one in new if (one.group, one.name) in known]


def _notes(new: Outcomes, old: Outcomes) -> Iterator[str]:
    if set(new.orders) != set(old.orders):
        asked = [
            ", ".join(f"{name} {count}" for name, count in sorted(one.orders.items())) for one in (new, old)
        ]
        yield f"the runs were not asked alike (order: {asked[0]}; old: {asked[1]})"
    if new.unfinished or old.unfinished:
        yield f"unfinished items are left out: {new.unfinished} of the new run, {old.unfinished} of the old one"


def _differences(paired: Paired, measures: Sequence[Measure], num: int, seed: int) -> list[Difference]:
    estimators = [measure.estimator() for measure in measures]
    values = [
        [float(one(sample)[0]) for one in estimators] for sample in map(whole, (paired.new, paired.old))
    ]
    drawn = swapped = np.full((len(measures), 1), np.nan)
    if num:
        drawn = np.concatenate(
            [
                _subtract(estimators, *pair)
                for pair in bootstrap([paired.new, paired.old], num=num, seed=seed)
            ],
            axis=1,
        )
        swapped = np.concatenate(
            [_subtract(estimators, *pair) for pair in swap(paired, num=num, seed=seed)], axis=1
        )
    return [
        _difference(paired, measure, (values[0][index], values[1][index]), drawn[index], swapped[index])
        for index, measure in enumerate(measures)
    ]


def _subtract(estimators: Sequence[Estimate], new: Resamples, old: Resamples) -> Floats:
    """[measures, B]."""
    return np.stack([one(new) - one(old) for one in estimators])


def _difference(
    paired: Paired, measure: Measure, values: tuple[float, float], drawn_R: Floats, swapped_R: Floats
) -> Difference:
    counts = Counts(paired.new)
    items = counts.total(measure)
    changes = _changes(paired, measure)
    new, old = (None if np.isnan(value) else value for value in values)
    found = Difference(
        group=measure.group,
        name=measure.name,
        items=items,
        new=new,
        old=old,
        better=None if changes is None else changes[0],
        worse=None if changes is None else changes[1],
    )
    if new is None or old is None:
        return found
    difference = new - old
    test, p = None, None
    if changes is not None and counts.is_binary(measure) and Counts(paired.old).is_binary(measure):
        test = mcnemar_test(*changes)
        p = test.mid_p
    elif len(known := swapped_R[~np.isnan(swapped_R)]):
        p = _share_as_large(known, difference)
    drawn_R = drawn_R[~np.isnan(drawn_R)]
    interval = percentile_interval(drawn_R) if len(drawn_R) else None
    return replace(found, difference=difference, interval=interval, p=p, test=test)


def _share_as_large(swapped_R: Floats, difference: float) -> float:
    """The p-value of a permutation test: what was seen counts as one of the draws, so it is never 0."""
    as_large = np.count_nonzero(np.abs(swapped_R) >= abs(difference) - 1e-12)
    return float(1 + as_large) / (1 + len(swapped_R))


def _changes(paired: Paired, measure: Measure) -> tuple[int, int] | None:
    """Items with more and with less credit; None where the measure may look at some cells of an item only."""
    better = worse = 0
    for name in measure.parts:
        if name not in paired.new.parts:
            continue
        new, old = paired.new.parts[name], paired.old.parts[name]
        if measure.beside is not None:
            if measure.beside not in new.beside:
                continue
            change = new.beside[measure.beside] - old.beside[measure.beside]
        elif measure.is_share or new.credits.shape[1] == 1:
            change = (new.credits - old.credits).sum(axis=1)
        else:
            return None
        better += int(np.count_nonzero(change > 1e-12))
        worse += int(np.count_nonzero(change < -1e-12))
    return better, worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether a CI may pass."""

    is_passed: bool
    line: str
    """What was seen and what was expected, in one line."""

    def sentence(self) -> str:
        return f"gate {'passed' if self.is_passed else 'FAILED'}: {self.line}"

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def check_fail_under(percent: float) -> None:
    """
    Raises:
        ConfigError: the limit is no percentage above 1 (0.8 is taken for a slip of 80).
    """
    if percent != 0 and not 1 < percent <= 100:
        raise ConfigError(f"--fail-under {percent:g}: expected a percentage, as 80 for 80%")


def check_baseline(
    scores: BenchmarkScores, comparison: Comparison | None = None, fail_under: float | None = None
) -> Gate:
    """The gate of `--fail-under` and `--baseline`; each of them may be left out.

    `fail_under` (in percent) is an absolute floor, as in coverage tools: every overall score must reach it,
    and one that is not there (partial data) does not. `comparison` asks for no significant loss: an
    overall score below the baseline's with p at most 0.05. A fixed number of points would let small
    benchmarks fail by chance and large losses of large ones pass; what chance explains does not fail.

    Raises:
        ConfigError: `fail_under` is no percentage.
    """
    failed: list[str] = []
    passed: list[str] = []
    if fail_under is not None:
        check_fail_under(fail_under)
        for one in scores.overall:
            name = _name_overall(scores.benchmark, one.group)
            if one.value is None:
                failed.append(f"{name} has no overall score to hold against {fail_under:g}% ({one.status})")
            # A score that prints as the limit reaches it: 79.9999...% by rounding error is 80%.
            elif 100 * one.value < fail_under - 1e-9:
                failed.append(f"{name} {100 * one.value:.2f}% is under {fail_under:g}%")
            else:
                passed.append(f"{name} {100 * one.value:.2f}% reaches {fail_under:g}%")
    for other in () if comparison is None else comparison.overall:
        name = _name_overall(scores.benchmark, other.group)
        if other.difference is None or other.p is None:
            reason = (
                "nothing to count in what both hold" if other.difference is None else "no resamples drawn"
            )
            failed.append(f"{name} cannot be compared with the baseline: {reason}")
        elif other.is_worse:
            failed.append(f"{name} is worse than the baseline: {format_difference(other)}")
        else:
            passed.append(f"{name} is not significantly worse than the baseline: {format_difference(other)}")
    if not failed and not passed:
        failed.append(f"{scores.benchmark} has no overall score, because nothing was judged")
    return Gate(is_passed=not failed, line="; ".join(failed or passed))


HEADER = ("group", "score", "new %", "old %", "points", "95%", "p", "+/-", "items")


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The table for people, one row for each figure, overall scores last; columns are `HEADER`."""
    return [
        (
            one.group,
            one.name,
            _percent(one.new),
            _percent(one.old),
            "-" if one.difference is None else f"{100 * one.difference:+.2f}",
            "" if one.interval is None else f"{100 * one.interval[0]:+.1f}..{100 * one.interval[1]:+.1f}",
            "" if one.p is None else format_p(one.p) + ("" if one.test else "*"),
            "" if one.better is None else f"{one.better}/{one.worse}",
            str(one.items),
        )
        for one in (*comparison.figures, *comparison.categories, *comparison.overall)
    ]


def comparison_remarks(comparison: Comparison) -> list[str]:
    """What stands below the table: what was compared, what was left out, how p was found."""
    lines = [f"compared over the {comparison.shared} items that both runs hold"]
    for left, where in (
        (comparison.only_new, "in the new run only"),
        (comparison.only_old, "in the old run only"),
        (comparison.changed, "of one id but with other texts or another label"),
    ):
        if left.count:
            shown = ", ".join(left.examples) + (", ..." if left.count > len(left.examples) else "")
            lines.append(f"left out, {where}: {left.count} ({shown})")
    if any(one.is_partial for one in comparison.overall):
        lines.append("overall is of a part of the data; it is not the whole score of either run")
    both = (*comparison.overall, *comparison.figures, *comparison.categories)
    lines.append("+/-: items for which the new judge earned more, and less")
    if any(one.test for one in both):
        lines.append("p: McNemar's test of these two counts, mid-p")
    if any(one.p is not None and one.test is None for one in both):
        lines.append("p*: swap test (the judges' results exchanged item by item at random)")
    lines += comparison.notes
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _name_overall(benchmark: str, group: str) -> str:
    return benchmark if benchmark == group else f"{benchmark} {group}"


def format_difference(one: Difference) -> str:
    """`81.20% against 84.00%, -2.80 points (95% -4.40 to -1.20, p 0.001, 500 items)`."""
    if one.new is None or one.old is None or one.difference is None:
        return "nothing to compare"
    between = (
        "" if one.interval is None else f"95% {100 * one.interval[0]:+.2f} to {100 * one.interval[1]:+.2f}, "
    )
    p = "" if one.p is None else f"p {format_p(one.p)}, "
    return (
        f"{100 * one.new:.2f}% against {100 * one.old:.2f}%, {100 * one.difference:+.2f} points "
        f"({between}{p}{one.items} items)"
    )


def format_p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
