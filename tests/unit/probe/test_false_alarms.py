"""How often clean data are condemned: at most once in twenty sets; what is allowed for is once in fifty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from rmr1.probe import probe_leak
from tests.unit.probe.sets import Rows, noise_rows, render_rows, world_rows, write_rows

SETS: dict[str, Callable[[int], Rows]] = {
    "world pairs": lambda seed: world_rows(1000 + seed, 400),
    "world prompts": lambda seed: world_rows(2000 + seed, 400, "messages"),
    "noise": lambda seed: noise_rows(seed, 400),
    "rendered noise": lambda seed: render_rows(noise_rows(seed, 400), Random(seed)),
}


@pytest.mark.parametrize("kind", SETS)
def test_clean_sets_are_quiet(kind: str, tmp_path: Path) -> None:
    number = 10 if kind.startswith("world") else 3
    for seed in range(number):
        report = probe_leak(write_rows(tmp_path / "rows.jsonl", SETS[kind](seed)), seed=seed)
        assert not report.is_leak, [one.name for one in report.fields if one.is_leak]


@pytest.mark.soak
@pytest.mark.parametrize("kind", SETS)
def test_at_most_one_false_alarm_in_twenty(kind: str, tmp_path: Path, soak: bool) -> None:
    if not soak:
        pytest.skip("a hundred sets of each kind are probed under make soak")
    alarms = sum(
        probe_leak(write_rows(tmp_path / "rows.jsonl", SETS[kind](seed)), seed=seed).is_leak
        for seed in range(100)
    )
    assert alarms <= 5
