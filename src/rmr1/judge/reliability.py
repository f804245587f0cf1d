"""How far a judge's probabilities can be trusted: pure functions of arrays, and what gathers these in one pass.

I is the number of items: `probability_I` is P(A is better), in [0, 1], and `label_I` is 1 if A is the better answer,
0 if B is, 0.5 if they are equal. The confidence of an item is max(P, 1 - P), in [0.5, 1], in the side that it names;
an item whose probability is exactly one half names none, and is right by half.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmr1.verdicts.probability import Ruled, tell_probability

Floats = NDArray[np.float64]

LABELS = {"A": 1.0, "B": 0.0, "tie": 0.5}
"""A pair's label -> its number."""

NUM_BINS = 10
"""Bins of equal width over the confidences from 0.5 to 1."""
_LEVELS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the items at which the risk is told."""


class Bin(NamedTuple):
    """Items of similar confidence."""

    items: int
    confidence: float
    """Their mean confidence."""
    accuracy: float
    """The share of them whose named side is the label."""


def name_sides(probability_I: Floats, label_I: Floats) -> tuple[Floats, Floats]:
    """(confidence_I, correct_I): how sure each item is of the side that it names, and whether that side is right.

    A label of 0.5 is right by half whatever is named.
    """
    confidence_I = np.maximum(probability_I, 1 - probability_I)
    says_I = np.where(probability_I == 0.5, 0.5, (probability_I > 0.5).astype(np.float64))
    return confidence_I, 1 - np.abs(says_I - label_I)


def list_bins(probability_I: Floats, label_I: Floats) -> list[Bin]:
    """The bins that hold items, from the lowest confidence on."""
    confidence_I, correct_I = name_sides(probability_I, label_I)
    index_I = np.minimum(((confidence_I - 0.5) * 2 * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        Bin(int(is_in.sum()), float(confidence_I[is_in].mean()), float(correct_I[is_in].mean()))
        for is_in in (index_I == number for number in range(NUM_BINS))
        if is_in.any()
    ]


def calibration_error(probability_I: Floats, label_I: Floats) -> float:
    """The expected calibration error (ECE; Naeini et al. 2015): the mean gap between confidence and accuracy over
    `NUM_BINS` bins, weighed by their items, in [0, 1]."""
    bins = list_bins(probability_I, label_I)
    return sum(one.items * abs(one.confidence - one.accuracy) for one in bins) / len(probability_I)


def brier_score(probability_I: Floats, label_I: Floats) -> float:
    """The mean squared error of the probability, in [0, 1]; always saying one half scores 0.25."""
    return float(np.mean((probability_I - label_I) ** 2))


def area_under_curve(probability_I: Floats, label_I: Floats) -> float | None:
    """AUC: how often an item whose better answer is A has the higher P(A) than one whose better answer is B, ties
    being half; None unless there are both. Items labelled as ties are left out."""
    of_a, of_b = probability_I[label_I == 1], np.sort(probability_I[label_I == 0])
    if not len(of_a) or not len(of_b):
        return None
    below = np.searchsorted(of_b, of_a, side="left") + np.searchsorted(of_b, of_a, side="right")
    return float(below.sum() / (2 * len(of_a) * len(of_b)))


def risk_coverage(probability_I: Floats, label_I: Floats) -> list[dict[str, float]]:
    """What accepting only the surest items costs: `coverage` (share accepted), `threshold` (their lowest confidence)
    and `risk` (share of them that are wrong). Items of equal confidence are accepted together."""
    confidence_I, correct_I = name_sides(probability_I, label_I)
    order_I = np.argsort(-confidence_I, kind="stable")
    confidence_I, wrong_I = confidence_I[order_I], np.cumsum(1 - correct_I[order_I])
    found: dict[int, dict[str, float]] = {}
    for level in _LEVELS:
        threshold = confidence_I[max(1, round(level * len(order_I))) - 1]
        accepted = int(np.count_nonzero(confidence_I >= threshold))
        found[accepted] = {
            "coverage": accepted / len(order_I),
            "threshold": float(threshold),
            "risk": float(wrong_I[accepted - 1] / accepted),
        }
    return list(found.values())


def area_under_risk(probability_I: Floats, label_I: Floats) -> float:
    """AURC: the mean, over all numbers of accepted items, of the risk of accepting that many of the surest (Geifman,
    Uziel and El-Yaniv 2019); of equally sure items each has the mean risk of all of them."""
    confidence_I, correct_I = name_sides(probability_I, label_I)
    return float(np.mean(expect_risks(confidence_I, 1 - correct_I)))


def expect_risks(confidence_I: Floats, wrong_I: Floats) -> Floats:
    """The risk of accepting the 1, 2, ... and all surest items, `wrong_I` being 1 for one that is wrong; of equally sure
    items each has the mean risk of all of them."""
    _, index_I, counts = np.unique(-confidence_I, return_inverse=True, return_counts=True)
    wrong = np.bincount(index_I, wrong_I)
    expected_I = np.repeat(wrong / counts, counts)
    risks_I: Floats = np.cumsum(expected_I) / np.arange(1, len(expected_I) + 1)
    return risks_I


def summarize_reliability(probability_I: Floats, label_I: Floats) -> dict[str, Any]:
    """All of it, as a summary has it; at least one item. The sequence of the items counts for nothing, to the last digit."""
    order_I = np.lexsort((label_I, probability_I))
    probability_I, label_I = probability_I[order_I], label_I[order_I]
    return {
        "items": len(probability_I),
        "ece": calibration_error(probability_I, label_I),
        "brier": brier_score(probability_I, label_I),
        "auc": area_under_curve(probability_I, label_I),
        "aurc": area_under_risk(probability_I, label_I),
        "bins": [one._asdict() for one in list_bins(probability_I, label_I)],
        "risk_coverage": risk_coverage(probability_I, label_I),
    }


@dataclass(slots=True)
class ReliabilityTally:
    """The probabilities of labelled judgments, gathered one by one; 16 bytes each."""

    labelled: int = 0
    is_calibrated: bool = False
    _both: array[float] = field(default_factory=lambda: array("d"))
    """P(A is better) and the label as a number, of each labelled judgment that tells both."""

    def add(self, judgment: Ruled, label: str | None) -> None:
        """Count a judgment of a pair with this label; one without label is passed over."""
        if label is None:
            return
        self.labelled += 1
        self.is_calibrated |= judgment.calibrated is not None
        probability = tell_probability(judgment)
        if probability is not None and label in LABELS:
            self._both.extend((probability, LABELS[label]))

    def describe(self) -> dict[str, Any] | None:
        """The section `reliability` of a summary; None if no labelled judgment tells a probability."""
        if not self._both:
            return None
        both = np.frombuffer(self._both).reshape(-1, 2)
        return {
            "calibrated": self.is_calibrated,
            "without": self.labelled - len(both),
            **summarize_reliability(both[:, 0], both[:, 1]),
        }


def format_reliability(section: Mapping[str, Any]) -> str:
    """The section `reliability` in one line."""
    auc = "" if section["auc"] is None else f", AUC {section['auc']:.3f}"
    without = f"; {section['without']} labelled pairs have none" if section["without"] else ""
    surest = next((one for one in section["risk_coverage"] if one["coverage"] <= 0.5), None)
    half = (
        "" if surest is None else f"; of the surest {surest['coverage']:.0%} {surest['risk']:.1%} are wrong"
    )
    kind = "calibrated probabilities" if section["calibrated"] else "probabilities"
    return f"{kind}: ECE {section['ece']:.3f}, Brier {section['brier']:.3f}{auc}{half}{without}"
