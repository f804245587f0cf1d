"""Guessing the label out of fold: AUCs by hand, and p-values that keep their word."""

from __future__ import annotations

import numpy as np
import pytest

from rmr1.probe.crossval import FOLDS, guess_label, side_auc, split_folds
from rmr1.probe.features import Feature


def feature(rows: np.ndarray, signs: np.ndarray) -> Feature:
    return Feature(name="x", rows=rows.astype(np.int32), signs=signs.astype(np.int8), examples=())


def test_side_auc_by_hand() -> None:
    # Both ways round: 2, -1 and 0 are the better answers', -2, 1 and 0 the worse ones'. 2 beats all three;
    # -1 beats -2; 0 beats -2 and draws with 0.
    assert side_auc(np.array([2.0, -1.0]), 3) == pytest.approx((3 + 1 + 1.5) / 9)
    assert side_auc(np.zeros(0), 5) == 0.5


def test_folds_hold_groups_together() -> None:
    groups = np.repeat(np.arange(100), 3)
    folds = split_folds(groups, np.random.default_rng(0))
    assert set(folds) == set(range(FOLDS))
    assert all(len(set(folds[groups == group])) == 1 for group in range(100))
    assert np.bincount(folds).min() >= 50


def test_a_side_feature_that_always_loses() -> None:
    rows = np.arange(0, 1000, 20)
    found = guess_label(
        [feature(rows, -np.ones(50))], "side", np.ones(1000, bool), np.arange(1000), permutations=999, seed=0
    )
    assert found is not None
    # 50 of 1000 pairs score above 0, the rest 0: P(s > -s') = 1 - (1 - q)² / 2 with q = 0.05, less q² · 0.
    assert found.auc == pytest.approx(1 - 0.95**2 / 2)
    assert found.p == 1 / 1000 and found.permutations == 999


def test_a_pair_feature_that_stands_with_a() -> None:
    labels = np.arange(1000) % 2 == 0
    rows = np.arange(0, 100, 2)  # 50 of the 500 rows of A
    found = guess_label(
        [feature(rows, np.ones(50))], "pair", labels, np.arange(1000), permutations=999, seed=0
    )
    assert found is not None and found.p == 1 / 1000
    assert found.auc == pytest.approx(0.5 + 0.5 * 50 / 500)


def test_nothing_to_guess_with() -> None:
    one = feature(np.arange(10), np.ones(10))
    assert guess_label([], "side", np.ones(10, bool), np.arange(10), permutations=99, seed=0) is None
    assert guess_label([one], "side", np.ones(10, bool), np.zeros(10, int), permutations=99, seed=0) is None
    assert guess_label([one], "pair", np.ones(10, bool), np.arange(10), permutations=99, seed=0) is None


@pytest.mark.parametrize("unit", ["side", "pair"])
def test_p_values_of_noise_are_even(unit: str) -> None:
    """Rows of one prompt are copies: a test that took them for independent would alarm far too often."""
    p_values = []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 5)
        labels = (draw.random(60) < 0.6)[groups]
        features = []
        for _ in range(8):
            members = np.flatnonzero(draw.random(60) < 0.3)
            rows = np.flatnonzero(np.isin(groups, members))
            signs = (
                draw.choice([-1, 1], 60)[groups[rows]] if unit == "side" else np.where(labels[rows], 1, -1)
            )
            features.append(feature(rows, signs))
        found = guess_label(features, unit, labels, groups, permutations=99, seed=seed)  # type: ignore[arg-type]
        assert found is not None
        p_values.append(found.p)
    assert sum(p <= 0.05 for p in p_values) <= 8  # 3 expected; more than 8 once in 300
    assert 0.3 < float(np.mean(p_values)) < 0.75


def test_the_same_seed_gives_the_same() -> None:
    draw = np.random.default_rng(0)
    rows = np.sort(draw.choice(300, 80, replace=False))
    features = [feature(rows, draw.choice([-1, 1], 80))]
    labels, groups = draw.random(300) < 0.5, np.arange(300)
    both = [guess_label(features, "side", labels, groups, permutations=199, seed=3) for _ in range(2)]
    assert both[0] == both[1]
