"""Helpers for tests that run the command line: pairs on disk, runs, kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
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
    command = [sys.executable, "-m", "rmr1", *map(str, arguments)]
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


def kill_when(
    arguments: list[object],
    is_time: Callable[[], bool],
    *,
    most_seconds: float = 120,
    poll: float = 0.0005,
    cwd: Path | None = None,
) -> bool:
    """Start the command and SIGKILL it once `is_time()`; True if it was killed, False if it ended before.

    Whatever it has started must be gone with it.
    """
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "rmr1", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
            cwd=cwd,
        )
        deadline = time.monotonic() + most_seconds
        while process.poll() is None and not is_time():
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise AssertionError(f"the moment to kill did not come in {most_seconds} s")
            time.sleep(poll)
        if process.poll() is not None:
            complaints.seek(0)
            assert process.returncode == 0, complaints.read()[-3000:]
            return False
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _expect_no_process(process.pid)
    return True


def _expect_no_process(group: int) -> None:
    """Children see their parent's end within moments, or live on for ever."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("a killed run left processes behind")


def kill_at_random(arguments: list[object], run: Path, draw: random.Random, *, most_seconds: float) -> bool:
    """Start the command, SIGKILL it at a random moment after its first record; True if it was killed.

    The moment is drawn as a size of the run's file, so that kills spread over the work whatever the
    machine's speed, and some fall into a write.
    """
    file = run / "judgments.jsonl"
    before = file.stat().st_size if file.exists() else 0
    target = before + draw.randint(1, 40_000)
    return kill_when(
        arguments, lambda: file.exists() and file.stat().st_size >= target, most_seconds=most_seconds
    )


def count_records(run: Path) -> int:
    """Whole lines of the run's file."""
    file = run / "judgments.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def kill_all_over(
    command: list[object],
    run: Path,
    draw: random.Random,
    *,
    kills: int,
    total: int,
    most_at_once: int,
    linger_seconds: float = 0.4,
    vary: Callable[[], list[object]] = list,
) -> str:
    """SIGKILL the run of `total` items `kills` times, at moments spread over a run that loads slowly.

    The first kill comes after a new record, which also tells how long a start takes; of the others some
    come while the run loads or computes its first batch, some in the midst of its records.

    Args:
        most_at_once: records that may come together, or within `linger_seconds`.
        linger_seconds: longest wait between the record that is waited for and the kill.
        vary: gives further arguments for each start.

    Returns:
        What happened, for people.
    """
    started = first_record_seconds = 0.0
    moments = []
    for number in range(kills):
        before = count_records(run)
        share = (total - before - 2 * most_at_once) // (kills - number)
        is_early = number == 1 or (number > 1 and (share < 1 or draw.random() < 0.4))
        if is_early:
            moment = draw.uniform(0.02, 0.95) * first_record_seconds
            wanted, wait = 0, moment
        else:
            wanted, wait = draw.randint(1, max(1, share)), draw.uniform(0, linger_seconds)
        reached: list[float] = []

        def is_time(
            before: int = before, wanted: int = wanted, wait: float = wait, reached: list[float] = reached
        ) -> bool:
            if not reached and count_records(run) >= before + wanted:
                reached.append(time.monotonic())
            return bool(reached) and time.monotonic() >= reached[0] + wait

        started = time.monotonic()
        assert kill_when([*command, *vary()], is_time, poll=0.002), (
            f"the run finished before kill {number + 1} of {kills} ({before} of {total} records before it)"
        )
        if wanted:
            seconds = reached[0] - started
            first_record_seconds = min(first_record_seconds or seconds, seconds)
        moments.append(f"{'early' if is_early else 'late'} {before}->{count_records(run)}")
    return f"{kills} kills, records before and after: {', '.join(moments)}"


def read_tensors(checkpoint: Path) -> dict[str, Any]:
    """The weights and states of a training's checkpoint, whole, by their names."""
    import torch
    from torch.distributed.checkpoint import FileSystemReader, load

    reader = FileSystemReader(checkpoint)
    found = {
        name: torch.empty(one.size, dtype=one.properties.dtype)  # type: ignore[union-attr]
        for name, one in reader.read_metadata().state_dict_metadata.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load(found, storage_reader=reader)
    return found
