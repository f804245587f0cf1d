"""Judging over Ray against one process: whether anything is lost or written twice, and what Ray costs.

    python benchmarks/ray_judging.py hash -n 50000        a scripted judge: the driver and Ray are all there is to pay for
    python benchmarks/ray_judging.py faults -n 2000       the bundled judge over two actors; one is killed, the driver
                                                          is interrupted, and the command is given again
    python benchmarks/ray_judging.py speed -n 1000        the bundled judge: two actors against one process
    python benchmarks/ray_judging.py driver -n 20000      CPU time of each thing that the driver does for a pair

Needs the extra `ray`, but for `driver`. The first three judge the same pairs of the synthetic world in one process and over Ray, and compares
the run folders line by line, times left out. It exits with 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmr1.cluster.blocks import BLOCK_ITEMS, Answer, Block, Way, decode
from rmr1.data.read import read_pairs
from rmr1.judge.alarm import Alarm
from rmr1.judge.identity import describe_run
from rmr1.judge.load import load_judge
from rmr1.judge.summary import Tally
from rmr1.store.codec import dumps
from rmr1.store.keys import number_items
from rmr1.store.runs import iterate_keys, open_run

COMMAND = [sys.executable, "-m", "rmr1"]
THREADS = str(os.cpu_count())
"""Of one process in the part `speed`. Elsewhere one is enough, and threads that wait for each other cost most on busy cores."""


def judge(pairs: Path, folder: Path, *more: str, env: dict[str, str] | None = None) -> dict[str, float]:
    """Wall seconds of the command, and CPU seconds of the processes that did it: driver, actors, and the rest of Ray."""
    started = time.perf_counter()
    command = [*COMMAND, "judge", str(pairs), "-o", str(folder), "--quiet", *more]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    cpu: dict[int, tuple[str, float]] = {}
    while driver.poll() is None:
        for pid, role in list_family(driver.pid):
            if (seconds := read_cpu(pid)) is not None:
                cpu[pid] = (role, seconds)
        time.sleep(0.3)
    if driver.returncode:
        raise SystemExit(f"the command failed, with {driver.returncode}")
    found = {"seconds": time.perf_counter() - started}
    for role, seconds in cpu.values():
        found[f"{role}_cpu"] = found.get(f"{role}_cpu", 0.0) + seconds
    return {name: round(value, 1) for name, value in found.items()}


def read_cpu(pid: int) -> float | None:
    """CPU seconds of a process without its children; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def list_family(driver: int) -> list[tuple[int, str]]:
    """Process ids and roles of the driver and of all that it started."""
    told = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in told.splitlines()]
    family = {driver}
    for _ in range(4):  # driver, raylet, worker
        family |= {int(pid) for pid, parent, *_ in rows if int(parent) in family}
    found = []
    for pid, _, *args in rows:
        if int(pid) in family:
            is_actor = "BlockJudge" in " ".join(args)
            role = "driver" if int(pid) == driver else "actors" if is_actor else "ray"
            found.append((int(pid), role))
    return found


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
    return [pid for pid, role in list_family(driver) if role == "actors"]


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


def time_driver(pairs: Path, folder: Path) -> dict[str, float]:
    """CPU milliseconds of a pair, by what is done, without Ray; the judge is a scripted one."""
    times: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        times[name] = time.process_time() - started

    judge: Any = load_judge("scripted:hash")
    with timed("read a row and make its key"):
        items = [(keys[0], pair) for keys, pair in number_items(read_pairs(pairs))]
    with timed("judge it (here on the actor)"):
        judged = list(judge.judge_items(items))
    groups = range(0, len(items), BLOCK_ITEMS)
    with timed("encode its block"):
        blocks = [
            Block(number=one, asking=Way(), items=tuple(items[one : one + BLOCK_ITEMS])).encode()
            for one in groups
        ]
    with timed("encode its answer (on the actor)"):
        answers = [
            Answer(number=one, judgments=tuple(judged[one : one + BLOCK_ITEMS])).encode() for one in groups
        ]
    with timed("decode its answer"):
        decoded = [pair for one in answers for pair in decode(one).judgments]
    with (
        open_run(folder, describe_run("judge", judge, data=None)) as run,
        timed("write its line"),
    ):
        for key, judgment in decoded:
            run.append(key, judgment)
    tally, alarm = Tally(), Alarm()
    with timed("count it"):
        for _, judgment in decoded:
            tally.add(judgment)
            alarm.update(judgment)
    sizes = {"bytes of it in its block": sum(map(len, blocks)), "in its answer": sum(map(len, answers))}
    per_pair = {name: round(1000 * value / len(items), 4) for name, value in times.items()}
    return per_pair | {name: round(value / len(items)) for name, value in sizes.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("hash", "faults", "speed", "driver"))
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    # A shell lets what it starts in the background ignore interruptions, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ray = ("--ray=local", "--ray-actors", "2")
    model = ("-m", "scripted:hash" if arguments.part == "hash" else "tiny")
    with tempfile.TemporaryDirectory(prefix="rmr1-ray-bench-") as work:
        pairs = Path(work) / "pairs.jsonl"
        export = [*COMMAND, "world", "export", str(pairs), "-n", str(arguments.n)]
        subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        if arguments.part == "driver":
            print(json.dumps(time_driver(pairs, Path(work) / "run"), indent=1))
            return
        found: dict[str, Any] = {"part": arguments.part, "pairs": arguments.n}
        for repeat in range(arguments.repeats):
            one, many = Path(work) / f"one-{repeat}", Path(work) / f"ray-{repeat}"
            threads = THREADS if arguments.part == "speed" else "1"
            found["one_process"] = judge(pairs, one, *model, env={"OMP_NUM_THREADS": threads})
            if arguments.part == "faults":
                disturb(pairs, many, (*model, *ray), arguments.n)
            else:
                found["ray"] = judge(pairs, many, *model, *ray)
            difference = compare_runs(one, many)
            found["difference"] = difference
            print(json.dumps(found), flush=True)
            if difference is not None:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
