"""Exact tests against values worked out by hand."""

from __future__ import annotations

from math import comb

import pytest

from rmr1.stats import binomial_p, runs_p


@pytest.mark.parametrize(
    ("successes", "total", "share", "expected"),
    [
        (20, 20, 0.5, 2 / 2**20),
        (0, 20, 0.5, 2 / 2**20),
        (8, 10, 0.5, 2 * (45 + 10 + 1) / 1024),
        (5, 10, 0.5, 1.0),
        (3, 3, 0.9, 1.0),
        (0, 3, 0.9, 0.002),
        (0, 0, 0.5, 1.0),
        (4, 4, 1.0, 1.0),
        (3, 4, 1.0, 0.0),
    ],
)
def test_binomial(successes: int, total: int, share: float, expected: float) -> None:
    assert binomial_p(successes, total, share) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.213, 0.9])
def test_binomial_is_the_sum_of_its_terms(share: float) -> None:
    total = 60
    chances = [
        comb(total, count) * share**count * (1 - share) ** (total - count) for count in range(total + 1)
    ]
    for count in range(total + 1):
        expected = min(1.0, 2 * min(sum(chances[: count + 1]), sum(chances[count:])))
        assert binomial_p(count, total, share) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_binomial_of_many() -> None:
    assert binomial_p(10_000, 20_000, 0.5) == pytest.approx(1.0)
    assert 0 < binomial_p(10_200, 20_000, 0.5) < 0.01  # 2.8 standard deviations
    assert binomial_p(19_500, 20_000, 0.5) < 1e-200


def test_counts_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no count of successes"):
        binomial_p(3, 2, 0.5)


def test_runs() -> None:
    assert runs_p("AABB") == (2, 3.0, pytest.approx(0.2207, abs=1e-4))  # variance 2/3
    assert runs_p("A" * 50 + "B" * 50)[2] < 1e-20
    assert runs_p("AB" * 50)[0] == 100 and runs_p("AB" * 50)[2] < 1e-20
    assert runs_p("AAAA") == (1, 1.0, 1.0)
    assert runs_p("") == (0, 0.0, 1.0)
