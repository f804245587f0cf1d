"""Runs that an earlier version began: each is opened, goes on to its end, and keeps what it held.

The folders are made by `python -m tests.fixtures.make_runs`. They are never made anew to get a test to pass: a
change that leaves one behind leaves its users' runs behind.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rmr1.records import Judgment
from rmr1.store.runs import read_judgments
from rmr1.verdicts import parse_verdict

from ..fixtures.make_runs import COMMANDS, RUNS
from .runs import rmr1

TRAININGS = ("sft", "grpo", "scalar")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return shutil.copytree(RUNS, tmp_path / "runs")


def judgments(folder: Path, file: str = "judgments.jsonl") -> dict[str, Judgment]:
    return dict(read_judgments(folder, file=file))


@pytest.mark.parametrize(
    ("kind", "file", "held", "total"),
    [
        ("judge", "judgments.jsonl", 6, 20),
        ("bench", "judgments.jsonl", 10, 20),
        ("distill", "pass1.jsonl", 5, 14),
    ],
)
def test_a_run_of_judgments_goes_on(runs: Path, kind: str, file: str, held: int, total: int) -> None:
    before = judgments(runs / kind, file)
    assert len(before) == held
    rmr1(*COMMANDS[kind], cwd=runs)
    after = judgments(runs / kind, file)
    assert len(after) == total
    assert {key: after[key] for key in before} == before
    texts = (runs / kind / file).read_bytes()
    rmr1(*COMMANDS[kind], cwd=runs)
    assert (runs / kind / file).read_bytes() == texts  # nothing is asked twice


@pytest.mark.parametrize(("kind", "file"), [("judge", "judgments.jsonl"), ("distill", "pass1.jsonl")])
def test_a_stored_text_reads_as_its_stored_verdict(kind: str, file: str) -> None:
    votes = [vote for one in judgments(RUNS / kind, file).values() for vote in one.votes]
    assert votes
    for vote in votes:
        assert parse_verdict(vote.generation.text).winner == vote.verdict.winner


def test_stored_judgments_are_scored_as_they_were(runs: Path) -> None:
    stored = json.loads((runs / "bench" / "summary.json").read_text())["scores"]
    found = json.loads(rmr1("bench", "pairs", "pairs.jsonl", "--from", "bench", "--json", cwd=runs).stdout)
    assert found == stored


def test_a_curation_is_done(runs: Path) -> None:
    before = {path.name: path.read_bytes() for path in (runs / "curate").iterdir()}
    said = rmr1(*COMMANDS["curate"], cwd=runs)
    assert {path.name: path.read_bytes() for path in (runs / "curate").iterdir()} == before, said


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_training_goes_on_to_its_end(runs: Path, kind: str) -> None:
    rmr1(*COMMANDS[kind], cwd=runs)
    assert (runs / kind / "summary.json").is_file()
    assert (runs / kind / "model.safetensors").is_file()
    steps = [
        line["step"]
        for line in map(json.loads, (runs / kind / "metrics.jsonl").read_text().splitlines())
        if "loss" in line
    ]
    assert steps == sorted(set(steps)) and len(steps) > 4


def test_a_pipeline_goes_on_to_its_end(runs: Path) -> None:
    said = rmr1(*COMMANDS["train"], cwd=runs).stderr
    assert said.count("done before") == 2  # curate and distill
    assert (runs / "train" / "bench" / "summary.json").is_file()
