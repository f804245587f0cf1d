"""Finished judgments of several benchmarks -> scores, comparisons, gates and places among the published judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.bench.base import AS_PUBLISHED, Asking, Benchmark, BenchmarkScores, Interval, score_outcomes
from rmr1.bench.compare import Comparison, compare_runs, find_source, format_difference
from rmr1.bench.draws import draw_values, gather_prompts
from rmr1.bench.outcomes import NUM_RESAMPLES, Outcomes
from rmr1.bench.published import THREE, Standing, average_three, place
from rmr1.bench.run import Scored, count_pairs, count_unjudged, read_outcomes, stored_data
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.reliability import format_reliability
from rmr1.judge.settings import JudgeSettings
from rmr1.stats import Floats, percentile_interval
from rmr1.store.runs import RUN_FILE, read_description

OWN_PAIRS = "pairs"
"""Name of the benchmark of a user's own pairs."""
PLACED_GROUP = {"judgebench": "gpt-4o-2024-05-13"}
"""The overall that judges are published on, where a benchmark has several."""

_RMB_COLUMNS = {
    ("helpfulness", "best of N"): "Help BoN",
    ("helpfulness", "pairwise"): "Help pair",
    ("harmlessness", "best of N"): "Harm BoN",
    ("harmlessness", "pairwise"): "Harm pair",
}


LEAST_SHARED = 0.9
"""What two runs must share of the items of either to be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One benchmark of the command."""

    benchmark: Benchmark
    data: Path | None
    """A file, a folder, or a hub's dataset."""
    folder: Path | None
    source: Path | None
    """Judgments that exist."""
    baseline: Path | None
    """Judgments to compare with."""
    variant: str
    asking: Asking | None
    """None: pair by pair, or what suits the judge if `is_asking_said` is False."""
    is_asking_said: bool
    invalid: set[str] = field(default_factory=set)
    """Rows that are passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether a CI may pass."""

    is_passed: bool
    line: str
    """What was seen and what was expected, in one line."""

    def sentence(self) -> str:
        return f"gate {'passed' if self.is_passed else 'FAILED'}: {self.line}"


def check_fail_under(percent: float) -> None:
    """Refuse a limit that is no percentage above 1: 0.8 is taken for a slip of 80."""
    if percent != 0 and not 1 < percent <= 100:
        raise ConfigError(
            f"{name_option('fail_under', f'{percent:g}')}: expected a percentage, as 80 for 80%"
        )


