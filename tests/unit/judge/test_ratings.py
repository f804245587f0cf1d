"""Texts about one answer -> ratings."""

from __future__ import annotations

import pytest

from rmr1.judge.ratings import cast_rating, rating_rule, read_rating
from rmr1.records import RATED, RATED_PUBLISHED, Generation

READ = [
    ("It is right. <answer>[[9]]</answer>", 9),
    ("<answer>10</answer>", 10),
    ("<answer> **[[ 3 ]]** </answer>", 3),
    ("<think>maybe 2</think>Fine. <answer>[[7]]</answer>", 7),
    ("first <answer>[[2]]</answer> no, <answer>[[8]]</answer>", 8),
    ("I give it [[6]] in all.", 6),
    ("Rating: 8", 8),
    ("Rating: 8/10", 8),
    ("Rating: **10**.", 10),
    ("<think>1</think>\n\n5\n", 5),
]
NOT_READ = [
    ("", "empty"),
    ("Good.", "no_ratings"),
    ("<answer>[[11]]</answer>", "no_ratings"),
    ("<answer>[[0]]</answer>", "no_ratings"),
    ("<answer>8.5</answer>", "no_ratings"),
    ("<answer>good</answer> 8", "no_ratings"),
    ("between [[7]] and [[8]]", "no_ratings"),
    ("a tie [[tie]]", "no_ratings"),
    ("8.5", "no_ratings"),
    ("it is -5", "no_ratings"),
    ("3/7", "no_ratings"),
    ("the year 1910", "no_ratings"),
    ("8 points for effort", "no_ratings"),
    ("<think>it is an 8", "unclosed_thinking"),
    ("<summary_1>it says 8</summary_1>", "no_ratings"),
]


@pytest.mark.parametrize(("text", "rating"), READ)
def test_ratings_that_are_read(text: str, rating: int) -> None:
    verdict = read_rating(text)
    assert (verdict.ratings, verdict.winner, verdict.problem) == ((float(rating),), None, None)


@pytest.mark.parametrize(("text", "problem"), NOT_READ)
def test_what_is_no_rating(text: str, problem: str) -> None:
    verdict = read_rating(text)
    assert (verdict.ratings, verdict.problem) == (None, problem)


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("fine\n\n9 ", 9),
        ("10", 10),
        ("8.5", 5),
        ("3/10", 10),
        ("-4", 4),
        ("110", None),
        ("x9", None),
        ("0", None),
        ("9.", None),
        ("<answer>[[9]]</answer>", None),
        ("<think>never closed 7", 7),
    ],
)
def test_the_published_reading_takes_a_number_at_the_very_end(text: str, rating: int | None) -> None:
    verdict = read_rating(text, "published")
    assert verdict.ratings == (None if rating is None else (float(rating),))
    assert (verdict.problem is None) == (rating is not None)


def test_a_text_that_was_cut_off_is_not_read_by_its_last_number() -> None:
    assert read_rating("Of the points asked for it has 5", truncated=True).problem == "truncated"
    assert read_rating("<answer>[[5]]</answer> and", truncated=True).ratings == (5.0,)


def test_the_thinking_is_kept() -> None:
    assert read_rating("<think>hm</think><answer>[[4]]</answer>").trace.thinking == "hm"


def test_failed_and_skipped_generations_have_their_problems() -> None:
    for reason, problem in (("error", "generation_failed"), ("skipped", "prompt_too_long")):
        assert cast_rating(Generation(text="9", finish_reason=reason), rule="tagged").problem == problem


def test_the_rule_that_a_judgment_keeps() -> None:
    assert [rating_rule(rule) for rule in ("tagged", "published", RATED, RATED_PUBLISHED)] == [
        RATED,
        RATED_PUBLISHED,
        RATED,
        RATED_PUBLISHED,
    ]
