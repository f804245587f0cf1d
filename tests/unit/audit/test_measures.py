"""Sizes, intervals and tests, by hand; and alarms that are raised together."""

from __future__ import annotations

import numpy as np
import pytest

from rmr1.audit.finding import Finding, raise_alarms
from rmr1.audit.measures import fit_slopes, measure_lean, measure_mean, measure_share, weigh_limit
from rmr1.judge.consistency import difference_interval
from rmr1.stats import binomial_tail, clustered_mean_interval, student_tail, wilson_interval


def test_a_share_of_independent_judgments_is_that_of_wilson_but_for_the_few_prompts() -> None:
    hits, prompts = np.array([1] * 30 + [0] * 970), np.arange(1000)
    found = measure_share(hits, np.ones(1000, int), prompts, 0.02)
    assert found.size == 0.03
    expected = wilson_interval(30, 1000)
    assert found.interval == pytest.approx(expected, abs=2e-4)
    least = binomial_tail(970, 1000, 0.98)
    assert found.p is not None and least < found.p < 2 * least  # rounded to the safe side
    assert measure_share(hits, np.ones(1000, int), prompts, 0.05).p == pytest.approx(1, abs=0.01)


def test_prompts_that_hold_all_the_hits_widen_the_interval() -> None:
    hits = np.repeat([5, 0], [4, 36])
    alone = measure_share(np.repeat([1, 0], [20, 180]), np.ones(200, int), np.arange(200), 0.02)
    together = measure_share(hits, np.full(40, 5), np.arange(40), 0.02)
    assert alone.size == together.size == 0.1 and alone.interval and together.interval
    assert together.interval[1] - together.interval[0] > 1.5 * (alone.interval[1] - alone.interval[0])
    assert alone.p is not None and together.p is not None and together.p > alone.p
    assert measure_share(hits, np.full(40, 5), np.zeros(40, int), 0.02).interval is None


def test_a_mean_and_its_distance_from_the_limit() -> None:
    values = np.array([0.3, 0.1, 0.2, 0.4, 0.0])
    found = measure_mean(values, np.arange(5), 0.0)
    assert found.size == pytest.approx(0.2)
    assert found.interval == clustered_mean_interval(values, np.ones(5))
    error = values.std(ddof=1) / 5**0.5
    assert found.p == pytest.approx(2 * student_tail(0.2 / error, 4), rel=1e-3)
    assert measure_mean(values, np.arange(5), 0.2).p == pytest.approx(0.5, abs=0.01)
    assert measure_mean(-values, np.arange(5), 0.0).p == found.p


def test_a_lean_without_any_has_a_width() -> None:
    found = measure_lean(np.zeros(40), np.arange(40), 0.02)
    assert found.size == 0 and found.interval is not None
    low, high = difference_interval(0, 0, 40)
    assert found.interval == pytest.approx((low, high), abs=0.01)
    assert found.p is not None and found.p > 0.5


def test_a_limit_is_of_an_amount_or_of_one_side() -> None:
    assert weigh_limit(0.1, 0.01, 1000, 0.1) == pytest.approx(0.5)
    assert weigh_limit(0.1, 0.01, 1000, 0.0) == pytest.approx(2 * student_tail(10, 1000))
    assert weigh_limit(-0.1, 0.01, 1000, 0.0, "above") == pytest.approx(1)
    assert weigh_limit(0.1, 0.05, 1000, 0.2, "below") == pytest.approx(student_tail(2, 1000))
    assert (weigh_limit(0.1, 0, 9, 0.2), weigh_limit(0.3, 0, 9, 0.2)) == (1.0, 0.0)


def test_a_slope_is_the_difference_of_two_shares_within_strata() -> None:
    # Right in 8 of 10 and in 5 of 10, in a stratum of its own each.
    right = np.array(([1] * 8 + [0] * 2 + [1] * 5 + [0] * 5) * 2, float)
    more = np.repeat([0.5, -0.5, 0.5, -0.5], 10)[:, None]
    found = fit_slopes(right, more, np.repeat([0, 1], 20), np.arange(40))
    assert found is not None and found.slopes_K[0] == pytest.approx(0.3)
    variance = (0.8 * 0.2 / 10 + 0.5 * 0.5 / 10) / 2
    assert found.errors_K[0] == pytest.approx((variance * 40 / 39 * 39 / 37) ** 0.5)
    assert found.freedoms_K[0] == pytest.approx(39)
    # What only differs between strata says nothing.
    assert (
        fit_slopes(right, np.repeat([0.5, -0.5], 20)[:, None], np.repeat([0, 1], 20), np.arange(40)) is None
    )
    # A copy of an input cannot be told from it.
    assert (
        fit_slopes(right, np.concatenate([more, more], axis=1), np.repeat([0, 1], 20), np.arange(40)) is None
    )


def test_every_judgment_twice_is_no_more_evidence() -> None:
    draw = np.random.default_rng(0)
    more, right = draw.choice([-0.5, 0.5], (60, 1)), draw.integers(0, 2, 60).astype(float)
    strata, prompts = draw.integers(0, 3, 60), np.arange(60)
    once = fit_slopes(right, more, strata, prompts)
    twice = fit_slopes(*(np.concatenate([one, one]) for one in (right, more, strata, prompts)))
    assert once is not None and twice is not None
    assert twice.slopes_K == pytest.approx(once.slopes_K)
    assert twice.errors_K == pytest.approx(once.errors_K, rel=0.05)


def make(p: float | None) -> Finding:
    return Finding(name="x", question="?", used=1, items=1, limit=0.0, p=p)


def test_alarms_are_raised_together() -> None:
    found = raise_alarms([make(0.04), make(None), make(0.001), make(0.02)])
    assert [one.alarm for one in found] == [True, False, True, True]  # 0.05 / 3, / 2, / 1
    found = raise_alarms([make(0.04), make(0.018), make(0.02)])
    assert not any(one.alarm for one in found)
    assert raise_alarms([]) == ()
