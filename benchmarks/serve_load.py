"""The server under load, and against the same pairs without a server; over HTTP, in a process of its own.

    python benchmarks/serve_load.py burst -n 1000       so many requests at once: statuses, whether each answer is that of
                                                        its question, latencies
    python benchmarks/serve_load.py steady --minutes 10 a steady load of pairs and of siblings: memory of the server
    python benchmarks/serve_load.py pace -n 200         the bundled judge: pairs a second beside `rmr1 judge` of the same
                                                        pairs, by turns; what loading takes is left out of both

The judge of `burst` and `steady` is scripted, so the server is all there is to pay for. Exits with 1 if an answer is
wrong or missing. Needs the extra `serve`, and /proc for memory and CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

COMMAND = [sys.executable, "-m", "rmr1"]
ANSWER_CHARS = 1500
"""Of an answer in `burst` and `steady`."""


class Server:
    """`rmr1 serve` in a process."""

    def __init__(self, *arguments: str, log: Path):
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", *arguments], stderr=file, stdout=file
            )
        while not (found := re.search(r"at (http://\S+)", log.read_text())):
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        self.url = found[1]
        wait_until(lambda: httpx.get(f"{self.url}/health").status_code == 200)

    def read_rss(self) -> float:
        """Resident memory, in MB."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def read_cpu(self) -> float:
        return read_cpu(self.process.pid)

    def end(self, number: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def serve(*arguments: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(*arguments, log=Path(folder) / "log")
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.end()


def wait_until(is_done: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if is_done():
                return
        time.sleep(0.05)
    raise SystemExit("waited in vain")


def read_cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_body(number: int) -> dict[str, Any]:
    """A pair of which there is no other; the longer answer, a or b by the number, is the better one."""
    better, worse = (
        f"{number} {word} " * (ANSWER_CHARS // share // 8) for word, share in (("yes", 1), ("no", 2))
    )
    a, b = (better, worse) if number % 3 else (worse, better)
    return {"question": f"Question number {number}?", "a": a, "b": b}


def is_right(number: int, told: dict[str, Any]) -> bool:
    """Whether an answer is that of the question, and the winner the one that it has to be."""
    body = make_body(number)
    pair = told["pair"]
    return (
        pair["prompt"][0]["content"] == body["question"]
        and [read_last(pair["response_a"]), read_last(pair["response_b"])] == [body["a"], body["b"]]
        and told["winner"] == ("A" if number % 3 else "B")
    )


async def ask(client: httpx.AsyncClient, number: int, counts: Counter[str], seconds: list[float]) -> None:
    """Ask until it is answered; the time is that of the try that was."""
    while True:
        started = time.perf_counter()
        try:
            reply = await client.post("/v1/judge", json=make_body(number))
        except httpx.TransportError as error:
            counts[type(error).__name__] += 1
            return
        counts[str(reply.status_code)] += 1
        if reply.status_code != 429:
            break
        await asyncio.sleep(float(reply.headers["retry-after"]) * random.uniform(0.5, 1.0))
    seconds.append(time.perf_counter() - started)
    if reply.status_code == 200:
        counts["right" if is_right(number, reply.json()) else "wrong"] += 1


def describe(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    shares = {share: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.9, 0.99)}
    return (
        " · ".join(f"p{share * 100:.0f} {value:.2f} s" for share, value in shares.items())
        + f" · most {ordered[-1]:.2f} s"
    )


def open_client(url: str, seconds: float = 120.0) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=url, timeout=seconds, limits=limits)


def burst(number: int, most_waiting: int) -> bool:
    """So many requests at once, each over a connection of its own."""
    counts: Counter[str] = Counter()
    seconds: list[float] = []

    async def ask_all(url: str) -> None:
        async with open_client(url) as client:
            await asyncio.gather(*(ask(client, one, counts, seconds) for one in range(number)))

    with serve("-m", "scripted:longer", "--max-waiting", str(most_waiting)) as server:
        before, cpu, started = server.read_rss(), server.read_cpu(), time.perf_counter()
        asyncio.run(ask_all(server.url))
        wall, used = time.perf_counter() - started, server.read_cpu() - cpu
        print(f"{number} requests at once, --max-waiting {most_waiting}: {dict(counts)}")
        print(f"  {wall:.1f} s, {number / wall:.0f}/s, server {used:.1f} CPU s; {describe(seconds)}")
        print(f"  memory {before:.0f} MB -> {server.read_rss():.0f} MB")
    return counts["right"] == number and set(counts) <= {"200", "429", "right"}


def steady(minutes: float, callers: int, kind: str) -> bool:
    """A load that does not change; the server's memory each two seconds."""
    counts: Counter[str] = Counter()
    seconds: list[float] = []
    memory: list[float] = []

    async def ask_pairs(client: httpx.AsyncClient, caller: int, until: float) -> None:
        number = caller
        while time.monotonic() < until:
            await ask(client, number, counts, seconds)
            number += callers

    async def ask_groups(client: httpx.AsyncClient, caller: int, until: float) -> None:
        size, group = 4, caller
        while time.monotonic() < until:
            body = make_body(group)
            bodies = [
                {
                    "question": body["question"],
                    "group": f"group {group}",
                    "size": size,
                    "index": index,
                    "answer": text,
                }
                for index, text in enumerate(f"{index} {body['a']}" for index in range(size))
            ]
            started = time.perf_counter()
            replies = await asyncio.gather(*(client.post("/v1/group/score", json=one) for one in bodies))
            seconds.append(time.perf_counter() - started)
            told = sum(reply.json().get("reward", 9) for reply in replies)
            counts.update(str(reply.status_code) for reply in replies)
            counts["right" if abs(told) < 1e-9 else "wrong"] += 1
            group += callers

    async def run(server: Server) -> None:
        until = time.monotonic() + 60 * minutes
        work = ask_pairs if kind == "pairs" else ask_groups
        async with open_client(server.url) as client:
            tasks = [asyncio.create_task(work(client, caller, until)) for caller in range(callers)]
            while time.monotonic() < until:
                await asyncio.sleep(2.0)
                memory.append(server.read_rss())
            await asyncio.gather(*tasks)

    with serve("-m", "scripted:longer") as server:
        asyncio.run(run(server))
    third = max(1, len(memory) // 3)
    parts = [statistics.median(memory[place * third : (place + 1) * third]) for place in range(3)]
    print(f"{minutes:g} minutes of {kind}, {callers} at a time: {dict(counts)}; {describe(seconds)}")
    print(
        f"  memory, medians of the thirds: {' -> '.join(f'{one:.0f} MB' for one in parts)}; most {max(memory):.0f} MB"
    )
    return not counts["wrong"] and set(counts) <= {"200", "429", "right"}


def pace(number: int, repeats: int, callers: int) -> bool:
    """Pairs a second through the server and without one, by turns."""
    found: dict[str, list[float]] = {
        "offline": [],
        "offline cpu": [],
        "served": [],
        "served cpu": [],
        "client cpu": [],
    }
    winners: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as work:
        file, first = Path(work) / "pairs.jsonl", Path(work) / "first.jsonl"
        subprocess.run(
            [*COMMAND, "world", "export", str(file), "-n", str(number)], check=True, capture_output=True
        )
        # As a request has them: what else a row says, its id among it, is part of its key, and so of the placement.
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows = [
            {"id": "0", **{name: row[name] for name in ("prompt", "response_a", "response_b")}}
            for row in rows
        ]
        lines = [json.dumps(row) + "\n" for row in rows]
        file.write_text("".join(lines))
        first.write_text(lines[0])
        for repeat in range(repeats):
            # What it takes to load is what it takes to judge one pair.
            loading = judge_offline(first, Path(work) / f"first-{repeat}")
            whole = judge_offline(file, Path(work) / f"run-{repeat}")
            found["offline"].append(whole[0] - loading[0])
            found["offline cpu"].append(whole[1] - loading[1])
            winners.append(read_winners(Path(work) / f"run-{repeat}" / "judgments.jsonl", rows))
            own = time.process_time()
            wall, cpu, told = judge_served(rows, callers)
            found["client cpu"].append(time.process_time() - own)
            found["served"].append(wall)
            found["served cpu"].append(cpu)
            winners.append(told)
    medians = {name: statistics.median(values) for name, values in found.items()}
    print(f"{number} pairs, bundled judge, {callers} callers, {repeats} turns, medians")
    for name in ("offline", "served"):
        wall, cpu = medians[name], medians[f"{name} cpu"]
        print(
            f"  {name:8} {(number - 1) / wall:6.2f} pairs/s   {wall:.1f} s   {cpu:.1f} CPU s   {found[name]}"
        )
    print(
        f"  served / offline: {medians['offline'] / medians['served']:.2f} by wall, "
        f"{medians['offline cpu'] / medians['served cpu']:.2f} by CPU time"
    )
    print(f"  the client, on the same cores: {medians['client cpu']:.1f} CPU s")
    is_same = all(one == winners[0] for one in winners)
    print(f"  winners are {'the same' if is_same else 'NOT the same'} in all arms")
    return is_same


def judge_offline(pairs: Path, run: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, "judge", str(pairs), "-m", "tiny", "-o", str(run), "--quiet"], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("the command failed")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def read_winners(file: Path, rows: list[dict[str, Any]]) -> list[Any]:
    """The winners in the sequence of the rows."""
    judged = [json.loads(line) for line in file.read_text().splitlines()]
    found = {
        read_last(one["pair"]["response_a"]) + read_last(one["pair"]["response_b"]): one["winner"]
        for one in judged
    }
    return [found[row["response_a"] + row["response_b"]] for row in rows]


def read_last(text: Any) -> str:
    """A text, or that of the last of its messages."""
    return str(text if isinstance(text, str) else text[-1]["content"])


def judge_served(rows: list[dict[str, Any]], callers: int) -> tuple[float, float, list[Any]]:
    """Wall seconds, CPU seconds of the server, and the winners, in the sequence of the rows."""
    winners: list[Any] = [None] * len(rows)
    waiting = iter(range(1, len(rows)))

    async def judge(client: httpx.AsyncClient, number: int) -> None:
        row = rows[number]
        body = {"question": row["prompt"], "a": row["response_a"], "b": row["response_b"]}
        reply = await client.post("/v1/judge", json=body)
        winners[number] = reply.raise_for_status().json()["winner"]

    async def work(client: httpx.AsyncClient) -> None:
        for number in waiting:
            await judge(client, number)

    async def judge_all(server: Server) -> tuple[float, float]:
        async with open_client(server.url, 600) as client:
            await judge(client, 0)
            started, cpu = time.perf_counter(), server.read_cpu()
            await asyncio.gather(*(work(client) for _ in range(callers)))
            return time.perf_counter() - started, server.read_cpu() - cpu

    with serve("-m", "tiny") as server:
        return *asyncio.run(judge_all(server)), winners


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("burst", "steady", "pace"))
    parser.add_argument("-n", type=int, help="requests of burst (1000), pairs of pace (200)")
    parser.add_argument("--max-waiting", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--callers", type=int, help="requests at a time: of steady (8), of pace (200)")
    parser.add_argument("--kind", choices=("pairs", "groups"), default="pairs")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    is_fine = {
        "burst": lambda: burst(arguments.n or 1000, arguments.max_waiting),
        "steady": lambda: steady(arguments.minutes, arguments.callers or 8, arguments.kind),
        "pace": lambda: pace(arguments.n or 200, arguments.repeats, arguments.callers or 200),
    }[arguments.part]()
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
