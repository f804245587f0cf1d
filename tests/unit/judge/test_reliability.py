"""Reliability figures against hand-worked numbers and scikit-learn; thresholds with a guarantee."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from rmr1.errors import ConfigError
from rmr1.judge.reliability import (
    area_under_curve,
    area_under_risk,
    brier_score,
    calibration_error,
    list_bins,
    risk_coverage,
    summarize_reliability,
)
from rmr1.judge.selective import find_threshold, list_thresholds
from rmr1.stats import binomial_tail


def test_figures_by_hand() -> None:
    # Confidences .9 (right), .8 (wrong), .6 (right), .5 (names none, right by half).
    probability = np.array([0.9, 0.2, 0.6, 0.5])
    label = np.array([1.0, 1.0, 1.0, 0.0])
    assert brier_score(probability, label) == pytest.approx((0.01 + 0.64 + 0.16 + 0.25) / 4)
    # Bins [.5, .55) [.6, .65) [.8, .85) [.9, .95): gaps 0, .4, .8, .1.
    assert calibration_error(probability, label) == pytest.approx((0 + 0.4 + 0.8 + 0.1) / 4)
    assert area_under_curve(probability, label) == pytest.approx(2 / 3)
    assert area_under_risk(probability, label) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1.5 / 4) / 4)
    halves = {one["coverage"]: one["risk"] for one in risk_coverage(probability, label)}
    assert halves == {1.0: 0.375, 0.75: pytest.approx(1 / 3), 0.5: 0.5, 0.25: 0.0}
    assert [one.items for one in list_bins(probability, label)] == [1, 1, 1, 1]


def test_a_tied_label_is_right_by_half_and_equal_confidences_stay_together() -> None:
    probability, label = np.array([0.7, 0.3, 0.3]), np.array([0.5, 0.0, 1.0])
    assert calibration_error(probability, label) == pytest.approx(0.7 - 0.5)
    assert risk_coverage(probability, label) == [{"coverage": 1.0, "threshold": 0.7, "risk": 0.5}]
    assert area_under_risk(probability, label) == pytest.approx(0.5)
    assert area_under_curve(np.array([0.4]), np.array([1.0])) is None


def test_figures_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    probability = rng.random(400).round(2)  # with ties
    label = (rng.random(400) < probability).astype(float)
    assert area_under_curve(probability, label) == pytest.approx(metrics.roc_auc_score(label, probability))
    assert brier_score(probability, label) == pytest.approx(metrics.brier_score_loss(label, probability))
    assert summarize_reliability(probability, label)["ece"] < 0.1 < calibration_error(1 - probability, label)


def test_binomial_tail_is_exact() -> None:
    assert binomial_tail(1, 30, 0.1) == pytest.approx(0.9**30 + 30 * 0.1 * 0.9**29, rel=1e-12)
    assert binomial_tail(0, 40, 0.2) == pytest.approx(0.8**40, rel=1e-9)
    assert binomial_tail(5, 5, 0.3) == 1.0


def test_threshold_walks_down_from_the_top_and_stops_at_the_first_failure() -> None:
    confidence = np.linspace(1.0, 0.5, 200)
    correct = np.ones(200)
    correct[100:] = 0  # below 0.75 all are wrong
    found = find_threshold(confidence, correct, risk=0.1, delta=0.1)
    assert found is not None and 100 <= found.accepted <= 112
    assert found.wrong == found.accepted - 100 and found.p_value <= 0.1
    # One failure at the top, and there is no threshold, however good the rest is.
    correct = np.ones(200)
    correct[:5] = 0
    assert find_threshold(confidence, correct, risk=0.1, delta=0.1) is None
    assert find_threshold(confidence[:29], np.ones(29), risk=0.1, delta=0.1) is None
    assert find_threshold(confidence[:30], np.ones(30), risk=0.1, delta=0.1) is not None
    with pytest.raises(ConfigError, match=r"risk is 1; expected"):
        find_threshold(confidence, correct, risk=1, delta=0.1)


def test_equal_confidences_are_accepted_together() -> None:
    confidence = np.repeat([0.9, 0.8], [40, 60])
    assert [one.accepted for one in list_thresholds(confidence, np.ones(100), risk=0.1)] == [40, 100]


@pytest.mark.parametrize(
    ("judge", "risk", "none", "above"),
    [
        ("gpt-4-turbo", 0.20, 12, 11.8),
        ("gpt-4-turbo", 0.15, 34, 5.5),
        ("mistral-7b-instruct", 0.15, 97.8, 1.8),
    ],
)
def test_published_judgments(shared: Path, judge: str, risk: float, none: float, above: float) -> None:
    """Shares of 400 random halves (seed 1) without a threshold, and with more wrong ones than promised in the rest."""
    path = shared / "data" / "selective-evaluation" / f"{judge}.calibration.jsonl.gz"
    with gzip.open(path) as file:
        rows = [json.loads(line) for line in file]
    probability = np.array([row["probs"] for row in rows])
    human = np.array([int(row["preferences"]["human"]) for row in rows])
    confidence, correct = probability.max(1), (probability.argmax(1) + 1 == human).astype(float)
    rng = np.random.default_rng(1)
    without = exceeding = 0
    for _ in range(400):
        first, second = np.split(rng.permutation(len(rows)), 2)
        found = find_threshold(confidence[first], correct[first], risk=risk, delta=0.1)
        without += found is None
        if found is not None:
            accepted = confidence[second] >= found.confidence
            exceeding += (1 - correct[second][accepted]).mean() > risk
    assert 100 * without / 400 == pytest.approx(none, abs=1)
    assert 100 * exceeding / 400 == pytest.approx(above, abs=1)
