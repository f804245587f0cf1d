"""Intervals hold the true size as often as they say, of judges asked in one order about pairs that share prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from rmr1.audit.audits import AuditGathering
from rmr1.audit.facts import Facts
from tests.unit.audit.test_figures import PLAIN

RUNS = 80


def draw_judgments(
    draw: np.random.Generator, prompts: int, pairs: int, first: float, longer: float
) -> Iterator[Facts]:
    """A judge that names the first answer with probability `first`, else the longer one with probability `longer`, else what
    it thinks of the pair; it is as often right as the prompt is easy, and pairs of a prompt are alike in length."""
    for prompt in range(prompts):
        ease, alike = draw.beta(6, 2), draw.choice([-1, 1])
        for _ in range(pairs):
            label, shown, long = draw.choice([-1, 1], 3)
            long = alike * label if draw.random() < 0.5 else long
            said = label if draw.random() < ease else -label
            said = long if draw.random() < longer else said
            said = shown if draw.random() < first else said
            name = {1: "A", -1: "B"}
            yield replace(
                PLAIN,
                key=f"{draw.integers(1 << 60):032x}",
                prompt=prompt,
                subset="xyz"[prompt % 3],
                winner=name[said],
                label=name[label],
                is_right=bool(said == label),
                shown_first=name[shown],
                length_a=300 if long > 0 else 100,
                length_b=100 if long > 0 else 300,
            )


@pytest.mark.parametrize(("prompts", "pairs"), [(150, 1), (40, 5)])
def test_the_true_size_is_inside_in_nearly_all_of_the_runs(prompts: int, pairs: int) -> None:
    inside = {"position": 0, "length": 0}
    for number in range(RUNS):
        draw = np.random.default_rng([number, prompts])
        first, longer = draw.uniform(0, 0.5, 2)
        gathering = AuditGathering()
        for one in draw_judgments(draw, prompts, pairs, first, longer):
            gathering.add(one)
        true = {"position": first, "length": (1 - first) * longer}
        for finding in gathering.findings():
            if finding.name in true and finding.interval is not None:
                low, high = finding.interval
                inside[finding.name] += bool(low <= true[finding.name] <= high)
    # Of 80 at 95% fewer than 70 have a chance of 1 in 1,000.
    assert min(inside.values()) >= 70
