"""Statistics of scores: pure functions of counts."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054
"""Normal quantile of a two-sided 95% interval."""


def wilson_interval(correct: int, total: int, z: float = Z_95) -> tuple[float, float] | None:
    """Wilson's score interval of a share, within [0, 1]; None where there is nothing to count.

    Good for small counts and shares near 0 or 1 (Wilson 1927): `wilson_interval(8, 10)` is
    (0.490, 0.943).
    """
    if total == 0:
        return None
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} is not a share")
    share = correct / total
    scale = 1 + z * z / total
    center = (share + z * z / (2 * total)) / scale
    half = z / scale * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the bound is exact; rounding must not move it.
    return 0.0 if correct == 0 else center - half, 1.0 if correct == total else center + half
