"""Verdicts -> how much more often a judge is right if the label's answer has something than if the other one has it.

One least-squares regression of what is right on all such things together, with a mean for each subset: what the label's
answer has more of than the other counts +1/2, less -1/2, as much 0. A judge that names the answer with more of one thing
with probability q whatever else it reads has the slope q there, and 0 at the others. Answers that differ in that thing are
compared at equal correctness, because both kinds have the label's answer on the side that is asked about; what cannot be
told apart is whether the pairs of one kind are harder.

A pair asked in both orders is two rows of the same prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmr1.audit.columns import Array
from rmr1.audit.figures import ALIKE
from rmr1.audit.finding import FEWEST, Evidence
from rmr1.audit.measures import Fit, fit_slopes, number_groups

Signs = NDArray[np.int8]
LEANINGS = ("length", "markdown", "refusal", "first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One for each order in which a pair was asked, or for each pair whose answers were judged alone. Signs are of A: +1 if
    A has it, -1 if B has it, 0 for neither."""

    item: Array
    """The judgment's place."""
    winner: Signs
    label: Signs
    first: Signs
    """0 if the order is not known, or plays no part."""
    prompt: Array
    subset: Array
    more: Mapping[str, Signs]
    """Name of a leaning -> which answer has more of it."""


def list_rows(evidence: Evidence) -> Rows:
    """The rows of all judgments of two answers."""
    column, columns = evidence.column, evidence.columns

    def sign(field: str) -> Signs:
        return columns.is_named(field, "A").astype(np.int8) - columns.is_named(field, "B").astype(np.int8)

    is_both_I = (column("given") >= 0) | (column("swapped") >= 0)
    is_pair_I = ~columns.is_named("kind", "choice")
    single_S = np.flatnonzero(~is_both_I & is_pair_I)
    both_D = np.flatnonzero(is_both_I & is_pair_I)
    item_R = np.concatenate([single_S, both_D, both_D])
    ones_D = np.ones(len(both_D), np.int8)
    more_I = {
        name: _compare(column(f"{field}_a"), column(f"{field}_b"), margin)
        for name, field, margin in (
            ("length", "length", ALIKE),
            ("markdown", "marks", 0.0),
            ("refusal", "refuses", 0.0),
        )
    }
    return Rows(
        item=item_R,
        winner=np.concatenate([sign("winner")[single_S], sign("given")[both_D], sign("swapped")[both_D]]),
        label=sign("label")[item_R],
        first=np.concatenate([sign("shown_first")[single_S], ones_D, -ones_D]),
        prompt=column("prompt")[item_R],
        subset=column("subset")[item_R],
        more={name: one[item_R] for name, one in more_I.items()},
    )


def count_items(places_R: Array) -> int:
    """How many different judgments there are among these places."""
    return int(np.count_nonzero(np.bincount(places_R)))


def _compare(a_I: Array, b_I: Array, margin: float) -> Signs:
    a_I, b_I = a_I.astype(np.float64), b_I.astype(np.float64)
    differs_I = np.abs(a_I - b_I) > margin * np.maximum(a_I, b_I)
    signs: Signs = (np.sign(a_I - b_I) * differs_I).astype(np.int8)
    return signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The regression of all leanings that could be told, over the labelled rows with a verdict."""

    names: tuple[str, ...]
    """Leanings that are in it."""
    fit: Fit | None
    used: int
    """Judgments."""
    counts: Mapping[str, tuple[int, int]]
    """Leaning -> judgments in which the label's answer has more of it, and less."""
    winner: Signs
    label: Signs
    item: Array
    more: Mapping[str, Signs]

    def find(self, name: str) -> int | None:
        """The number of a leaning's slope; None if it could not be told."""
        return self.names.index(name) if self.fit is not None and name in self.names else None

    def behind(self, name: str, size: float) -> Array:
        """The judgments that went wrong in the direction of a slope of this sign."""
        is_wrong_R = (self.winner != self.label) & (self.winner * self.more[name] * np.sign(size) > 0)
        places: Array = np.unique(self.item[is_wrong_R])
        return places


def read_leanings(evidence: Evidence) -> tuple[Rows, Fitted]:
    """`list_rows` and `fit_leanings`, once for all audits."""
    if "leanings" not in evidence.memo:
        rows = list_rows(evidence)
        evidence.memo["leanings"] = rows, fit_leanings(rows)
    found: tuple[Rows, Fitted] = evidence.memo["leanings"]
    return found


def fit_leanings(rows: Rows) -> Fitted:
    """Fit all leanings of which at least `FEWEST` judgments are on either side; one that is another's copy is left out."""
    is_used_R = (rows.label != 0) & (rows.winner != 0)
    more = {name: one[is_used_R] for name, one in {**rows.more, "first": rows.first}.items()}
    winner_R, label_R, item_R = rows.winner[is_used_R], rows.label[is_used_R], rows.item[is_used_R]
    counts = {
        name: (
            count_items(item_R[one * label_R > 0]),
            count_items(item_R[one * label_R < 0]),
        )
        for name, one in more.items()
    }
    right_R = (winner_R == label_R).astype(np.float64)
    strata_R, prompts_R = number_groups(rows.subset[is_used_R]), number_groups(rows.prompt[is_used_R])
    names: tuple[str, ...] = ()
    fit = None
    for name in LEANINGS:
        if min(counts[name]) < FEWEST:
            continue
        inputs_RK = np.stack([more[one] * label_R / 2 for one in (*names, name)], axis=1)
        wider = fit_slopes(right_R, inputs_RK, strata_R, prompts_R)
        if wider is not None:
            names, fit = (*names, name), wider
    return Fitted(
        names=names,
        fit=fit,
        used=count_items(item_R),
        counts=counts,
        winner=winner_R,
        label=label_R,
        item=item_R,
        more=more,
    )
