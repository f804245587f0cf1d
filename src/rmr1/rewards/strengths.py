"""Strengths of answers from comparisons: the Bradley-Terry model, and Luce's for a choice among several.

    P(i is named the best of a set S) = exp(s_i) / sum over j in S of exp(s_j)

Each strength has the prior Normal(0, sd^2), in natural log-odds, so an answer that won everything has a finite one. The
estimate is the most probable one (`choix`), and the errors come from the curvature there (the inverse Hessian of the
negative log-posterior). A tie counts as half a win for each, among four as a quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm, sqrt

import numpy as np
from numpy.typing import NDArray

from rmr1.errors import ConfigError

Floats = NDArray[np.float64]

PRIOR_SD = 1.0
"""Standard deviation of the prior, in log-odds: an answer one such better than another wins with 73%."""

ALIKE = 1e-6
"""Strengths that differ by no more are the same: what the fit is right to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found when some answers were compared."""

    answers: tuple[int, ...]
    """Places of two answers, or of several."""
    winner: int | None
    """The place of the one that is better than all others; None of a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """The fit: a number for every answer that was compared, and None for the others."""

    values: tuple[float | None, ...]
    """Strengths in log-odds, less their mean, so they sum to 0."""
    errors: tuple[float | None, ...]
    """Standard errors of the values."""


def fit_strengths(num_answers: int, results: Sequence[Result], *, prior_sd: float = PRIOR_SD) -> Strengths:
    """The strengths of answers 0, 1, ... by the results of comparisons among them.

    >>> won = fit_strengths(3, [Result(answers=(0, 1), winner=0)])
    >>> [value if value is None else round(value, 4) for value in won.values]
    [0.3374, -0.3374, None]

    Raises:
        ConfigError: the prior's standard deviation is not above 0.
    """
    _check_prior(prior_sd)
    compared = sorted({answer for result in results for answer in result.answers})
    values: list[float | None] = [None] * num_answers
    errors: list[float | None] = [None] * num_answers
    if compared:
        places = {answer: place for place, answer in enumerate(compared)}
        fitted_N, covariance_NN = _fit(len(compared), _renumber(results, places), prior_sd)
        for answer, place in places.items():
            values[answer] = float(fitted_N[place])
            errors[answer] = sqrt(float(covariance_NN[place, place]))
    return Strengths(values=tuple(values), errors=tuple(errors))


def place_among(
    strengths: Sequence[float], shares: Sequence[float], *, prior_sd: float = PRIOR_SD
) -> tuple[float, float]:
    """The strength of one more answer, which got these shares (win 1, tie 0.5, loss 0) against answers of known strengths,
    and its standard error; that of the known ones is left out.

    >>> strength, error = place_among([0.0], [1.0])
    >>> round(strength, 4), round(error, 4)
    (0.4011, 0.898)
    """
    from scipy.optimize import brentq

    _check_prior(prior_sd)
    known_A, shares_A = np.array(strengths, dtype=np.float64), np.array(shares, dtype=np.float64)

    def slope(value: float) -> float:
        return float((shares_A - _win(value - known_A)).sum()) - value / prior_sd**2

    most = len(shares) * prior_sd**2 + 1.0
    value = float(brentq(slope, -most, most, xtol=1e-12))
    chances_A = _win(value - known_A)
    return value, 1 / sqrt(float((chances_A * (1 - chances_A)).sum()) + 1 / prior_sd**2)


def group_alike(strengths: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Places of the strengths, highest first, those that are the same together."""
    groups: list[list[int]] = []
    for place in sorted(range(len(strengths)), key=lambda one: -strengths[one]):
        if groups and strengths[groups[-1][-1]] - strengths[place] <= ALIKE:
            groups[-1].append(place)
        else:
            groups.append([place])
    return tuple(tuple(sorted(group)) for group in groups)


def _fit(num: int, results: Sequence[Result], prior_sd: float) -> tuple[Floats, Floats]:
    from choix import opt_pairwise, opt_top1

    # choix counts whole wins: every result stands there so often that the shares of ties are whole too.
    times = lcm(*(len(result.answers) for result in results if result.winner is None))
    wins: list[tuple[int, tuple[int, ...]]] = []
    for result in results:
        winners = result.answers if result.winner is None else (result.winner,)
        for winner in winners:
            losers = tuple(answer for answer in result.answers if answer != winner)
            wins += [(winner, losers)] * (times // len(winners))
    alpha = times / (
        2 * prior_sd**2
    )  # its penalty is alpha times the square, whatever its documentation says
    if all(len(losers) == 1 for _, losers in wins):
        pairs = [(winner, losers[0]) for winner, losers in wins]
        fitted_N = opt_pairwise(num, pairs, alpha=alpha, tol=1e-10)
    else:
        fitted_N = opt_top1(num, wins, alpha=alpha, tol=1e-10)
    values_N = np.asarray(fitted_N, dtype=np.float64)
    center_NN = np.eye(num) - 1 / num
    covariance_NN = np.linalg.inv(_curvature(values_N, results, prior_sd))
    return values_N - values_N.mean(), center_NN @ covariance_NN @ center_NN


def _curvature(values_N: Floats, results: Sequence[Result], prior_sd: float) -> Floats:
    """The Hessian of the negative log-posterior; a tie has as much as a win."""
    hessian_NN = np.eye(len(values_N)) / prior_sd**2
    for result in results:
        places = list(result.answers)
        weights = np.exp(values_N[places] - values_N[places].max())
        chances = weights / weights.sum()
        hessian_NN[np.ix_(places, places)] += np.diag(chances) - np.outer(chances, chances)
    return hessian_NN


def _renumber(results: Sequence[Result], places: dict[int, int]) -> list[Result]:
    return [
        Result(
            answers=tuple(places[answer] for answer in result.answers),
            winner=None if result.winner is None else places[result.winner],
        )
        for result in results
    ]


def _win(difference: Floats) -> Floats:
    """P(win) by the difference of two strengths."""
    return np.asarray(0.5 * (1 + np.tanh(difference / 2)))


def _check_prior(prior_sd: float) -> None:
    if not prior_sd > 0:
        raise ConfigError(f"prior_sd is {prior_sd:g}; expected more than 0, in log-odds")
