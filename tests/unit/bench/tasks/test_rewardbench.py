"""RewardBench: hand-worked scores, published figures, completeness, reading."""

from __future__ import annotations

import gzip
import json

import pytest

from rmr1.bench.base import score_judgments
from rmr1.bench.tasks.rewardbench import (
    REWARDBENCH,
    SECTIONS,
    SIZES,
    find_rewardbench_files,
    read_rewardbench,
)
from rmr1.errors import ConfigError, DataError
from tests.unit.bench.judgments import judge, make_pair


def one(subset, number, winner, label="A"):
    return judge(make_pair(f"{subset}/{number}", label), winner, orders=("given",))


def score(judgments, **settings):
    return score_judgments(REWARDBENCH, judgments, num_resamples=200, **settings)


def figures(scores):
    return {figure.name: figure for figure in scores.figures}


def official(wrong):
    """A judgment of every official pair; `wrong` of each subset are lost."""
    return [
        one(subset, number, "B" if number < wrong.get(subset, 0) else "A")
        for subset, size in SIZES.items()
        for number in range(size)
    ]


def test_official_sizes():
    assert (len(SIZES), sum(SIZES.values())) == (23, 2985)
    assert [sum(SIZES[name] for name in subsets) for subsets in SECTIONS.values()] == [358, 456, 740, 1431]
    # Reasoning is half mathematics, half code.
    reasoning = SECTIONS["Reasoning"]
    assert reasoning["math-prm"] == sum(reasoning.values()) - reasoning["math-prm"] == 984


def test_always_right():
    scores = score(official({}))
    assert [(name, figure.value) for name, figure in figures(scores).items()] == [
        ("Chat", 1),
        ("Chat Hard", 1),
        ("Safety", 1),
        ("Reasoning", 1),
        ("plain accuracy", 1),
    ]
    (whole,) = scores.overall
    assert (whole.value, whole.status, whole.total) == (1, "complete", 2985)


def test_sections_by_hand():
    scores = score(official({"math-prm": 447, "hep-cpp": 41, "donotanswer": 34, "mt-bench-easy": 7}))
    found = figures(scores)
    # All of mathematics is half of Reasoning; a quarter of one language in six an eighth of a third of it.
    assert found["Reasoning"].value == pytest.approx(0.5 - 0.25 / 12)
    assert found["Safety"].value == pytest.approx(1 - 34 / 740)
    assert found["Chat"].value == pytest.approx(1 - 7 / 358)
    assert found["Chat Hard"].value == 1
    wrong = 447 + 41 + 34 + 7
    assert found["plain accuracy"].value == pytest.approx(1 - wrong / 2985)
    (whole,) = scores.overall
    assert whole.value == pytest.approx((0.5 - 0.25 / 12 + 1 - 34 / 740 + 1 - 7 / 358 + 1) / 4)
    low, high = whole.interval
    assert low < whole.value < high
    assert high - low < 0.02
    subsets = {figure.name: figure for figure in scores.categories}
    assert (subsets["mt-bench-easy"].correct, subsets["mt-bench-easy"].total) == (21, 28)


def test_ties_and_missing_verdicts_by_both_rules():
    judgments = official({})
    judgments[:3] = [
        one("alpacaeval-easy", 0, "tie"),
        one("alpacaeval-easy", 1, None),
        one("alpacaeval-easy", 2, "B"),
    ]
    plain = figures(score(judgments))["plain accuracy"]
    assert plain.value == pytest.approx(2982 / 2985)
    assert (plain.ties, plain.no_verdict) == (1, 1)
    # Upstream's own script gives half a win for either.
    upstream = score(judgments, variant="upstream")
    assert figures(upstream)["plain accuracy"].value == pytest.approx(2983 / 2985)
    assert figures(upstream)["Chat"].value == pytest.approx(1 - 2 / 358)
    assert upstream.overall[0].value == pytest.approx(1 - 2 / 358 / 4)
    assert upstream.variant == "upstream"
    with pytest.raises(ConfigError, match="RewardBench has no scoring 'x'; it has official, upstream"):
        score(judgments, variant="x")


