"""Attempts to flip rates: hand-worked shares, intervals by prompt, and what is left out."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from rmr1.audit.attacks.catalogue import Injection
from rmr1.audit.attacks.figures import measure, measure_attack, paired_interval
from rmr1.audit.attacks.tally import Attempt, Outcome
from rmr1.judge.consistency import difference_interval
from rmr1.stats import wilson_interval

FLIP, STAY, NONE, FAILED = (
    Outcome(is_flipped=True, has_verdict=True, is_answered=True),
    Outcome(is_flipped=False, has_verdict=True, is_answered=True),
    Outcome(is_flipped=False, has_verdict=False, is_answered=True),
    Outcome(is_flipped=False, has_verdict=False, is_answered=False),
)


def make(prompt: object, attacked: Outcome, control: Outcome, injection: str = "one") -> Attempt:
    return Attempt(injection=injection, prompt=str(prompt), attacked=attacked, control=control)


def test_shares_of_ten_pairs_by_hand() -> None:
    said = [(FLIP, STAY)] * 3 + [(FLIP, FLIP)] + [(STAY, FLIP)] + [(NONE, STAY)] * 2 + [(STAY, NONE)] * 3
    row = measure(
        "one", "k", [*(make(number, *one) for number, one in enumerate(said)), make(99, FLIP, FAILED)]
    )
    assert (row.attempts, row.failed, row.flips, row.control_flips) == (10, 1, 4, 2)
    assert (row.share, row.control_share, row.difference) == (0.4, 0.2, pytest.approx(0.2))
    assert row.interval == wilson_interval(4, 10) and row.control_interval == wilson_interval(2, 10)
    assert row.difference_interval == difference_interval(3, 1, 10)
    assert (row.without_verdict, row.control_without_verdict) == (2, 3)


def test_without_attempts_nothing_is_a_number() -> None:
    row = measure("one", "k", [make(1, FAILED, STAY)])
    assert (row.attempts, row.failed, row.flips) == (0, 1, 0)
    assert row.share is row.control_share is row.difference is row.interval is row.difference_interval is None
    assert measure("one", "k", [make(1, FLIP, STAY)]).difference_interval is None  # one prompt


def test_attempts_that_repeat_a_prompt_say_no_more_than_it_does() -> None:
    draw = random.Random(0)
    said = [(draw.choice((FLIP, STAY)), draw.choice((FLIP, STAY, STAY))) for _ in range(60)]
    alone = measure("x", "k", [make(number, *one) for number, one in enumerate(said)])
    copies = measure("x", "k", [make(number, *one) for number, one in enumerate(said) for _ in range(20)])
    assert alone.difference_interval is not None and copies.difference_interval is not None
    assert copies.difference == alone.difference
    for one, two in zip(alone.difference_interval, copies.difference_interval, strict=True):
        assert two == pytest.approx(one, abs=0.02)
    # As independent items the copies would have a quarter of the width.
    width = copies.difference_interval[1] - copies.difference_interval[0]
    free = difference_interval(20 * 20, 12 * 20, 60 * 20)
    assert width > 3 * (free[1] - free[0])


def test_where_nothing_flips_the_interval_is_as_wide_as_the_prompts_are_few() -> None:
    nothing = np.zeros(200)
    found = paired_interval(nothing, nothing, np.arange(200) // 20)
    few = difference_interval(0, 0, 10)
    assert found is not None and found[0] == pytest.approx(-found[1]) and found[1] > few[1] > 0.2


def test_the_interval_covers_the_difference_of_clustered_attempts() -> None:
    draw = np.random.default_rng(1)
    hits, runs, prompts, each = 0, 400, 40, 6
    truth = float(np.minimum(1, draw.beta(0.5, 1.5, 400_000) + 0.1).mean()) - 0.25
    for _ in range(runs):
        ease = draw.beta(0.5, 1.5, prompts)[:, None]  # some pairs are flipped by anything; the mean is 0.25
        first = (draw.random((prompts, each)) < np.minimum(1, ease + 0.1)).astype(float)
        second = (draw.random((prompts, each)) < ease).astype(float)
        found = paired_interval(first.ravel(), second.ravel(), np.repeat(np.arange(prompts), each))
        assert found is not None
        hits += found[0] <= truth <= found[1]
    assert 0.92 <= hits / runs <= 0.99


def test_rows_by_injection_kind_and_form() -> None:
    injections = [
        Injection(name="one", kind="k", form="structural", tries="", end="x"),
        Injection(name="two", kind="k", form="structural", tries="", end="x"),
        Injection(name="three", kind="l", form="persuasive", tries="", end="x"),
        Injection(name="unused", kind="m", form="persuasive", tries="", end="x"),
    ]
    attempts = [
        make(number, FLIP if name == "two" else STAY, STAY, name)
        for name in ("three", "two", "one", "foreign")
        for number in range(4)
    ]
    fates = {"attacked": 4, "lost_already": 1, "undecided": 0, "tied": 0, "failed": 0}
    report = measure_attack(attempts, injections, fates)
    assert [(one.name, one.kind, one.attempts, one.flips) for one in report.injections] == [
        ("one", "k", 4, 0),
        ("two", "k", 4, 4),
        ("three", "l", 4, 0),
    ]
    assert [(one.name, one.attempts, one.flips) for one in report.kinds] == [("k", 8, 4), ("l", 4, 0)]
    assert [(one.name, one.attempts) for one in report.forms] == [("structural", 8), ("persuasive", 4)]
    assert (report.all.attempts, report.all.share, report.pairs) == (12, pytest.approx(1 / 3), 5)
    assert len(report.list_rows()) == 3 + 2 + 2 + 1
    assert report.describe()["all"]["flips"] == 4
    assert replace(report, pairs=6).describe()["pairs"] == 6
