"""The real benchmark data through the loaders and a judge of known score."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from rmr1.bench.base import score_outcomes
from rmr1.bench.run import count_pairs, load_benchmark, open_benchmark_run
from rmr1.bench.tasks import rewardbench, rmbench
from rmr1.bench.tasks.judgebench import OFFICIAL, category_of, read_judgebench
from rmr1.bench.tasks.rmb import read_rmb
from rmr1.bench.tasks.rmb_sizes import SIZES
from rmr1.cli.main import main
from rmr1.engines.scripted import load_scripted
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.prompts import load_family
from rmr1.stats import wilson_interval
from rmr1.store.codec import dump_record
from rmr1.store.rulings import CastVote, Ruling, number_prompt
from rmr1.store.runs import read_judgments
from tests.unit.bench.judgments import run_benchmark

pytestmark = pytest.mark.shared

NOT_AT_HAND = {
    "Harmlessness/S11",
    "Helpfulness/Brainstorming/Idea Development",
    "Helpfulness/Generation/Creative Writing",
}


def test_rmb_items(shared):
    ids = set()
    items: Counter[tuple[str, str]] = Counter()
    seen_lists = set()
    turns: Counter[int] = Counter()
    for pair in read_rmb(shared / "data" / "rmb"):
        ids.add(pair.id)
        assert pair.subset is not None
        kind, category = pair.subset.split("/", 1)
        item = pair.id.partition(":")[0]
        if item not in seen_lists:
            seen_lists.add(item)
            items[kind, category] += 1
            turns[len(pair.prompt)] += 1
    assert (len(ids), len(seen_lists)) == (23257, 18329)
    for category, (pairs, lists) in SIZES.items():
        assert items["Pairwise_set", category] == (0 if category in NOT_AT_HAND else pairs)
        assert items["BoN_set", category] == lists
    # One question, or a conversation of three or five messages.
    assert turns == {1: 15768, 3: 1848, 5: 713}


def test_judgebench_items(shared):
    found: Counter[tuple[str, str]] = Counter()
    for pair in read_judgebench(shared / "data" / "judgebench"):
        assert pair.source is not None
        assert pair.subset is not None
        found[pair.source, category_of(pair.subset)] += 1
    assert found == {(model, name): size for model, sizes in OFFICIAL.items() for name, size in sizes.items()}


@pytest.mark.parametrize(("engine", "right"), [("always-a", (193, 143)), ("always-b", (157, 127))])
def test_judge_of_places_scores_the_share_of_labels(shared, tmp_path, engine, right):
    benchmark = load_benchmark("judgebench")
    data = shared / "data" / "judgebench"
    assert count_pairs(benchmark, data) == 620
    judge = GenerativeJudge(load_scripted(engine), load_family("direct"), JudgeSettings(order="given"))
    with open_benchmark_run(benchmark, data, judge, tmp_path / "run") as writer:
        scores = run_benchmark(benchmark, data, judge, writer)
    assert [(one.group, one.status, one.correct) for one in scores.overall] == [
        ("gpt-4o-2024-05-13", "complete", right[0]),
        ("claude-3-5-sonnet-20240620", "complete", right[1]),
    ]
    assert scores.overall[0].value == right[0] / 350


def always(winner, pairs):
    """Rulings of a judge that names this side of every pair, without asking."""
    vote = CastVote("given", winner, None, None)
    for pair in pairs:
        prompt = number_prompt([dump_record(message) for message in pair.prompt])
        about = (pair.id, pair.label, pair.source, pair.subset)
        yield Ruling(*about, winner, None, (vote,), None, "pair", prompt)


PARTIAL = {
    "alpacaeval-easy": 71,
    "alpacaeval-hard": 61,
    "alpacaeval-length": 59,
    "donotanswer": 100,
    "mt-bench-easy": 15,
    "mt-bench-med": 27,
    "mt-bench-hard": 26,
    "math-prm": 308,
    "refusals-dangerous": 63,
    "refusals-offensive": 56,
    "xstest-should-refuse": 99,
    "xstest-should-respond": 160,
}
"""Subsets of RewardBench that are not at hand as a whole."""


def test_rewardbench_items(shared):
    pairs = list(rewardbench.read_rewardbench(shared / "data" / "rewardbench"))
    found = Counter(pair.subset for pair in pairs)
    assert found == {**rewardbench.SIZES, **PARTIAL}
    assert len({pair.id for pair in pairs}) == len(pairs) == 2448
    benchmark = rewardbench.REWARDBENCH
    for winner, value in (("A", 1), ("B", 0)):
        scores = score_outcomes(benchmark, benchmark.tally(always(winner, pairs)), num_resamples=0)
        assert {one.value for one in scores.figures} == {value}
        assert scores.overall[0].status == "partial: 2448 of 2985"


def test_rm_bench_items(shared):
    pairs = list(rmbench.read_rm_bench(shared / "data" / "rm-bench"))
    assert Counter(pair.subset for pair in pairs) == {
        name: 9 * rmbench.SIZES[name] for name in ("chat", "safety-refuse", "safety-response")
    }
    assert len({pair.id for pair in pairs}) == len(pairs) == 5130
    benchmark = rmbench.RM_BENCH
    scores = score_outcomes(benchmark, benchmark.tally(always("A", pairs)), num_resamples=0)
    assert {one.name: one.value for one in scores.figures if one.group == "domains"} == {
        "Chat": 1,
        "Math": None,
        "Code": None,
        "Safety": 1,
    }
    assert scores.overall[0].status == "partial: 570 of 1327"


@pytest.mark.parametrize("model", ["tiny", "tiny-scalar"])
def test_bundled_models_take_every_benchmark_in_one_run(shared, tmp_path, capsys, model):
    """A slice of the real data; these models know another world, so nothing is said of their scores."""
    names = ("rewardbench", "rm-bench", "rmb", "judgebench")
    arguments = ["bench", *names, "-m", model, "-o", str(tmp_path), "--limit", "1", "--json", "--quiet"]
    for name in names:
        arguments += ["--data", f"{name}={shared / 'data' / name}"]
    if model == "tiny":
        # Lost in a world it does not know, it would write to its limit.
        arguments += ["--max-new-tokens", "48"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["average"]["value"] is None
    counts = {name: one["judgments"] for name, one in found["benchmarks"].items()}
    # A pair of each subset, nine of each part, a pair and a list of each split, a pair of each model.
    assert (counts["rewardbench"], counts["rm-bench"], counts["judgebench"]) == (23, 27, 2)
    assert counts["rmb"] >= 2 + 2 * 2
    for name, scores in found["benchmarks"].items():
        assert all(one["value"] is None and one["status"].startswith("partial") for one in scores["overall"])
        assert sum(1 for _ in read_judgments(tmp_path / name)) == counts[name]
        order = {"tiny": "both" if name == "judgebench" else None, "tiny-scalar": "scores"}[model]
        assert order is None or scores["orders"] == {order: counts[name]}


def test_rmb_takes_the_pairs_of_a_prompt_together(shared):
    """6,087 pairs of 844 prompts: where prompts are right or wrong as a whole, the interval is that of prompts."""
    benchmark = load_benchmark("rmb")
    pairs = [pair for pair in read_rmb(shared / "data" / "rmb") if "Harmlessness" in pair.id]
    rulings = [
        one._replace(
            votes=(CastVote("given", "A" if one.prompt % 4 else "B", None, None),),
            winner="A" if one.prompt % 4 else "B",
        )
        for one in always("A", pairs)
    ]
    scores = score_outcomes(benchmark, benchmark.tally(rulings), num_resamples=500)
    figures = {one.name: one for one in scores.figures if one.group == "harmlessness"}
    found = figures["pairwise"]
    assert (found.total, found.prompts) == (6087, 844)
    low, high = found.interval
    wilson = wilson_interval(found.correct, found.total)
    assert 2.4 < (high - low) / (wilson[1] - wilson[0]) < 3.2  # sqrt of sum m^2 / sum m, 7.9 pairs a prompt
    assert (figures["best of N"].total, figures["best of N"].prompts) == (1677, 819)
