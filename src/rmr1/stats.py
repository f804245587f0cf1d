"""Statistics of scores: pure functions of counts and arrays.

Intervals of shares (Wilson), intervals of anything else from its bootstrap values, two judges on the same
items (McNemar's exact test and its mid-p form) and how often that test would notice a difference; the same
interval and test by prompt. The binomial test of a share, and the runs test of an order.

Letters in shapes: R resamples or repeats, P prompts, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import cos, erfc, exp, expm1, lgamma, log, log1p, pi, sin, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

Z_95 = 1.959963984540054
"""Normal quantile of a two-sided 95% interval."""
_TAIL = 1 - 0.95


def wilson_interval(correct: float, total: float) -> tuple[float, float] | None:
    """Wilson's score interval of a share (Wilson 1927); None without anything to count.

    `wilson_interval(8, 10)` is (0.490, 0.943).
    """
    if total == 0:
        return None
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} is not a share")
    share, z = correct / total, Z_95
    scale = 1 + z * z / total
    center = (share + z * z / (2 * total)) / scale
    half = z / scale * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the bound is exact; rounding must not move it.
    return 0.0 if correct == 0 else center - half, 1.0 if correct == total else center + half


def clustered_interval(correct_P: Floats, items_P: Floats) -> tuple[float, float] | None:
    """Wilson's interval of the share of right items, for items that come in prompts; None of less than two.

    `correct_P` of the `items_P` of each prompt are right. The interval is that of `count_independent` items.
    """
    if np.count_nonzero(items_P) < 2:
        return None
    independent = count_independent(correct_P, items_P)
    return wilson_interval(float(correct_P.sum()) / float(items_P.sum()) * independent, independent)


def count_independent(correct_P: Floats, items_P: Floats) -> float:
    """How many independent items would tell as much of the share of right items as these, which come in prompts; at least
    two prompts have items.

    They are as many as would have the variance that is seen between the prompts (never more than there are), less if that
    variance is uncertain, by Student's t (Korn and Graubard 1998, "Confidence intervals for proportions with small expected
    number of positive counts"). Its degrees of freedom are those of `variance_between`, at most the prompts less one: few
    if a few prompts hold all of the errors. For that the t takes no more than down to as many as the prompts, which is what
    all or none right count as.
    """
    is_there = items_P > 0
    correct_P, items_P = correct_P[is_there], items_P[is_there]
    total = float(items_P.sum())
    share = float(correct_P.sum()) / total
    prompts = total**2 / float((items_P**2).sum())  # that would weigh as much if they were equal
    of_prompts = _share_left(prompts - 1)
    if not 0 < share < 1:
        return prompts * of_prompts
    seen, spread = variance_between(correct_P - share * items_P, np.ones(len(items_P)))
    variance = max(float(seen) / total**2, share * (1 - share) / total)
    independent = share * (1 - share) / variance
    freedom = prompts - 1
    if spread > 0:
        freedom = min(freedom, 2 * (variance * total**2) ** 2 / float(spread))
    return max(independent * _share_left(freedom), min(independent, prompts) * of_prompts)


def _share_left(freedom: float) -> float:
    """The share of items that count as independent, if their variance has these degrees of freedom."""
    return (Z_95 / student_quantile(freedom)) ** 2


def variance_between(changes_N: Floats, counts_N: Floats) -> tuple[Floats, Floats]:
    """The variance of a number, and the variance of this variance, by what each of n >= 2 prompts adds to the number.

    `changes_N` [..., N] have the mean 0 over prompts, of which there are `counts_N` of each kind. The variance is
    S = n / (n - 1) x sum a^2; its own is sum a^4 less (n - 3) / (n - 1) x S^2 / n (Potthoff, Woodbury and Manton 1992), no
    less than if a were normal, 2 S^2 / (n - 1). Both add up over strata; 2 S^2 by the second are the degrees of freedom of S
    (Satterthwaite 1946).
    """
    n = float(counts_N.sum())
    variance: Floats = n / (n - 1) * (changes_N**2 @ counts_N)
    fourth = changes_N**4 @ counts_N - (n - 3) / (n - 1) * variance**2 / n
    return variance, np.maximum(fourth, 2 * variance**2 / (n - 1))


def clustered_mean_interval(sums_P: Floats, items_P: Floats) -> tuple[float, float] | None:
    """95% interval of the mean of items that come in prompts, by the variance between prompts and Student's t; None of less
    than two prompts. `sums_P` of each prompt is the sum over its `items_P` items; a difference of two judges' shares is such
    a mean."""
    prompts = int(np.count_nonzero(items_P))
    if prompts < 2:
        return None
    total = float(items_P.sum())
    mean = float(sums_P.sum()) / total
    variance = prompts / (prompts - 1) * float(((sums_P - mean * items_P) ** 2).sum()) / total**2
    half = student_quantile(prompts - 1) * sqrt(variance)
    return mean - half, mean + half


def share_interval(credits_I: Floats, prompts_I: Numbers) -> tuple[float, float] | None:
    """Wilson's interval of the share of right items (credit 1), by prompt if two items share one."""
    _, index_I = np.unique(prompts_I, return_inverse=True)
    items_P = np.bincount(index_I).astype(np.float64)
    if len(items_P) == len(credits_I):
        return wilson_interval(int(credits_I.sum()), len(credits_I))
    return clustered_interval(np.bincount(index_I, credits_I).astype(np.float64), items_P)


