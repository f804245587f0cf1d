"""Do intervals and tests hold when items share prompts? Two simulated judges, over and over.

    python benchmarks/shared_prompts.py [SHARED] [--repeats N] [--seeds 0 1 2] [--arms rmb judgebench ...] [-o FILE.jsonl]

Every arm has the structure of real data of SHARED: the parts of a benchmark and which of their items share a
prompt (`rmb`, `rm-bench`, `judgebench`; what is not at hand of RM-Bench has its official size and a prompt for
each item), own pairs with prompts of 1 to 12 pairs (`pairs`), few of those (`few`: 30 prompts), and own pairs
with a prompt each (`alone`). Scored is what the benchmark's own rule makes of right and wrong.

A judge is right at an item of prompt k with a chance that it draws from a beta distribution of mean p for each
prompt: two items of a prompt are then correlated by the *intra-prompt correlation* (`icc`), exactly. At half of
the prompts both judges have the same chance, and at half of the items the same luck, so judges agree as real
ones do. p differs from part to part, by 0.1 up and down. Four settings:

    equal     both judges alike: the share of repeats with p at most 0.05 is the false positive rate
    unequal   equal shares, but the first judge's icc is 0.2 and the second's 0.6: they are not alike
    better    the first judge is right on some points more: the share is the power
    good      both judges alike, and wrong a fifth as often (95% right): few prompts hold all of the errors

Beside it stands the share of repeats whose 95% interval holds the truth: of the first judge's score and of the
difference. `--ignore-prompts` does the same without looking at prompts, as rmr1 did before.

What was expected before it was run: false positives of 4 to 6.5% and coverage of 93 to 97% in every arm and
setting; power below that of as many independent items; and without looking at prompts 10 to 30% false
positives for RMB and own pairs, close to 5% for RM-Bench and JudgeBench, where hardly any prompt comes twice.

Repeats, resamples and seeds have defaults by arm that make a rate of 5% or 95% uncertain by 0.4 points (RMB and RM-Bench
0.6) in some 25 minutes of one core. Few resamples are enough: percentiles and p-values of R draws allow for R, so
they cost width and power, and no coverage.

One line of JSON is appended to FILE for each arm, setting and seed as it ends; what stands there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import defaultdict
from dataclasses import asdict, astuple, dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.bench.base import OFFICIAL_RULE, Benchmark, score_outcomes
from rmr1.bench.compare import compare_outcomes
from rmr1.bench.outcomes import (
    Measure,
    Measures,
    Outcomes,
    Part,
    drop_lone_prompts,
    estimate_values,
    number_prompts,
)
from rmr1.bench.run import load_benchmark
from rmr1.bench.tasks.rmb import INSIDE
from rmr1.store.codec import dump_record
from rmr1.store.rulings import CastVote, Ruling, number_prompt

REAL = ("rmb", "rm-bench", "judgebench")
NOT_AT_HAND = {"math": 529, "code": 228}
"""Parts of RM-Bench -> items."""
REPEATS = {
    "rmb": (350, 99),
    "rm-bench": (500, 199),
    "judgebench": (500, 199),
    "pairs": (500, 199),
    "few": (1000, 499),
    "alone": (500, 199),
}
"""Arm -> repeats of a seed, resamples."""
ARMS = tuple(REPEATS)
SAME_CHANCE, SAME_LUCK = 0.5, 0.5
SPREAD = 0.1
"""By how much the chance of being right differs between parts, up and down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    name: str
    icc: tuple[float, float]
    """Of the new judge and of the old one."""
    better: float = 0.0
    """By how much the new judge is right more often."""
    errors: float = 1.0
    """The share of the usual errors that are left to both."""

    @property
    def title(self) -> str:
        icc = f"{self.icc[0]:g}" if self.icc[0] == self.icc[1] else f"{self.icc[0]:g} and {self.icc[1]:g}"
        more = f", {100 * self.better:+g} points" if self.better else ""
        return f"{self.name}, icc {icc}{more}"

    def chances(self, layout: Layout, judge: int) -> NDArray[np.float64]:
        """[I] how often a judge is right; the new one is 0."""
        found: NDArray[np.float64] = 1 - (1 - layout.chances) * self.errors + (0 if judge else self.better)
        return found


