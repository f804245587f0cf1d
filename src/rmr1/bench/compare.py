"""Two runs of one benchmark, compared item by item, and the table of it.

    run, run ──tally──> Outcomes, Outcomes ──pair_outcomes──> Paired ──compare_outcomes──> Comparison

Every figure of the benchmark is computed for both runs over the items that both hold; its difference has

- an interval: the bootstrap, the same prompts with all their items drawn for both runs (`rmr1.bench.draws`);
- a p-value of "both judges are alike". Of a share of right items this is McNemar's test, mid-p form, and if items
  share prompts its form by prompt. Elsewhere (means of sections, matrices) it is the *swap test*: if the judges are
  alike, their results at any prompt may be exchanged; how often does that give a difference as large?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.bench.base import OFFICIAL_RULE, Benchmark, ItemCounts
from rmr1.bench.draws import draw_intervals, evaluate, gather_prompts, swap
from rmr1.bench.outcomes import NUM_RESAMPLES, Measure, Outcomes, estimate_values, number_prompts
from rmr1.bench.run import read_finished
from rmr1.bench.shared_items import LeftOut, Paired, Source, find_changed, left_out, name_some, pair_outcomes
from rmr1.errors import DataError
from rmr1.screen import format_percent
from rmr1.stats import Floats, McNemarTest, Numbers, clustered_mcnemar_test, mcnemar_test
from rmr1.store.rulings import Ruling, read_rulings, ruling_of
from rmr1.store.runs import RUN_FILE

ALPHA = 0.05
"""Two-sided level at which a difference counts as more than chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of both runs, over the shared items."""

    group: str
    name: str
    items: int
    new: float | None
    """The new judge's share in [0, 1]; None if there is nothing to count."""
    old: float | None
    prompts: int | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    """95%, of the difference."""
    p: float | None = None
    """Two-sided; None if there is no difference to test or nothing was drawn."""
    test: McNemarTest | None = None
    """First is new. None if the figure is no share of right and wrong items: `p` is the swap test's."""
    better: int | None = None
    """Items for which the new judge earned more; None if an item's credit is no single number."""
    worse: int | None = None
    is_partial: bool = False
    """An overall over less than the official data."""

    @property
    def is_worse(self) -> bool:
        """Whether new is below old by more than chance explains."""
        return self.difference is not None and self.difference < 0 and self.p is not None and self.p <= ALPHA

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        test = self.test
        by_prompt = "" if self.prompts is None else " by prompt"
        values = {name: value for name, value in asdict(self).items() if name != "test"}
        return {
            **values,
            "p_of": ("mcnemar mid-p" if test else "swap test") + by_prompt,
            "mcnemar_exact_p": None if test is None else test.exact_p,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCount:
    """Items of an overall score that both runs and either hold."""

    group: str
    shared: int
    new: int
    old: int

    @property
    def share(self) -> float:
        """The shared part of the items of the run that holds more, in [0, 1]."""
        return self.shared / max(self.new, self.old, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A new run beside an old one."""

    benchmark: str
    overall: tuple[Difference, ...]
    figures: tuple[Difference, ...]
    categories: tuple[Difference, ...]
    shared: int
    """Items of the overall scores that both runs hold."""
    overlaps: tuple[SharedCount, ...]
    only_new: LeftOut
    only_old: LeftOut
    changed: LeftOut
    """Pairs of one id whose texts or label are not the same in both runs."""
    variant: str = OFFICIAL_RULE
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        parts = ("overall", "figures", "categories")
        return {
            **asdict(self),
            **{name: [one.describe() for one in getattr(self, name)] for name in parts},
        }


def find_source(path: Path, rule: str | None = None) -> Source:
    """A run folder, or recorded outputs of another judge; with `rule` the stored texts are read again."""
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
    categories: bool = False,
) -> Comparison:
    """Compare two runs of a benchmark, with `categories` to its finest division.

    Raises:
        DataError: a run cannot be read, is of another benchmark, or shares no item. RunError: it is no run folder.
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
        benchmark, *outcomes, variant=variant, num_resamples=num_resamples, categories=categories
    )
    if not changed:
        return comparison
    whole = [benchmark.tally(_rulings(source)) for source in (new, old)]
    return replace(
        comparison,
        changed=left_out(sorted(changed)),
        overlaps=_overlaps(benchmark, variant, comparison.overall, whole),
    )


def _rulings(source: Source) -> Iterator[Ruling]:
    return read_rulings(source) if isinstance(source, Path) else map(ruling_of, source)


def _overlaps(
    benchmark: Benchmark, variant: str, overall: Sequence[Difference], both: Sequence[Outcomes]
) -> tuple[SharedCount, ...]:
    shared = {one.group: one.items for one in overall}
    held = []
    for outcomes in both:
        counts, wholes = ItemCounts(outcomes), benchmark.measures(outcomes, variant).overall
        held.append({one.measure.group: counts.total(one.measure) for one in wholes})
    new, old = held
    return tuple(
        SharedCount(group=group, shared=shared.get(group, 0), new=new.get(group, 0), old=old.get(group, 0))
        for group in dict.fromkeys([*new, *old])
    )


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
    """Compare two tables; `num_resamples` 0 leaves out intervals and swap tests."""
    paired = pair_outcomes(new, old)
    rule, old_rule = (benchmark.measures(one, variant) for one in (paired.new, paired.old))
    wholes = [one.measure for one in rule.overall]
    known = {(one.group, one.name) for one in (*old_rule.figures, *old_rule.categories)}
    figures = [one for one in rule.figures if (one.group, one.name) in known]
    finest = [one for one in rule.categories if categories and (one.group, one.name) in known]
    differences = _differences(paired, [*wholes, *figures, *finest], num_resamples, seed)
    num_figures = len(wholes) + len(figures)
    counts = ItemCounts(paired.new)
    overall = [
        replace(one, is_partial=not whole.is_official or not all(map(counts.is_complete, whole.needs)))
        for one, whole in zip(differences, rule.overall, strict=False)
    ]
    scored = {name for one in wholes for name in one.parts}
    return Comparison(
        benchmark=new.benchmark,
        overall=tuple(overall),
        figures=tuple(differences[len(wholes) : num_figures]),
        categories=tuple(differences[num_figures:]),
        shared=sum(len(paired.new.parts[name]) for name in scored if name in paired.new.parts),
        overlaps=_overlaps(benchmark, variant, overall, (new, old)),
        only_new=paired.only_new,
        only_old=paired.only_old,
        changed=LeftOut(),
        variant=variant,
        notes=tuple(_notes(new, old)),
    )


def _notes(new: Outcomes, old: Outcomes) -> Iterator[str]:
    if set(new.orders) != set(old.orders):
        here, there = (
            ", ".join(f"{name} {count}" for name, count in sorted(one.orders.items())) for one in (new, old)
        )
        yield f"the runs were not asked alike (order: {here}; old: {there})"
    if new.unfinished or old.unfinished:
        yield f"unfinished items are left out: {new.unfinished} of the new run, {old.unfinished} of the old one"


def _differences(paired: Paired, measures: Sequence[Measure], num: int, seed: int) -> list[Difference]:
    values = zip(*(estimate_values(one, measures) for one in (paired.new, paired.old)), strict=True)
    prompts = gather_prompts([paired.new, paired.old])
    intervals: Sequence[tuple[float, float] | None] = [None] * len(measures)
    swapped = np.empty((len(measures), 0))
    if num:
        intervals = draw_intervals(prompts, measures, num=num, seed=seed)
        swapped = evaluate(measures, swap(prompts, num=num, seed=seed))
    return [_difference(paired, *one) for one in zip(measures, values, intervals, swapped, strict=True)]


def _difference(
    paired: Paired,
    measure: Measure,
    values: tuple[float | None, float | None],
    interval: tuple[float, float] | None,
    swapped_R: Floats,
) -> Difference:
    counts = ItemCounts(paired.new)
    changes = _changes(paired, measure)
    better = worse = None
    if changes is not None:
        better, worse = (int(np.count_nonzero(sign * changes[0] > 1e-12)) for sign in (1, -1))
    new, old = values
    found = Difference(
        group=measure.group,
        name=measure.name,
        items=counts.total(measure),
        prompts=counts.prompts(measure),
        new=new,
        old=old,
        better=better,
        worse=worse,
    )
    if new is None or old is None:
        return found
    difference = new - old
    test, p = None, None
    is_binary = counts.is_binary(measure) and ItemCounts(paired.old).is_binary(measure)
    if changes is not None and better is not None and worse is not None and is_binary:
        test = mcnemar_test(better, worse)
        if found.prompts is not None:
            change_I, prompts_I = changes
            _, index_I = np.unique(prompts_I, return_inverse=True)
            change_P = np.rint(np.bincount(index_I, change_I)).astype(np.int64)
            test = clustered_mcnemar_test(change_P, better, worse)
        p = test.mid_p
    elif len(known := swapped_R[~np.isnan(swapped_R)]):
        # What was seen counts as one of the draws, so p is never 0.
        as_large = np.count_nonzero(np.abs(known) >= abs(difference) - 1e-12)
        p = float(1 + as_large) / (1 + len(known))
    return replace(found, difference=difference, interval=interval, p=p, test=test)


def _changes(paired: Paired, measure: Measure) -> tuple[Floats, Numbers] | None:
    """What the new judge earned more on every item, and the number of its prompt; None if the measure may look
    at some cells of an item only."""
    names = [name for name in measure.parts if name in paired.new.parts]
    found, prompts = [np.empty(0)], [np.empty(0, dtype=np.int64)]
    numbers = number_prompts([paired.new.parts[name] for name in names])
    for name, numbers_I in zip(names, numbers, strict=True):
        new, old = paired.new.parts[name], paired.old.parts[name]
        if measure.beside is not None:
            if measure.beside not in new.beside:
                continue
            change = new.beside[measure.beside] - old.beside[measure.beside]
        elif measure.is_share or new.credits.shape[1] == 1:
            change = (new.credits - old.credits).sum(axis=1)
        else:
            return None
        is_known = ~np.isnan(change)
        found.append(change[is_known])
        prompts.append(numbers_I[is_known])
    return np.concatenate(found), np.concatenate(prompts)


HEADER = ("group", "score", "new %", "old %", "points", "95%", "p", "+/-", "items")


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """One row for each figure, overall scores last; columns are `HEADER`."""
    return [
        (
            one.group,
            one.name,
            format_percent(one.new),
            format_percent(one.old),
            "-" if one.difference is None else f"{100 * one.difference:+.2f}",
            "" if one.interval is None else f"{100 * one.interval[0]:+.1f}..{100 * one.interval[1]:+.1f}",
            "" if one.p is None else format_p(one.p) + ("" if one.test else "*"),
            "" if one.better is None else f"{one.better}/{one.worse}",
            str(one.items),
        )
        for one in (*comparison.figures, *comparison.categories, *comparison.overall)
    ]


def comparison_remarks(comparison: Comparison) -> list[str]:
    """What was compared, what was left out, how p was found."""
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
    shared = max((one for one in both if one.prompts is not None), key=lambda one: one.items, default=None)
    if shared is not None:
        lines.append(
            f"{shared.items} items of {shared.prompts} prompts; intervals and tests take the items of a prompt together"
        )
    tests = [one.test for one in both if one.test]
    if any(one.prompts is None for one in tests):
        lines.append("p: McNemar's test of these two counts, mid-p")
    if any(one.prompts is not None for one in tests):
        lines.append(
            "p where items share prompts: McNemar's test by prompt (all ways to exchange the judges' results at "
            "whole prompts), mid-p"
        )
    if any(one.p is not None and one.test is None for one in both):
        lines.append("p*: swap test (the judges' results exchanged prompt by prompt at random)")
    lines += comparison.notes
    return lines


def format_difference(one: Difference) -> str:
    """`81.20% against 84.00%, -2.80 points (95% -4.40 to -1.20, p 0.001, 500 items)`."""
    if one.new is None or one.old is None or one.difference is None:
        return "nothing to compare"
    chance = "" if one.p is None else f"p {format_p(one.p)}, "
    if one.interval is not None:
        low, high = (100 * bound for bound in one.interval)
        chance = f"95% {low:+.2f} to {high:+.2f}, {chance}"
    return (
        f"{100 * one.new:.2f}% against {100 * one.old:.2f}%, {100 * one.difference:+.2f} points "
        f"({chance}{one.items} items)"
    )


def format_p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
