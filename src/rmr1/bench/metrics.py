"""Statistics of scores: pure functions of counts and arrays.

Intervals of shares (Wilson), intervals of anything else from its bootstrap values, two judges on the same
items (McNemar's exact test and its mid-p form) and how often that test would notice a difference. The
draws of a bootstrap are in `rmr1.bench.outcomes`. R is the number of resamples or repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Normal quantile of a two-sided 95% interval."""


def wilson_interval(correct: int, total: int, z: float = Z_95) -> tuple[float, float] | None:
    """Wilson's score interval of a share, within [0, 1]; None where there is nothing to count.

    Good for small counts and shares near 0 or 1 (Wilson 1927): `wilson_interval(8, 10)` is
    (0.490, 0.943).
    """
    if total == 0:
        return None
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} is not a share")
    share = correct / total
    scale = 1 + z * z / total
    center = (share + z * z / (2 * total)) / scale
    half = z / scale * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the bound is exact; rounding must not move it.
    return 0.0 if correct == 0 else center - half, 1.0 if correct == total else center + half


def percentile_interval(values_R: NDArray[np.floating], level: float = 0.95) -> tuple[float, float]:
    """The central `level` of bootstrap values (Efron 1979), linear between order statistics."""
    tail = 50 * (1 - level)
    low, high = np.percentile(values_R, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarTest:
    """Two judges on the same items: does one have the better of the items that only one got right?"""

    only_first: int
    """Items that the first got right (or better) and the second did not."""
    only_second: int
    exact_p: float
    """Two-sided exact binomial (Clopper); its size is below the nominal one, often by half."""
    mid_p: float
    """The exact one less half the probability of what was seen, each side; size close to nominal
    (Lancaster 1961; recommended by Fagerland, Lydersen and Laake 2013)."""

    @property
    def discordant(self) -> int:
        return self.only_first + self.only_second


def mcnemar_test(only_first: int, only_second: int) -> McNemarTest:
    """McNemar's test of the discordant counts; `mcnemar_test(8, 2)` has exact_p 0.109 and mid_p 0.065."""
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts {only_first} and {only_second} must not be negative")
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail, point = _half_tail(total, fewer)
    return McNemarTest(
        only_first=only_first,
        only_second=only_second,
        exact_p=min(1.0, 2 * tail),
        mid_p=min(1.0, 2 * tail - point),
    )


def _half_tail(total: int, count: int) -> tuple[float, float]:
    """(P(X <= count), P(X = count)) for X ~ Binomial(total, 1/2) and count at most total / 2."""
    point = exp(lgamma(total + 1) - lgamma(count + 1) - lgamma(total - count + 1) - total * log(2))
    tail, term, at = point, point, count
    while at > 0 and term > tail * 1e-18:
        term *= at / (total - at + 1)
        tail += term
        at -= 1
    return tail, point


def mcnemar_mid_p(only_first_R: NDArray[np.int64], only_second_R: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mid-p values of many pairs of discordant counts at once."""
    keys = np.stack([only_first_R + only_second_R, np.minimum(only_first_R, only_second_R)], axis=1)
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    values = [mcnemar_test(int(fewer), int(total - fewer)).mid_p for total, fewer in distinct]
    return np.array(values)[inverse.reshape(-1)]


def mcnemar_power(only_first: float, only_second: float, items: int, alpha: float = 0.05) -> float:
    """How often the mid-p test rejects at `alpha`, where each item is right for one judge alone with these
    probabilities: the sum over the number of discordant items of its probability times the test's power
    given that number. Exact for some thousand items; of more numbers than 400, evenly spaced ones stand for
    all, because the power changes smoothly with them.
    """
    share = only_first + only_second
    if min(only_first, only_second) < 0 or share > 1:
        raise ValueError(f"{only_first} and {only_second} are not two shares of the items")
    if share == 0 or items == 0:
        return 0.0
    first, weights = _binomial(items, share)
    step = 1 + 2 * (len(weights) // 400)  # odd: even and odd numbers differ a little
    power = 0.0
    for offset in range(0, len(weights), step):
        discordant, weight = first + offset, weights[offset]
        critical = _critical_count(discordant, alpha)
        if critical < 0:
            continue
        start, chances = _binomial(discordant, only_first / share)
        counts = np.arange(start, start + len(chances))
        is_rejected = (counts <= critical) | (counts >= discordant - critical)
        power += float(weight * chances[is_rejected].sum())
    return power / float(weights[::step].sum())


def detectable_difference(discordant: float, items: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference of two judges' shares, in [0, 1], that `mcnemar_power` finds that often, when
    `discordant` of the items are right for one of them alone; NaN where even all of them are too few."""
    low, high = 0.0, discordant
    if mcnemar_power(discordant, 0.0, items, alpha) < power:
        return float("nan")
    for _ in range(12):
        middle = (low + high) / 2
        reached = mcnemar_power((discordant + middle) / 2, (discordant - middle) / 2, items, alpha)
        low, high = (low, middle) if reached >= power else (middle, high)
    return high


@lru_cache(maxsize=65536)
def _critical_count(discordant: int, alpha: float) -> int:
    """The largest smaller count whose mid-p is at most `alpha`; -1 where there is none."""
    start, chances = _binomial(discordant, 0.5)
    mid_p = 2 * np.cumsum(chances) - chances
    return start + int(np.searchsorted(mid_p, alpha, side="right")) - 1 if mid_p[0] <= alpha else -1


def _binomial(total: int, share: float) -> tuple[int, NDArray[np.float64]]:
    """The probabilities of the counts that can occur, from the first one on; what lies more than ten
    standard deviations (and ten counts) off is left out: less than 1e-20."""
    if share in (0, 1):
        return int(total * share), np.ones(1)
    reach = 10 * sqrt(total * share * (1 - share)) + 10
    first, last = max(0, int(total * share - reach)), min(total, int(total * share + reach))
    counts = np.arange(first, last + 1)
    odds = np.log((total - counts[:-1]) / (counts[:-1] + 1)) + log(share / (1 - share))
    logs = np.concatenate([[0.0], np.cumsum(odds)])
    chances = np.exp(logs - logs.max())
    return first, chances / chances.sum()
