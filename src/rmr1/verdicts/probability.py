"""The probability that A is the better answer, read from what a judge wrote, after its reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Protocol

from rmr1.records import Kind
from rmr1.verdicts.votes import Said, combine_probabilities


class Ruled(Protocol):
    """What tells a probability: a judgment, or the stored row of one (`rmr1.store.rulings`)."""

    @property
    def kind(self) -> Kind:
        """What was asked."""

    @property
    def votes(self) -> Sequence[Said]:
        """One for each text."""

    @property
    def scores(self) -> tuple[float, float] | None:
        """A scalar model's, of A and of B."""

    @property
    def calibrated(self) -> float | None:
        """P(A is better) by the judge's calibration; None if it has none."""


def read_probability(judgment: Ruled) -> float | None:
    """P(A is better), in [0, 1] and in the pair frame, uncalibrated; None if the judgment does not tell.

    Of votes it is that of their verdict letters (`Vote.probability`), averaged over samples and orders; votes without
    a verdict are left out. Of scores it is the Bradley-Terry probability, sigmoid(score of A - score of B). Ratings
    and choices among four have none.
    """
    if judgment.kind == "score":
        return None if judgment.scores is None else sigmoid(judgment.scores[0] - judgment.scores[1])
    if judgment.kind != "pair":
        return None
    return combine_probabilities([vote for vote in judgment.votes if vote.winner is not None])


def tell_probability(judgment: Ruled) -> float | None:
    """The same, calibrated if the judge has a calibration."""
    return read_probability(judgment) if judgment.calibrated is None else judgment.calibrated


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow."""
    return 1 / (1 + exp(-value)) if value >= 0 else 1 - 1 / (1 + exp(value))