def student_quantile(freedom: float) -> float:
    """What Student's t stays within, on both sides of 0, with a chance of 95% (Hill 1970, algorithm 396).

    Right to four digits from 2 degrees of freedom on; `student_quantile(10)` is 2.228.
    """
    tail, n = _TAIL, max(1.0, freedom)
    if n == 1:
        return cos(tail * pi / 2) / sin(tail * pi / 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * pi / 2) * n
    y = (d * tail) ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tail / 2)
        y = x * x
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (
            n + 1
        ) / (n + 2) + 1 / y
    return sqrt(n * y)


def student_tail(value: float, freedom: float) -> float:
    """The chance that Student's t is more than `value` (Wallace 1959; right to some 1% of itself from 3 degrees of freedom on).

    `student_tail(2.228, 10)` is 0.025.
    """
    n = max(1.0, freedom)
    z = sqrt(n * log1p(value * value / n)) * (8 * n + 1) / (8 * n + 3)
    tail = erfc(z / sqrt(2)) / 2
    return tail if value >= 0 else 1 - tail


def percentile_interval(values_R: Floats, *, freedom: float | None = None) -> tuple[float, float]:
    """The central 95% of bootstrap values (Efron 1979).

    The truth lies below the k-th smallest of R values with chance k / (R + 1); between two of them the percentile is
    linear. So few draws make an interval noisier, not shorter. With degrees of freedom, the percentiles are those at
    which a normal distribution stands where Student's t has its own (Hesterberg 2015): of 10 the central 97.4%.
    """
    tail = 50 * (_TAIL if freedom is None else erfc(student_quantile(freedom) / sqrt(2)))
    low, high = np.percentile(values_R, [tail, 100 - tail], method="weibull")
    return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarTest:
    """Two judges on the same items."""

    only_first: int
    """Items that the first got right (or better) and the second did not."""
    only_second: int
    exact_p: float
    """Two-sided exact binomial (Clopper); its size is below the nominal one, often by half."""
    mid_p: float
    """The exact one less half the probability of what was seen, each side; size close to nominal
    (Lancaster 1961; recommended by Fagerland, Lydersen and Laake 2013)."""
    prompts: int | None = None
    """Prompts that favour one of the judges, if whole prompts were exchanged."""

    @property
    def discordant(self) -> int:
        return self.only_first + self.only_second


def mcnemar_test(only_first: int, only_second: int) -> McNemarTest:
    """McNemar's test of the discordant counts; `mcnemar_test(8, 2)` has exact_p 0.109 and mid_p 0.065."""
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts {only_first} and {only_second} must not be negative")
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail, point = _tail(fewer, total, 0.5)
    return McNemarTest(
        only_first=only_first,
        only_second=only_second,
        exact_p=min(1.0, 2 * tail),
        mid_p=min(1.0, 2 * tail - point),
    )


def clustered_mcnemar_test(changes_P: Numbers, only_first: int, only_second: int) -> McNemarTest:
    """McNemar's test of items that come in prompts: `changes_P` of each prompt is how many of its items only the
    first got right, less those that only the second did.

    If the judges are alike, their results at a prompt may be exchanged, which turns the sign of its change. The
    p-value is the share of all ways to turn signs that give a sum as large as the one seen; where every
    prompt has one item these are McNemar's binomial counts. It is exact for alike judges however few the prompts
    (sign changes: Canay, Romano and Shaikh 2017), and with many prompts it is the clustered chi-square of
    Obuchowski (1998) and Durkalski et al. (2003), which needs no more than equal shares.

    All ways are counted at once: the sum's characteristic function is a product of cosines. Right to some 1e-13.
    """
    sizes, counts = np.unique(np.abs(changes_P[changes_P != 0]), return_counts=True)
    total, seen = int(sizes @ counts), abs(int(changes_P.sum()))
    # As in McNemar's test, what is counted is the smaller side: (total - sum) / 2, from 0 to total.
    angles = pi * np.arange(total + 1) / (total + 1)
    turned = np.exp(-1j * total * angles)
    for size, count in zip(sizes, counts, strict=True):
        turned *= np.cos(size * angles) ** count
    chances = np.fft.ifft(turned).real
    fewer = (total - seen) // 2
    tail, point = max(0.0, float(chances[: fewer + 1].sum())), max(0.0, float(chances[fewer]))
    return McNemarTest(
        only_first=only_first,
        only_second=only_second,
        exact_p=min(1.0, 2 * tail),
        mid_p=min(1.0, max(0.0, 2 * tail - point)),
        prompts=int(counts.sum()),
    )