SETTINGS = (
    Setting(name="equal", icc=(0.2, 0.2)),
    Setting(name="equal", icc=(0.6, 0.6)),
    Setting(name="unequal", icc=(0.2, 0.6)),
    Setting(name="better", icc=(0.4, 0.4), better=0.03),
    Setting(name="good", icc=(0.4, 0.4), errors=0.2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the rates of one arm, setting and seed depend on."""

    arm: str
    setting: str
    seed: int
    repeats: int
    resamples: int
    ignores_prompts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A benchmark's parts and prompts."""

    benchmark: Benchmark
    outcomes: Outcomes
    prompts: NDArray[np.int64]
    """[I] of all parts, one after the other, from 0; equal ones are one prompt."""
    chances: NDArray[np.float64]
    """[I] how often a judge is right there."""


def main() -> None:
    default = os.environ.get("RMR1_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", nargs="?", type=Path, default=Path(default), metavar="SHARED")
    parser.add_argument("--repeats", type=int, help="of each seed")
    parser.add_argument("--resamples", type=int, help="of a bootstrap and of a swap test")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    names = sorted({one.name for one in SETTINGS})
    parser.add_argument("--settings", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2), help="pooled")
    parser.add_argument("--ignore-prompts", action="store_true")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    print(f"{date.today()}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    done = {}
    if arguments.output is not None and arguments.output.exists():
        done = {_key(one): one for one in map(json.loads, arguments.output.read_text().splitlines())}
    for arm in arguments.arms:
        layout = lay_out(arm, arguments.shared, arguments.ignore_prompts)
        repeats = arguments.repeats or REPEATS[arm][0]
        resamples = arguments.resamples or REPEATS[arm][1]
        for setting in (one for one in SETTINGS if one.name in arguments.settings):
            found = []
            for seed in arguments.seeds:
                job = Job(
                    arm=arm,
                    setting=setting.title,
                    seed=seed,
                    repeats=repeats,
                    resamples=resamples,
                    ignores_prompts=arguments.ignore_prompts,
                )
                if (one := done.get(astuple(job))) is None:
                    one = {**asdict(job), **run_arm(job, layout, setting)}
                    if arguments.output is not None:
                        with arguments.output.open("a") as file:
                            file.write(json.dumps(one) + "\n")
                found.append(one)
            report(found)


def _key(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found[one.name] for one in fields(Job))


def report(seeds: list[dict[str, Any]]) -> None:
    """The rates of all seeds together."""
    first, repeats = seeds[0], sum(one["repeats"] for one in seeds)
    seconds = sum(one["seconds"] for one in seeds)
    print(
        f"\n{first['arm']}: {first['items']:,} items of {first['prompts']:,} prompts; {first['setting']}; "
        f"{repeats} repeats with {first['resamples']} resamples, seeds {[one['seed'] for one in seeds]}, {seconds:.0f} s"
    )
    for name, figure in first["figures"].items():
        rejected, score, difference = (
            100 * sum(one["figures"][name][rate] * one["repeats"] for one in seeds) / repeats
            for rate in ("rejected", "score", "difference")
        )
        print(
            f"  {name:<32} p<=0.05 {rejected:5.1f}%   covered: score {score:5.1f}%  "
            f"difference {difference:5.1f}%   {figure['test']}",
            flush=True,
        )


def lay_out(arm: str, shared: Path, ignores_prompts: bool = False) -> Layout:
    """The parts of the arm, with whatever credits."""
    name = arm if arm in REAL else "pairs"
    benchmark = load_benchmark(name)
    parts = real_parts(benchmark, shared / "data" / name) if arm in REAL else own_parts(arm)
    if arm == "rm-bench":
        lone = iter(range(-1_000_000, 0))
        parts += [make_part(part, [next(lone) for _ in range(size)], 9) for part, size in NOT_AT_HAND.items()]
    prompts = np.unique(np.concatenate(number_prompts(parts)), return_inverse=True)[1]
    if ignores_prompts:
        parts = [replace(part, clusters=None) for part in parts]
    parts = drop_lone_prompts(parts)
    means = 0.72 + SPREAD * np.cos(np.arange(len(parts)))
    return Layout(
        benchmark=benchmark,
        outcomes=Outcomes(benchmark=name, parts={part.name: part for part in parts}, judgments=0),
        prompts=prompts,
        chances=np.repeat(means, [len(part) for part in parts]),
    )


def own_parts(arm: str) -> list[Part]:
    """Own pairs in three subsets, the label by chance."""
    random = np.random.default_rng(7)
    sizes = [1] * 500 if arm == "alone" else random.integers(1, 13, 30 if arm == "few" else 400).tolist()
    prompts: dict[str, list[int]] = defaultdict(list)
    for prompt, size in enumerate(sizes):
        for label in random.choice(("A", "B"), size):
            prompts[f"part {prompt % 3}\t\t{label}"].append(prompt)
    return [make_part(name, found) for name, found in prompts.items()]


def make_part(name: str, prompts: list[int], num_cells: int = 1) -> Part:
    return Part(
        name=name,
        items=tuple(map(str, range(len(prompts)))),
        credits=np.zeros((len(prompts), num_cells)),
        no_verdict=np.zeros(len(prompts), dtype=np.int32),
        ties=np.zeros(len(prompts), dtype=np.int32),
        official=NOT_AT_HAND.get(name),
        clusters=np.array(prompts, dtype=np.int64),
    )


def real_parts(benchmark: Benchmark, data: Path) -> list[Part]:
    """The parts of the data at hand, by the benchmark's own tally of a judge that always says A."""
    votes = (CastVote("given", "A", None, None),)
    rulings = (
        Ruling(
            pair.id,
            pair.label,
            pair.source,
            pair.subset,
            "A",
            None,
            votes,
            None,
            "pair",
            number_prompt([dump_record(message) for message in pair.prompt]),
        )
        for pair in benchmark.read_pairs(data, None)
    )
    parts = benchmark.tally(rulings).parts
    # The pairs inside RMB's lists count in no score.
    return [part for name, part in parts.items() if not name.startswith(INSIDE) and name not in NOT_AT_HAND]


def draw_judges(layout: Layout, setting: Setting, random: np.random.Generator) -> list[list[NDArray[Any]]]:
    """The credits of both judges, part by part."""
    num, num_prompts = len(layout.prompts), int(layout.prompts.max()) + 1
    num_cells = next(iter(layout.outcomes.parts.values())).credits.shape[1]
    # A prompt's chance is drawn once for each judge, as a quantile: parts differ in their mean.
    quantiles = random.random((2, num_prompts))
    is_same = random.random(num_prompts) < SAME_CHANCE
    quantiles[1, is_same] = quantiles[0, is_same]
    luck = random.random((2, num, num_cells))
    is_same = random.random((num, num_cells)) < SAME_LUCK
    luck[1][is_same] = luck[0][is_same]
    found = []
    for judge in (0, 1):
        chances = beta_quantiles(
            setting.chances(layout, judge), setting.icc[judge], quantiles[judge][layout.prompts]
        )
        credits = (luck[judge] < chances[:, None]).astype(np.float64)
        sizes = [len(part) for part in layout.outcomes.parts.values()]
        found.append(np.split(credits, np.cumsum(sizes)[:-1]))
    return found


_TABLES: dict[tuple[float, float], NDArray[np.float64]] = {}
_GRID = 20_000


def beta_quantiles(
    means: NDArray[np.float64], icc: float, quantiles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of beta distributions with these means and that variance of mean x (1 - mean) x icc, each
    from a sorted sample of 20,000."""
    found = np.empty(len(means))
    start, places = 0, (quantiles * _GRID).astype(np.int64)
    # Items of a part stand side by side and have one mean.
    for stop in [*(np.flatnonzero(np.diff(means)) + 1), len(means)]:
        found[start:stop] = _table(float(means[start]), icc)[places[start:stop]]
        start = stop
    return found


def _table(mean: float, icc: float) -> NDArray[np.float64]:
    if (mean, icc) not in _TABLES:
        scale = 1 / icc - 1
        sample = np.sort(np.random.default_rng(1).beta(mean * scale, (1 - mean) * scale, _GRID))
        # To the very mean, within 0 and 1.
        lack = mean - sample.mean()
        _TABLES[mean, icc] = (
            sample * mean / sample.mean() if lack < 0 else sample + (1 - sample) * lack / (1 - sample.mean())
        )
    return _TABLES[mean, icc]


def run_arm(job: Job, layout: Layout, setting: Setting) -> dict[str, Any]:
    start = time.process_time()
    rule = layout.benchmark.rule(layout.outcomes, OFFICIAL_RULE)
    measures = [one.measure for one in rule.overall] + [one for one in rule.figures if is_told(job.arm, one)]
    # As figures they have an interval though the data is not whole.
    told = Measures(overall=(), figures=tuple(measures))
    benchmark = replace(layout.benchmark, rule=lambda outcomes, variant: told)
    truths = [true_values(layout, measures, setting.chances(layout, judge)) for judge in (0, 1)]
    counts = np.zeros((len(measures), 3))
    tests = [""] * len(measures)
    for repeat in range(job.repeats):
        random = np.random.default_rng([job.seed, SETTINGS.index(setting), repeat])
        new, old = (fill(layout, credits) for credits in draw_judges(layout, setting, random))
        own = 1_000_000 * job.seed + repeat
        scores = score_outcomes(benchmark, new, num_resamples=job.resamples, seed=own).figures
        differences = compare_outcomes(benchmark, new, old, num_resamples=job.resamples, seed=own).figures
        for index, (score, difference) in enumerate(zip(scores, differences, strict=True)):
            truth, other = truths[0][index], truths[1][index]
            assert difference.p is not None
            counts[index, 0] += difference.p <= 0.05
            counts[index, 1] += is_within(truth, score.interval)
            counts[index, 2] += is_within(truth - other, difference.interval)
            tests[index] = difference.describe()["p_of"]
    shares = counts / job.repeats
    return {
        "items": len(layout.prompts),
        "prompts": int(layout.prompts.max()) + 1,
        "seconds": round(time.process_time() - start, 1),
        "figures": {
            (one.name if one.group in (one.name, job.arm, "pairs") else f"{one.group}, {one.name}"): {
                "rejected": row[0],
                "score": row[1],
                "difference": row[2],
                "test": test,
            }
            for one, row, test in zip(measures, shares.tolist(), tests, strict=True)
        },
    }


def is_within(truth: float, interval: tuple[float, float] | None) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def is_told(arm: str, measure: Measure) -> bool:
    """The figures that the table shows beside the overall scores."""
    if arm == "rmb":
        return measure.name in ("pairwise", "best of N")
    if arm == "judgebench":
        return measure.name == "Knowledge"
    return measure.group in ("difficulties", "subset")


def fill(layout: Layout, credits: list[NDArray[Any]]) -> Outcomes:
    """The layout's outcomes with these credits."""
    parts = layout.outcomes.parts.items()
    return replace(
        layout.outcomes,
        parts={name: replace(part, credits=one) for (name, part), one in zip(parts, credits, strict=True)},
    )


def true_values(layout: Layout, measures: list[Measure], chances: NDArray[np.float64]) -> list[float]:
    """Every measure of the chances themselves."""
    parts = layout.outcomes.parts.values()
    credits = [
        np.repeat(one[:, None], part.credits.shape[1], axis=1)
        for one, part in zip(
            np.split(chances, np.cumsum([len(part) for part in parts])[:-1]), parts, strict=True
        )
    ]
    found = estimate_values(fill(layout, credits), measures)
    return [float("nan") if value is None else value for value in found]


if __name__ == "__main__":
    main()
