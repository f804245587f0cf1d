"""JudgeBench: hand-worked scores, completeness, reading."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from rmr1.bench.base import score_judgments
from rmr1.bench.recorded import ORDERS
from rmr1.bench.tasks.judgebench import (
    JUDGEBENCH,
    OFFICIAL,
    category_of,
    find_judgebench_files,
    read_judgebench,
)
from rmr1.errors import DataError
from rmr1.records import Generation, Judgment, Verdict, Vote
from rmr1.store.rulings import ruling_of
from tests.unit.bench.judgments import judge, make_pair

GPT = "gpt-4o-2024-05-13"
SOURCES = {
    "Knowledge": "mmlu-pro-law",
    "Reasoning": "livebench-reasoning",
    "Math": "livebench-math",
    "Coding": "livecodebench",
}


def score_judgebench(judgments):
    return score_judgments(JUDGEBENCH, judgments, num_resamples=200)


def jb_pair(pair_id="p", label="A", source="mmlu-pro-law", model=GPT):
    return make_pair(pair_id, label, source=model, subset=source)


def figure(scores, name, group=GPT):
    return next(one for one in scores.figures if one.name == name and one.group == group)


@pytest.mark.parametrize(
    ("label", "winners", "correct"),
    [
        ("A", ("A", "A"), 1),
        ("A", ("A", "tie"), 1),
        ("A", ("tie", "A"), 1),
        ("A", ("A", None), 1),
        ("A", (None, "A"), 1),
        ("A", ("A", "B"), 0),
        ("A", ("B", "A"), 0),
        ("A", ("tie", "tie"), 0),
        ("A", (None, None), 0),
        ("A", ("B", "tie"), 0),
        ("A", ("B", "B"), 0),
        ("B", ("B", "B"), 1),
        ("B", ("B", None), 1),
        ("B", ("A", "A"), 0),
        ("A", ("A",), 1),
        ("A", ("B",), 0),
        ("A", ("tie",), 0),
        ("A", (None,), 0),
        ("B", ("B",), 1),
    ],
)
def test_sum_of_both_orders_decides(label, winners, correct):
    scores = score_judgebench([judge(jb_pair(label=label), *winners)])
    found = figure(scores, "Knowledge")
    assert (found.correct, found.total) == (correct, 1)
    assert found.no_verdict == (None in winners)
    assert found.ties == ("tie" in winners)


def test_consistency():
    judgments = [
        judge(jb_pair("1"), "A", "A"),
        judge(jb_pair("2"), "B", "B"),
        judge(jb_pair("3"), "A", "B"),
        judge(jb_pair("4"), "tie", "tie"),
        judge(jb_pair("5"), "A", None),
        judge(jb_pair("6"), None, None),
    ]
    scores = score_judgebench(judgments)
    same, right = figure(scores, "same verdict both ways"), figure(scores, "right both ways")
    assert (same.correct, same.total, same.no_verdict) == (3, 6, 2)
    assert (right.correct, right.total) == (1, 6)
    # Right twice, and right once with no verdict.
    assert figure(scores, "Knowledge").correct == 2
    assert (scores.overall[0].no_verdict, scores.overall[0].ties) == (2, 1)
    assert dict(scores.problems) == {"no_verdict": 3}
    assert dict(scores.orders) == {"both": 6}


def test_single_game_has_no_consistency():
    scores = score_judgebench([judge(jb_pair(), "A")])
    assert [one.name for one in scores.figures] == ["Knowledge", "Reasoning", "Math", "Coding"]


def test_several_samples_of_an_order_are_one_vote_by_majority():
    pair = jb_pair()
    votes = [
        Vote(
            order=order,
            sample=index,
            generation=Generation(text="", finish_reason="stop"),
            verdict=Verdict(winner=winner),
        )
        for order in ORDERS
        for index, winner in enumerate("AAB")
    ]
    judgment = Judgment(
        pair=pair, family="f", rule="r", winner=None, problem="split_vote", votes=tuple(votes)
    )
    # Swapped, two of three say A, which is the pair's B.
    assert ruling_of(judgment).by_order() == {"given": ("A", None), "swapped": ("B", None)}
    assert figure(score_judgebench([judgment]), "Knowledge").correct == 0


def test_scalar_judgment_is_a_single_game():
    right = Judgment(pair=jb_pair("1", "B"), family="f", rule="scores", winner="B", scores=(0.5, 1.5))
    tie = Judgment(pair=jb_pair("2", "B"), family="f", rule="scores", winner="tie", scores=(1.0, 1.0))
    scores = score_judgebench([right, tie])
    found = figure(scores, "Knowledge")
    assert (found.correct, found.total, found.ties) == (1, 2, 1)
    assert dict(scores.orders) == {"scores": 2}


def whole_set(model=GPT):
    return [
        judge(jb_pair(f"{category}-{index}", "A", SOURCES[category], model), "A", "A")
        for category, size in OFFICIAL[model].items()
        for index in range(size)
    ]


def test_whole_set_has_an_overall_score():
    judgments = whole_set()
    judgments[:35] = [judge(one.pair, "B", "B") for one in judgments[:35]]
    whole = score_judgebench(judgments).overall[0]
    assert whole.value == pytest.approx(315 / 350)
    assert (whole.status, whole.correct, whole.total, whole.official) == ("complete", 315, 350, 350)


def test_partial_set_has_none():
    whole = score_judgebench(whole_set()[:-1]).overall[0]
    assert whole.value is None
    assert whole.status == "partial: 349 of 350"
    assert whole.missing == ("Coding",)


def test_a_pair_that_stands_in_for_another_does_not_complete_the_set():
    judgments = whole_set()
    judgments[-1] = judgments[-2]
    whole = score_judgebench(judgments).overall[0]
    assert whole.value is None
    assert whole.status == "partial: 349 of 350"


def test_duplicate_rows_all_count():
    scores = score_judgebench([judge(jb_pair(), "A", "A"), judge(jb_pair(), "B", "B")])
    assert (figure(scores, "Knowledge").correct, figure(scores, "Knowledge").total) == (1, 2)


def test_both_sets_are_scored_apart():
    scores = score_judgebench(whole_set("claude-3-5-sonnet-20240620") + whole_set()[:1])
    assert [(one.group, one.status) for one in scores.overall] == [
        (GPT, "partial: 1 of 350"),
        ("claude-3-5-sonnet-20240620", "complete"),
    ]


def test_unofficial_set():
    whole = score_judgebench([judge(jb_pair(model="my-model"), "A", "A")]).overall[0]
    assert (whole.value, whole.status) == (None, "not official: 1 items")


def test_a_model_name_may_hold_a_slash():
    scores = score_judgebench([judge(jb_pair(model="openai/gpt-4o"), "A", "A")])
    assert [(one.group, one.status) for one in scores.overall] == [("openai/gpt-4o", "not official: 1 items")]
    assert figure(scores, "Knowledge", "openai/gpt-4o").correct == 1


def test_a_scalar_judge_without_one_of_its_scores_keeps_its_place():
    """One vote without text says why; no order was asked in."""
    judgments = whole_set()
    lost = judge(judgments[0].pair, None, orders=("given",))
    judgments[0] = replace(lost, rule="scores", kind="score")
    scores = score_judgebench(judgments)
    assert (dict(scores.orders)["scores"], scores.deviations) == (1, ())


def test_official_sizes():
    assert {model: sum(sizes.values()) for model, sizes in OFFICIAL.items()} == {
        GPT: 350,
        "claude-3-5-sonnet-20240620": 270,
    }


def test_categories():
    assert [category_of(source) for source in SOURCES.values()] == list(SOURCES)
    assert category_of("trivia") is None and category_of("mmlu-pro/law") is None


def test_pair_of_another_benchmark():
    message = "no labelled pair of JudgeBench; was the run made with bench judgebench?"
    for pair in (make_pair("x"), make_pair("x", source="rewardbench", subset="donotanswer")):
        with pytest.raises(DataError, match=re.escape(message)):
            score_judgebench([judge(pair, "A", "A")])


ROW = {
    "pair_id": "p1",
    "original_id": "7",
    "source": "livebench-math",
    "question": "1 + 1?",
    "response_model": GPT,
    "response_A": "3",
    "response_B": "2",
    "label": "B>A",
}


def test_reading(tmp_path):
    rows = [ROW, {**ROW, "pair_id": "p2", "label": "A>B"}, {**ROW, "pair_id": "p3"}]
    (tmp_path / "gpt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = list(read_judgebench(tmp_path))
    assert [(pair.id, pair.label) for pair in pairs] == [("p1", "B"), ("p2", "A"), ("p3", "B")]
    assert pairs[0].prompt[0].text == "1 + 1?"
    assert (pairs[0].response_a[0].text, pairs[0].response_b[0].text) == ("3", "2")
    assert (pairs[0].source, pairs[0].subset) == (GPT, "livebench-math")
    assert [pair.id for pair in read_judgebench(tmp_path, 2)] == ["p1", "p2"]
    assert find_judgebench_files(tmp_path / "gpt.jsonl") == [tmp_path / "gpt.jsonl"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "A"}, r"label 'A' is not"),
        ({"question": None}, "no text in 'question'"),
        ({"source": "x"}, "source 'x'"),
    ],
)
def test_bad_row_names_its_place(tmp_path, change, message):
    (tmp_path / "gpt.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, **change}) + "\n")
    with pytest.raises(DataError, match=message) as error:
        list(read_judgebench(tmp_path))
    assert str(error.value).startswith(f"{tmp_path / 'gpt.jsonl'}:2: ")


def test_no_data(tmp_path):
    with pytest.raises(DataError, match=r"no \*.jsonl file in it"):
        find_judgebench_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_judgebench_files(tmp_path / "none")
