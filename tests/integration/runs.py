"""Helpers for tests that run the command line: pairs on disk, runs, kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TIMING_FIELDS = ("seconds",)


def write_pairs(path: Path, number: int, *, seed: int = 0) -> Path:
    """A file of `number` labelled pairs; every tenth repeats its predecessor exactly."""
    draw = random.Random(seed)
    words = [
        "the",
        "a",
        "sky",
        "sea",
        "green",
        "blue",
        "fast",
        "slow",
        "river",
        "stone",
        "paper",
        "light",
        "seven",
        "nine",
        "of",
        "and",
    ]
    with path.open("w") as file:
        line = ""
        for index in range(number):
            if index % 10 != 9:
                a, b = (" ".join(draw.choices(words, k=draw.randint(2, 30))) for _ in range(2))
                row = {
                    "id": str(index),
                    "prompt": f"Question {index}: " + " ".join(draw.choices(words, k=6)),
                    "response_a": a,
                    "response_b": b,
                    "label": draw.choice(("A", "B", "tie")),
                    "subset": draw.choice(("one", "two")),
                }
                line = json.dumps(row) + "\n"
            file.write(line)
    return path


def rmr1(*arguments: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command and return what it printed."""
    command = [sys.executable, "-m", "rmr1.cli.main", *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and found.returncode:
        raise AssertionError(
            f"{' '.join(command)} exited {found.returncode}:\n{found.stdout}\n{found.stderr}"
        )
    return found


def final_records(run: Path) -> list[dict[str, Any]]:
    """The run's records sorted by key, without their timing fields."""
    records = [json.loads(line) for line in (run / "judgments.jsonl").read_text().splitlines()]
    for record in records:
        for field in TIMING_FIELDS:
            record.pop(field, None)
    return sorted(records, key=lambda record: record["key"])


def kill_at_random(arguments: list[object], run: Path, draw: random.Random, *, most_seconds: float) -> bool:
    """Start the command, SIGKILL it at a random moment after its first record; True if it was killed.

    The moment is drawn as a size of the run's file, so that kills spread over the work whatever the
    machine's speed, and some fall into a write.
    """
    file = run / "judgments.jsonl"
    before = file.stat().st_size if file.exists() else 0
    target = before + draw.randint(1, 40_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "rmr1.cli.main", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + most_seconds
    while process.poll() is None and time.monotonic() < deadline:
        if file.exists() and file.stat().st_size >= target:
            break
        time.sleep(0.0005)
    if process.poll() is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return True
