"""Several people, each with strengths and weaknesses of their own."""

from __future__ import annotations

import numpy as np
import pytest

from rmr1.active.annotators import SIDES, SkilledLabels, fit_skills, settle_by_skill
from rmr1.store.labels import HumanLabel

WHEN = "2026-11-30T16:20:02Z"


def say(key: str, who: str, label: str | None, **more: bool) -> HumanLabel:
    return HumanLabel(key=key, who=who, when=WHEN, label=label, **more)  # type: ignore[arg-type]


def skilled(share: float) -> np.ndarray:
    return np.full((3, 3), (1 - share) / 2) + np.eye(3) * (share - (1 - share) / 2)


def simulate(tables: list[np.ndarray], number: int = 300, seed: int = 0) -> tuple[list[str], SkilledLabels]:
    random = np.random.default_rng(seed)
    true = random.choice(3, number, p=[0.45, 0.45, 0.1])
    labels = [
        say(f"{item}", f"p{person}", SIDES[random.choice(3, p=table[true[item]])])
        for person, table in enumerate(tables)
        for item in range(number)
    ]
    return [SIDES[one] for one in true], settle_by_skill(labels)


def test_the_first_step_by_hand() -> None:
    # one person, two items, says A and B: each table has 0.5 everywhere, 2 more on the diagonal, and what was counted
    said_WNS = np.zeros((1, 2, 3))
    said_WNS[0, 0, 0] = said_WNS[0, 1, 1] = 1
    posterior_NT, skill_WTS, prior_T, _ = fit_skills(said_WNS)
    # at the fixed point both sides are alike
    assert prior_T[0] == pytest.approx(prior_T[1]) and prior_T[2] < 0.2
    assert posterior_NT[0, 0] == pytest.approx(posterior_NT[1, 1]) and posterior_NT[0, 0] > 0.75
    # the row of A: 2.5, 0.5 and 0.5 before anything was said, and what was said of items that are A
    a_first, a_second = posterior_NT[0, 0], posterior_NT[1, 0]
    counts = np.array([a_first + 2.5, a_second + 0.5, 0.5])
    assert skill_WTS[0, 0] == pytest.approx(counts / counts.sum(), abs=1e-4)


def test_people_who_agree_are_believed() -> None:
    found = settle_by_skill([say("k", who, "A") for who in "abc"] + [say("j", "a", "tie")])
    assert found.labels == {"k": "A", "j": "tie"} and found.disputed == frozenset()


def test_the_last_label_counts_and_may_be_taken_back() -> None:
    labels = [
        say("k", "ada", "A"),
        say("k", "ada", "B"),
        say("j", "ada", "A"),
        say("j", "ada", None, is_undone=True),
    ]
    assert settle_by_skill(labels).labels == {"k": "B"}
    assert settle_by_skill([]).labels == {} and settle_by_skill(labels[2:]).priors == {}


def test_two_good_people_outweigh_three_who_guess() -> None:
    true, found = simulate([skilled(0.92)] * 2 + [skilled(0.4)] * 3)
    right = np.mean([found.labels[key] == true[int(key)] for key in found.labels])
    assert len(found.labels) > 0.8 * len(true) and right > 0.94
    assert all(found.skills["p0"][side][side] > 0.75 for side in SIDES)
    assert all(found.skills["p3"][side][side] < 0.6 for side in SIDES)


def test_who_says_the_opposite_is_known_by_it() -> None:
    opposite = np.array([[0.05, 0.95, 0.0], [0.95, 0.05, 0.0], [0.2, 0.2, 0.6]])
    true, found = simulate([skilled(0.85)] * 3 + [opposite])
    assert found.skills["p3"]["A"]["B"] > 0.85 and found.skills["p3"]["B"]["A"] > 0.85
    assert np.mean([found.labels.get(str(key)) == side for key, side in enumerate(true)]) > 0.95


def test_two_people_with_opposite_skills() -> None:
    sees_a = np.array([[0.95, 0.05, 0], [0.4, 0.6, 0], [0.1, 0.1, 0.8]])
    sees_b = np.array([[0.6, 0.4, 0], [0.05, 0.95, 0], [0.1, 0.1, 0.8]])
    true, found = simulate([sees_a, sees_b, skilled(0.8)], number=600)
    for who, table in (("p0", sees_a), ("p1", sees_b)):
        told = np.array([[found.skills[who][t][s] for s in SIDES] for t in SIDES])
        assert np.abs(told - table)[:2, :2].max() < 0.12
    assert found.steps < 2000
    right = np.mean([found.labels[key] == true[int(key)] for key in found.labels])
    assert right > 0.9


def test_of_two_who_contradict_each_other_nobody_is_right() -> None:
    labels = [
        say(f"{item}", who, "A" if (who == "x") == (item % 2 == 0) else "B")
        for item in range(40)
        for who in "xy"
    ]
    found = settle_by_skill(
        [
            *labels,
            say("same", "x", "A"),
            say("same", "y", "A"),
            say("other", "x", "B"),
            say("other", "y", "B"),
        ]
    )
    assert found.disputed == {str(item) for item in range(40)} and found.labels == {"same": "A", "other": "B"}
    assert found.posteriors["0"]["A"] == pytest.approx(found.posteriors["0"]["B"], abs=0.05)
