"""Rewards of a group -> advantages: how much better a completion is than its siblings.

Pure. The method is GRPO's (arXiv 2402.03300, section 4.1.1): a reward minus the group's mean, divided by the
group's standard deviation. RM-R1 trained with verl, whose deviation is the sample's (divisor G - 1) plus
1e-6; TRL's is the same plus 1e-4. `scale="none"` leaves the division out (arXiv 2503.20783), so that groups
which are nearly all right or nearly all wrong do not weigh more than others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt
from typing import Literal

Scale = Literal["std", "none"]

EPSILON = 1e-6
"""Added to the standard deviation, as in verl."""

_FLAT = 1e-9
"""Rewards that differ by less are equal: sums of terms carry rounding."""


def normalize_group(
    rewards: Sequence[float],
    *,
    scale: Scale = "std",
    epsilon: float = EPSILON,
    kept: Sequence[bool] | None = None,
) -> tuple[float, ...]:
    """Advantages of one group's completions; all 0 where the group is flat.

    `kept` says which completions take part; the others have advantage 0 and no part in mean and
    deviation. The advantages of one group sum to 0.

        >>> normalize_group([1.0, -1.0, -1.0, 1.0], scale="none")
        (1.0, -1.0, -1.0, 1.0)
    """
    taking = _take(rewards, kept)
    if is_flat(rewards, kept=kept):
        return (0.0,) * len(rewards)
    mean = fsum(taking) / len(taking)
    divisor = 1.0
    if scale == "std":
        divisor = sqrt(fsum((reward - mean) ** 2 for reward in taking) / (len(taking) - 1)) + epsilon
    return tuple(
        (reward - mean) / divisor if kept is None or kept[index] else 0.0
        for index, reward in enumerate(rewards)
    )


def is_flat(rewards: Sequence[float], *, kept: Sequence[bool] | None = None) -> bool:
    """Whether all completions that take part have one reward, or fewer than two take part.

    Such a group says nothing about what is better. Without a KL term its gradient is exactly zero.
    """
    taking = _take(rewards, kept)
    return len(taking) < 2 or max(taking) - min(taking) < _FLAT


def _take(rewards: Sequence[float], kept: Sequence[bool] | None) -> list[float]:
    if kept is None:
        return list(rewards)
    return [reward for reward, is_kept in zip(rewards, kept, strict=True) if is_kept]
