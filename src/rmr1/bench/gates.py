"""The gate that a CI puts on a benchmark: a floor, and no significant loss against a baseline.

BenchmarkScores, Comparison, lowest score ──check_baseline──> Gate
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import floor
from typing import Any

from rmr1.bench.base import BenchmarkScores
from rmr1.bench.compare import Comparison, SharedCount, format_difference
from rmr1.errors import ConfigError
from rmr1.faces import name_option

LEAST_SHARED = 0.9
"""What two runs must share of the items of either for one to be the other's baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether a CI may pass."""

    is_passed: bool
    line: str
    """What was seen and what was expected, in one line."""

    def sentence(self) -> str:
        return f"gate {'passed' if self.is_passed else 'FAILED'}: {self.line}"

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def check_fail_under(percent: float) -> None:
    """Refuse a limit that is no percentage above 1: 0.8 is taken for a slip of 80."""
    if percent != 0 and not 1 < percent <= 100:
        raise ConfigError(
            f"{name_option('fail_under', f'{percent:g}')}: expected a percentage, as 80 for 80%"
        )


def check_baseline(
    scores: BenchmarkScores, comparison: Comparison | None = None, fail_under: float | None = None
) -> Gate:
    """The gate of `--fail-under` and `--baseline`; each of them may be left out.

    `fail_under` (in percent) is an absolute floor, as in coverage tools: every overall score must reach it,
    and one that is not there (partial data) does not. `comparison` asks for no significant loss: an
    overall score below the baseline's with p at most 0.05, over at least 90% of the items of either run. A
    fixed number of points would let small benchmarks fail by chance and large losses of large ones pass; what
    chance explains does not fail.
    """
    failed: list[str] = []
    passed: list[str] = []
    if fail_under is not None:
        check_fail_under(fail_under)
        for one in scores.overall:
            name = _name_overall(scores.benchmark, one.group)
            if one.value is None:
                failed.append(f"{name} has no overall score to hold against {fail_under:g}% ({one.status})")
            # A score that prints as the limit reaches it: 79.9999...% by rounding error is 80%.
            elif 100 * one.value < fail_under - 1e-9:
                failed.append(f"{name} {100 * one.value:.2f}% is under {fail_under:g}%")
            else:
                passed.append(f"{name} {100 * one.value:.2f}% reaches {fail_under:g}%")
    overlaps = {} if comparison is None else {one.group: one for one in comparison.overlaps}
    compared = {} if comparison is None else {one.group: one for one in comparison.overall}
    for group, overlap in overlaps.items():
        name, other = _name_overall(scores.benchmark, group), compared.get(group)
        if overlap.share < LEAST_SHARED:
            failed.append(f"{name} cannot be compared with the baseline: {_describe_overlap(overlap)}")
        elif other is None or other.difference is None or other.p is None:
            reason = (
                "nothing to count in what both hold"
                if other is None or other.difference is None
                else "no resamples drawn"
            )
            failed.append(f"{name} cannot be compared with the baseline: {reason}")
        elif other.is_worse:
            failed.append(f"{name} is worse than the baseline: {format_difference(other)}")
        else:
            passed.append(f"{name} is not significantly worse than the baseline: {format_difference(other)}")
    if not failed and not passed:
        failed.append(f"{scores.benchmark} has no overall score, because nothing was judged")
    return Gate(is_passed=not failed, line="; ".join(failed or passed))


def _name_overall(benchmark: str, group: str) -> str:
    return benchmark if benchmark == group else f"{benchmark} {group}"


def _describe_overlap(one: SharedCount) -> str:
    """`they share 150 items, 37.5% of this run's 400 and 100.0% of the baseline's 150; needed are 90% of both`."""
    new, old = (floor(1000 * one.shared / max(many, 1)) / 10 for many in (one.new, one.old))
    return (
        f"they share {one.shared} items, {new:.1f}% of this run's {one.new} and {old:.1f}% of the baseline's "
        f"{one.old}; needed are {100 * LEAST_SHARED:.0f}% of both"
    )
