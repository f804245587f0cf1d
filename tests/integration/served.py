"""A server in a thread of the test's own process, and engines to serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import httpx
import uvicorn

from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.judge.base import PairJudge
from rmr1.judge.load import load_judge
from rmr1.prompts import parse_blocks
from rmr1.records import Generation, JudgePrompt
from rmr1.server.app import make_app
from rmr1.server.keys import Keys
from rmr1.server.service import Service
from rmr1.server.settings import ServeSettings
from rmr1.server.start import start_workers


@dataclass
class Served:
    """A running server."""

    url: str
    service: Service
    log: list[str] = field(default_factory=list)

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **more)

    def async_client(self, **more: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=60, **more)


@contextmanager
def serving(
    judge: str | Engine | Callable[[], PairJudge],
    settings: ServeSettings | None = None,
    *,
    keys: Keys | None = None,
    workers: int = 1,
) -> Iterator[Served]:
    """Serve a judge at a free port until the block ends."""
    settings = settings or ServeSettings()

    def load() -> PairJudge:
        return judge() if callable(judge) and not isinstance(judge, Engine) else load_judge(judge)

    queue, started = start_workers(load, num_workers=workers, most_waiting=settings.most_waiting)
    service = Service(started[0].wait_until_loaded(), queue, started, settings)
    log: list[str] = []
    app = make_app(service, keys=keys or Keys(), log=log.append)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", access_log=False, timeout_graceful_shutdown=5)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(url=f"http://127.0.0.1:{port}", service=service, log=log)
    finally:
        server.should_exit = True
        thread.join(15)
        queue.close()


class Numbers(ScriptedEngine):
    """Prefers the answer with the higher number in it; says nothing of an answer that holds `silent`, and fails at one
    that holds `broken` as often as `failures` says."""

    def __init__(self, *, seconds: float = 0.0, failures: int = 0):
        super().__init__(self._write, "numbers")
        self.seconds = seconds
        self.failures = failures
        self.num_asked = 0

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        stream = iter(requests)
        while batch := [one for one in [next(stream, None)] if one is not None]:
            if self.seconds:
                time.sleep(self.seconds)
            for request in batch:
                self.num_asked += 1
                text = request.prompt.messages[-1].text
                if "broken" in text and self.failures:
                    self.failures -= 1
                    failure = Generation(text="", finish_reason="error", error="the engine broke")
                    yield request, (failure,) * len(request.list_samples(params))
                else:
                    yield from super().generate([request], params)

    def _write(self, prompt: JudgePrompt, sample: int) -> str:
        if "silent" in prompt.messages[-1].text:
            return "I would rather not say."
        blocks = parse_blocks(prompt.messages[-1].text)
        a, b = (_read_number(text) for text in (blocks.response_a, blocks.response_b or ""))
        return "<answer>[[tie]]</answer>" if a == b else f"<answer>[[{'A' if a > b else 'B'}]]</answer>"


def _read_number(text: str) -> int:
    return int("".join(letter for letter in text if letter.isdigit()) or 0)


class Sure(Numbers):
    """Names its letter with probability 0.8; of the options of a question the first that says `this one`."""

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request, generations in super().generate(requests, params):
            labels = request.prompt.labels
            yield (
                request,
                tuple(replace(one, verdict_logprobs=_weigh(one.text, labels)) for one in generations),
            )

    def _write(self, prompt: JudgePrompt, sample: int) -> str:
        if prompt.family != "question":
            return super()._write(prompt, sample)
        lines = prompt.messages[-1].text.splitlines()
        named = next((line[0] for line in lines if line[1:3] == ". " and "this one" in line), None)
        return "I cannot say." if named is None else f"It says so. <answer>[[{named}]]</answer>"


def _weigh(text: str, labels: Sequence[str]) -> tuple[tuple[str, float], ...] | None:
    named = next((one for one in labels if f"[[{one}]]" in text), None)
    if named is None:
        return None
    rest = 0.2 / (len(labels) - 1)
    return tuple((one, log(0.8 if one == named else rest)) for one in labels)
