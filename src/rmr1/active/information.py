"""Verdicts under several rubrics -> what a person's answer would tell, pair by pair.

The rubric is a latent variable (BALD, Houlsby et al., arXiv 1112.5745): with p_r the probability that A is better under the
r-th rubric,

    total         H(mean of p_r)                     how unsure the judge is
    information   H(mean of p_r) - mean of H(p_r)    what it would learn by knowing the right rubric
    rest          total - information                unsure whatever the rubric: hard, or a tie

in bits. p_r is the mean of the votes under a rubric, of each order by itself and then of both, so exchanging the answers
turns p_r into 1 - p_r and a preference for a place cancels.

With few votes the difference is too large: votes that vary by chance make the p_r differ too. The information is adjusted as
mutual information between clusterings is (Vinh et al. 2010): I stands for total * (I - E) / (total - E), with E its mean if
votes are exchanged between the rubrics at random, each order by itself. It is 0 on average if the rubrics do not matter, and the
total if they settle all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmr1.records import Judgment, Vote

Floats = NDArray[np.float64]

LEAST_RUBRICS = 2
"""Rubrics with verdicts in both orders that a pair needs."""
SURE = 0.05
"""A difference is one if chance makes as large a one with at most this probability."""
LIKELY = 0.2
"""The same, if little is lost by being wrong: to ask for a criterion in vain. With 4 rubrics and 2 votes in each order no more
than a quarter of real differences are sure (benchmarks/active.py)."""
_EXCHANGES = 200
"""Random exchanges of votes that stand for chance."""
_EVEN = {"A": 1.0, "B": 0.0, "tie": 0.5}
_ROUNDING = 1e-12

Orders = tuple[tuple[float, ...], tuple[float, ...]]
"""P(A is better) of each vote with A first, and of each with B first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """How unsure a judge is of a pair, and what of. In bits."""

    total: float
    """Entropy of the mean of the rubrics, in [0, 1]."""
    about_rubric: float
    """Adjusted for chance; a little below 0 if the rubrics agree more than chance would have them."""
    unadjusted: float
    """As it comes from the votes, in [0, total]."""
    rubric_p: float
    """The probability of as much information if the rubrics do not matter, in (0, 1]."""
    place: float
    """Mean of P(A is better) with A first, less that with B first, in [-1, 1]; above 0 if the first place is favoured."""
    place_p: float
    """The probability of as large a difference if the place does not matter, in (0, 1]."""
    is_turned_by_place: bool
    """Whether one order prefers A on the whole and the other one B."""

    @property
    def rest(self) -> float:
        """How unsure the judge is whatever the rubric."""
        return self.total - self.about_rubric

    @property
    def is_about_rubric(self) -> bool:
        """Whether the rubrics are likely to differ by more than chance."""
        return self.rubric_p <= LIKELY

    @property
    def is_about_place(self) -> bool:
        """Whether the verdict depends on which answer stands first, by more than chance."""
        return self.is_turned_by_place and self.place_p <= SURE


def read_votes(judgment: Judgment) -> Orders:
    """P(A is better) of every vote with a verdict, by order: of its verdict letter if that is known, else 1 or 0, and a half of a
    tie."""
    return (
        tuple(_read_vote(vote) for vote in judgment.votes if vote.winner in _EVEN and vote.order == "given"),
        tuple(
            _read_vote(vote) for vote in judgment.votes if vote.winner in _EVEN and vote.order == "swapped"
        ),
    )


def measure_information(rubrics: Sequence[Orders], *, seed: int = 0) -> Information | None:
    """What the votes under each rubric tell of a pair; None if fewer than `LEAST_RUBRICS` have votes in both orders. Rubrics
    without are left out. `seed` draws the exchanges.

    >>> one = measure_information([((1.0, 1.0), (1.0, 1.0)), ((0.0, 0.0), (0.0, 0.0))])
    >>> round(one.total, 3), round(one.about_rubric, 3), round(one.unadjusted, 3)
    (1.0, 1.0, 1.0)
    """
    whole = [orders for orders in rubrics if orders[0] and orders[1]]
    if len(whole) < LEAST_RUBRICS:
        return None
    random = np.random.default_rng(seed)
    mean_R = np.array([[(np.mean(first) + np.mean(second)) / 2] for first, second in whole])
    total, unadjusted = (float(one[0]) for one in _split(mean_R))
    first_RE, second_RE = (_exchange([orders[place] for orders in whole], random) for place in (0, 1))
    exchanged_RE = (first_RE + second_RE) / 2
    chance_E = _split(exchanged_RE)[1]
    expected, adjusted = float(chance_E.mean()), 0.0
    if total - expected > _ROUNDING:
        adjusted = total * (unadjusted - expected) / (total - expected)
    places = np.array([[np.mean(first), np.mean(second)] for first, second in whole]).mean(axis=0)
    place = float(places[0] - places[1])
    return Information(
        total=total,
        about_rubric=adjusted,
        unadjusted=unadjusted,
        rubric_p=_share_as_large(chance_E, unadjusted),
        place=place,
        place_p=_share_as_large(_exchange_places(whole, random), abs(place)),
        is_turned_by_place=bool((places[0] - 0.5) * (places[1] - 0.5) < 0),
    )


def entropy(probability: Floats) -> Floats:
    """The entropy of a choice between two, in bits, in [0, 1]."""
    inner = np.clip(probability, 1e-300, 1 - 1e-16)
    bits = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))
    return np.where((probability <= 0) | (probability >= 1), 0.0, bits)


def _read_vote(vote: Vote) -> float:
    return vote.probability if vote.probability is not None else _EVEN[vote.winner or ""]


def _split(mean_RE: Floats) -> tuple[Floats, Floats]:
    """(total, information) of each column."""
    total_E = entropy(mean_RE.mean(axis=0))
    return total_E, np.maximum(total_E - entropy(mean_RE).mean(axis=0), 0.0)


def _exchange(votes: Sequence[tuple[float, ...]], random: np.random.Generator) -> Floats:
    """Mean_RE of each rubric after each exchange of the votes of one order."""
    flat = np.concatenate([np.asarray(one, dtype=np.float64) for one in votes])
    sizes = np.array([len(one) for one in votes])
    shuffled_EV = random.permuted(np.broadcast_to(flat, (_EXCHANGES, len(flat))), axis=1)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums_ER = np.add.reduceat(shuffled_EV, starts, axis=1)
    return np.asarray((sums_ER / sizes).T, dtype=np.float64)


def _exchange_places(rubrics: Sequence[Orders], random: np.random.Generator) -> Floats:
    """|difference between the orders| after each exchange of votes between the orders of a rubric."""
    difference_E = np.zeros(_EXCHANGES)
    for first, second in rubrics:
        flat = np.array([*first, *second])
        shuffled_EV = random.permuted(np.broadcast_to(flat, (_EXCHANGES, len(flat))), axis=1)
        difference_E += shuffled_EV[:, : len(first)].mean(axis=1) - shuffled_EV[:, len(first) :].mean(axis=1)
    return np.abs(difference_E / len(rubrics))


def _share_as_large(chance_E: Floats, value: float) -> float:
    return float((1 + np.count_nonzero(chance_E >= value - 1e-9)) / (1 + len(chance_E)))
