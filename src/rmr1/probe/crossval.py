"""Can the label be guessed from these features? Cross-validated, with a permutation test.

The guesser is naive Bayes: the sum of each feature's log-odds, counted on the other folds and smoothed. It is
refitted for every permutation, a hundred at once. Rows with the same prompt (a group) are in the same fold and are
permuted together:

- side features: which of the two answers is the better one is turned round for whole groups at a coin's toss;
- pair features: the labels of whole groups are exchanged with those of other groups of the same size.

Permutations stop early once ten of them reached what was seen (Besag and Clifford 1991), when the p-value is
ten over their number.

Shapes: `n` rows, `G` groups, `K` folds, `b` permutations of one pass (the first column of the first pass is the data
as they are), `o` occurrences of one feature, `k` rows that have any feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmr1.probe.features import Feature, Unit
from rmr1.stats import Booleans, Floats, Numbers

FOLDS = 5
ENOUGH = 10
"""Permutations that reach the data before the rest is saved."""

_PASS = 100
_SIDE_SMOOTHING = 1.0
_PAIR_SMOOTHING = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """How well the label was guessed on rows that were left out of the counting."""

    auc: float
    """In [0, 1]; 0.5 is chance."""
    p: float
    """Share of permutations, the data among them, that do as well."""
    permutations: int
    """Drawn until it was clear."""


def split_folds(groups: Numbers, generator: np.random.Generator) -> Numbers:
    """A fold for every row; a group is in one fold, the folds have about the same number of rows."""
    counts = np.bincount(groups)
    order = generator.permutation(len(counts))
    ends = np.cumsum(counts[order])
    folds = np.empty(len(counts), dtype=np.int64)
    folds[order] = np.minimum((ends - counts[order] / 2) * FOLDS // len(groups), FOLDS - 1)
    return folds[groups]


def guess_label(
    features: Sequence[Feature],
    unit: Unit,
    labels: Booleans,
    groups: Numbers,
    *,
    permutations: int,
    seed: int,
) -> Guess | None:
    """The out-of-fold AUC and its permutation test; None without anything to guess with.

    `labels` is `[n]`, True if A is the better answer; `groups` is `[n]`, numbers from 0.
    """
    if not features or len(np.unique(groups)) < 2 or (unit == "pair" and labels.all() | ~labels.any()):
        return None
    generator = np.random.default_rng(seed)
    folds = split_folds(groups, generator)
    active, places = np.unique(np.concatenate([feature.rows for feature in features]), return_inverse=True)
    ends = np.cumsum([len(feature.rows) for feature in features])[:-1]
    columns = []
    for places_o, feature in zip(np.split(places, ends), features, strict=True):
        folds_o = folds[feature.rows]
        order = np.argsort(folds_o, kind="stable")
        columns.append(
            _Column(places_o[order], feature.signs[order], *np.unique(folds_o[order], return_index=True))
        )
    blocks = _same_size(groups) if unit == "pair" else []
    reached, drawn, seen = 0, 0, float("nan")
    while drawn < permutations and reached < ENOUGH:
        number = min(_PASS, permutations - drawn)
        is_first = drawn == 0
        if unit == "side":
            flips = generator.choice(np.array([-1, 1], dtype=np.int8), (groups.max() + 1, number))
            if is_first:
                flips = np.concatenate([np.ones((len(flips), 1), np.int8), flips], axis=1)
            scores = _score_sides(columns, flips[groups[active]], folds[active])
            aucs = np.array([side_auc(column, len(labels)) for column in scores.T])
        else:
            drawn_labels = _exchange(labels, blocks, number, generator)
            if is_first:
                drawn_labels = np.concatenate([labels[:, None], drawn_labels], axis=1)
            scores = _score_pairs(columns, drawn_labels, active, folds)
            aucs = np.array(
                [
                    _pair_auc(column, chosen, labels)
                    for column, chosen in zip(scores.T, drawn_labels[active].T, strict=True)
                ]
            )
        if is_first:
            seen, aucs = float(aucs[0]), aucs[1:]
        hits = np.cumsum(aucs >= seen - 1e-9)
        if hits[-1] + reached >= ENOUGH:
            drawn += int(np.searchsorted(hits, ENOUGH - reached)) + 1
            return Guess(auc=seen, p=ENOUGH / drawn, permutations=drawn)
        reached += int(hits[-1])
        drawn += number
    return Guess(auc=seen, p=(reached + 1) / (drawn + 1), permutations=drawn)


class _Column(NamedTuple):
    places: Numbers
    """`[o]`: indices into the `k` rows, by fold."""
    signs: NDArray[np.int8]
    folds: Numbers
    """The folds that occur."""
    starts: Numbers
    """The index in `places` at which each of them begins."""


def _score_sides(
    columns: Sequence[_Column], flips_kb: NDArray[np.int8], folds_k: Numbers
) -> NDArray[np.float32]:
    """`[k, b]`: the log-odds that the answer which is the better one looks like it."""
    scores = np.zeros(flips_kb.shape, dtype=np.float32)
    for column in columns:
        values = column.signs[:, None] * flips_kb[column.places]
        sums = np.add.reduceat(values, column.starts, axis=0, dtype=np.int32)
        sizes = np.diff(np.append(column.starts, len(values)))[:, None]
        better = sums.sum(axis=0) - sums
        total = len(values) - sizes
        plus, minus = (total + better) / 2, (total - better) / 2
        weights = np.log(plus + _SIDE_SMOOTHING) - np.log(minus + _SIDE_SMOOTHING)
        scores[column.places] += np.repeat(weights.astype(np.float32), sizes[:, 0], axis=0) * values
    return scores


def _score_pairs(
    columns: Sequence[_Column],
    labels_nb: Booleans,
    active: Numbers,
    folds: Numbers,
) -> NDArray[np.float32]:
    """`[k, b]`: the log-odds of A against its base rate."""
    labels_kb = labels_nb[active]
    inside = np.stack([labels_nb[folds == fold].sum(axis=0) for fold in range(FOLDS)])
    sizes_K = np.bincount(folds, minlength=FOLDS)[:, None]
    rate = (inside.sum(axis=0) - inside + 0.5) / (len(folds) - sizes_K + 1)
    scores = np.zeros(labels_kb.shape, dtype=np.float32)
    for column in columns:
        sums = np.add.reduceat(labels_kb[column.places], column.starts, axis=0, dtype=np.int32)
        sizes = np.diff(np.append(column.starts, len(column.places)))[:, None]
        first = sums.sum(axis=0) - sums
        second = len(column.places) - sizes - first
        base = rate[column.folds]
        weights = (
            np.log(first + _PAIR_SMOOTHING * base)
            - np.log(second + _PAIR_SMOOTHING * (1 - base))
            - np.log(base / (1 - base))
        )
        scores[column.places] += np.repeat(weights.astype(np.float32), sizes[:, 0], axis=0)
    return scores


def side_auc(scores_k: Floats, num_rows: int) -> float:
    """The AUC when every pair is shown both ways round; rows without any feature score 0."""
    scores = np.round(scores_k.astype(np.float64), 4)
    turned, silent = np.sort(-scores), num_rows - len(scores)
    wins = _wins(scores, turned)
    mixed = 2 * silent * ((scores > 0).sum() + 0.5 * (scores == 0).sum())
    return float((wins + mixed + 0.5 * silent * silent) / (num_rows * num_rows))


def _pair_auc(scores_k: NDArray[np.float32], labels_k: Booleans, labels: Booleans) -> float:
    scores = np.round(scores_k.astype(np.float64), 4)
    first, second = scores[labels_k], np.sort(scores[~labels_k])
    num_first, num_second = int(labels.sum()), int((~labels).sum())
    silent_first, silent_second = num_first - len(first), num_second - len(second)
    wins = _wins(first, second)
    wins += silent_second * ((first > 0).sum() + 0.5 * (first == 0).sum())
    wins += silent_first * ((second < 0).sum() + 0.5 * (second == 0).sum())
    return float((wins + 0.5 * silent_first * silent_second) / (num_first * num_second))


def _wins(scores: NDArray[np.floating], others_sorted: NDArray[np.floating]) -> float:
    below = np.searchsorted(others_sorted, scores, side="left").sum()
    not_above = np.searchsorted(others_sorted, scores, side="right").sum()
    return 0.5 * float(below + not_above)


def _same_size(groups: Numbers) -> list[Numbers]:
    """An array for each size of group, `[groups, size]` of their rows."""
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    return [order[starts[counts == size][:, None] + np.arange(size)] for size in np.unique(counts)]


def _exchange(
    labels: Booleans,
    blocks: list[Numbers],
    number: int,
    generator: np.random.Generator,
) -> Booleans:
    """`[n, number]`: the groups' labels, exchanged among groups of the same size."""
    drawn = np.empty((len(labels), number), dtype=bool)
    for rows in blocks:
        for column in range(number):
            drawn[rows, column] = labels[rows[generator.permutation(len(rows))]]
    return drawn
