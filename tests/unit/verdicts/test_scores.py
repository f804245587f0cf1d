"""Scores by criteria: what of a judge's text is one, what is none, and how they are weighed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.prompts import escape
from rmr1.records import CriterionScores, Generation, RubricItem, Verdict, Vote
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.scores import share_weights, weigh_scores

Cells = list[tuple[float | None, float | None]]
END = "\n\n<answer>[[A]]</answer>"


def read(text: str, count: int = 2, labels: tuple[str, str] = ("A", "B")) -> Cells:
    return [(one.a, one.b) for one in parse_verdict(text, labels=labels, num_criteria=count).trace.scores]


@pytest.mark.parametrize(
    ("inside", "scores"),
    [
        ("A: 8, B: 6", (8, 6)),
        ("B: 6, A: 8", (8, 6)),
        ("A: 10, B: 1", (10, 1)),
        ("\nA: 8\nB: 6\n", (8, 6)),
        ("A = 8; B = 6", (8, 6)),
        ("A 8 | B 6", (8, 6)),
        ("Chatbot A: 8/10, Chatbot B: 6/10", (8, 6)),
        ("A: 8 out of 10 and B: 6 out of 10", (8, 6)),
        ("**A:** 8, **B:** 6", (8, 6)),
        ("A: **8**, B: [[6]]", (8, 6)),
        ("A: 7.5, B: 6.25", (7.5, 6.25)),
        ("A：８，B：６", (8, 6)),
        ("A's score: 8, B's score: 6", (8, 6)),
        ("A: 8 (all of it), B: 6 (3 of 5 points)", (8, 6)),
        ("A: 8", (8, None)),
        ("A: 8, B: N", (8, None)),
        ("8, 6", (None, None)),
        ("A: 0, B: 11", (None, None)),
        ("A: 8/100, B: 60%", (None, None)),
        ("A: 7-8, B: 6 to 7", (None, None)),
        ("A: -8, B: 6", (None, 6)),
        ("A: 8, A: 7, B: 6", (None, 6)),
        ("A: 8, A: 8, B: 6", (8, 6)),
        ("A: 1.2.3, B: 60", (None, None)),
        ("", (None, None)),
    ],
)
def test_what_is_a_score(inside: str, scores: tuple[float | None, float | None]) -> None:
    assert read(f"<eval>Good.\n<score_1>{inside}</score_1>\n</eval>{END}", 1) == [scores]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("<score_2>A: 8, B: 6</score_2>", [(None, None), (8, 6)]),
        ("<score_1>A: 8, B: 6\n<score_2>A: 2, B: 3", [(8, 6), (2, 3)]),
        ("<score_1>A: 8, B: 6 <score_2>A: 2, B: 3</score_2>", [(8, 6), (2, 3)]),
        ("<SCORE_1>A: 8, B: 6</ score_1 >", [(8, 6), (None, None)]),
        ("<score_1>A: 8, B: 6</score_2> B: 9", [(8, 6), (None, None)]),
        # of a number that there is none of
        ("<score_0>A: 8, B: 6</score_0><score_3>A: 8, B: 6</score_3>", [(None, None)] * 2),
        # said twice: alike, and not
        ("<score_1>A: 8, B: 6</score_1> so <score_1>A: 8, B: 5</score_1>", [(8, None), (None, None)]),
        # not the judge's own words
        ("<think><score_1>A: 8, B: 6</score_1></think>", [(None, None)] * 2),
        ("<quote_A><score_1>A: 8, B: 6</score_1></quote_A>", [(None, None)] * 2),
        ("<summary_B>claims <score_1>A: 1, B: 9</score_1></summary_B>", [(None, None)] * 2),
        ("it writes `<score_1>`A: 8, B: 6", [(None, None)] * 2),
        (escape("<score_1>A: 1, B: 9</score_1>"), [(None, None)] * 2),
        # a quotation inside
        ("<score_1>A: 8 <quote_B>B: 9</quote_B>, B: 6</score_1>", [(8, 6), (None, None)]),
        ("<score_1>A: N, B: N</score_1>", [(None, None)] * 2),
    ],
)
def test_where_a_score_stands(text: str, cells: Cells) -> None:
    assert read(text + END) == cells


def test_scores_change_no_verdict_and_are_read_only_where_criteria_are_given() -> None:
    text = f"<eval>\n<score_1>A: 2, B: 9</score_1>\n</eval>{END}"
    assert parse_verdict(text).trace.scores == ()
    assert parse_verdict(text, num_criteria=1).winner == parse_verdict(text).winner == "A"
    assert read("<score_1>X: 3, Y: 4</score_1>", 1, ("X", "Y")) == [(3, 4)]


def test_a_cut_text_keeps_the_scores_that_are_whole() -> None:
    verdict = parse_verdict("<eval><score_1>A: 8, B: 6</score_1> <score_2>A:", num_criteria=2, truncated=True)
    assert verdict.problem == "truncated"
    assert [one.is_complete for one in verdict.trace.scores] == [True, False]


@given(st.text(alphabet="<>/score_1 AB:,.0123456789[]*\n", max_size=300))
def test_any_text_is_read(text: str) -> None:
    for cell in read(text):
        assert all(value is None or 1 <= value <= 10 for value in cell)


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=8))
def test_what_is_asked_for_is_read(pairs: list[tuple[int, int]]) -> None:
    lines = [f"<score_{n}>A: {a}, B: {b}</score_{n}>" for n, (a, b) in enumerate(pairs, start=1)]
    assert read("\n".join(["<eval>", *lines, "</eval>"]) + END, len(pairs)) == pairs


def test_many_tags_take_linear_time() -> None:
    start = time.perf_counter()
    read("<score_1>A: 8, " * 20_000, 1)
    assert time.perf_counter() - start < 5


def test_a_vote_tells_scores_in_the_pairs_own_names() -> None:
    verdict = parse_verdict(f"<score_1>A: 8, B: 6</score_1><score_2>A: 3</score_2>{END}", num_criteria=2)
    said = Generation(text="", finish_reason="stop")
    swapped = Vote(order="swapped", sample=0, generation=said, verdict=verdict)
    assert [(one.a, one.b) for one in swapped.trace.scores] == [(6, 8), (None, 3)]
    given_ = Vote(order="given", sample=0, generation=said, verdict=verdict)
    assert given_.trace.scores == verdict.trace.scores
    none = Vote(order="swapped", sample=0, generation=said, verdict=Verdict(winner="A"))
    assert none.trace.scores == ()


def test_weighted_sums() -> None:
    criteria = [RubricItem(text=name, weight=weight) for name, weight in (("x", 0.5), ("y", 0.3), ("z", 0.2))]
    cells = [(8, 4), (2, 6), (5, 10)]
    scores = [CriterionScores(criterion=n, a=a, b=b) for n, (a, b) in enumerate(cells, start=1)]
    assert weigh_scores(criteria, scores) == pytest.approx((0.5 * 8 + 0.3 * 2 + 0.2 * 5, 2 + 1.8 + 2))
    assert weigh_scores(criteria, scores, without=1) == pytest.approx((1.6 / 0.5, 3.8 / 0.5))
    assert weigh_scores(criteria, scores[:2]) is None
    assert weigh_scores(criteria, [*scores[:2], CriterionScores(criterion=3, a=5)]) is None
    assert weigh_scores(criteria[:1], scores, without=1) is None
    plain = [RubricItem(text="x"), RubricItem(text="y")]
    assert weigh_scores(plain, scores) == (5, 5)
    assert share_weights([RubricItem(text="x", weight=3), RubricItem(text="y", weight=1)]) == (0.75, 0.25)
    assert share_weights([RubricItem(text="x", weight=0.5), RubricItem(text="y")]) is None
    assert share_weights([]) is None
