"""Kappa and alpha against published values, their intervals, and what runs share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rmr1.audit.agreement import (
    Run,
    compare_people,
    compare_runs,
    count_coincidences,
    count_crossed,
    find_alpha,
    find_kappa,
    measure_agreement,
)
from rmr1.audit.audits import AuditGathering
from rmr1.store.labels import HumanLabel, settle_labels
from tests.unit.audit.test_figures import tell


def test_alpha_of_krippendorffs_binary_example() -> None:
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section A: 0.095.
    first = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    tables = count_coincidences(np.array([first, second]).T)
    assert find_alpha(tables.sum(axis=0)) == pytest.approx(0.095, abs=5e-4)


def test_alpha_with_missing_values_and_three_raters() -> None:
    # Items AAB, AA-, B-- (no pair), tie tie tie: coincidences by hand.
    values = np.array([[0, 0, 1], [0, 0, -1], [1, -1, -1], [2, 2, 2]])
    whole = count_coincidences(values).sum(axis=0)
    assert whole.tolist() == [[1 + 2, 1, 0], [1, 0, 0], [0, 0, 3]]
    # n = 8, counts 4, 1, 3: observed 2 of 8 differ, expected (64 - 26) / 7.
    assert find_alpha(whole) == pytest.approx(1 - 7 * 2 / 38)


def test_kappa_of_a_known_table() -> None:
    assert find_kappa(np.array([[20.0, 5.0], [10.0, 15.0]])) == pytest.approx(
        0.4
    )  # Cohen's, by hand: (0.7 - 0.5) / 0.5
    assert np.isnan(find_kappa(np.array([[9.0, 0.0], [0.0, 0.0]])))


def test_the_interval_is_that_of_repeated_samples() -> None:
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        first = draw.integers(0, 2, 150)
        second = np.where(draw.random(150) < 0.8, first, 1 - first)
        found = measure_agreement(count_crossed(first, second), np.arange(150), find_kappa)
        assert found.interval is not None
        inside += found.interval[0] <= 0.6 <= found.interval[1]  # 0.8 - 0.5 over 0.5
    assert 180 <= inside <= 198


def make_run(name: str, winners: dict[str, str | None], shift: int = 0) -> Run:
    gathering = AuditGathering()
    for number, (key, winner) in enumerate(winners.items()):
        gathering.add(replace(tell(number + shift, winner), key=key))
    return Run(name=name, evidence=gathering.evidence())


def test_two_runs_and_three() -> None:
    keys = [f"k{number}" for number in range(40)]
    one = {key: "AB"[number % 2] for number, key in enumerate(keys)}
    other = {key: "A" if number < 4 else winner for number, (key, winner) in enumerate(one.items())} | {
        "only": "A"
    }
    found = compare_runs([make_run("x", one), make_run("y", other)])
    assert [finding.used for finding in found] == [40] and found[0].items == 41
    assert found[0].size == pytest.approx(find_kappa(np.array([[20.0, 0.0], [2.0, 18.0]])))
    assert set(found[0].judgments) == {"k1", "k3"} and found[0].num_judgments == 2 and not found[0].p < 0.05  # type: ignore[operator]
    three = compare_runs([make_run("x", one), make_run("y", other), make_run("z", dict.fromkeys(keys[:2]))])
    assert len(three) == 4 and three[-1].size is None and "all 3 runs share 2" in (three[-1].lacks or "")


def test_runs_of_different_pairs_say_so() -> None:
    (found,) = compare_runs([make_run("x", {"k": "A"}), make_run("y", {"l": "A"})])
    assert found.size is None and "x and y are of different pairs" in (found.lacks or "")
    assert compare_runs([make_run("x", {"k": "A"})]) == ()


def label(key: str, who: str, side: str) -> HumanLabel:
    return HumanLabel(key=key, who=who, when="2026-11-30T16:20:02Z", label=side)  # type: ignore[arg-type]


def test_people() -> None:
    winners: dict[str, str | None] = {f"k{number:02}": "AB"[number % 2] for number in range(30)}
    run = make_run("x", winners)
    sides = {key: ("A" if key == "k01" else str(winner)) for key, winner in list(winners.items())[:20]}
    ada = [label(key, "ada", side) for key, side in sides.items()]
    # Bob labels four: two that ada has, alike and not, and two of his own.
    bob = [
        label("k00", "bob", "A"),
        label("k02", "bob", "B"),
        label("k28", "bob", "A"),
        label("k29", "bob", "B"),
    ]
    found = compare_people(run.evidence, settle_labels([*ada, *bob]))
    assert (found.used, found.items, found.judgments) == (21, 30, ("k01",))  # k02 is disputed
    assert found.size == pytest.approx(find_kappa(np.array([[10.0, 0.0], [1.0, 10.0]])))
    # Coincidences AA 2, AB and BA 1 each: alpha = 1 - 3 * 2 / (16 - 10).
    assert found.says.endswith("; people among themselves: alpha 0.000, over 2 items")
    assert found.is_beyond(0.95) and not found.is_beyond(0.5)
    assert "labels of people" in (compare_people(run.evidence, settle_labels([])).lacks or "")
    turned = [label(key, "ada", "B" if side == "A" else "A") for key, side in sides.items()]
    against = compare_people(run.evidence, settle_labels(turned))
    assert against.size is not None and against.size < 0 and against.p is not None and against.p < 0.001
    assert "themselves" not in against.says
