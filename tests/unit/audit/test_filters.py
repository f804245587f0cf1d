"""Which judgments are wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rmr1.audit.filters import Filter, list_criteria, winner_confidence
from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, RubricItem, Vote
from rmr1.verdicts import parse_verdict

PAIR = PreferencePair(
    id="seven",
    prompt=(user("Wie heißt die STRASSE?"),),
    response_a=(assistant("Hauptweg"),),
    response_b=(assistant("Nebenweg"),),
    label="A",
    subset="Chat",
)
KEY = "0123456789abcdef"


def vote(winner: str, order: Order = "given", quote: str = "Hauptweg", p: float | None = None) -> Vote:
    text = f"<rubric>\n1. Kindness (100%)\n</rubric><eval><quote_A>{quote}</quote_A> reasons</eval><answer>[[{winner}]]</answer>"
    from math import log

    logprobs = None if p is None else (("A", log(p)), ("B", log(1 - p)))
    said = Generation(text=text, finish_reason="stop", verdict_logprobs=logprobs)
    return Vote(order=order, sample=0, generation=said, verdict=parse_verdict(text))


def judge(winner: str | None, *votes: Vote, confidence: float | None = None) -> Judgment:
    problem = None if winner else "split_vote"
    return Judgment(
        pair=PAIR,
        family="rubric",
        rule="tagged",
        winner=winner,
        problem=problem,
        votes=votes,
        confidence=confidence,
    )


RIGHT = judge("A", vote("A"), vote("B", "swapped", quote="Nebenweg"), confidence=1.0)
WRONG = judge("B", vote("B", quote="made up", p=0.4), confidence=1.0)
FLIPPED = judge(None, vote("A"), vote("A", "swapped", quote="nebenweg"))
FAILED = judge(
    None,
    Vote(
        order="given",
        sample=0,
        generation=Generation(text="", finish_reason="error", error="busy"),
        verdict=parse_verdict(""),
    ),
)
ALL = {"right": RIGHT, "wrong": WRONG, "flipped": FLIPPED, "failed": FAILED}


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(), "right wrong flipped failed"),
        (Filter(right=True), "right"),
        (Filter(wrong=True), "wrong flipped failed"),
        (Filter(unparsed=True), "flipped failed"),
        (Filter(failed=True), "failed"),
        (Filter(flips=True), "flipped"),
        (Filter(invented=True), "wrong"),
        (Filter(unsure=0.7), "wrong"),
        (Filter(unsure=0.6), ""),
        (Filter(rubric="KIND"), "right wrong flipped"),
        (Filter(rubric="truth"), ""),
        (Filter(text="strasse"), "right wrong flipped failed"),
        (Filter(text="reasons"), "right wrong flipped"),
        (Filter(text="NEBENWEG"), "right wrong flipped failed"),
        (Filter(subset="Chat"), "right wrong flipped failed"),
        (Filter(subset="Math"), ""),
        (Filter(id="seven", wrong=True, unparsed=True, flips=True), "flipped"),
        (Filter(id=KEY[:6]), "right wrong flipped failed"),
        (Filter(id=KEY[:5]), ""),
    ],
)
def test_judgments_that_fulfil_all_conditions_are_wanted(wanted: Filter, names: str) -> None:
    assert [name for name, one in ALL.items() if wanted.matches(KEY, one)] == names.split()


@pytest.mark.parametrize(
    "conditions",
    [{"right": True, "wrong": True}, {"unsure": 0.0}, {"unsure": 1.5}, {"text": " "}, {"rubric": ""}],
)
def test_conditions_that_nothing_can_fulfil_are_refused(conditions: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(conditions))):
        Filter(**conditions)  # type: ignore[arg-type]


def test_the_conditions_that_were_set_are_named() -> None:
    assert Filter().given == ()
    assert Filter(wrong=True, subset="Chat", unsure=0.5).given == ("wrong", "unsure", "subset")


def test_confidence_is_that_in_the_winner() -> None:
    assert winner_confidence(WRONG) == pytest.approx(0.6)
    assert winner_confidence(replace(WRONG, calibrated=0.2)) == pytest.approx(0.8)
    assert winner_confidence(RIGHT) == pytest.approx(
        0.75
    )  # two votes, and half a vote for each side beside each order's
    assert winner_confidence(FLIPPED) is None


def test_criteria_are_those_given_and_those_written_each_once() -> None:
    given = RubricItem(text="is it true?", name="Truth")
    assert list_criteria(replace(RIGHT, criteria=(given,))) == ("Truth: is it true?", "Kindness")
