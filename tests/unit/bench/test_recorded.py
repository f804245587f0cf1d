"""Readers of recorded outputs: what decides, both frames, comparison, causes."""

from __future__ import annotations

import json

import pytest

from rmr1.bench import recorded
from rmr1.bench.judgebench import points
from rmr1.bench.recorded import (
    UNEXPLAINED,
    compare_recorded,
    decision_in,
    parse_score_json,
    read_judgebench_outputs,
    read_recorded,
    read_rm_r1_logs,
)
from rmr1.data.files import read_rows
from rmr1.errors import ConfigError, DataError

ROW = {
    "pair_id": "p1",
    "source": "livecodebench",
    "question": "Q",
    "response_model": "gpt-4o-2024-05-13",
    "response_A": "a",
    "response_B": "b",
    "label": "A>B",
    "judge_name": "arena_hard",
}


def text(response, decision):
    return {"judgment": {"judge_model": "m", "response": response}, "decision": decision}


def scores(first, second, decision):
    return {"judgment": {"response": "", "scores": [first, second]}, "decision": decision}


def apart(first, second, decision):
    return {
        "judgment": {"raw_judge_A": first, "raw_judge_B": second, "score_A": 9, "score_B": 9},
        "decision": decision,
    }


@pytest.fixture
def write(tmp_path):
    def write_rows(*rows):
        path = tmp_path / "outputs.jsonl"
        path.write_text("".join(json.dumps({**ROW, "judgments": list(row)}) + "\n" for row in rows))
        return path

    return write_rows


def test_second_judgment_is_in_the_swapped_frame(write):
    (item,) = read_judgebench_outputs(write([text("so [[A>>B]]", "A>B"), text("so [[B>A]]", "B>A")]))
    assert [vote.winner for vote in item.judgment.votes] == ["A", "A"]
    assert [vote.verdict.winner for vote in item.judgment.votes] == ["A", "B"]
    assert item.recorded == (("given", "A"), ("swapped", "A"))
    assert (item.judgment.winner, item.judgment.rule, item.judgment.family) == ("A", "arena", "arena_hard")


def test_the_text_decides_and_not_the_record(write):
    path = write([text("[[A>B]]", "B>A"), text("**A>>B**", "A>B")])
    (item,) = read_judgebench_outputs(path)
    assert [vote.winner for vote in item.judgment.votes] == ["A", None]
    agreement = compare_recorded([item])
    assert (agreement.decisions, agreement.agree) == (2, 0)
    first, second = agreement.disagreements
    assert (first.pair_id, first.order, first.ours, first.recorded, first.cause) == (
        "p1",
        "given",
        "A",
        "B",
        UNEXPLAINED,
    )
    assert (second.order, second.ours, second.problem, second.recorded) == (
        "swapped",
        "none",
        "no_verdict",
        "B",
    )


def test_a_side_named_twice(write):
    items = read_judgebench_outputs(write([text("[[A>>A]]", "A>A"), text("[[A=B]]", "A=B")]))
    agreement = compare_recorded(items)
    assert agreement.agree == 1
    assert "one side twice" in agreement.disagreements[0].cause


def test_null_judgment_has_no_verdict(write):
    (item,) = read_judgebench_outputs(write([None, {"judgment": None, "decision": None}]))
    assert item.judgment.winner is None
    assert compare_recorded([item]).agree == 2


def test_mirrored_scores_are_one_scalar_judgment(write):
    items = list(
        read_judgebench_outputs(
            write(
                [scores(1, 2, "B>A"), scores(2, 1, "A>B")],
                [scores(1.5, 1.5, "B>A"), scores(1.5, 1.5, "B>A")],
                [scores(3, 1, "A>B")],
            )
        )
    )
    assert [(item.judgment.scores, item.judgment.winner) for item in items] == [
        ((1.0, 2.0), "B"),
        ((1.5, 1.5), "tie"),
        ((3.0, 1.0), "A"),
    ]
    assert all(item.judgment.votes == () for item in items)
    agreement = compare_recorded(items)
    assert (agreement.decisions, agreement.agree) == (5, 3)
    assert {one.cause for one in agreement.disagreements} == {
        "equal scores are a tie; the record gives them to the answer shown last"
    }


def test_scores_that_depend_on_the_order_are_one_vote_each(write):
    (item,) = read_judgebench_outputs(write([scores(1, 2, "B>A"), scores(1, 3, "B>A")]))
    assert [vote.winner for vote in item.judgment.votes] == ["B", "A"]
    assert item.judgment.problem == "split_vote"


def test_a_missing_entry_leaves_the_other_order(write):
    (item,) = read_judgebench_outputs(write([scores(1, 2, "B>A"), None]))
    assert [vote.winner for vote in item.judgment.votes] == ["B", None]
    assert item.recorded == (("given", "B"), ("swapped", "none"))
    assert compare_recorded([item]).agree == 2


def test_answers_rated_apart(write):
    path = write(
        [
            apart('{"reasoning": "r", "score": 0.4}', '{"score": 1.0}', "B>A"),
            apart('{"reasoning": "\\(x", "score": 0.9}', '{"score": 0.9}', "A=B"),
        ],
        [apart("", '{"score": 0.1}', "B>A"), apart("", "", None)],
    )
    first, second = read_judgebench_outputs(path)
    assert [vote.verdict.ratings for vote in first.judgment.votes] == [(0.4, 1.0), (0.9, 0.9)]
    assert [vote.winner for vote in first.judgment.votes] == ["B", "tie"]
    assert [vote.verdict.problem for vote in second.judgment.votes] == ["no_ratings", "no_ratings"]
    agreement = compare_recorded([first, second])
    assert (agreement.decisions, agreement.agree) == (4, 3)
    assert agreement.disagreements[0].cause.startswith("no score in one of the two texts")


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ('{"score": 0.5}', 0.5),
        ('{"score": 1}', 1.0),
        ('{"reasoning": "\\(a\\) and $\\frac{1}{2}$", "score": 0.7}', 0.7),
        ('{"reasoning": "line\nbreak", "score": 0.7}', 0.7),
        ('a "score": 1 and then "score": 2', None),
        ('{"score": "high"}', None),
        ('{"score": true}', None),
        ("[1]", None),
        ("0.7", None),
        ("", None),
    ],
)
def test_score_in_json_text(said, score):
    assert parse_score_json(said) == score


