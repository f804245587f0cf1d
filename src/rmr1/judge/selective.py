"""Thresholds that keep a promise: answer only if the confidence suffices, and be wrong at most so often.

A threshold is wanted whose risk, the share of wrong ones among what it accepts, is at most `risk` with probability
1 - `delta` over the drawing of the labelled items. The thresholds are tested from the highest down, each by an exact
binomial p-value, and the walk ends at the first that fails (fixed-sequence testing; Angelopoulos et al., "Learn then
Test", arXiv 2110.01052; for judges Jung, Brahman and Choi, "Trust or Escalate", arXiv 2407.18370). If the first one
fails already there is none, and everything is abstained from: the reference implementation then falls back to its
highest threshold, which breaks the promise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmr1.errors import ConfigError
from rmr1.stats import binomial_tail

Floats = NDArray[np.float64]

LEAST_ACCEPTED = 30
"""Labelled items that a threshold has to accept before it is tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The lowest confidence that is accepted, and what the labelled items say of it."""

    confidence: float
    accepted: int
    """Labelled items that it accepts."""
    wrong: float
    """Those of them that are wrong; a tie is wrong by half."""
    p_value: float
    """The chance of so few wrong ones if the risk were higher than promised."""


def find_threshold(
    confidence_I: Floats,
    correct_I: Floats,
    *,
    risk: float,
    delta: float,
    least_accepted: int = LEAST_ACCEPTED,
) -> Threshold | None:
    """The lowest threshold down to which every one holds; None if not even the highest does.

    The thresholds are the different confidences, from the highest on that accepts at least `least_accepted` items.

    Raises:
        ConfigError: `risk` or `delta` is not in (0, 1).
    """
    for name, value in (("risk", risk), ("delta", delta)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} is {value:g}; expected a number between 0 and 1")
    found = None
    for one in list_thresholds(confidence_I, correct_I, risk=risk, least_accepted=least_accepted):
        if one.p_value > delta:
            break
        found = one
    return found


def list_thresholds(
    confidence_I: Floats, correct_I: Floats, *, risk: float, least_accepted: int = LEAST_ACCEPTED
) -> list[Threshold]:
    """Every threshold with its p-value, from the highest on."""
    order_I = np.argsort(-confidence_I, kind="stable")
    confidence_I, wrong_I = confidence_I[order_I], np.cumsum(1 - correct_I[order_I])
    is_last_I = np.append(confidence_I[1:] != confidence_I[:-1], True)[: len(confidence_I)]
    return [
        Threshold(
            confidence=float(confidence_I[index]),
            accepted=int(index) + 1,
            wrong=float(wrong_I[index]),
            p_value=binomial_tail(int(np.ceil(wrong_I[index])), int(index) + 1, risk),
        )
        for index in np.flatnonzero(is_last_I)
        if index + 1 >= least_accepted
    ]


def find_cascade(
    confidence_SI: Floats,
    correct_SI: Floats,
    *,
    risk: float,
    delta: float,
    least_accepted: int = LEAST_ACCEPTED,
) -> list[Threshold | None]:
    """A threshold for each of S stages, or None for one that accepts nothing, such that with probability 1 - `delta`
    every stage is wrong in at most `risk` of what it accepts.

    Each stage is calibrated on the items that those before it did not accept, with an equal share of `delta`. NaN is
    the confidence of an item that a stage says nothing about; it is never accepted.

    Raises:
        ConfigError: `risk` or `delta` is not in (0, 1).
    """
    found: list[Threshold | None] = []
    is_left_I = np.ones(confidence_SI.shape[1], dtype=bool)
    for confidence_I, correct_I in zip(confidence_SI, correct_SI, strict=True):
        reaches_I = is_left_I & ~np.isnan(confidence_I)
        threshold = find_threshold(
            confidence_I[reaches_I],
            correct_I[reaches_I],
            risk=risk,
            delta=delta / len(confidence_SI),
            least_accepted=least_accepted,
        )
        if threshold is not None:
            is_left_I &= ~(confidence_I >= threshold.confidence)
        found.append(threshold)
    return found
