"""Bradley-Terry strengths against equations worked by hand, and how often their intervals hold the truth."""

from __future__ import annotations

import random
from itertools import combinations
from math import exp, log, sqrt

import numpy as np
import pytest

from rmr1.errors import ConfigError
from rmr1.rewards.strengths import Result, fit_strengths, group_alike, place_among
from rmr1.stats import Z_95


def win(difference: float) -> float:
    return 1 / (1 + exp(-difference))


def solve(slope) -> float:  # type: ignore[no-untyped-def]
    """Where a falling function is 0."""
    low, high = -50.0, 50.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


def log_posterior(values: np.ndarray, results: list[Result], prior_sd: float) -> float:
    total = -float((values**2).sum()) / (2 * prior_sd**2)
    for result in results:
        sums = log(sum(exp(values[one]) for one in result.answers))
        winners = result.answers if result.winner is None else (result.winner,)
        total += sum(values[one] - sums for one in winners) / len(winners)
    return total


@pytest.mark.parametrize("prior_sd", [0.5, 1.0, 3.0])
def test_one_win_is_what_the_equation_says(prior_sd: float) -> None:
    """d/ds: 1 - P(win) = s / sd^2, with the other at -s."""
    fitted = fit_strengths(2, [Result(answers=(0, 1), winner=0)], prior_sd=prior_sd)
    expected = solve(lambda s: 1 - win(2 * s) - s / prior_sd**2)
    assert fitted.values == pytest.approx((expected, -expected), abs=1e-7)
    chance = win(2 * expected)
    # The curvature along (1, -1) / sqrt(2) is 2 p (1 - p) + 1 / sd^2, and each answer has half its variance.
    error = sqrt(0.5 / (2 * chance * (1 - chance) + 1 / prior_sd**2))
    assert fitted.errors == pytest.approx((error, error), abs=1e-7)


def test_a_tie_is_half_a_win_for_each() -> None:
    tie = fit_strengths(2, [Result(answers=(0, 1), winner=None)])
    assert tie.values == pytest.approx((0, 0), abs=1e-9)
    half = solve(lambda s: 1.5 - 2 * win(2 * s) - s)  # a win and a tie: 1.5 of 2
    both = fit_strengths(2, [Result(answers=(0, 1), winner=0), Result(answers=(0, 1), winner=None)])
    assert both.values == pytest.approx((half, -half), abs=1e-7)


def test_a_choice_among_four_is_luces() -> None:
    fitted = fit_strengths(4, [Result(answers=(0, 1, 2, 3), winner=2)])
    best = solve(lambda s: 1 - exp(s) / (exp(s) + 3 * exp(-s / 3)) - s)
    assert fitted.values == pytest.approx((-best / 3, -best / 3, best, -best / 3), abs=1e-7)


def test_the_fit_is_the_top_of_the_posterior_and_the_errors_its_curvature() -> None:
    draw = random.Random(3)
    results = [
        Result(answers=pair, winner=draw.choice((*pair, None)))
        for pair in combinations(range(5), 2)
        if draw.random() < 0.8
    ]
    results += [Result(answers=(0, 1, 3, 4), winner=3), Result(answers=(1, 2, 3, 4), winner=None)]
    prior_sd = 1.3
    fitted = fit_strengths(5, results, prior_sd=prior_sd)
    values = np.array(fitted.values, dtype=float)
    assert sum(fitted.values) == pytest.approx(0, abs=1e-9)  # type: ignore[arg-type]
    step, size = 1e-4, len(values)
    hessian = np.zeros((size, size))
    for one in range(size):
        move = np.eye(size)[one] * step
        slope = log_posterior(values + move, results, prior_sd) - log_posterior(
            values - move, results, prior_sd
        )
        assert slope / (2 * step) == pytest.approx(0, abs=1e-6)
        for other in range(size):
            also = np.eye(size)[other] * step
            hessian[one, other] = -(
                log_posterior(values + move + also, results, prior_sd)
                - log_posterior(values + move - also, results, prior_sd)
                - log_posterior(values - move + also, results, prior_sd)
                + log_posterior(values - move - also, results, prior_sd)
            ) / (4 * step**2)
    center = np.eye(size) - 1 / size
    covariance = center @ np.linalg.inv(hessian) @ center
    assert fitted.errors == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-4)


def test_who_was_not_compared_has_no_strength() -> None:
    fitted = fit_strengths(4, [Result(answers=(1, 3), winner=3)])
    assert fitted.values[0] is fitted.values[2] is fitted.errors[0] is None
    assert fitted.values[3] is not None and fitted.values[3] > 0
    assert fit_strengths(2, []).values == (None, None)
    with pytest.raises(ConfigError, match="prior_sd is 0; expected more than 0"):
        fit_strengths(2, [], prior_sd=0)


def test_one_more_answer_among_known_ones() -> None:
    strength, error = place_among([1.0, -1.0, 0.0], [0.0, 1.0, 0.5], prior_sd=2.0)
    assert strength == pytest.approx(0, abs=1e-9)  # symmetric
    chances = [win(-1.0), win(1.0), win(0.0)]
    assert error == pytest.approx(1 / sqrt(sum(p * (1 - p) for p in chances) + 0.25))
    strength, _ = place_among([0.4, 2.0], [1.0, 1.0])
    assert strength == pytest.approx(solve(lambda s: 2 - win(s - 0.4) - win(s - 2.0) - s), abs=1e-9)


def test_strengths_that_are_the_same_stand_together() -> None:
    assert group_alike([0.5, -1.0, 0.5 + 1e-8, 2.0]) == ((3,), (0, 2), (1,))


def test_95_of_100_intervals_hold_the_truth() -> None:
    """500 round robins of 8; also of the answers that won everything, whose strength nothing but the prior bounds."""
    prior_sd = 1.0
    held = total = held_undefeated = undefeated = 0
    for number in range(500):
        draw = random.Random(number)
        truth = [draw.gauss(0, prior_sd) for _ in range(8)]
        results = [
            Result(answers=(i, j), winner=i if draw.random() < win(truth[i] - truth[j]) else j)
            for i, j in combinations(range(8), 2)
        ]
        fitted = fit_strengths(8, results, prior_sd=prior_sd)
        mean = sum(truth) / 8
        for one in range(8):
            is_held = abs(truth[one] - mean - fitted.values[one]) <= Z_95 * fitted.errors[one]  # type: ignore[operator]
            held, total = held + is_held, total + 1
            if sum(result.winner == one for result in results) == 7:
                held_undefeated, undefeated = held_undefeated + is_held, undefeated + 1
    assert 0.93 <= held / total <= 0.97
    assert undefeated > 50 and 0.88 <= held_undefeated / undefeated <= 0.99
