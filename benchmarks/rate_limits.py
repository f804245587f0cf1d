"""Judging through a server that refuses requests, beside the same server when it refuses none, in one run.

    python benchmarks/rate_limits.py [--pairs 1000] [--repeats 3] [--only random ...]

A small HTTP server in a process of its own answers each judgment after 0.15 s on average (0.5 to 1.5 times
that) and behaves in one of five ways:

    random    2% of the tries get 429 with Retry-After 1, however few are sent
    at once   429 with Retry-After 1 for whatever comes while 8 are being answered
    bucket    50 a second and 10 saved up at most; else 429 and the seconds, rounded up, until there is one
    outage    429 with Retry-After 1 for everything, from 1 s after the first try for 5 s
    overload  503 without a time for whatever comes while 8 are being answered

Every measurement is paired with a clean one just before it. Printed are medians: seconds of wall time, clean
and so; the ratio; what a client that knew the limit would take, and the ratio to that; tries that the server
counted for each pair, and those among them that came before the time it had named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rmr1.engines.openai import OpenAIEngine
from rmr1.judge import GenerativeJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import PreferencePair

ANSWER_SECONDS = 0.15
CONCURRENCY = 32
AT_ONCE = 8
PER_SECOND, SAVED = 50.0, 10.0
OUTAGE_START, OUTAGE_SECONDS = 1.0, 5.0
LIMIT_SECONDS = 600
"""After which one measurement is given up."""

Refusal = tuple[int, dict[str, str]]


@dataclass
class Play:
    """One measurement as the server sees it."""

    behaviour: str
    random: random.Random = field(default_factory=lambda: random.Random(0))
    tries: int = 0
    answers: int = 0
    early: int = 0
    num_active: int = 0
    started: float = 0.0
    saved: float = SAVED
    counted_at: float = 0.0
    free_at: dict[str, float] = field(default_factory=dict)
    """Item -> the time before which it must not be sent again."""

    def judge(self, item: str, now: float) -> Refusal | None:
        """What a try is refused with; None if it is answered."""
        self.started = self.started or now
        self.tries += 1
        self.early += now < self.free_at.get(item, 0.0)
        refusal = REFUSALS[self.behaviour](self, now)
        if refusal is not None and "retry-after" in refusal[1]:
            self.free_at[item] = now + float(refusal[1]["retry-after"])
        return refusal


def draw(play: Play, now: float) -> Refusal | None:
    return (429, {"retry-after": "1"}) if play.random.random() < 0.02 else None


def take_token(play: Play, now: float) -> Refusal | None:
    since = now - (play.counted_at or now)
    play.saved, play.counted_at = min(SAVED, play.saved + PER_SECOND * since), now
    if play.saved >= 1:
        play.saved -= 1
        return None
    return 429, {"retry-after": "1"}  # less than a second, rounded up


def is_out(play: Play, now: float) -> Refusal | None:
    is_down = OUTAGE_START <= now - play.started < OUTAGE_START + OUTAGE_SECONDS
    return (429, {"retry-after": "1"}) if is_down else None


REFUSALS: dict[str, Callable[[Play, float], Refusal | None]] = {
    "clean": lambda play, now: None,
    "random": draw,
    "at once": lambda play, now: (429, {"retry-after": "1"}) if play.num_active >= AT_ONCE else None,
    "bucket": take_token,
    "outage": is_out,
    "overload": lambda play, now: (503, {}) if play.num_active >= AT_ONCE else None,
}


def compute_least_seconds(behaviour: str, pairs: int, clean: float) -> float:
    """What a client that knew the server would take."""
    return {
        "random": clean,
        "at once": max(clean, pairs * ANSWER_SECONDS / AT_ONCE),
        "bucket": max(clean, (pairs - SAVED) / PER_SECOND),
        "outage": clean + OUTAGE_SECONDS,
        "overload": max(clean, pairs * ANSWER_SECONDS / AT_ONCE),
    }[behaviour]


async def serve() -> None:
    """Print the port and answer until killed; a GET gives the counts of the play that its path names."""
    plays: dict[str, Play] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                path = head.split()[1]
                length = head.partition("content-length:")[2].split()
                body = await reader.readexactly(int(length[0]) if length else 0)
                status, headers, content = await respond(path, body)
                headers["content-length"] = str(len(content))
                lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def respond(path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        behaviour, number = path.split("/")[1:3]
        play = plays.setdefault(number, Play(behaviour.replace("-", " ")))
        if not body:
            counts = {"tries": play.tries, "answers": play.answers, "early": play.early}
            return 200, {}, json.dumps(counts).encode()
        item = json.loads(body)["messages"][-1]["content"]
        refusal = play.judge(item, time.monotonic())
        if refusal is not None:
            return refusal[0], refusal[1], b'{"error": {"message": "too many requests"}}'
        play.num_active += 1
        await asyncio.sleep(ANSWER_SECONDS * random.uniform(0.5, 1.5))
        play.num_active -= 1
        play.answers += 1
        message = {"role": "assistant", "content": "<answer>[[A]]</answer>"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return 200, {}, json.dumps({"choices": [choice], "usage": usage}).encode()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def make_pairs(count: int) -> Iterator[PreferencePair]:
    for number in range(count):
        yield PreferencePair(
            id=str(number),
            prompt=(user(f"question {number}"),),
            response_a=(assistant("yes"),),
            response_b=(assistant("no"),),
            label="A",
        )


def measure(port: int, behaviour: str, number: int, pairs: int) -> dict[str, Any]:
    """One run over all pairs, and what the server counted."""
    address = f"http://127.0.0.1:{port}/{behaviour.replace(' ', '-')}/{number}"
    engine = OpenAIEngine("judge", f"{address}/v1", concurrency=CONCURRENCY)
    signal.alarm(LIMIT_SECONDS)
    started = time.perf_counter()
    judged = GenerativeJudge(engine, load_family("rubric"), JudgeSettings(order="given")).run(
        list(make_pairs(pairs))
    )
    failed = sum(judgment.winner is None for _, judgment in judged)
    seconds = time.perf_counter() - started
    signal.alarm(0)
    with urllib.request.urlopen(address) as reply:
        return {"seconds": seconds, "failed": failed, **json.load(reply)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[name for name in REFUSALS if name != "clean"])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    print(
        f"{date.today()}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores: "
        f"{arguments.pairs:,} pairs, {CONCURRENCY} at a time, medians of {arguments.repeats}",
        flush=True,
    )
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            measure(port, "clean", 0, min(100, arguments.pairs))  # warms up
            for place, behaviour in enumerate(
                arguments.only or [name for name in REFUSALS if name != "clean"]
            ):
                rows = []
                for repeat in range(arguments.repeats):
                    number = 1 + 2 * (place * arguments.repeats + repeat)
                    clean = measure(port, "clean", number, arguments.pairs)
                    rows.append((clean, measure(port, behaviour, number + 1, arguments.pairs)))
                report(behaviour, rows, arguments.pairs)
        finally:
            server.terminate()


def report(behaviour: str, rows: list[tuple[dict[str, Any], dict[str, Any]]], pairs: int) -> None:
    def median(value: Callable[[dict[str, Any], dict[str, Any]], float]) -> float:
        return statistics.median(value(clean, found) for clean, found in rows)

    clean = median(lambda clean, found: clean["seconds"])
    ratio = median(lambda clean, found: found["seconds"] / clean["seconds"])
    least = compute_least_seconds(behaviour, pairs, clean)
    seconds = median(lambda clean, found: found["seconds"])
    print(
        f"{behaviour:<9} clean {clean:6.1f} s   so {seconds:6.1f} s   ratio {ratio:5.2f}   "
        f"least {least:5.1f} s ({seconds / least:.2f} x)   "
        f"tries for each pair {median(lambda clean, found: found['tries'] / pairs):.3f}   "
        f"early {sum(found['early'] for _, found in rows)}   failed {sum(found['failed'] for _, found in rows)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