def binomial_p(successes: int, total: int, share: float) -> float:
    """Two-sided exact p-value: twice the smaller tail of Binomial(total, share), at most 1.

    `binomial_p(20, 20, 0.5)` is 2 / 2**20.
    """
    if not 0 <= successes <= total or not 0 <= share <= 1:
        raise ValueError(f"{successes} of {total} at {share} is no count of successes")
    if total == 0 or share in (0.0, 1.0):
        return 1.0 if total == 0 or successes == total * share else 0.0
    (low, _), (high, _) = _tail(successes, total, share), _tail(total - successes, total, 1 - share)
    return min(1.0, 2 * min(low, high))


def _tail(count: int, total: int, share: float) -> tuple[float, float]:
    """(P(X <= count), P(X = count)) for X ~ Binomial(total, share)."""
    chance = lgamma(total + 1) - lgamma(count + 1) - lgamma(total - count + 1)
    point = exp(chance + total * log(1 - share) + count * log(share / (1 - share)))
    if count >= total * share + 12 * sqrt(total * share * (1 - share)) + 12:
        return 1.0, point
    tail, term, odds, at = point, point, (1 - share) / share, count
    while at > 0 and (term > tail * 1e-18 or at > (total + 1) * share):
        term *= odds * at / (total - at + 1)
        tail += term
        at -= 1
    return min(1.0, tail), point


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


def mcnemar_power(only_first: float, only_second: float, items: int, alpha: float = 0.05) -> float:
    """How often the mid-p test rejects at `alpha`, if each item is right for one judge alone with these
    probabilities: the sum over the number of discordant items of its probability times the test's power
    given that number. Of more numbers than 400, evenly spaced ones stand for all.
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
    """The smallest difference of two judges' shares that `mcnemar_power` finds that often, when `discordant` of
    the items are right for one of them alone; NaN if even all of them are too few.
    """
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
    """The largest smaller count whose mid-p is at most `alpha`; -1 if there is none."""
    start, chances = _binomial(discordant, 0.5)
    mid_p = 2 * np.cumsum(chances) - chances
    return start + int(np.searchsorted(mid_p, alpha, side="right")) - 1 if mid_p[0] <= alpha else -1


def _binomial(total: int, share: float) -> tuple[int, Floats]:
    """The first count that can occur, and the probabilities from it on; what lies more than ten standard
    deviations (and ten counts) off is left out: less than 1e-20."""
    if share in (0, 1):
        return int(total * share), np.ones(1)
    reach = 10 * sqrt(total * share * (1 - share)) + 10
    first, last = max(0, int(total * share - reach)), min(total, int(total * share + reach))
    counts = np.arange(first, last + 1)
    odds = np.log((total - counts[:-1]) / (counts[:-1] + 1)) + log(share / (1 - share))
    logs = np.concatenate([[0.0], np.cumsum(odds)])
    chances = np.exp(logs - logs.max())
    return first, chances / chances.sum()


def binomial_tail(count: int, total: int, share: float) -> float:
    """P(X <= count) for X ~ Binomial(total, share); `binomial_tail(1, 30, 0.1)` is 0.184."""
    first, chances = _binomial(total, share)
    return min(1.0, float(chances[: max(0, count - first + 1)].sum()))


def fit_logistic(inputs_nk: Floats) -> Floats:
    """Weights `[k]` of P(better) = sigmoid(w · (better - worse)), without intercept, by Newton's method.

    The sum of log(1 + exp(-w · x)) and 1 / 2 · |w|² is strictly convex.
    """
    weights = np.zeros(inputs_nk.shape[1])
    for _ in range(50):
        chances = 1 / (1 + np.exp(np.clip(inputs_nk @ weights, -500, 500)))  # of the wrong side
        slope = weights - inputs_nk.T @ chances
        curve = (inputs_nk * (chances * (1 - chances))[:, None]).T @ inputs_nk
        move = np.linalg.solve(curve + np.eye(len(weights)), slope)
        weights -= move
        if np.abs(move).max() < 1e-8:
            break
    return weights
