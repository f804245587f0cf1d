"""RMB: hand-worked scores, completeness, both layouts."""

from __future__ import annotations

import json

import pytest

from rmr1.bench.base import score_judgments
from rmr1.bench.tasks.rmb import RMB, find_rmb_files, read_rmb
from rmr1.bench.tasks.rmb_sizes import SIZES
from rmr1.errors import DataError
from tests.unit.bench.judgments import judge, make_pair


def score_rmb(judgments):
    return score_judgments(RMB, judgments, num_resamples=200)


def one(pair_id, winner):
    return judge(make_pair(pair_id), winner, orders=("given",))


def figures(scores):
    return {(figure.group, figure.name): figure for figure in scores.figures}


def test_pairwise_is_micro_over_all_pairs():
    judgments = [
        one("Pairwise_set/Harmlessness/S1#0", "A"),
        one("Pairwise_set/Harmlessness/S1#1", "A"),
        one("Pairwise_set/Harmlessness/S1#2", "A"),
        one("Pairwise_set/Harmlessness/S2#0", "B"),
        one("Pairwise_set/Harmlessness/S2#1", "tie"),
        one("Pairwise_set/Helpfulness/Chat/Discussion#0", None),
    ]
    scores = score_rmb(judgments)
    harm = figures(scores)["harmlessness", "pairwise"]
    # 3 of 5, not the mean of 3/3 and 0/2.
    assert (harm.correct, harm.total, harm.ties, harm.no_verdict) == (3, 5, 1, 0)
    assert harm.value == pytest.approx(0.6)
    assert (scores.overall[0].no_verdict, scores.overall[0].ties) == (1, 1)
    helpful = figures(scores)["helpfulness", "pairwise"]
    assert (helpful.correct, helpful.total, helpful.no_verdict) == (0, 1, 1)
    assert [(figure.name, figure.correct, figure.total) for figure in scores.categories] == [
        ("Helpfulness/Chat/Discussion", 0, 1),
        ("Harmlessness/S1", 3, 3),
        ("Harmlessness/S2", 0, 2),
    ]
    assert dict(scores.problems) == {"no_verdict": 1}


@pytest.mark.parametrize(
    ("winners", "is_won"),
    [
        (("A", "A", "A"), True),
        (("A", "A", "B"), False),
        (("A", "tie", "A"), False),
        (("A", None, "A"), False),
    ],
)
def test_a_list_counts_only_where_every_loser_is_beaten(winners, is_won):
    judgments = [
        one(f"BoN_set/Harmlessness/S9#4:{index}/3", winner) for index, winner in enumerate(winners, 1)
    ]
    scores = score_rmb(judgments)
    lists = figures(scores)["harmlessness", "best of N"]
    assert (lists.correct, lists.total) == (int(is_won), 1)
    assert (lists.no_verdict, lists.ties) == (int(None in winners), int("tie" in winners))
    inside = figures(scores)["harmlessness", "pairs inside best of N"]
    assert (inside.correct, inside.total) == (winners.count("A"), 3)


def test_comparisons_of_lists_may_come_mixed():
    judgments = [
        one("BoN_set/Harmlessness/S9#0:1/2", "A"),
        one("BoN_set/Harmlessness/S9#1:2/2", "B"),
        one("BoN_set/Harmlessness/S9#1:1/2", "A"),
        one("BoN_set/Harmlessness/S9#0:2/2", "A"),
    ]
    lists = figures(score_rmb(judgments))["harmlessness", "best of N"]
    assert (lists.correct, lists.total) == (1, 2)


def test_unfinished_list_is_left_out_and_counted():
    scores = score_rmb([one("BoN_set/Harmlessness/S9#0:1/2", "A"), one("BoN_set/Harmlessness/S9#1:1/1", "A")])
    lists = figures(scores)["harmlessness", "best of N"]
    assert (lists.correct, lists.total, scores.unfinished) == (1, 1, 1)


def test_judged_twice():
    for pair_id in ("BoN_set/Harmlessness/S9#0:1/2", "Pairwise_set/Harmlessness/S9#0"):
        with pytest.raises(DataError, match="was judged twice"):
            score_rmb([one(pair_id, "A"), one(pair_id, "B")])


@pytest.mark.parametrize(
    "pair_id",
    [
        "7",
        "Pairwise_set/Harmlessness/S99#0",
        "BoN_set/Harmlessness/S9#0",
        "Pairwise_set/Harmlessness/S9#0:1/2",
    ],
)
def test_pair_of_another_benchmark(pair_id):
    with pytest.raises(DataError, match="no labelled pair of RMB"):
        score_rmb([one(pair_id, "A")])


def test_both_orders_stand_beside():
    first, second = (make_pair(f"Pairwise_set/Harmlessness/S1#{row}") for row in (0, 1))
    scores = score_rmb([judge(first, "A", "B"), judge(second, None, "A")])
    harm = figures(scores)["harmlessness", "pairwise"]
    assert (harm.correct, harm.total, harm.no_verdict) == (1, 2, 1)
    assert figures(scores)["harmlessness, pairwise", "right both ways"].correct == 0
    # One text lacks a verdict; a judge that contradicts itself has given two.
    assert sum(dict(scores.problems).values()) == 1


