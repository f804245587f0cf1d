"""Labels that calibrated judges contradict, the least likely first: where to look for wrong labels in a training set.

The probability of a label is that of a logistic regression on the judges' log-odds, and on how often each judge is right in the
item's subset, both fitted on other prompts: so a wrong label does not teach the judge that it is right. A and B are alike to it. A judge that names a winner and no probability counts as one
number; among its labels there is then no sequence but that of the judgments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmr1.audit.agreement import Run
from rmr1.audit.columns import Array
from rmr1.errors import DataError
from rmr1.judge.calibrate import LEAST_PAIRS
from rmr1.stats import Floats, fit_logistic

WRONG_LABEL_COLUMNS = ("label", "winner", "probability", "prompt", "subset")
_FOLDS = 10
_PRIOR = 10.0
"""Items of all subsets that count in each."""
_EDGE = 1e-12
"""Probabilities are no nearer to 0 or 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How likely a label is, given the judges."""

    key: str
    label: str
    probability: float
    """The probability that the label's side is the better one, out of fold."""

    def describe(self) -> dict[str, Any]:
        """The doubt as JSON values."""
        return {"key": self.key, "label": self.label, "probability": round(self.probability, 6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """The labels that the judges contradict, the least likely first."""

    doubts: tuple[Doubt, ...]
    used: int
    """Labels A or B of items about which every judge said something."""
    labelled: int
    judges: int
    log_loss: float
    """The log loss of the probabilities, out of fold; 0.693 tells nothing."""

    def describe(self, limit: int | None = None) -> dict[str, Any]:
        """All of it as JSON values, at most `limit` doubts."""
        return {
            "labelled": self.labelled,
            "used": self.used,
            "judges": self.judges,
            "log_loss": self.log_loss,
            "contradicted": len(self.doubts),
            "labels": [one.describe() for one in self.doubts[:limit]],
        }


def doubt_labels(runs: Sequence[Run], *, seed: int = 0) -> Doubts:
    """Rank the labels of the first run's items that all runs have and that are less likely than not.

    Args:
        seed: of the folds.

    Raises:
        DataError: too few labels, or no probabilities and verdicts, or no shared items.
    """
    first = runs[0]
    keys = list(first.by_key())
    places_RI = [np.arange(len(keys))]
    for one in runs[1:]:
        known = one.by_key()
        places_RI.append(np.array([known.get(key, -1) for key in keys], dtype=np.int64))
    columns = first.evidence.columns
    sign_I = columns.is_named("label", "A").astype(float) - columns.is_named("label", "B")
    odds_IR = np.stack([_read_odds(one, at) for one, at in zip(runs, places_RI, strict=True)], axis=1)
    is_used_I = (sign_I != 0) & ~np.isnan(odds_IR).any(axis=1)
    used, labelled = int(is_used_I.sum()), int((columns.numbers["label"] >= 0).sum())
    if used < LEAST_PAIRS:
        raise DataError(
            f"{used} labels of A or B are of items with a verdict in every run; ranking labels needs {LEAST_PAIRS} or more"
        )
    chosen = np.flatnonzero(is_used_I)
    inputs_IR = odds_IR[chosen] * sign_I[chosen, None]
    strata_I = first.evidence.column("subset")[chosen]
    probability_I = _cross_fit(inputs_IR, strata_I, first.evidence.column("prompt")[chosen], seed)
    ranked = np.argsort(probability_I, kind="stable")
    doubts = tuple(
        Doubt(
            key=keys[chosen[at]],
            label="A" if sign_I[chosen[at]] > 0 else "B",
            probability=float(probability_I[at]),
        )
        for at in ranked
        if probability_I[at] < 0.5
    )
    loss = float(-np.log(np.clip(probability_I, 1e-12, 1)).mean())
    return Doubts(doubts=doubts, used=used, labelled=labelled, judges=len(runs), log_loss=loss)


def _read_odds(run: Run, places_I: Array) -> Floats:
    """Log-odds of A, item by item, the large ones drawn in (asinh), lest one judge's certainty outvote all others; of a winner
    without a probability those of three in four; nan if the run tells nothing."""
    column, columns = run.evidence.column, run.evidence.columns
    winner_I = columns.is_named("winner", "A").astype(float) - columns.is_named("winner", "B")
    is_even_I = columns.is_named("winner", "tie") | (winner_I == 0) & ~np.isnan(column("probability"))
    plain_I = np.where((winner_I != 0) | is_even_I, winner_I * np.log(3), np.nan)
    clipped_I = np.clip(column("probability"), _EDGE, 1 - _EDGE)
    odds_I = np.where(np.isnan(clipped_I), plain_I, np.log(clipped_I / (1 - clipped_I)))
    odds_I = np.arcsinh(odds_I)
    found: Floats = np.where(places_I >= 0, odds_I[places_I], np.nan)
    return found


def _cross_fit(inputs_IR: Floats, strata_I: Array, prompts_I: Array, seed: int) -> Floats:
    """P(the label is right), each by a regression on other prompts."""
    _, index_I = np.unique(prompts_I, return_inverse=True)
    _, strata_I = np.unique(strata_I, return_inverse=True)
    fold_P = np.random.default_rng(seed).permutation(int(index_I.max()) + 1) % _FOLDS
    fold_I = fold_P[index_I]
    probability_I = np.full(len(inputs_IR), 0.5)
    for fold in range(_FOLDS):
        is_out_I = fold_I == fold
        if not is_out_I.any() or is_out_I.all():
            continue
        within_IR = np.stack(
            [_weigh_strata(one, strata_I, ~is_out_I) * np.sign(one) for one in inputs_IR.T], axis=1
        )
        both = np.concatenate([inputs_IR, within_IR], axis=1)
        weights = fit_logistic(both[~is_out_I])
        probability_I[is_out_I] = 1 / (1 + np.exp(-(both[is_out_I] @ weights)))
    return probability_I


def _weigh_strata(inputs_I: Floats, strata_I: Array, is_fitted_I: Array) -> Floats:
    """Log-odds that a judge is right in the item's subset, by the items that are fitted, and by `_PRIOR` items of all
    subsets together; an item that is fitted counts for nothing in its own."""
    is_right_I, is_told_I = inputs_I > 0, is_fitted_I & (inputs_I != 0)
    whole = (is_right_I[is_told_I].sum() + 0.5) / (is_told_I.sum() + 1)
    counts, rights = (np.bincount(strata_I, one.astype(float)) for one in (is_told_I, is_told_I & is_right_I))
    others_I = counts[strata_I] - is_told_I
    right_I = rights[strata_I] - (is_told_I & is_right_I)
    share_I = (right_I + _PRIOR * whole) / (others_I + _PRIOR)
    odds: Floats = np.log(share_I / (1 - share_I))
    return odds
