"""Judging over Ray against one process: whether anything is lost or written twice, and what Ray costs.

    python benchmarks/ray_judging.py hash -n 50000        a scripted judge: the driver and Ray are all there is to pay for
    python benchmarks/ray_judging.py faults -n 2000       the bundled judge over two actors; one is killed, the driver
                                                          is interrupted, and the command is given again
    python benchmarks/ray_judging.py speed -n 1000        the bundled judge: two actors against one process

Needs the extra `ray`. Every part judges the same pairs of the synthetic world in one process and over Ray, and compares
the run folders line by line, times left out. It exits with 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmr1.store.codec import dumps
from rmr1.store.runs import iterate_keys

COMMAND = [sys.executable, "-m", "rmr1"]
THREADS = str(os.cpu_count())
"""Of one process in the part `speed`. Elsewhere one is enough, and threads that wait for each other cost most on busy cores."""


def judge(pairs: Path, folder: Path, *more: str, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the command and the processes that it started and waited for."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [*COMMAND, "judge", str(pairs), "-o", str(folder), "--quiet", *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def compare_runs(one: Path, other: Path) -> str | None:
    """How two run folders differ in what they say of every item, times left out; None if they do not."""
    found = []
    for folder in (one, other):
        lines: dict[str, bytes] = {}
        for number, key, line in iterate_keys(folder / "judgments.jsonl"):
            if key in lines:
                return f"{folder}: item {key} is there twice, the second time in line {number}"
            lines[key] = dumps({name: value for name, value in line.items() if name != "seconds"})
        found.append(lines)
    first, second = found
    if first.keys() != second.keys():
        return f"{len(first.keys() - second.keys())} items are missing, {len(second.keys() - first.keys())} are new"
    different = [key for key, line in first.items() if second[key] != line]
    if different:
        return f"{len(different)} of {len(first)} judgments differ, the first is {different[0]}"
    summaries = [json.loads((folder / "summary.json").read_bytes()) for folder in (one, other)]
    return None if summaries[0] == summaries[1] else f"the summaries differ: {summaries}"


def list_actors(driver: int) -> list[int]:
    """The process ids of the actors that judge for a driver on this machine."""
    told = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in told.splitlines()]
    family = {driver}
    for _ in range(4):  # driver, raylet, worker
        family |= {int(pid) for pid, parent, *_ in rows if int(parent) in family}
    return [int(pid) for pid, _, *args in rows if int(pid) in family and "BlockJudge" in " ".join(args)]


def disturb(pairs: Path, folder: Path, more: Sequence[str], total: int) -> None:
    """Kill an actor after a tenth, interrupt the driver after a third, and go on."""
    command = [*COMMAND, "judge", str(pairs), "-o", str(folder), "--quiet", *more]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for_lines(folder, total // 10, driver)
    victim = list_actors(driver.pid)[0]
    os.kill(victim, signal.SIGKILL)
    print(f"killed actor {victim} after {count_lines(folder)} lines", flush=True)
    wait_for_lines(folder, total // 3, driver)
    driver.send_signal(signal.SIGINT)
    print(f"interrupted after {count_lines(folder)} lines; exit code {driver.wait(timeout=120)}", flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def count_lines(folder: Path) -> int:
    file = folder / "judgments.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for_lines(folder: Path, number: int, process: subprocess.Popen[bytes]) -> None:
    while count_lines(folder) < number:
        if process.poll() is not None:
            raise SystemExit(f"the command ended early, with {process.returncode}")
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("hash", "faults", "speed"))
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    ray = ("--ray=local", "--ray-actors", "2")
    model = ("-m", "scripted:hash" if arguments.part == "hash" else "tiny")
    with tempfile.TemporaryDirectory(prefix="rmr1-ray-bench-") as work:
        pairs = Path(work) / "pairs.jsonl"
        export = [*COMMAND, "world", "export", str(pairs), "-n", str(arguments.n)]
        subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = {"part": arguments.part, "pairs": arguments.n}
        for repeat in range(arguments.repeats):
            one, many = Path(work) / f"one-{repeat}", Path(work) / f"ray-{repeat}"
            threads = THREADS if arguments.part == "speed" else "1"
            wall, cpu = judge(pairs, one, *model, env={"OMP_NUM_THREADS": threads})
            found |= {"one_process_s": round(wall, 1), "one_process_cpu_s": round(cpu, 1)}
            if arguments.part == "faults":
                disturb(pairs, many, (*model, *ray), arguments.n)
            else:
                wall, cpu = judge(pairs, many, *model, *ray)
                found |= {"ray_s": round(wall, 1), "ray_cpu_s": round(cpu, 1)}
            difference = compare_runs(one, many)
            found["difference"] = difference
            print(json.dumps(found), flush=True)
            if difference is not None:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