def official(winner_of):
    """A judgment of every official item, one loser per list."""
    for category, (pairs, lists) in SIZES.items():
        for row in range(pairs):
            yield one(f"Pairwise_set/{category}#{row}", winner_of("Pairwise_set", category))
        for row in range(lists):
            yield one(f"BoN_set/{category}#{row}:1/1", winner_of("BoN_set", category))


def test_official_sizes():
    parts = [
        sum(sizes[index] for category, sizes in SIZES.items() if category.startswith(split))
        for split in ("Help", "Harm")
        for index in (0, 1)
    ]
    assert parts == [10067, 2109, 7064, 1677]
    assert [sum(category.startswith(split) for category in SIZES) for split in ("Help", "Harm")] == [37, 12]


def test_overall_is_the_unweighted_mean_of_the_four():
    def winner_of(kind, category):
        return "B" if kind == "BoN_set" and category.startswith("Harm") else "A"

    judgments = list(official(winner_of))
    whole = score_rmb(judgments).overall[0]
    # 1, 1, 1 and 0, whatever the parts' sizes.
    assert whole.value == pytest.approx(0.75)
    assert (whole.status, whole.total, whole.missing) == ("complete", 20917, ())
    partial = score_rmb(judgments[1:]).overall[0]
    assert partial.value is None
    assert partial.status == "partial: 20916 of 20917"
    assert len(partial.missing) == 1


PROMPT = [{"role": "user", "content": "Q", "language": "English"}]
TURNS = [*PROMPT, {"role": "assistant", "content": "R"}, {"role": "user", "content": "S"}]


def answer(text):
    return {"llm_name": "m", "answer": text}


def pair_row(prompt=PROMPT):
    return {"pair_uid": "1", "conversation_input": prompt, "chosen": answer("good"), "reject": answer("bad")}


def list_row(*losers):
    return {
        "bon_uid": "1",
        "conversation_input": TURNS,
        "bon_best": answer("best"),
        "loser_list": [answer(loser) for loser in losers],
    }


FILES = {
    "Pairwise_set/Harmlessness/S1": [pair_row(), pair_row()],
    "Pairwise_set/Helpfulness/Chat/Discussion": [pair_row(TURNS)],
    "BoN_set/Harmlessness/S1": [list_row("x", "y"), list_row("z")],
}


def write_tree(folder):
    for name, rows in FILES.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return folder


def write_lines(folder):
    rows = [{"rmb_file": name, **row} for name, rows in FILES.items() for row in rows]
    (folder / "all_set_of_rmb.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("write", [write_tree, write_lines])
def test_both_layouts(tmp_path, write):
    pairs = {pair.id: pair for pair in read_rmb(write(tmp_path))}
    # Equal rows with equal uids are items of their own.
    assert sorted(pairs) == [
        "BoN_set/Harmlessness/S1#0:1/2",
        "BoN_set/Harmlessness/S1#0:2/2",
        "BoN_set/Harmlessness/S1#1:1/1",
        "Pairwise_set/Harmlessness/S1#0",
        "Pairwise_set/Harmlessness/S1#1",
        "Pairwise_set/Helpfulness/Chat/Discussion#0",
    ]
    second = pairs["BoN_set/Harmlessness/S1#0:2/2"]
    assert [message.role for message in second.prompt] == ["user", "assistant", "user"]
    assert (second.response_a[0].text, second.response_b[0].text, second.label) == ("best", "y", "A")
    assert second.subset == "BoN_set/Harmlessness/S1"


def test_repository_folder(tmp_path):
    write_tree(tmp_path / "RMB_dataset")
    assert len(find_rmb_files(tmp_path)) == 3


def test_limit_counts_items_of_each_part(tmp_path):
    pairs = [pair.id for pair in read_rmb(write_tree(tmp_path), 1)]
    assert sorted(pairs) == [
        "BoN_set/Harmlessness/S1#0:1/2",
        "BoN_set/Harmlessness/S1#0:2/2",
        "Pairwise_set/Harmlessness/S1#0",
        "Pairwise_set/Helpfulness/Chat/Discussion#0",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**pair_row(), "chosen": {"llm_name": "m"}}, "no 'answer'"),
        ({**pair_row(), "conversation_input": []}, "conversation_input is empty"),
        ({**pair_row(), "reject": answer(None)}, "None is not a text"),
        ({**pair_row(), "rmb_file": "Pairwise_set/Harmlessness/S77"}, "no part of RMB"),
    ],
)
def test_bad_row_names_its_place(tmp_path, row, message):
    path = tmp_path / "pairwise_set_x.jsonl"
    path.write_text(json.dumps({"rmb_file": "Pairwise_set/Harmlessness/S1", **row}) + "\n")
    with pytest.raises(DataError, match=message) as error:
        list(read_rmb(tmp_path))
    assert str(error.value).startswith(f"{path}:1: ")


def test_no_data(tmp_path):
    with pytest.raises(DataError, match="neither Pairwise_set and BoN_set nor"):
        find_rmb_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_rmb_files(tmp_path / "none")
