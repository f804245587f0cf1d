"""`benchmarks/shared_prompts.py`: the simulation behind the figures of docs/benchmarks.md runs, pools seeds and goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def simulation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import shared_prompts

    return shared_prompts


def run(simulation, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["shared_prompts.py", ".", "--arms", "few", *map(str, arguments)])
    simulation.main()


def test_seeds_are_pooled_and_what_stands_is_not_done_again(simulation, monkeypatch, tmp_path, capsys):
    output = tmp_path / "found.jsonl"
    options = ("--settings", "unequal", "--repeats", 3, "--resamples", 99, "-o", output)
    run(simulation, monkeypatch, *options, "--seeds", 4)
    run(simulation, monkeypatch, *options, "--seeds", 4, 5)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(one["seed"], one["repeats"], one["items"], one["prompts"]) for one in lines] == [
        (4, 3, 206, 30),
        (5, 3, 206, 30),
    ]
    held = [one["figures"]["overall"]["score"] for one in lines]
    printed = capsys.readouterr().out.split("seeds [4, 5]")[1]
    assert f"covered: score {100 * np.mean(held):5.1f}%" in printed.splitlines()[1]


def test_judges_are_as_correlated_as_is_said(simulation):
    """Two items of a prompt: both right as often as mean^2 + icc x mean x (1 - mean); errors as many as are left."""
    random = np.random.default_rng(0)
    for mean, icc in ((0.72, 0.6), (0.944, 0.4)):
        chances = simulation.beta_quantiles(np.full(200_000, mean), icc, random.random(200_000))
        assert chances.mean() == pytest.approx(mean, abs=0.003)
        assert (chances**2).mean() == pytest.approx(mean**2 + icc * mean * (1 - mean), abs=0.005)
    layout = simulation.lay_out("few", Path())
    good = next(one for one in simulation.SETTINGS if one.name == "good")
    assert 1 - good.chances(layout, 0) == pytest.approx((1 - layout.chances) / 5)
