"""What it is worth to choose the pairs that people are asked about: simulated people, on the world and on real labels.

    python benchmarks/active.py kinds  -o FOLDER      does the information tell a missing criterion from what is hard?
    python benchmarks/active.py world  -o FOLDER      how right the improved judge is, by the number of labels
    python benchmarks/active.py rare   -o FOLDER      as world, if one pair in ten is of the sort that lacks a criterion
    python benchmarks/active.py real   -o FOLDER      the same on labels of people, with recorded judges and measured criteria
    python benchmarks/active.py report -o FOLDER      tables of what is there

An arm that is done is not done again, so a run that was stopped goes on. Three seeds each.

Expected, written on 30 November 2026 before any arm ran:

kinds   AUC of the information at least 0.8 with 4 rubrics and 2 votes in each order if one text in ten misreads an answer, and
        above 0.9 with 4 votes. The unadjusted information is as good within one setting (it is off by about the same for all
        pairs), so that the adjustment is worth its price for the test and for the sign, not for the ranking. The entropy of the
        mean about 0.5 or below: hard pairs are the most unsure ones. Precision of the first 20 chosen: information 0.9, random
        0.5, uncertainty at most 0.5.
world   Information needs at most half the labels of random for the accuracy that random has after 80; uncertainty is no better
        than random, because two of three unsure pairs are hard. Asking every person for a criterion at random pairs is the
        stronger baseline, since clear pairs name criteria too: information still ahead of it up to 20 labels, level at 80.
        Distance (beta 1) ahead of none by little: there are five things to find.
real    LLMBar, GPT-4 asked in 15 ways: choosing the pairs of which the ways differ finds the best way with half the labels,
        since a pair on which all agree tells nothing of them; the gain in accuracy is small (majority 3 to 6 points below the
        best way). The same with weaker judges if their ways differ in quality at all. JudgeBench: six judges of very different
        quality: a gain at 10 to 20 labels, none at 80. Measured criteria (length, lists, ...) on preference data: no difference
        beyond chance between strategies, as the criteria are all weak (58 to 66% at best).

Written after kinds, world and real had run, before rare: in the world a third of the pairs are requests with wishes, so that
random pairs name the missing criteria soon, and asking for a criterion at random pairs was as good as choosing.

rare    With one in ten choosing pays against that too: after 10 chosen labels as right, on requests, as after 40 at random.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from active_real import DATASETS, measure_strategies
from active_world import GUIDES, BlindJudge, WorldPair, draw_pool, kind_of

from rmr1.active.annotators import settle_by_skill
from rmr1.active.guideline import list_candidates, try_guideline
from rmr1.active.pool import Pool, open_pool, prepare_pool
from rmr1.active.settings import PoolSettings, pool_judge_settings
from rmr1.judge.criteria import weigh_criteria
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.records import RubricItem
from rmr1.stats import clustered_interval, clustered_mean_interval
from rmr1.store.labels import HumanLabel
from rmr1.world.items import ChatWork

SEEDS = (0, 1, 2)
WORLD_SEEDS, RARE_SEEDS = (3, 4, 5), (6, 7, 8)
"""Those that were not looked at before the last change: 0 to 2 of the world before a criterion was asked for whenever the
rubrics are likely to differ (20%, not 5%); 3 to 5 of the rare one before the total no longer took the place of the information in
pools whose rubrics differ by no more than chance on the whole."""
SETTINGS = ((4, 2), (6, 2), (3, 3), (4, 4), (8, 4))
SLIPS = (0.0, 0.1, 0.2)
BUDGETS = (5, 10, 20, 40, 80)
ARMS: dict[str, dict[str, Any]] = {
    "random, always a criterion": {"strategy": "random"},
    "random": {"strategy": "random"},
    "uncertainty": {"strategy": "uncertainty"},
    "information": {"strategy": "information", "beta": 0.0},
    "information and distance": {"strategy": "information", "beta": 1.0},
}
_WHEN = "2026-11-30T00:00:00Z"


def load(judge: BlindJudge, settings: PoolSettings, criteria: Sequence[RubricItem] = ()) -> GenerativeJudge:
    asked = JudgeSettings(criteria=weigh_criteria(criteria) if criteria else ())
    loaded = load_judge(judge, settings=pool_judge_settings(asked, settings))
    assert isinstance(loaded, GenerativeJudge)
    return loaded


def measure_kinds(folder: Path, seed: int, rubrics: int, votes: int, slip: float) -> dict[str, Any]:
    """How far the information of 60 pairs with a missing criterion is above that of 60 hard ones."""
    pairs = draw_pool(seed, 120, {"missing": 0.5, "hard": 0.5})
    kinds = {one.pair.id: one.kind for one in pairs}
    settings = PoolSettings(rubrics=rubrics, votes=votes, check=0.0, number=20, seed=seed)
    judge = load(BlindJudge(pairs, slip=slip), settings)
    name = folder / "pools" / f"kinds-{seed}-{rubrics}-{votes}-{slip}"
    pool = prepare_pool([one.pair for one in pairs], judge, name, settings)
    items = [item for item in pool.items.values() if item.information is not None]
    is_missing = np.array([kinds[item.pair.id] == "missing" for item in items])
    values = {
        "information": [item.information.about_rubric for item in items if item.information],
        "unadjusted": [item.information.unadjusted for item in items if item.information],
        "entropy": [item.information.total for item in items if item.information],
        "random": np.random.default_rng(seed).random(len(items)).tolist(),
    }
    sure = np.array([item.information.is_about_rubric for item in items if item.information])
    return {
        **{name: [value, is_missing.tolist()] for name, value in values.items()},
        "asked_for_criterion": [float(sure[is_missing].mean()), float(sure[~is_missing].mean())],
        "first_20": {
            arm: _share_missing(_vary(pool, **changes), kinds)
            for arm, changes in ARMS.items()
            if not arm.startswith("random,")
        },
    }


def _share_missing(pool: Pool, kinds: dict[str, str]) -> float:
    labels: list[HumanLabel] = []
    while (task := pool.choose(labels, "p")) is not None:
        labels.append(HumanLabel(key=task.key, who="p", when=_WHEN, label="A"))
    return sum(kinds[pool.items[one.key].pair.id] == "missing" for one in labels) / len(labels)


def _vary(pool: Pool, **changes: Any) -> Pool:
    return Pool(
        pool.folder, PoolSettings(**{**pool.settings.describe(), **changes}), list(pool.items.values())
    )


def measure_world(folder: Path, seed: int, arm: str, *, is_rare: bool = False) -> dict[str, Any]:
    """Accuracy on other pairs, of the judge with what people named, after each number of labels; with `is_rare` one in ten of the
    pool is a request with wishes."""
    pairs, tests = draw_pool(seed, 320), draw_pool(1000 + seed, 300)
    if is_rare:
        more = draw_pool(seed, 1000)
        requests = [one for one in more if isinstance(one.work, ChatWork)]
        pairs = requests[:32] + [one for one in more if not isinstance(one.work, ChatWork)][:288]
    tests = [one for one in tests if one.pair.label != "tie"]
    by_id = {one.pair.id: one for one in pairs}
    settings = PoolSettings(number=1000, seed=seed, check=0.2)
    engine = BlindJudge([*pairs, *tests])
    judge = load(engine, settings)
    name = folder / "pools" / f"{'rare' if is_rare else 'world'}-{seed}"
    pool = prepare_pool([one.pair for one in pairs], judge, name, settings)
    pool = _vary(open_pool(name), **ARMS[arm])
    labels = [
        _answer(seed, key, by_id[item.pair.id], False)
        for key, item in pool.items.items()
        if pool.is_check(key)
    ]
    curve: dict[str, Any] = {}
    number = 0
    for budget in (0, *BUDGETS):
        while number < budget and (task := pool.choose(labels, "p")) is not None:
            asks = task.ask == "criterion" or arm.endswith("always a criterion")
            labels.append(_answer(seed, task.key, by_id[pool.items[task.key].pair.id], asks))
            number += 1
        candidates = list_candidates(pool, labels)
        found = try_guideline(pool, candidates, settle_by_skill(labels).labels, judge)
        right = _judge_tests(engine, settings, found.criteria, tests, folder)
        curve[str(budget)] = {
            "right": right,
            "criteria": [one.text.partition(":")[0] for one in found.criteria],
            "tried": len(found.decisions),
            "asked_for_criterion": sum(one.criterion is not None for one in labels),
        }
    every = _judge_tests(engine, settings, [RubricItem(text=text) for text in GUIDES.values()], tests, folder)
    is_chat = [isinstance(one.work, ChatWork) for one in tests]
    return {"curve": curve, "with_every_guide": every, "is_chat": is_chat}


def _answer(seed: int, key: str, one: WorldPair, asks_criterion: bool) -> HumanLabel:
    """A person who is right nine times in ten, and names what decides eight times in ten."""
    random = Random(f"{seed}/{key}")
    label = one.pair.label
    if random.random() >= 0.9:
        label = random.choice(["A", "B"])
    criterion = None
    if asks_criterion:
        criterion = "Right answer: is what it says right?"
        if isinstance(one.work, ChatWork):
            wish = one.deciding
            if wish is None or random.random() >= 0.8:
                wish = kind_of(random.choice(one.work.criteria))
            criterion = GUIDES[wish]
    return HumanLabel(key=key, who="p", when=_WHEN, label=label, criterion=criterion)


_judged: dict[Any, list[float]] = {}


def _judge_tests(
    engine: BlindJudge,
    settings: PoolSettings,
    criteria: Sequence[RubricItem],
    tests: Sequence[WorldPair],
    folder: Path,
) -> list[float]:
    """Of each pair the share of rights under three rubrics; kept, since arms share guidelines."""
    place = (settings.seed, tuple(criteria))
    if place not in _judged:
        rows = []
        for rubric in range(3):
            varied = PoolSettings(**{**settings.describe(), "seed": 100 + rubric})
            judge = load(engine, varied, criteria)
            winners = {one.pair.id: one.winner for _, one in judge.run([test.pair for test in tests])}
            rows.append([float(winners[test.pair.id] == test.pair.label) for test in tests])
        _judged[place] = np.mean(rows, axis=0).round(6).tolist()
    return _judged[place]


def run_arms(folder: Path, arms: Iterator[tuple[str, Callable[[], dict[str, Any]]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, measure in arms:
        path = folder / f"{name.replace(' ', '_').replace(',', '')}.json"
        if path.exists():
            continue
        began = time.perf_counter()
        found = {"name": name, **measure(), "seconds": round(time.perf_counter() - began, 1)}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.rename(path)
        print(f"{name}: {found['seconds']} s", flush=True)


def list_kinds(folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for seed in SEEDS:
        for rubrics, votes in SETTINGS:
            for slip in SLIPS if (rubrics, votes) == SETTINGS[0] else (0.1,):
                yield (
                    f"kinds {rubrics}x{votes} slip {slip} seed {seed}",
                    lambda s=seed, r=rubrics, v=votes, e=slip: measure_kinds(folder, s, r, v, e),
                )


def list_world(folder: Path, *, is_rare: bool = False) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    name = "rare" if is_rare else "world"
    for seed in RARE_SEEDS if is_rare else WORLD_SEEDS:
        for arm in ARMS:
            yield (
                f"{name} {arm} seed {seed}",
                lambda s=seed, a=arm: measure_world(folder, s, a, is_rare=is_rare),
            )


def list_real(data: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for name, read in DATASETS.items():
        for seed in SEEDS:
            yield f"real {name} seed {seed}", lambda r=read, s=seed: measure_strategies(r(data), s)


def report(folder: Path) -> None:
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    _report_kinds([one for one in found if one["name"].startswith("kinds")])
    for world in ("world", "rare"):
        _report_world([one for one in found if one["name"].startswith(world)])
    _report_real([one for one in found if one["name"].startswith("real")])


def _group(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["name"].rpartition(" seed ")[0], []).append(row)
    return groups


def _report_kinds(rows: Sequence[dict[str, Any]]) -> None:
    for name, group in _group(rows).items():
        told = []
        for value in ("information", "unadjusted", "entropy", "random"):
            sets = [(np.array(one[value][0]), np.array(one[value][1])) for one in group]
            mean = np.mean([_auc(*one) for one in sets])
            draws = np.random.default_rng(0)
            many = [
                np.mean([_auc(v[i], m[i]) for v, m in sets for i in [draws.integers(0, len(v), len(v))]])
                for _ in range(400)
            ]
            low, high = np.percentile(many, [2.5, 97.5])
            told.append(f"{value} {mean:.3f} ({low:.3f} to {high:.3f})")
        asked = np.mean([one["asked_for_criterion"] for one in group], axis=0)
        first = {
            arm: round(float(np.mean([one["first_20"][arm] for one in group])), 2)
            for arm in group[0]["first_20"]
        }
        print(f"{name}, {len(group)} seeds\n  AUC {', '.join(told)}")
        print(
            f"  asked for a criterion: missing {asked[0]:.2f}, hard {asked[1]:.2f}; missing of the first 20: {first}"
        )


def _auc(values: Any, is_high: Any) -> float:
    """The chance that a high one is above a low one, half for equal ones."""
    if is_high.all() or not is_high.any():
        return 0.5
    difference = values[is_high][:, None] - values[~is_high][None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def _interval(sets: Sequence[Sequence[float]]) -> tuple[float, float]:
    flat = np.concatenate([np.asarray(one) for one in sets])
    return clustered_interval(flat, np.ones(len(flat))) or (0.0, 1.0)


def _report_world(rows: Sequence[dict[str, Any]]) -> None:
    groups = _group(rows)
    for name, group in groups.items():
        print(f"{name}, {len(group)} seeds")
        others = groups[f"{name.split()[0]} random"]
        for budget in group[0]["curve"]:
            points = [one["curve"][budget] for one in group]
            share = [float(np.mean(one["right"])) for one in points]
            low, high = _interval([one["right"] for one in points])
            change = [
                np.array(one["right"]) - np.array(other["curve"][budget]["right"])
                for one, other in zip(points, others, strict=True)
            ]
            flat = np.concatenate(change)
            least, most = clustered_mean_interval(flat, np.ones(len(flat))) or (-1.0, 1.0)
            chat = np.mean([np.array(g["curve"][budget]["right"])[g["is_chat"]].mean() for g in group])
            asked = np.mean([one["asked_for_criterion"] for one in points])
            criteria = np.mean([len(one["criteria"]) for one in points])
            print(
                f"  {budget:>3} labels: {100 * np.mean(share):.1f}% ({100 * low:.1f} to {100 * high:.1f}; seeds "
                f"{', '.join(f'{100 * one:.1f}' for one in share)}), less random {100 * flat.mean():+.1f} "
                f"({100 * least:+.1f} to {100 * most:+.1f}); chat {100 * chat:.1f}%; {criteria:.1f} criteria kept, "
                f"{asked:.0f} asked for"
            )
        every = np.mean([np.mean(one["with_every_guide"]) for one in group])
        print(f"  with every criterion from the start: {100 * every:.1f}%")


def _report_real(rows: Sequence[dict[str, Any]]) -> None:
    for name, group in _group(rows).items():
        one = group[0]
        print(
            f"{name}, {len(group)} seeds: {one['ways']} ways, {one['pool']} pairs to ask about, {one['test']} to test on"
        )
        print(
            f"  majority {_mean(group, 'majority'):.1f}%, best way by the test itself {_mean(group, 'best'):.1f}%"
        )
        for rule in ("chosen", "weighed"):
            for strategy in one[rule]:
                curve = []
                for budget in one[rule][strategy]:
                    rights = [np.array(g[rule][strategy][budget]) for g in group]
                    line = f"{budget}: {100 * np.mean([right.mean() for right in rights]):.1f}"
                    if strategy != "random":
                        others = [np.array(g[rule]["random"][budget]) for g in group]
                        low, high = _difference(group, rights, others)
                        line += f" ({100 * low:+.1f} to {100 * high:+.1f})"
                    curve.append(line)
                print(f"  {rule:8} {strategy:12} {', '.join(curve)}")


def _difference(
    group: Sequence[dict[str, Any]], rights: Sequence[Any], others: Sequence[Any]
) -> tuple[float, float]:
    """95% interval of the mean difference to random, by question over the seeds."""
    questions = np.concatenate([np.array(one["questions"]) for one in group])
    index = np.unique(questions, return_inverse=True)[1]
    change = np.concatenate([right - other for right, other in zip(rights, others, strict=True)])
    return clustered_mean_interval(np.bincount(index, change), np.bincount(index).astype(float)) or (
        -1.0,
        1.0,
    )


def _mean(group: Sequence[dict[str, Any]], name: str) -> float:
    return 100 * float(np.mean([one[name] for one in group]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["kinds", "world", "rare", "real", "report"])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, default=Path("shared/data"), help="for real: recorded outputs and labels"
    )
    arguments = parser.parse_args()
    folder = arguments.output
    if arguments.what == "report":
        return report(folder)
    arms = {
        "kinds": list_kinds(folder),
        "world": list_world(folder),
        "rare": list_world(folder, is_rare=True),
        "real": list_real(arguments.data),
    }
    return run_arms(folder, arms[arguments.what])


if __name__ == "__main__":
    main()
