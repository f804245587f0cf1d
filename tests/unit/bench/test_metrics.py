"""Wilson's interval against hand-worked and published values."""

from __future__ import annotations

import pytest

from rmr1.bench.metrics import wilson_interval


def interval(correct: int, total: int) -> tuple[float, float]:
    found = wilson_interval(correct, total)
    assert found is not None
    return found


def test_known_values():
    # 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.71674, half width 0.22659.
    low, high = interval(8, 10)
    assert low == pytest.approx(0.4901625, abs=1e-6)
    assert high == pytest.approx(0.9433178, abs=1e-6)


def test_ends_stay_in_the_unit_interval():
    # None of 10: high = z^2 / (n + z^2) = 3.8415 / 13.8415.
    low, high = interval(0, 10)
    assert low == 0
    assert high == pytest.approx(0.2775328, abs=1e-6)
    low, high = interval(10, 10)
    assert low == pytest.approx(1 - 0.2775328, abs=1e-6)
    assert high == 1


def test_nothing_to_count():
    assert wilson_interval(0, 0) is None


@pytest.mark.parametrize(("correct", "total"), [(2, 1), (-1, 3)])
def test_no_share(correct, total):
    with pytest.raises(ValueError, match="is not a share"):
        wilson_interval(correct, total)
