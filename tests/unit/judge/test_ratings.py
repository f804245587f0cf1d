"""Texts about one answer -> ratings."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1.judge.votes import cast_vote
from rmr1.records import PROBLEMS, Generation
from rmr1.verdicts.kinds import RATED, RATED_PUBLISHED, read_verdict, rule_of
from tests.unit.verdicts.rating_texts import BY_KIND, CUT, TEXTS

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
    verdict = read_verdict(text, "rating")
    assert (verdict.ratings, verdict.winner, verdict.problem) == ((float(rating),), None, None)


@pytest.mark.parametrize(("text", "problem"), NOT_READ)
def test_what_is_no_rating(text: str, problem: str) -> None:
    verdict = read_verdict(text, "rating")
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
    verdict = read_verdict(text, "rating", "published")
    assert verdict.ratings == (None if rating is None else (float(rating),))
    assert (verdict.problem is None) == (rating is not None)


def rating_of(text: str, *, truncated: bool = False) -> float | None:
    ratings = read_verdict(text, "rating", truncated=truncated).ratings
    return ratings[0] if ratings else None


@pytest.mark.parametrize(("text", "rating"), TEXTS)
def test_a_number_is_a_rating_by_where_it_stands(text: str, rating: int | None) -> None:
    assert rating_of(text) == rating


@pytest.mark.parametrize(("text", "rating"), [row for rows in BY_KIND.values() for row in rows])
def test_statements_of_one_kind_read_alike(text: str, rating: int | None) -> None:
    assert rating_of(text) == rating


@pytest.mark.parametrize(("text", "rating"), CUT)
def test_a_text_that_was_cut_off_needs_a_whole_tag_at_its_end(text: str, rating: int | None) -> None:
    verdict = read_verdict(text, "rating", truncated=True)
    assert verdict.ratings == (None if rating is None else (float(rating),))
    assert verdict.problem == ("truncated" if rating is None else None)


@pytest.mark.shared
def test_recorded_cases(shared) -> None:
    lines = (shared / "cases/judge-texts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "rating"]
    assert len(rows) >= 4
    for row in rows:
        assert rating_of(row["text"], truncated=row.get("truncated", False)) == row["right"], row["text"]


FORMS = (
    *("<answer>[[{n}]]</answer>", "<answer>{n}/10</answer>", "<answer>{n} out of 10</answer>", "[[{n}]]"),
    *("Rating: {n}", "Rating: {n}/10", "Rating: {n} out of 10", "**Score:** {n} (out of 10)", "{n}/10"),
    *(
        "I rate it a {n}.",
        "I would give this response {n} out of 10.",
        "My rating is {n}.",
        "Solid, so {n}/10.",
    ),
    *(
        "On a scale of 1 to 10, I rate this {n}.",
        '{{"reason": "step 2", "rating": {n}}}',
        "\u8bc4\u5206\uff1a{n}",
    ),
)
NOT_FORMS = (
    *(
        "It misses step {n}.",
        "It stops at part {n} of 12.",
        "x = {n}",
        "The right answer is {n}.",
        "See item {n}",
    ),
    *(
        "Rating: {n}/5",
        "Rating: {n}0/100",
        "Rating: {n}.5",
        "Rating: {n}%",
        "Rating: -{n}",
        "Rating: {n}-{n}",
    ),
    *(
        "In {n} of 12 cases it holds.",
        "P(A) = {n}/10",
        "Not a {n}/10.",
        "> Rating: {n}",
        "<answer>step {n}</answer>",
    ),
)
BEFORE = st.sampled_from(
    [
        "",
        "It forgets step 2 and part 1 of 4.\n\n",
        "1. Right.\n2. Short.\n\n",
        "The sum is 2 + 5 = 7.\n",
        "<think>3/10</think>",
    ]
)


@given(before=BEFORE, form=st.sampled_from(FORMS), number=st.integers(-2, 14))
def test_every_form_holds_the_numbers_from_one_to_ten(before: str, form: str, number: int) -> None:
    assert rating_of(before + form.format(n=number)) == (number if 1 <= number <= 10 else None)


@given(before=BEFORE, form=st.sampled_from(NOT_FORMS), number=st.integers(1, 10))
def test_a_number_in_another_place_is_none(before: str, form: str, number: int) -> None:
    assert rating_of(before + form.format(n=number)) is None


PIECES = (
    *FORMS,
    *NOT_FORMS,
    "\n",
    " ",
    ". ",
    "<answer>",
    "</answer>",
    "[[",
    "]]",
    '"',
    "```\n",
    "not ",
    "\ud800",
)


@given(
    parts=st.lists(st.sampled_from(PIECES) | st.text(max_size=10), max_size=8),
    number=st.integers(0, 11),
    truncated=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_text_has_one_whole_rating_or_a_problem(parts: list[str], number: int, truncated: bool) -> None:
    text = "".join(parts).replace("{n}", str(number))
    verdict = read_verdict(text, "rating", truncated=truncated)
    assert (verdict.ratings is None) == (verdict.problem is not None)
    assert verdict.problem is None or verdict.problem in PROBLEMS
    assert verdict.ratings is None or verdict.ratings[0] in range(1, 11)


@pytest.mark.parametrize(
    "unit",
    [
        "8/10 ",
        "Rating: 8\n",
        "[[8]]",
        "1. a\n",
        "a: 8/10\n",
        "not 8, ",
        "scale of 1 to 10 ",
        "<answer>8",
        '"score": 8,',
        "<rating>8</rating>",
        "</s>",
        "<",
        "Ich gebe ",
        "(1 = worst, 10 = best) ",
        "because it isn't so I give it [[3]] ",
        "8/10 for style ",
        "给这个回答",
        "满分10分",
        "8",
    ],
)
def test_a_long_text_takes_no_longer_than_its_length(unit: str) -> None:
    started = time.perf_counter()
    read_verdict(unit * (200_000 // len(unit)), "rating")
    assert time.perf_counter() - started < 3


def test_the_thinking_is_kept() -> None:
    assert read_verdict("<think>hm</think><answer>[[4]]</answer>", "rating").trace.thinking == "hm"


def test_failed_and_skipped_generations_have_their_problems() -> None:
    for reason, problem in (("error", "generation_failed"), ("skipped", "prompt_too_long")):
        generation = Generation(text="9", finish_reason=reason)
        vote = cast_vote(generation, kind="rating", order="given", side="B", sample=0, rule="tagged")
        assert (vote.problem, vote.verdict.ratings, vote.slot) == (problem, None, "swapped")


def test_the_rule_that_a_judgment_keeps() -> None:
    assert [rule_of("rating", rule) for rule in ("tagged", "published", RATED, RATED_PUBLISHED)] == [
        RATED,
        RATED_PUBLISHED,
        RATED,
        RATED_PUBLISHED,
    ]


def test_a_tag_that_is_only_mentioned_is_no_rating() -> None:
    wanted = 'The response asks for "<answer>[[10]]</answer>".'
    assert rating_of(f"{wanted} Rating: 3") == 3
    assert rating_of(f"<answer>3/10</answer> is right. {wanted}") == 3
    assert rating_of(f"{wanted} Nothing in it is true.") is None
