"""Stored runs compared: scripted judges over own pairs, half-finished runs, recorded judges, the gate."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rmr1.bench.compare import compare_runs, find_source
from rmr1.bench.recorded import read_recorded
from rmr1.bench.results import check_baseline
from rmr1.bench.run import open_benchmark_run, score_finished
from rmr1.bench.tasks.judgebench import JUDGEBENCH
from rmr1.bench.tasks.pairs import PAIRS
from rmr1.engines.scripted import load_scripted
from rmr1.errors import DataError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.prompts import load_family
from rmr1.stats import mcnemar_test
from rmr1.store.runs import read_judgments
from tests.integration.runs import write_pairs
from tests.unit.bench.judgments import run_benchmark


def live(data, folder, engine, *, order="seeded", limit=None):
    judge = GenerativeJudge(load_scripted(engine), load_family("rubric"), JudgeSettings(order=order))
    with open_benchmark_run(PAIRS, data, judge, folder) as writer:
        return run_benchmark(PAIRS, data, judge, writer, limit=limit)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """400 pairs labelled A, B and tie; every tenth repeats the one before it."""
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", 400)


def by_hand(first, second):
    """(right in both, only in the first, only in the second, none) by pair id."""
    runs = [{one.pair.id: bool(one.correct) for _, one in read_judgments(run)} for run in (first, second)]
    outcomes = [(runs[0][name], runs[1][name]) for name in runs[0]]
    return [outcomes.count(one) for one in ((True, True), (True, False), (False, True), (False, False))]


def test_two_live_runs(data, tmp_path):
    longer, first = tmp_path / "longer", tmp_path / "first"
    scores = live(data, longer, "longer")
    live(data, first, "always-a")
    both, only_new, only_old, none = by_hand(longer, first)
    assert both + only_new + only_old + none == 400
    comparison = compare_runs(PAIRS, longer, first)
    (overall,) = comparison.overall
    assert (overall.new, overall.old) == ((both + only_new) / 400, (both + only_old) / 400)
    assert overall.new == scores.overall[0].value
    # Every tenth pair repeats the one before it, so both are one prompt.
    assert (overall.test.only_first, overall.test.only_second) == (only_new, only_old)
    assert (overall.items, overall.prompts) == (400, 360)
    assert overall.p == pytest.approx(mcnemar_test(only_new, only_old).mid_p, rel=0.5, abs=0.02)
    assert overall.interval[0] <= overall.difference <= overall.interval[1]
    assert (comparison.shared, comparison.only_new.count, comparison.changed.count) == (400, 0, 0)
    ties = next(one for one in comparison.figures if (one.group, one.name) == ("label", "tie"))
    assert ties.new == ties.old == 0  # neither judge ever calls a tie
    assert json.loads(json.dumps(comparison.describe()))["overall"][0]["better"] == only_new
    gate = check_baseline(scores, comparison)
    assert gate.is_passed == (overall.p > 0.05 or overall.difference > 0)


def test_a_judge_is_as_good_as_itself_whatever_the_order_of_judging(data, tmp_path):
    scores = live(data, tmp_path / "new", "hash")
    live(data, tmp_path / "old", "hash")
    lines = (tmp_path / "old" / "judgments.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "old" / "judgments.jsonl").write_text("".join(reversed(lines)))
    comparison = compare_runs(PAIRS, tmp_path / "new", tmp_path / "old")
    (overall,) = comparison.overall
    assert (overall.difference, overall.better, overall.worse, overall.p) == (0, 0, 0, 1)
    assert check_baseline(scores, comparison).is_passed


def test_a_run_that_was_stopped(data, tmp_path):
    live(data, tmp_path / "new", "longer")
    live(data, tmp_path / "old", "always-a", limit=150)
    comparison = compare_runs(PAIRS, tmp_path / "new", tmp_path / "old")
    assert (comparison.shared, comparison.only_new.count, comparison.only_old.count) == (150, 250, 0)
    assert comparison.overall[0].items == 150


def test_edited_data_is_noticed(data, tmp_path):
    live(data, tmp_path / "old", "longer")
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[3]["response_a"] += " and more"
    rows[5]["label"] = "A" if rows[5]["label"] == "B" else "B"
    edited = tmp_path / "edited.jsonl"
    edited.write_text("".join(json.dumps(row) + "\n" for row in rows))
    live(edited, tmp_path / "new", "longer")
    comparison = compare_runs(PAIRS, tmp_path / "new", tmp_path / "old")
    assert comparison.changed.examples == (rows[3]["id"], rows[5]["id"])
    assert comparison.shared == 398


def test_runs_of_other_data_share_nothing(data, tmp_path):
    other = write_pairs(tmp_path / "other.jsonl", 20, seed=7)
    live(data, tmp_path / "new", "longer", limit=20)
    live(other, tmp_path / "old", "longer")
    with pytest.raises(DataError, match=r"share no pair of pairs: .* have one id"):
        compare_runs(PAIRS, tmp_path / "new", tmp_path / "old")


def test_where_a_baseline_is_found(data, tmp_path):
    live(data, tmp_path / "all" / "pairs", "longer", limit=10)
    folder = tmp_path / "all" / "pairs"
    assert find_source(folder) == folder
    read_again = find_source(folder, "tagged")
    (overall,) = compare_runs(PAIRS, folder, read_again).overall
    assert (overall.items, overall.difference) == (10, 0)
    with pytest.raises(DataError, match="no such file or folder"):
        find_source(tmp_path / "nowhere")


def test_recorded_judges(shared):
    """Two scalar judges of JudgeBench, from their published outputs."""
    folder = shared / "data" / "judge-outputs" / "judgebench"
    names = ("Ray2333_GRM-Gemma-2B-rewardmodel-ft", "Skywork_Skywork-Reward-Gemma-2-27B")
    small, large = (folder / f"ScalerLab__gpt-4o-2024-05-13__reward_model__{name}.jsonl.gz" for name in names)
    new, old = find_source(large), find_source(small)
    comparison = compare_runs(JUDGEBENCH, new, old)
    (overall,) = comparison.overall
    scores = score_finished(JUDGEBENCH, large)
    assert overall.new == scores.overall[0].value
    assert (overall.items, overall.is_partial) == (350, False)
    right = [
        {one.judgment.pair.id: one.judgment.correct for one in read_recorded(path)} for path in (large, small)
    ]
    assert overall.better == sum(right[0][name] and not right[1][name] for name in right[0])
    assert overall.worse == sum(right[1][name] and not right[0][name] for name in right[0])
    assert check_baseline(scores, comparison, fail_under=50).is_passed
    # The other way round a judge that is significantly worse does not pass.
    worse = check_baseline(score_finished(JUDGEBENCH, small), compare_runs(JUDGEBENCH, old, new))
    assert worse.is_passed == (overall.p > 0.05 or overall.difference < 0)


def test_without_one_order(data, tmp_path):
    """A both-order run against a one-order run: compared, and said."""
    live(data, tmp_path / "new", "longer", order="both")
    live(data, tmp_path / "old", "longer")
    comparison = compare_runs(PAIRS, tmp_path / "new", tmp_path / "old")
    assert any(
        note.startswith("the runs were not asked alike (order: both 400;") for note in comparison.notes
    )
    # Of equal lengths the scripted judge takes the first; the drawn order counts in both runs.
    assert (comparison.overall[0].better, comparison.overall[0].worse) == (0, 0)
    assert {one.name for one in comparison.figures if one.group == "pairs"} == set()


def test_judgments_at_hand(data, tmp_path):
    live(data, tmp_path / "run", "longer", limit=30)
    judgments = [judgment for _, judgment in read_judgments(tmp_path / "run")]
    lost = [replace(one, winner=None, problem="no_verdict", votes=()) for one in judgments]
    (overall,) = compare_runs(PAIRS, lost, tmp_path / "run").overall
    assert (overall.new, overall.better) == (0, 0)
    assert overall.worse == sum(bool(one.correct) for one in judgments)
