"""Stopped at any moment, a run goes on where it was: nothing lost, nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .runs import final_records, kill_at_random, rmr1, write_pairs

ENGINE = "scripted:hash"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("kill") / "pairs.jsonl", 3000)


@pytest.fixture(scope="module")
def uninterrupted(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    rmr1("judge", pairs, "-m", ENGINE, "--order", "both", "-o", run, "--quiet")
    return run


def kill_and_compare(pairs: Path, uninterrupted: Path, run: Path, *, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    command = ["judge", pairs, "-m", ENGINE, "--order", "both", "-o", run, "--quiet"]
    done = 0
    for _ in range(kills):
        done += kill_at_random(command, run, draw, most_seconds=60)
        if draw.random() < 0.5 and (run / "judgments.jsonl").exists():
            tear(run / "judgments.jsonl", draw)
    assert done == kills, "the run finished before it could be killed often enough"
    rmr1(*command)
    assert final_records(run) == final_records(uninterrupted)


def tear(file: Path, draw: random.Random) -> None:
    """Cut the file inside its last line: what a kill in the middle of a write leaves behind."""
    size = file.stat().st_size
    if size:
        os.truncate(file, size - draw.randint(1, min(400, size)))


def test_killed_runs_end_equal_to_an_uninterrupted_one(
    pairs: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    kill_and_compare(pairs, uninterrupted, tmp_path / "run", kills=4, seed=0)


@pytest.mark.soak
def test_twenty_kills(pairs: Path, uninterrupted: Path, tmp_path: Path, soak: bool) -> None:
    kill_and_compare(pairs, uninterrupted, tmp_path / "run", kills=20 if soak else 6, seed=1)


def test_every_length_of_a_torn_file_is_taken_up(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 4)
    whole = tmp_path / "whole"
    rmr1("judge", pairs, "-m", ENGINE, "-o", whole, "--quiet")
    content = (whole / "judgments.jsonl").read_bytes()
    from rmr1.cli.main import main

    for cut in range(0, len(content), 97):
        (whole / "judgments.jsonl").write_bytes(content[:cut])
        assert main(["judge", str(pairs), "-m", ENGINE, "-o", str(whole), "--quiet", "--json"]) == 0
        kept = (whole / "judgments.jsonl").read_bytes()
        assert sorted(strip_timing(kept)) == sorted(strip_timing(content)), cut


def strip_timing(content: bytes) -> list[str]:
    import json

    rows = [json.loads(line) for line in content.splitlines()]
    return [json.dumps({key: value for key, value in row.items() if key != "seconds"}) for row in rows]


def test_control_c_says_how_to_go_on_and_keeps_what_is_finished(tmp_path: Path) -> None:
    total = 20_000  # far more than are judged before the signal, however late it comes on a busy machine
    pairs, run = write_pairs(tmp_path / "pairs.jsonl", total), tmp_path / "run"
    command = ["judge", pairs, "-m", ENGINE, "--order", "both", "-o", run]
    process = subprocess.Popen(
        [sys.executable, "-m", "rmr1", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores the signal, and what it starts inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    file = run / "judgments.jsonl"
    deadline = time.monotonic() + 60
    while (not file.exists() or file.stat().st_size < 50_000) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint and "the same command goes on from there" in complaint
    finished = file.read_text().count("\n")
    assert 0 < finished < total
    again = rmr1(*command, "--limit", finished + 20)
    assert f"going on after {finished} finished items" in again.stderr
    assert file.read_text().count("\n") == finished + 20