def test_another_rule(write):
    path = write([text("[[A]] <answer>[[B]]</answer>", None), text("<answer>[[B]]</answer>", None)])
    (item,) = read_recorded(path, "tail")
    assert [vote.winner for vote in item.judgment.votes] == ["B", "A"]
    with pytest.raises(ConfigError, match="leave rule= out"):
        list(read_recorded(write([scores(1, 2, "B>A")]), "tail"))


def log(uid, swapped, answers, results, idx=0, category="BoN_set/Harmlessness/S9"):
    prompt = {"role": "user", "content": "Q"}
    return {
        "bon_uid": uid,
        "category_path": category,
        "idx": idx,
        "text_chosen": [prompt, {"role": "assistant", "content": "good"}],
        "text_rejected": [prompt, {"role": "assistant", "content": "bad"}],
        "answers": answers,
        "results": results,
        "Is_Chosen_Answer_Shuffled_toPositionB": swapped,
    }


def test_rm_r1_logs(tmp_path):
    rows = [
        log("7", True, "x <answer>[[B]]</answer>", 1),
        log("7", False, "x <answer>[[B]]</answer>", 0),
        log("7", True, "[[A]] or [[B]]", 0, idx=1),
        log("8", False, "[[A]]", 1, idx=2, category="Pairwise_set/Helpfulness/Chat/Discussion"),
    ]
    path = tmp_path / "set" / "log_result" / "logs.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(rows))
    items = list(read_rm_r1_logs(path))
    assert [item.judgment.pair.id for item in items] == [
        "BoN_set/Harmlessness/S9#0:1/2",
        "BoN_set/Harmlessness/S9#0:2/2",
        "BoN_set/Harmlessness/S9#1:1/1",
        "Pairwise_set/Helpfulness/Chat/Discussion#3",
    ]
    assert [item.judgment.winner for item in items] == ["A", "B", None, "A"]
    assert [item.judgment.orders for item in items] == [("swapped",), ("given",), ("swapped",), ("given",)]
    pair = items[0].judgment.pair
    assert (pair.response_a[0].text, pair.response_b[0].text, pair.label) == ("good", "bad", "A")
    assert compare_recorded(items).agree == 4
    assert len(list(read_recorded(tmp_path))) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no row in it"),
        ('{"id": "1", "text": "t"}\n', "replayed with model='replay:FILE'"),
        (json.dumps({**ROW, "judgments": []}) + "\n", "not a list of one or two"),
        (json.dumps({**ROW, "judgments": [scores(1, None, None)]}) + "\n", "not two numbers"),
        (
            json.dumps({"Is_Chosen_Answer_Shuffled_toPositionB": True}) + "\n",
            "not an entry of RM-R1's RMB log",
        ),
        (
            json.dumps({**ROW, "judgments": [scores(1, 2, None), {"judgment": {"other": 1}}]}) + "\n",
            "not two numbers",
        ),
        (
            json.dumps({**ROW, "judgments": [apart('{"score": 1}', 7, "A>B")]}) + "\n",
            "'raw_judge_A' and 'raw_judge_B' are not texts",
        ),
        (
            json.dumps({key: value for key, value in log("7", True, "x", 1).items() if key != "idx"}) + "\n",
            "not an entry of RM-R1's RMB log: KeyError",
        ),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "outputs.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_recorded(path))


def test_folder_without_logs(tmp_path):
    with pytest.raises(DataError, match="neither a run folder"):
        list(read_recorded(tmp_path))


def test_scores_that_are_no_numbers_are_no_verdict():
    for scores in ((1.0, float("nan")), (float("inf"), 1.0), (None, 1.0)):
        verdict = recorded._rate(*scores)
        assert (verdict.winner, verdict.problem) == (None, "no_ratings")
    assert recorded._rate(2.0, 1.0).winner == "A"


@pytest.mark.shared
def test_judges_that_rate_apart_score_lower_than_recorded_for_texts_that_are_missing(shared):
    """The record takes -1 for each text without a score, so that the other answer wins; no rating is no win."""
    found = []
    for path in sorted((shared / "data/judge-outputs/judgebench").glob("stellalisy__*")):
        ours = by_record = missing = empty = 0
        for item, row in zip(read_judgebench_outputs(path), read_rows(path), strict=True):
            label = item.judgment.pair.label
            for vote, entry in zip(item.judgment.votes, row.data["judgments"], strict=True):
                said = entry["judgment"]
                read = [parse_score_json(said[f"raw_judge_{side}"]) for side in "AB"]
                assert [said["score_A"], said["score_B"]] == [-1 if one is None else one for one in read]
                assert (vote.verdict.problem == "no_ratings") == (None in read)
                missing += read.count(None)
                empty += [said["raw_judge_A"], said["raw_judge_B"]].count("")
            decided = [decision_in(item.judgment, order)[0] for order, _ in item.recorded]
            ours += sum(points(winner, label) for winner in decided) > 0
            by_record += sum(points(winner, label) for _, winner in item.recorded) > 0
        found.append((ours, by_record, missing, empty))
    assert sorted(found) == [(71, 78, 46, 45), (141, 151, 33, 33), (154, 158, 58, 58)]
