"""Columns -> the size of a fault with its interval, by prompt, and a test of whether it is beyond a limit.

Letters in shapes: I judgments, R rows, P prompts, K inputs of a regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmr1.audit.columns import Array
from rmr1.stats import (
    Floats,
    Numbers,
    binomial_tail,
    clustered_interval,
    clustered_mean_interval,
    count_independent,
    student_quantile,
    student_tail,
)

Interval = tuple[float, float]

_NONE = 1e-12
"""A standard error of less is none: nothing varies."""
Side = Literal["both", "above", "below"]
"""The side of its limit on which a size is a fault: both, if the limit is of its amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure with its 95% interval and p-value; both are None if there are too few prompts."""

    size: float
    interval: Interval | None
    p: float | None


def measure_share(hits_I: Array, totals_I: Array, prompts_I: Array, limit: float) -> Measured:
    """The share of hits in totals, both counts of each judgment, and whether it is above the limit."""
    hits_P, totals_P = (sum_by(prompts_I, one) for one in (hits_I, totals_I))
    size = float(hits_P.sum() / totals_P.sum())
    interval = clustered_interval(hits_P, totals_P)
    if interval is None:
        return Measured(size=size, interval=None, p=None)
    independent = int(count_independent(hits_P, totals_P))
    missed = int(np.ceil((1 - size) * independent))
    return Measured(size=size, interval=interval, p=binomial_tail(missed, independent, 1 - limit))


def measure_mean(values_I: Array, prompts_I: Array, limit: float, side: Side = "both") -> Measured:
    """The mean of a number of each judgment, and whether it is beyond the limit."""
    sums_P, items_P = sum_by(prompts_I, values_I), sum_by(prompts_I, np.ones(len(values_I)))
    size = float(values_I.mean())
    interval = clustered_mean_interval(sums_P, items_P)
    if interval is None:
        return Measured(size=size, interval=None, p=None)
    freedom = len(items_P) - 1
    error = (interval[1] - interval[0]) / 2 / student_quantile(freedom)
    return Measured(size=size, interval=interval, p=weigh_limit(size, error, freedom, limit, side))


def measure_lean(signs_I: Array, prompts_I: Array, limit: float) -> Measured:
    """The mean of numbers from -1 to 1 that is 0 for a judge without the fault. To the interval and the test two prompts are
    added, of +1 and -1, so that they have a width also if all numbers are 0 (as in `difference_interval`)."""
    added_I = np.concatenate([signs_I, [1.0, -1.0]])
    index_I = number_groups(prompts_I)
    prompts = index_I.max() + 1
    measured = measure_mean(added_I, np.concatenate([index_I, [prompts, prompts + 1]]), limit)
    return Measured(size=float(signs_I.mean()), interval=measured.interval, p=measured.p)


def weigh_limit(size: float, error: float, freedom: float, limit: float, side: Side = "both") -> float:
    """The p-value of a size with this standard error against one within the limit."""
    if side == "below":
        size, limit, side = -size, -limit, "above"
    amount = abs(size) if side == "both" else size
    if error <= 0:
        return 1.0 if amount <= limit else 0.0
    p = student_tail((amount - limit) / error, freedom)
    return min(1.0, p + student_tail((amount + limit) / error, freedom) if side == "both" else p)


def number_groups(values_I: Array) -> Array:
    """Whole numbers -> places from 0, equal ones alike: `np.unique` without sorting, if they are no larger than a few times
    their count."""
    if len(values_I) and values_I.min() >= -1 and values_I.max() < 4 * len(values_I) + 1000:
        is_there = np.bincount(values_I + 1) > 0
        places: Array = (np.cumsum(is_there) - 1)[values_I + 1]
        return places
    index_I: Array = np.unique(values_I, return_inverse=True)[1]
    return index_I


def sum_by(prompts_I: Array, values_I: Array) -> Floats:
    """The sums of the values over the judgments of each prompt."""
    return np.bincount(number_groups(prompts_I), values_I.astype(np.float64)).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A regression's slopes, with their standard errors and degrees of freedom."""

    slopes_K: Floats
    errors_K: Floats
    freedoms_K: Floats

    def measure(self, number: int, limit: float) -> Measured:
        """One slope, and whether its amount is above the limit."""
        size, error, freedom = (float(one[number]) for one in (self.slopes_K, self.errors_K, self.freedoms_K))
        if error < _NONE:
            return Measured(size=size, interval=None, p=None)
        half = student_quantile(freedom) * error
        return Measured(
            size=size,
            interval=(max(-1.0, size - half), min(1.0, size + half)),
            p=weigh_limit(size, error, freedom, limit),
        )


def fit_slopes(right_R: Floats, inputs_RK: Floats, strata_R: Numbers, prompts_R: Numbers) -> Fit | None:
    """The least-squares slopes of what is right, with a mean of its own for each stratum; None if the inputs do not vary
    inside of strata, or are one another's.

    Errors are by prompt (CR1; Liang and Zeger 1986), with as many degrees of freedom as prompts carry the slope, less one
    (the square of the sum of their shares of its information over the sum of squares).
    """
    strata_R, index_R = number_groups(strata_R), number_groups(prompts_R)
    inputs_RK = inputs_RK - _means(inputs_RK, strata_R)
    right_R = right_R - _means(right_R[:, None], strata_R)[:, 0]
    information = inputs_RK.T @ inputs_RK
    rows, width = inputs_RK.shape
    if not width or np.linalg.matrix_rank(information, hermitian=True, tol=1e-8) < width:
        return None
    inverse = np.linalg.inv(information)
    slopes_K = inverse @ (inputs_RK.T @ right_R)
    left_R = right_R - inputs_RK @ slopes_K
    prompts = int(index_R.max()) + 1
    scores_PK = np.stack([np.bincount(index_R, one) for one in (inputs_RK * left_R[:, None]).T], axis=1)
    spent = width + int(strata_R.max()) + 1
    if prompts < 2 or rows <= spent:
        return None
    many = prompts / (prompts - 1) * (rows - 1) / (rows - spent)
    variance = many * inverse @ (scores_PK.T @ scores_PK) @ inverse
    carried_RK = (inputs_RK @ inverse) ** 2
    carried_PK = np.stack([np.bincount(index_R, one) for one in carried_RK.T], axis=1)
    freedoms_K = np.maximum(1.0, carried_PK.sum(axis=0) ** 2 / (carried_PK**2).sum(axis=0) - 1)
    return Fit(slopes_K=slopes_K, errors_K=np.sqrt(np.diag(variance)), freedoms_K=freedoms_K)


def _means(values_RK: Floats, strata_R: Numbers) -> Floats:
    counts = np.bincount(strata_R)
    means: Floats = np.stack([np.bincount(strata_R, one) for one in values_RK.T], axis=1) / counts[:, None]
    return means[strata_R]
