"""Exact tests of one feature, and the runs test of an order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import erfc, exp, lgamma, log, sqrt


def binomial_p(successes: int, total: int, share: float) -> float:
    """Two-sided exact p-value: twice the smaller tail of Binomial(total, share), at most 1.

    `binomial_p(20, 20, 0.5)` is 2 / 2**20.
    """
    if not 0 <= successes <= total or not 0 <= share <= 1:
        raise ValueError(f"{successes} of {total} at {share} is no count of successes")
    if total == 0 or share in (0.0, 1.0):
        return 1.0 if total == 0 or successes == total * share else 0.0
    low, high = _tail(successes, total, share), _tail(total - successes, total, 1 - share)
    return min(1.0, 2 * min(low, high))


def _tail(count: int, total: int, share: float) -> float:
    """P(X <= count)."""
    if count >= total * share + 12 * sqrt(total * share * (1 - share)) + 12:
        return 1.0
    term = exp(
        lgamma(total + 1)
        - lgamma(count + 1)
        - lgamma(total - count + 1)
        + count * log(share)
        + (total - count) * log(1 - share)
    )
    tail, odds, at = term, (1 - share) / share, count
    while at > 0 and (term > tail * 1e-17 or at > (total + 1) * share):
        term *= odds * at / (total - at + 1)
        tail += term
        at -= 1
    return min(1.0, tail)


def runs_p(labels: Sequence[str]) -> tuple[int, float, float]:
    """(runs, runs expected, two-sided p) of a sequence of two labels (Wald and Wolfowitz 1940, normal)."""
    total = len(labels)
    first = sum(label == "A" for label in labels)
    second = total - first
    runs = 1 + sum(one != two for one, two in pairwise(labels)) if total else 0
    if not first or not second or total < 3:
        return runs, float(runs), 1.0
    product = 2 * first * second
    expected = product / total + 1
    variance = product * (product - total) / (total * total * (total - 1))
    if variance <= 0:
        return runs, expected, 1.0
    return runs, expected, erfc(abs(runs - expected) / sqrt(2 * variance))