def check_baseline(
    scores: BenchmarkScores, comparison: Comparison | None = None, fail_under: float | None = None
) -> Gate:
    """The gate of `--fail-under` and `--baseline`; each of them may be left out.

    `fail_under` (in percent) is a floor that every overall score must reach, and one that is not there (partial data)
    does not. `comparison` asks for no significant loss: an overall score below the baseline's with p at most 0.05,
    over at least 90% of the items of either run.
    """
    failed: list[str] = []
    passed: list[str] = []
    title = scores.benchmark
    if fail_under is not None:
        check_fail_under(fail_under)
        for one in scores.overall:
            name = title if title == one.group else f"{title} {one.group}"
            if one.value is None:
                failed.append(f"{name} has no overall score to hold against {fail_under:g}% ({one.status})")
            # A score that prints as the limit reaches it: 79.9999...% by rounding error is 80%.
            elif 100 * one.value < fail_under - 1e-9:
                failed.append(f"{name} {100 * one.value:.2f}% is under {fail_under:g}%")
            else:
                passed.append(f"{name} {100 * one.value:.2f}% reaches {fail_under:g}%")
    compared = {} if comparison is None else {one.group: one for one in comparison.overall}
    for overlap in () if comparison is None else comparison.overlaps:
        name = title if title == overlap.group else f"{title} {overlap.group}"
        other = compared.get(overlap.group)
        reason = None
        if overlap.share < LEAST_SHARED:
            shared = overlap.shared
            new, old = (floor(1000 * shared / max(many, 1)) / 10 for many in (overlap.new, overlap.old))
            reason = (
                f"they share {shared} items, {new:.1f}% of this run's {overlap.new} and {old:.1f}% of the "
                f"baseline's {overlap.old}; needed are {100 * LEAST_SHARED:.0f}% of both"
            )
        elif other is None or other.difference is None:
            reason = "nothing to count in what both hold"
        elif other.p is None:
            reason = "no resamples drawn"
        if other is None or reason is not None:
            failed.append(f"{name} cannot be compared with the baseline: {reason}")
        elif other.is_worse:
            failed.append(f"{name} is worse than the baseline: {format_difference(other)}")
        else:
            passed.append(f"{name} is not significantly worse than the baseline: {format_difference(other)}")
    if not failed and not passed:
        failed.append(f"{title} has no overall score, because nothing was judged")
    return Gate(is_passed=not failed, line="; ".join(failed or passed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark came to."""

    title: str
    scores: BenchmarkScores
    lines: tuple[str, ...] = ()
    """More to be said, as the place among the published."""
    baseline: str = ""
    comparison: Comparison | None = None
    gate: Gate | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs: plain JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """RM-R1's average over three benchmarks."""

    value: float | None
    interval: Interval | None = None
    lines: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    title = "Average of RewardBench, RM-Bench and RMB"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """How judgments are scored."""

    rule: str | None = None
    """The verdict rule that existing texts are read again by."""
    as_published: bool = False
    resamples: int = NUM_RESAMPLES
    """Draws of a bootstrap; 0 for no intervals."""
    fail_under: float | None = None
    """Least overall score that passes, in percent."""
    categories: bool = False
    """Whether the finest division is compared too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Everything that is reported."""

    judge: str
    results: tuple[Result, ...]
    average: Average | None
    gates: tuple[Gate, ...]
    standings: tuple[tuple[Standing, Mapping[str, float]], ...]
    """Each with the judge's own figures."""


def collect(jobs: Sequence[Job], scored: Mapping[str, Scored], scoring: ScoringOptions) -> Collected:
    """Score every job's judgments; `scored` are those that were read and scored when they were made.

    Raises:
        DataError, ConfigError, RunError: judgments cannot be read or compared.
    """
    results: list[Result] = []
    gates: list[Gate] = []
    standings: list[tuple[Standing, Mapping[str, float]]] = []
    draws: dict[str, Floats] = {}
    overalls: dict[str, float | None] = {}
    is_average_placed = True
    for job in jobs:
        source = job.folder or job.source
        if source is None:
            raise ConfigError(f"{job.benchmark.title} has no run folder to score")
        # What was stored from other judgments is already read by the rule that was asked for.
        rule = None if job.folder is not None and scoring.rule else _choose_rule(scoring, job, source)
        live = scored.get(job.benchmark.name) if rule is None else None
        outcomes = _read(job, source, rule) if live is None else live.outcomes
        if not outcomes.judgments:
            raise DataError(
                f"no judgments in it, so {job.benchmark.title} cannot be scored; "
                "expected a run folder or recorded outputs of some",
                path=source,
            )
        if live is not None and live.scores.variant == job.variant:
            scores = live.scores
        else:
            scores = score_outcomes(
                job.benchmark, outcomes, variant=job.variant, num_resamples=scoring.resamples
            )
        lines: list[str] = []
        extra: dict[str, Any] = {}
        if said := _choose_rule(scoring, job, source):
            lines.append(f"texts are read by verdict rule {said!r}")
            extra["rule"] = said
        if asked := stored_data(source).get("asked"):
            way = job.benchmark.askings.get(asked)
            lines.append(f"asked by {asked}: {'two answers at a time' if way is None else way.about}")
            extra["asked"] = asked
        if job.invalid:
            lines.append(f"rows passed over, because they cannot be read: {len(job.invalid)}")
            extra["invalid_rows"] = len(job.invalid)
        if outcomes.reliability is not None:
            lines.append(format_reliability(outcomes.reliability))
            extra["reliability"] = outcomes.reliability
        wanted = PLACED_GROUP.get(scores.benchmark)
        whole = next((one for one in scores.overall if wanted in (None, one.group)), None)
        standing = None
        if whole is not None and not scores.deviations:
            is_published = scores.variant == AS_PUBLISHED
            standing = place(
                scores.benchmark, whole.value, interval=whole.interval, as_published=is_published
            )
        if standing is not None:
            columns = {
                _RMB_COLUMNS.get((one.group, one.name), one.name): one.value
                for one in scores.figures
                if one.value is not None and wanted in (None, one.group)
            }
            standings.append((standing, columns))
            lines.append(standing.sentence())
            extra["standing"] = standing.describe()
        comparison = None
        if job.baseline is not None:
            old_rule = _choose_rule(scoring, job, job.baseline)
            if old_rule is not None:
                lines.append(f"texts of the baseline are read by verdict rule {old_rule!r}")
                extra["baseline_rule"] = old_rule
            comparison = compare_runs(
                job.benchmark,
                find_source(source, rule),
                find_source(job.baseline, old_rule),
                variant=job.variant,
                num_resamples=scoring.resamples,
                categories=scoring.categories,
            )
            extra["comparison"] = comparison.describe()
        gate = None
        if comparison is not None or scoring.fail_under is not None:
            gate = check_baseline(scores, comparison, scoring.fail_under)
            gates.append(gate)
            extra["gate"] = asdict(gate)
        results.append(
            Result(
                title=job.benchmark.title,
                scores=scores,
                lines=tuple(lines),
                baseline=str(job.baseline),
                comparison=comparison,
                gate=gate,
                extra=extra,
            )
        )
        if job.benchmark.name in THREE:
            overalls[job.benchmark.name] = scores.overall[0].value
            is_average_placed &= not scores.deviations
            measure = job.benchmark.rule(outcomes, job.variant).overall[0].measure
            if scores.is_complete and scoring.resamples:
                draws[job.benchmark.name] = draw_values(
                    gather_prompts([outcomes]), [measure], num=scoring.resamples
                )[0]
    average = None
    if all(name in overalls for name in THREE):
        average, standing = _average(jobs, overalls, draws, is_placed=is_average_placed)
        if standing is not None:
            known = {name: value for name, value in overalls.items() if value is not None}
            standings.append((standing, known))
    source = jobs[0].folder or jobs[0].source
    judge = "this judge" if source is None else source.name
    if source is not None and (source / RUN_FILE).is_file():
        judge = str(read_description(source).get("model_name", judge))
    return Collected(
        judge=judge,
        results=tuple(results),
        average=average,
        gates=tuple(gates),
        standings=tuple(standings),
    )


def _choose_rule(scoring: ScoringOptions, job: Job, source: Path) -> str | None:
    """The verdict rule that the texts of a source, new or old, are read again by. In a live run `--rule` says how
    the judge's own texts are read, and nothing of others.
    """
    if scoring.rule is not None:
        return None if job.source is None else scoring.rule
    if scoring.as_published and (source / RUN_FILE).is_file():
        # Texts that were read as RM-R1's are; those of other protocols keep their rule.
        settings = read_description(source).get("settings", {})
        return "published" if settings.get("rule") == JudgeSettings().rule else None
    return None


def _read(job: Job, source: Path, rule: str | None) -> Outcomes:
    """The outcomes; own pairs that the file holds, now or when the run was made, and nobody judged are
    unfinished."""
    is_checked = job.source is not None and job.folder is None
    outcomes = read_outcomes(job.benchmark, source, rule=rule, data=job.data if is_checked else None)
    if job.benchmark.name != OWN_PAIRS:
        return outcomes
    num_pairs = stored_data(source).get("pairs") if job.data is None else count_pairs(job.benchmark, job.data)
    return outcomes if num_pairs is None else count_unjudged(outcomes, num_pairs)


def _average(
    jobs: Sequence[Job],
    overalls: Mapping[str, float | None],
    draws: Mapping[str, Floats],
    *,
    is_placed: bool,
) -> tuple[Average, Standing | None]:
    value = average_three(overalls)
    interval: Interval | None = None
    if value is not None and len(draws) == len(THREE):
        # The three draws are independent: their parts are drawn by their own names.
        interval = percentile_interval(np.mean(list(draws.values()), axis=0))
    as_published = any(job.benchmark.name == "rm-bench" and job.variant == AS_PUBLISHED for job in jobs)
    standing = place("average", value, interval=interval, as_published=as_published) if is_placed else None
    lines = () if standing is None else (standing.sentence(),)
    extra = {} if standing is None else {"standing": standing.describe()}
    return Average(value=value, interval=interval, lines=lines, extra=extra), standing
