"""Entropies of few votes, against values worked out by hand and against chance."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.active.information import SURE, Orders, entropy, measure_information, read_votes
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair, Verdict, Vote

votes = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3).map(tuple)
rubrics = st.lists(st.tuples(votes, votes), min_size=2, max_size=5)


def test_entropy_is_in_bits() -> None:
    found = entropy(np.array([0.0, 0.25, 0.5, 1.0]))
    assert found == pytest.approx([0, -(0.25 * log2(0.25) + 0.75 * log2(0.75)), 1, 0])


def test_a_pair_that_the_rubric_decides() -> None:
    found = measure_information([((1, 1), (1, 1)), ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 0), (0, 0))])
    assert found is not None and found.total == 1 and found.unadjusted == 1 and found.about_rubric == 1
    assert found.rest == 0 and found.is_about_rubric and not found.is_about_place
    # an exchange in which every rubric keeps what it has, or has the opposite of it, is rare: 0.0167 by order
    assert found.rubric_p < 0.02


def test_a_pair_whose_votes_vary_under_each_rubric() -> None:
    found = measure_information([((1, 0), (0, 1))] * 4)
    assert found is not None and found.total == 1 and found.unadjusted == 0
    assert found.about_rubric < 0 and found.rubric_p == 1 and not found.is_about_rubric


def test_votes_by_hand() -> None:
    # p is 3/4 under the first rubric and 1/4 under the second
    found = measure_information([((1, 1), (1, 0)), ((0, 0), (0, 1))])
    low = -(0.25 * log2(0.25) + 0.75 * log2(0.75))
    assert found is not None and found.total == 1 and found.unadjusted == pytest.approx(1 - low)
    assert found.place == 0.0


def test_a_preference_for_a_place_is_no_information() -> None:
    found = measure_information([((1, 1), (0, 0))] * 4)
    assert found is not None and found.total == 1 and found.unadjusted == 0 and found.place == 1
    assert found.is_about_place and found.place_p < 0.01


def test_chance_is_taken_off() -> None:
    random = np.random.default_rng(0)

    def draw(probability: float) -> Orders:
        one, other = (random.random((2, 2)) < probability).astype(float).tolist()
        return tuple(one), tuple(other)

    found = [measure_information([draw(0.5) for _ in range(4)], seed=seed) for seed in range(300)]
    plain = np.mean([one.unadjusted for one in found if one])
    adjusted = np.mean([one.about_rubric for one in found if one])
    assert plain > 0.15 and abs(adjusted) < 0.03
    assert np.mean([one.rubric_p <= SURE for one in found if one]) < 0.06


def test_rubrics_without_votes_in_both_orders_are_left_out() -> None:
    whole = ((1.0,), (1.0,))
    assert measure_information([whole, ((0.0,), ())]) is None
    found = measure_information([whole, whole, ((0.0,), ())])
    assert found is not None and found.total == 0


@given(rubrics, st.integers(0, 3))
def test_exchanging_the_answers_changes_nothing(rubrics: list[Orders], seed: int) -> None:
    def turn(ones: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(1 - one for one in ones)

    one = measure_information(rubrics, seed=seed)
    other = measure_information([(turn(first), turn(second)) for first, second in rubrics], seed=seed)
    assert one is not None and other is not None
    assert one.total == pytest.approx(other.total) and one.about_rubric == pytest.approx(other.about_rubric)
    assert one.place == pytest.approx(-other.place) and one.rubric_p == other.rubric_p
    assert -1e-9 <= one.unadjusted <= one.total + 1e-9 <= 1 + 2e-9 and one.about_rubric <= one.total + 1e-9


def test_votes_speak_in_the_pairs_frame() -> None:
    pair = PreferencePair(
        id="0", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )

    def cast(order: str, winner: str | None, logprobs: tuple[tuple[str, float], ...] | None = None) -> Vote:
        said = Generation(text="", finish_reason="stop", verdict_logprobs=logprobs)
        return Vote(order=order, sample=0, generation=said, verdict=Verdict(winner=winner))  # type: ignore[arg-type]

    known = (("A", float(np.log(0.8))), ("B", float(np.log(0.2))))
    found = [cast("given", "A"), cast("swapped", "A"), cast("swapped", "tie"), cast("given", None)]
    found.append(cast("swapped", "A", known))
    judgment = Judgment(pair=pair, winner=None, family="criteria", rule="tagged", votes=tuple(found))
    given_, swapped = read_votes(judgment)
    assert given_ == (1.0,) and swapped == pytest.approx((0.0, 0.5, 0.2))
