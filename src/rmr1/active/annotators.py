"""What several people say of the same items -> how good each of them is, and what the labels are likely to be.

Dawid and Skene (1979), by EM: an item has one true side, drawn from the priors; a person who is shown an item whose side is t
says s with the probability that the person's own table gives, whatever the item. Tables have a pseudo-count for every cell, and
a larger one for the right side, so that somebody with few labels is taken to be mostly right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmr1.records import Label
from rmr1.store.labels import HumanLabel

Floats = NDArray[np.float64]

SIDES: tuple[Label, ...] = ("A", "B", "tie")
SETTLED = 0.8
"""The least probability of a side that counts as the label."""
LEAST_PEOPLE = 3
"""People from whom on a dispute is settled by skill: of two who contradict each other, the likelihood is as well explained by
the one as by the other (measured: two people of 78% between them, 94% of the items settled, 80% of these right)."""
_SMOOTHING = 0.5
_RIGHT = 2.0
"""Added to the pseudo-count of the right side."""
_MOST_STEPS = 2000
_CONVERGED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SkilledLabels:
    """What people say, each weighed by how well they do."""

    labels: dict[str, Label]
    """Item's key -> the side that is at least as probable as `SETTLED`."""
    posteriors: dict[str, dict[Label, float]]
    """Item's key -> the probability of each side."""
    disputed: frozenset[str]
    """Keys of the items without a label."""
    skills: dict[str, dict[Label, dict[Label, float]]]
    """Person -> true side -> the probability of what they say of it."""
    priors: dict[Label, float]
    """The share of each side among the items."""
    steps: int
    """Steps until nothing changed any more."""


def settle_by_skill(labels: Iterable[HumanLabel]) -> SkilledLabels:
    """The likely side of every item that somebody named one of; the last label of each person counts, as in `settle_labels`.

    What one person alone has labelled is settled as they say. Among fewer than `LEAST_PEOPLE` whatever nobody disputes is
    settled, and nothing else.
    """
    last = {(one.key, one.who): None if one.is_undone else one.label for one in labels}
    named = {place: label for place, label in last.items() if label is not None}
    keys = list(dict.fromkeys(key for key, _ in named))
    people = list(dict.fromkeys(who for _, who in named))
    if not keys:
        return SkilledLabels(labels={}, posteriors={}, disputed=frozenset(), skills={}, priors={}, steps=0)
    said_WNS = np.zeros((len(people), len(keys), len(SIDES)))
    row = {who: place for place, who in enumerate(people)}
    column = {key: place for place, key in enumerate(keys)}
    for (key, who), label in named.items():
        said_WNS[row[who], column[key], SIDES.index(label)] = 1
    posterior_NT, skill_WTS, prior_T, steps = fit_skills(said_WNS)
    said_NS = said_WNS.sum(axis=0)
    alone = said_NS.sum(axis=1) == 1
    posterior_NT = np.where(alone[:, None], said_NS, posterior_NT)
    best = posterior_NT.argmax(axis=1)
    is_settled = posterior_NT.max(axis=1) >= SETTLED
    if len(people) < LEAST_PEOPLE:
        is_settled, best = np.count_nonzero(said_NS, axis=1) == 1, said_NS.argmax(axis=1)
    return SkilledLabels(
        labels={key: SIDES[side] for key, side, one in zip(keys, best, is_settled, strict=True) if one},
        posteriors={
            key: dict(zip(SIDES, map(float, row), strict=True))
            for key, row in zip(keys, posterior_NT, strict=True)
        },
        disputed=frozenset(key for key, one in zip(keys, is_settled, strict=True) if not one),
        skills={
            who: {
                true: dict(zip(SIDES, map(float, row), strict=True))
                for true, row in zip(SIDES, table, strict=True)
            }
            for who, table in zip(people, skill_WTS, strict=True)
        },
        priors=dict(zip(SIDES, map(float, prior_T), strict=True)),
        steps=steps,
    )


def fit_skills(said_WNS: Floats) -> tuple[Floats, Floats, Floats, int]:
    """EM from the shares of votes to (posterior_NT, skill_WTS, prior_T, steps); W people, N items, S what is said, T what is true.

    `said_WNS` is 1 if the person said that of the item, else 0.
    """
    num_sides = said_WNS.shape[2]
    pseudo_TS = np.full((num_sides, num_sides), _SMOOTHING) + _RIGHT * np.eye(num_sides)
    posterior_NT = said_WNS.sum(axis=0) / said_WNS.sum(axis=(0, 2))[:, None]
    step, change = 0, 1.0
    while change >= _CONVERGED and step < _MOST_STEPS:
        step += 1
        skill_WTS = np.einsum("nt,wns->wts", posterior_NT, said_WNS) + pseudo_TS
        skill_WTS /= skill_WTS.sum(axis=2, keepdims=True)
        prior_T = posterior_NT.sum(axis=0) + _SMOOTHING
        prior_T /= prior_T.sum()
        log_NT = np.log(prior_T) + np.einsum("wns,wts->nt", said_WNS, np.log(skill_WTS))
        log_NT -= log_NT.max(axis=1, keepdims=True)
        updated_NT = np.exp(log_NT)
        updated_NT /= updated_NT.sum(axis=1, keepdims=True)
        change = float(np.abs(updated_NT - posterior_NT).max())
        posterior_NT = updated_NT
    return posterior_NT, skill_WTS, prior_T, step