def test_partial_data_has_no_overall():
    judgments = official({})
    scores = score(judgments[:-1])
    (whole,) = scores.overall
    assert (whole.value, whole.interval, whole.status) == (None, None, "partial: 2984 of 2985")
    assert whole.missing == ("hep-rust",)
    assert not scores.is_complete
    # A section without one of its subsets is no number.
    few = figures(score([one("donotanswer", 0, "A")]))
    assert few["Safety"].value is None
    assert few["plain accuracy"].value == 1


def test_both_orders_stand_beside():
    pairs = [make_pair(f"donotanswer/{number}") for number in range(4)]
    judgments = [
        judge(pairs[0], "A", "A"),
        judge(pairs[1], "A", "B"),
        judge(pairs[2], "A", None),
        judge(pairs[3], "B", "B"),
    ]
    scores = score(judgments)
    found = figures(scores)
    # What was asked first counts, as for a judge that is asked once.
    assert found["plain accuracy"].correct == 3
    assert found["plain accuracy"].no_verdict == 0
    assert sum(dict(scores.problems).values()) == 1
    assert (found["right both ways"].correct, found["right both ways"].total) == (1, 4)
    assert found["same verdict both ways"].correct == 2


@pytest.mark.parametrize("pair_id", ["7", "donotanswer", "no-such/1"])
def test_pair_of_another_benchmark(pair_id):
    with pytest.raises(DataError, match="no labelled pair of RewardBench"):
        score([judge(make_pair(pair_id), "A", "A")])


def test_judged_twice():
    with pytest.raises(DataError, match="'donotanswer/3' was judged twice"):
        score([one("donotanswer", 3, "A"), one("donotanswer", 3, "A")])


def test_published_figures_of_rm_r1(shared):
    folder = shared / "data" / "rm-r1-published" / "RM-R1-DeepSeek-Distilled-Qwen-32B" / "reward_bench"
    subsets = json.loads((folder / "score_result" / "each_small_section_score.json").read_text())
    published = json.loads((folder / "score_result" / "main_score.json").read_text())
    # Each subset's accuracy is a whole number of right answers.
    wrong = {name: size - round(subsets[name] * size) for name, size in SIZES.items()}
    scores = score(official(wrong))
    assert scores.overall[0].value == pytest.approx(published["avg_Result_each_section"], abs=1e-9)
    assert figures(scores)["plain accuracy"].value == pytest.approx(published["absoluate_Result"], abs=1e-9)
    assert all(figures(scores)[name].value == pytest.approx(published[name], abs=1e-9) for name in SECTIONS)


ROW = {"id": 3692, "subset": "donotanswer", "prompt": "Q", "chosen": "good", "rejected": "bad"}


def test_reading(tmp_path):
    chat = {**ROW, "subset": "hep-go", "id": 1, "prompt": [{"role": "user", "content": "Q"}]}
    with gzip.open(tmp_path / "filtered.jsonl.gz", "wt") as file:
        for row in (ROW, {**ROW, "rejected": "worse"}, chat):
            file.write(json.dumps(row) + "\n")
    (tmp_path / "raw.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": "x"}) + "\n")
    (tmp_path / "lists.jsonl").write_text(json.dumps({**ROW, "subset": ["x"]}) + "\n")
    (tmp_path / "notes.md").write_text("x")
    assert [file.name for file in find_rewardbench_files(tmp_path)] == ["filtered.jsonl.gz"]
    pairs = list(read_rewardbench(tmp_path))
    # An id that occurs twice is two items.
    assert [pair.id for pair in pairs] == ["donotanswer/3692", "donotanswer/3692-2", "hep-go/1"]
    assert (pairs[0].response_a[0].text, pairs[0].response_b[0].text, pairs[0].label) == ("good", "bad", "A")
    assert pairs[2].prompt[0].text == "Q"
    assert len(list(read_rewardbench(tmp_path, 1))) == 2


def test_bad_row_names_its_place(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "subset": "x"}) + "\n")
    with pytest.raises(DataError, match="'x' is no part of RewardBench; it has") as error:
        list(read_rewardbench(path))
    assert str(error.value).startswith(f"{path}:2: ")
    with pytest.raises(DataError, match="no such folder"):
        find_rewardbench_files(tmp_path / "none")
    with pytest.raises(DataError, match="no file with RewardBench's columns"):
        find_rewardbench_files(tmp_path.parent / tmp_path.name / "..")
