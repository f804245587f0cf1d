"""Advantages of a group by hand."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from rmr1.train.grpo.batches import is_flat, normalize_group


def test_by_hand() -> None:
    # Mean 0, squares 1 + 1 + 1 + 1, divisor 3: deviation sqrt(4/3).
    assert normalize_group([1, -1, -1, 1]) == pytest.approx(
        [0.8660246, -0.8660246, -0.8660246, 0.8660246], abs=2e-6
    )
    # Mean -1/2, squares 9/4 + 3/4 = 3, divisor 3: deviation 1.
    assert normalize_group([1, -1, -1, -1], epsilon=0.0) == pytest.approx([1.5, -0.5, -0.5, -0.5])
    assert normalize_group([1, -1, -1, -1], epsilon=0.5) == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3])


def test_no_std_leaves_the_distance_from_the_mean() -> None:
    assert normalize_group([1, -1, -1, -1], scale="none") == (1.5, -0.5, -0.5, -0.5)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-4])
def test_the_epsilon_is_added_to_the_deviation(epsilon: float) -> None:
    rewards = [0.2, 0.9, 0.5]
    deviation = statistics.stdev(rewards)
    wanted = [(reward - statistics.mean(rewards)) / (deviation + epsilon) for reward in rewards]
    assert normalize_group(rewards, epsilon=epsilon) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("rewards", [[1.0] * 7, [-1.0, -1.0], [0.3], [0.1] * 7, [0.1 + 0.2, 0.3]])
@pytest.mark.parametrize("scale", ["std", "none"])
def test_flat_groups_have_exactly_no_advantage(rewards: list[float], scale: Any) -> None:
    assert is_flat(rewards)
    assert normalize_group(rewards, scale=scale) == (0.0,) * len(rewards)


def test_what_is_not_flat() -> None:
    assert not is_flat([1, 1, -1])
    assert not is_flat([1.0, 1.0 + 1e-6])


def test_left_out_completions_have_no_part() -> None:
    kept = [True, False, True, True]
    assert normalize_group([1, -1, -1, 0], scale="none", kept=kept) == (1.0, 0.0, -1.0, 0.0)
    assert normalize_group([1, 50, -1, 0], epsilon=0.0, kept=kept) == (1.0, 0.0, -1.0, 0.0)
    assert is_flat([1, -1, 1], kept=[True, False, True])
    assert is_flat([1, -1, 1], kept=[True, False, False])
    assert is_flat([1, -1], kept=[False, False])
    with pytest.raises(ValueError, match="zip"):
        normalize_group([1, -1], kept=[True])


def test_advantages_sum_to_zero_and_keep_the_order() -> None:
    draw = random.Random(0)
    for _ in range(200):
        rewards = [draw.choice([-1.0, 1.0, 0.1, 1.1]) for _ in range(draw.randint(2, 12))]
        scale: Any = draw.choice(["std", "none"])
        advantages = normalize_group(rewards, scale=scale)
        assert sum(advantages) == pytest.approx(0.0, abs=1e-9)
        assert [sorted(rewards).index(one) for one in rewards] == [
            sorted(advantages).index(one) for one in advantages
        ]


def test_a_shift_changes_nothing_and_a_factor_only_without_std() -> None:
    rewards = [0.0, 1.0, 1.0, 3.0]
    moved = [reward + 5.0 for reward in rewards]
    doubled = [2.0 * reward for reward in rewards]
    plain = normalize_group(rewards, epsilon=0.0)
    assert normalize_group(moved, epsilon=0.0) == pytest.approx(plain)
    assert normalize_group(doubled, epsilon=0.0) == pytest.approx(plain)
    bare = normalize_group(rewards, scale="none")
    assert normalize_group(doubled, scale="none") == pytest.approx([2.0 * one for one in bare])
