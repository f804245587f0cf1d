"""One command in several processes of a machine, which end together: what `--processes N` does.

Each process runs the same command with the variables that torchrun sets, so it does not matter which of both started it.
The first one speaks. Complaints of all are reported to this one, in files, and it tells the one that the others follow
from: a process whose neighbour has died complains too, but only of that.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from rmr1.cli.failing import REPORT
from rmr1.errors import ConfigError
from rmr1.screen import one_line, print

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 10.0
"""How long the others may take to end by themselves, and after a signal."""
_WAITED = ("timed out", "timeout")
STAYS = "checkpoints stay, the same command goes on from there"


def launch(number: int, words: Sequence[str]) -> int:
    """Run `rmr1 WORDS` in so many processes; the exit code of the one that failed first, or 0.

    Raises:
        KeyboardInterrupt: the user interrupts; all processes have ended then.
    """
    with tempfile.TemporaryDirectory(prefix="rmr1-") as folder:
        place = Path(folder)
        group = [_start(rank, number, words, place) for rank in range(number)]
        try:
            order = _wait(group)
        except BaseException:
            _end(group, signal.SIGINT)
            raise
        failed = [rank for rank in order if group[rank].returncode != 0]
        if not failed:
            return 0
        ends = [_read(one, rank, place) for rank, one in enumerate(group)]
        silent = [rank for rank in range(number) if rank not in order]
        lines, code = describe_failure(failed, ends, silent=silent)
        for index, line in enumerate(lines):
            print(f"{'  ' if index else 'rmr1: '}{one_line(line)}", file=sys.stderr)
        return code


def _start(rank: int, number: int, words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    threads = max(1, (os.cpu_count() or 1) // number)
    own = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": number,
        "LOCAL_WORLD_SIZE": number,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": _find_port(folder),
        REPORT: folder / f"{rank}.json",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }
    environment = {**os.environ, **{key: str(value) for key, value in own.items()}}
    said: IO[bytes] | None = None if rank == 0 else (folder / f"{rank}.txt").open("wb")
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "rmr1.cli.follow", *words],
            # They end when this process does, and Ctrl-C reaches only this one, which tells them.
            stdin=subprocess.PIPE,
            start_new_session=True,
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=said,
            env=environment,
        )
    finally:
        if said is not None:
            said.close()


def _find_port(folder: Path) -> int:
    """A free port of this machine, the same for all processes."""
    kept = folder / "port"
    if not kept.exists():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            kept.write_text(str(one.getsockname()[1]))
    return int(kept.read_text())


def _wait(group: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Wait until all have ended, by themselves or because one has failed; their ranks as they ended."""
    order: list[int] = []
    failed_at: float | None = None
    while len(order) < len(group):
        for rank, one in enumerate(group):
            if rank not in order and one.poll() is not None:
                order.append(rank)
                if one.returncode != 0 and failed_at is None:
                    failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _GRACE_SECONDS:
            rest = [rank for rank in range(len(group)) if rank not in order]
            _end([group[rank] for rank in rest], signal.SIGTERM)
            return order
        time.sleep(_POLL_SECONDS)
    return order


def _end(group: Sequence[subprocess.Popen[bytes]], sign: signal.Signals) -> None:
    for one in group:
        if one.poll() is None:
            one.send_signal(sign)
    until = time.monotonic() + _GRACE_SECONDS
    for one in group:
        with suppress(subprocess.TimeoutExpired):
            one.wait(timeout=max(0.1, until - time.monotonic()))
        if one.poll() is None:
            one.kill()
            one.wait()


def _read(process: subprocess.Popen[bytes], rank: int, folder: Path) -> dict[str, Any]:
    """How a process has ended: what it reported, or what is known from outside."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((folder / f"{rank}.json").read_text(encoding="utf-8"))
        return found
    code = process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", as the system does if memory runs out" if -code == signal.SIGKILL else ""
        return {"lines": [f"it was ended by {name}{hint}"], "code": 1, "is_lost": False}
    said = ""
    with suppress(OSError):
        said = (folder / f"{rank}.txt").read_text(encoding="utf-8", errors="replace").strip()
    last = said.splitlines()[-1] if said else "it said nothing"
    return {"lines": [f"it ended with exit code {code}: {last}"], "code": 1, "is_lost": False}


def describe_failure(
    failed: Sequence[int], ends: Sequence[dict[str, Any]], *, silent: Sequence[int] = ()
) -> tuple[list[str], int]:
    """What is said of processes that failed, in the order in which they ended, and the exit code; `silent` ones did not
    end by themselves."""
    number = len(ends)
    first = next((rank for rank in failed if not ends[rank]["is_lost"]), failed[0])
    lines, code = list(ends[first]["lines"]), int(ends[first]["code"])
    if not ends[first]["is_lost"]:
        if sum(ends[rank]["lines"] == lines for rank in failed) > 1:
            return lines, code
        head = f"process {first} of {number} (counted from 0) has ended, and the others with it: "
        return [f"{head}{lines[0]}{'' if len(lines) > 1 else f'; {STAYS}'}", *lines[1:]], 1
    told = " ".join(lines)
    if not any(sign in told.lower() for sign in _WAITED):
        return [f"process {first} of {number} (counted from 0) lost the others: {told}; {STAYS}"], 1
    who = f"; {', '.join(f'process {rank}' for rank in silent)} did not answer" if silent else ""
    return [
        f"process {first} of {number} (counted from 0) waited for the others longer than sharding.timeout_seconds"
        f"{who}; {STAYS}"
    ], 1


def check_number(number: int) -> None:
    """Complain of a number of processes that is none, or of `--processes` under torchrun."""
    if number < 1:
        raise ConfigError(f"--processes is {number}; expected at least 1")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and REPORT not in os.environ:
        raise ConfigError("--processes starts the processes itself; leave it out under torchrun")
