"""Rewards of a group, by hand; what a judgment says of two answers."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.judge.votes import conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair, Verdict, Vote
from rmr1.rewards.groups import (
    EQUAL,
    Preference,
    read_preference,
    reward_against,
    reward_strengths,
    reward_win_rates,
)

PAIR = PreferencePair(id="p", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),))
FAILED = Preference(probability=None, problem="truncated")


def won(probability: float = 1.0) -> Preference:
    return Preference(probability=probability, is_decided=True, first_won=probability > 0.5)


def vote(order: str, said: str | None, sure: float | None = None, sample: int = 0) -> Vote:
    """`said` in the pair's frame; `sure` is P(the pair's A)."""
    label = {"A": "B", "B": "A"}.get(said or "", said) if order == "swapped" else said
    logprobs = None
    if sure is not None:
        first = sure if order == "given" else 1 - sure
        logprobs = (("A", log(first)), ("B", log(1 - first)))
    text = Generation(text="", finish_reason="stop", verdict_logprobs=logprobs)
    verdict = Verdict(winner=label, problem=None if said else "no_verdict")
    return Vote(order=order, sample=sample, generation=text, verdict=verdict)  # type: ignore[arg-type]


def judge(*votes: Vote) -> Judgment:
    return conclude(PAIR, list(votes), kind="pair", family="rubric", rule="tagged", vote_by="majority")


@pytest.mark.parametrize(
    ("judgment", "probability", "is_decided"),
    [
        (judge(vote("given", "A")), 1.0, True),
        (judge(vote("given", "tie")), 0.5, False),
        (judge(vote("given", "A"), vote("swapped", "A")), 1.0, True),
        (judge(vote("given", "A"), vote("swapped", "B")), 0.5, False),
        (judge(vote("given", "A", 0.9), vote("swapped", "A", 0.6)), 0.75, True),
        (judge(vote("given", "A", 0.9), vote("swapped", "B", 0.2)), 0.55, False),
        # Two of three in one order, and all in the other.
        (judge(*(vote("given", one, sample=n) for n, one in enumerate("AAB")),
               *(vote("swapped", "A", sample=n) for n in range(3))), (2 / 3 + 1) / 2, True),
    ],
)  # fmt: skip
def test_what_a_judgment_says(judgment: Judgment, probability: float, is_decided: bool) -> None:
    found = read_preference(judgment)
    assert found.probability == pytest.approx(probability)
    assert (found.is_decided, found.problem) == (is_decided, None)
    assert found.first_won is (judgment.winner == "A")
    flipped = found.flip()
    assert flipped.probability == pytest.approx(1 - probability)
    assert flipped.first_won is (judgment.winner == "B")


def test_what_failed_has_its_reason_and_no_number() -> None:
    assert read_preference(judge(vote("given", None))) == Preference(probability=None, problem="no_verdict")
    half = judge(vote("given", "A"), vote("swapped", None))
    assert half.winner == "A"  # a verdict for judging, but of one place only
    assert read_preference(half) == Preference(probability=None, problem="no_verdict")
    left = Judgment(pair=PAIR, family="x", rule="y", winner=None, problem="abstained")
    assert read_preference(left).problem == "abstained"


def test_scores_and_calibrations_are_probabilities() -> None:
    scored = Judgment(pair=PAIR, family="s", rule="scores", kind="score", winner="A", scores=(1.0, 0.0))
    assert read_preference(scored).probability == pytest.approx(0.7310585786)
    calibrated = Judgment(
        pair=PAIR, family="s", rule="r", winner="A", votes=(vote("given", "A", 0.99),), calibrated=0.7
    )
    assert read_preference(calibrated).probability == 0.7
    rated = Judgment(pair=PAIR, family="rating", rule="rated", kind="rating", winner="B", scores=(3.0, 5.0))
    assert read_preference(rated).probability == 0.0


def test_win_rates_by_hand() -> None:
    found = {(0, 1): won(0.9), (0, 2): won(0.6), (1, 2): won(0.3)}
    rewards = reward_win_rates(3, found)
    assert rewards.values == pytest.approx((0.25, (0.1 + 0.3) / 2 - 0.5, (0.4 + 0.7) / 2 - 0.5))
    assert sum(rewards.values) == pytest.approx(0)  # type: ignore[arg-type]
    best = reward_win_rates(2, {(0, 1): won()})
    assert best.values == (0.5, -0.5)  # the scale
    assert reward_win_rates(2, {(0, 1): EQUAL}).values == (0.0, 0.0)


def test_failures_count_for_nothing_and_an_answer_without_any_left_has_a_reason() -> None:
    found = {(0, 1): won(), (0, 2): FAILED, (1, 2): Preference(probability=None, problem="no_verdict")}
    rewards = reward_win_rates(3, found)
    assert rewards.values == (0.5, -0.5, None)
    assert rewards.problems == (None, None, "truncated")
    assert reward_against([won(0.8), FAILED, EQUAL]).values == pytest.approx((0.3, None, 0.0))
    assert reward_against([won(0.8), FAILED, EQUAL]).problems == (None, "truncated", None)


def test_strengths_are_centred_on_those_that_are_known() -> None:
    rewards = reward_strengths([0.7, 0.1, None], {(0, 2): FAILED, (1, 2): FAILED, (0, 1): won()})
    assert rewards.values == pytest.approx((0.3, -0.3, None))
    assert rewards.problems == (None, None, "truncated")


@given(st.integers(2, 7).flatmap(lambda n: st.tuples(
    st.just(n), st.lists(st.floats(0, 1), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2))))  # fmt: skip
def test_complete_win_rates_sum_to_zero_and_stay_in_range(drawn: tuple[int, list[float]]) -> None:
    number, chances = drawn
    pairs = [(i, j) for i in range(number) for j in range(i + 1, number)]
    values = reward_win_rates(number, {pair: won(p) for pair, p in zip(pairs, chances, strict=True)}).values
    assert sum(values) == pytest.approx(0, abs=1e-9)  # type: ignore[arg-type]
    assert all(value is not None and -0.5 <= value <= 0.5 for value in values)
