"""CPU seconds of our own process for judging through a server, beside a plain loop over the openai package.

    python benchmarks/client_cost.py [--pairs 1000] [--repeats 3] [--concurrency 32] [--seconds 0.1]

A small HTTP server in a process of its own answers each judgment after `--seconds` with a text of about 3,000
characters. Three arms, each in processes of its own, in turn:

    rmr1    a judge over the pairs, its run folder written
    engine  the same prompts through the engine alone
    sdk     the same prompts by AsyncOpenAI, so many at a time; the letter by a regular expression, a line of JSON written

Printed are CPU seconds of user and system of the process (`resource`), without its start: imports and a run of eight
pairs, which are measured in the same process before. Medians, and the ratios to the loop of the package.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from rmr1.messages import assistant, user
from rmr1.records import PreferencePair

TEXT = (
    "<type>Chat</type>\n\n<rubric>\n1. Accuracy (60%): is what it says right?\n2. Clarity (40%): is it easy to read?\n"
    "<justify>both matter here</justify>\n</rubric>\n\n<eval>\n"
    + "Response A says <quote_A>yes, yes</quote_A>, which answers what was asked, though it says the same thing over. "
    "As to accuracy it has nothing wrong, and nothing that could be checked either; a reader who wants to know what it "
    "is like learns only that somebody agrees. <summary_A>It agrees.</summary_A> As to clarity it is plain enough.\n\n"
    "Response B says <quote_B>no, no</quote_B>, which denies without a reason. <summary_B>It denies.</summary_B> "
    + "On the whole the first is a little nearer to what the Client may have wanted, and neither shows its work. "
    * 20
    + "</eval>\n\n<answer>[[A]]</answer>"
)
ARMS = ("rmr1", "engine", "sdk")


async def serve(seconds: float) -> None:
    """Print the port and answer until killed."""
    message = {"role": "assistant", "content": TEXT}
    reply = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1,
        "model": "judge",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 700, "total_tokens": 1600},
    }
    content = json.dumps(reply).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(asked.partition("content-length:")[2].split()[0]))
                await asyncio.sleep(seconds)
                writer.write(head + content)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def make_pairs(count: int) -> Iterator[PreferencePair]:
    for number in range(count):
        yield PreferencePair(
            id=str(number),
            prompt=(user(f"question {number}: " + "what is it like? " * 20),),
            response_a=(assistant("yes, " * 100),),
            response_b=(assistant("no, " * 100),),
            label="A",
        )


def list_prompts(count: int) -> list[list[dict[str, str]]]:
    from rmr1.prompts import load_family
    from rmr1.prompts.render import render_prompt

    family = load_family("rubric")
    prompts = (render_prompt(pair, family, order="given") for pair in make_pairs(count))
    return [
        [{"role": message.role, "content": message.text} for message in prompt.messages] for prompt in prompts
    ]


def judge(url: str, concurrency: int, folder: Path) -> Callable[[int], int]:
    from rmr1.engines.openai import OpenAIEngine
    from rmr1.judge import GenerativeJudge, JudgeSettings
    from rmr1.prompts import load_family
    from rmr1.store.runs import open_run

    def run(count: int) -> int:
        engine = OpenAIEngine("judge", url, concurrency=concurrency)
        judging = GenerativeJudge(engine, load_family("rubric"), JudgeSettings(order="given"))
        with open_run(folder / str(count), judging.describe()) as stored:
            return sum(one.winner == "A" for _, one in judging.run(make_pairs(count), run=stored))

    return run


def ask_engine(url: str, concurrency: int) -> Callable[[int], int]:
    from rmr1.engines.base import Request, SamplingParams
    from rmr1.engines.openai import OpenAIEngine
    from rmr1.prompts import load_family
    from rmr1.prompts.render import render_prompt

    def run(count: int) -> int:
        engine = OpenAIEngine("judge", url, concurrency=concurrency)
        family = load_family("rubric")
        requests = (
            Request(key=pair.id, prompt=render_prompt(pair, family, order="given"))
            for pair in make_pairs(count)
        )
        answers = engine.generate(requests, SamplingParams())
        return sum("[[A]]" in one.text for _, (one,) in answers)

    return run


def ask_package(url: str, concurrency: int, folder: Path) -> Callable[[int], int]:
    from openai import AsyncOpenAI

    async def ask_all(count: int) -> int:
        client = AsyncOpenAI(base_url=url, api_key="none")
        room = asyncio.Semaphore(concurrency)
        good = 0
        with (folder / f"{count}.jsonl").open("w") as file:

            async def ask(messages: list[dict[str, str]]) -> None:
                nonlocal good
                async with room:
                    reply = await client.chat.completions.create(
                        model="judge",
                        messages=messages,  # type: ignore[arg-type]
                        temperature=0,
                        max_tokens=8192,
                    )
                text = reply.choices[0].message.content or ""
                found = re.findall(r"\[\[([AB])\]\]", text)
                good += found[-1:] == ["A"]
                file.write(json.dumps({"text": text, "verdict": found[-1:]}) + "\n")

            await asyncio.gather(*map(ask, list_prompts(count)))
        return good

    return lambda count: asyncio.run(ask_all(count))


def count_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(arm: str, url: str, pairs: int, concurrency: int) -> None:
    """Print the CPU seconds of this process for the pairs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = {
            "rmr1": lambda: judge(url, concurrency, folder),
            "engine": lambda: ask_engine(url, concurrency),
            "sdk": lambda: ask_package(url, concurrency, folder),
        }[arm]()
        assert run(8) == 8
        before = count_seconds()
        assert run(pairs) == pairs
        print(count_seconds() - before)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.seconds))
        return
    if arguments.measure:
        measure(*arguments.measure, arguments.pairs, arguments.concurrency)
        return
    print(
        f"{date.today()}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores: "
        f"{arguments.pairs:,} pairs, {arguments.concurrency} at a time, answers after {arguments.seconds:g} s"
    )
    settings = [f"--{name}={getattr(arguments, name)}" for name in ("pairs", "concurrency", "seconds")]
    command = [sys.executable, __file__, *settings]
    found: dict[str, list[float]] = {arm: [] for arm in arguments.arms}
    with subprocess.Popen([*command, "--serve"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            for _ in range(arguments.repeats):
                for arm, seconds in found.items():
                    out = subprocess.run([*command, "--measure", arm, url], check=True, capture_output=True)
                    seconds.append(float(out.stdout))
        finally:
            server.terminate()
    for arm, seconds in found.items():
        middle = statistics.median(seconds)
        each = " ".join(f"{one:.2f}" for one in seconds)
        ratio = f", {middle / statistics.median(found['sdk']):.2f} of the package's" if "sdk" in found else ""
        print(f"{arm:<7} {middle:6.2f} s ({each}){ratio}")


if __name__ == "__main__":
    main()
