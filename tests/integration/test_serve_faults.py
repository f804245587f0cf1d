"""The command `serve` as a process over real HTTP: load, and what each client gets when something breaks."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rmr1.engines.base import Request, SamplingParams
from rmr1.errors import GenerationError
from rmr1.integrations.client import RewardClient
from rmr1.judge.base import PairJudge
from rmr1.judge.judge import Judge
from rmr1.records import Generation
from rmr1.server import siblings
from rmr1.server.settings import ServeSettings
from tests.integration.faulty_server import Answer, Call, FaultyServer, good
from tests.integration.served import Numbers, Served, serving


@dataclass
class Command:
    """A process of `rmr1 serve`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def ask(self, number: int, **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/judge", json={**make_pair(number), **more}, timeout=30)


@contextmanager
def command(log: Path, *arguments: str) -> Iterator[Command]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "rmr1", "serve", "--port", "0", *arguments], stderr=file, stdout=file
        )
    try:
        while not (found := re.search(r"at (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        wait_until(lambda: is_up(found[1]))
        yield Command(process=process, url=found[1], log=log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(is_done: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


RUBRIC = "<rubric>\n1. Right (100%): is it right?\n<justify>So.</justify>\n</rubric>"


def make_pair(number: int) -> dict[str, Any]:
    """The answer with the larger number is the better one: a, if the number is even."""
    texts = (f"{number + 1} of them", f"{number} of them")
    a, b = texts if number % 2 == 0 else reversed(texts)
    return {"question": f"Question {number}: which is larger?", "a": a, "b": b}


def assert_right(number: int, told: dict[str, Any]) -> None:
    assert told["winner"] == ("A" if number % 2 == 0 else "B")
    assert told["pair"]["prompt"][0]["content"] == make_pair(number)["question"]


def choose(call: Call) -> Answer:
    """What the judge behind the server says, after half a second."""
    found = [int(one) for one in re.findall(r"(\d+) of them", call.item)][-2:]
    return Answer(
        body=good(text=f"<answer>[[{'A' if found[0] > found[1] else 'B'}]]</answer>").body, seconds=0.5
    )


def test_many_at_once_get_their_own_answers_or_are_told_to_come_again() -> None:
    counts: Counter[int] = Counter()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        while True:
            reply = await client.post("/v1/judge", json=make_pair(number))
            counts[reply.status_code] += 1
            if reply.status_code != 429:
                break
            await asyncio.sleep(float(reply.headers["retry-after"]) * random.uniform(0.3, 1))
        assert_right(number, reply.json())

    async def ask_all(served: Served) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=served.url, timeout=60, limits=limits) as client:
            await asyncio.gather(*(ask(client, number) for number in range(120)))

    with serving(Numbers(seconds=0.001), ServeSettings(most_waiting=40)) as served:
        asyncio.run(ask_all(served))
    assert counts[200] == 120 and counts[429] > 0 and set(counts) == {200, 429}


def test_rewards_do_not_depend_on_how_many_comparisons_the_queue_takes() -> None:
    answers = ["10", "70", "30", "90", "5"]
    with Judge(Numbers()) as judge:
        wanted = judge.group_rewards("Which?", answers).rewards

    async def ask_all(url: str) -> tuple[list[float], list[Any]]:
        client = RewardClient(url, seconds=30)
        siblings = (
            client.score_sibling(f"{group} Which?", answer, group=str(group), size=5, index=index)
            for group in range(8)
            for index, answer in enumerate(answers)
        )
        whole = [client.score_group(f"{group} Which?", answers) for group in range(8, 11)]
        return list(await asyncio.gather(*siblings)), list(await asyncio.gather(*whole))

    with serving(Numbers(seconds=0.002), ServeSettings(most_waiting=4)) as served:
        rewards, groups = asyncio.run(ask_all(served.url))
    assert rewards == pytest.approx([*wanted] * 8)
    assert groups == [pytest.approx(list(wanted))] * 3


class Dying(Numbers):
    """Fails as a whole at some requests, and goes on when it is asked again."""

    def __init__(self, deaths: set[int]):
        super().__init__(seconds=0.05)
        self.deaths = deaths

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for answered in super().generate(requests, params):
            if self.num_asked in self.deaths:
                raise GenerationError("the engine died")
            yield answered


def test_an_engine_that_dies_fails_those_at_work_and_answers_the_others() -> None:
    with serving(Dying({3, 6})) as served, ThreadPoolExecutor(12) as pool:

        def ask(number: int) -> httpx.Response:
            return httpx.post(f"{served.url}/v1/judge", json=make_pair(number), timeout=30)

        replies = list(pool.map(ask, range(12)))
        for number, reply in enumerate(replies):
            if reply.status_code == 200:
                assert_right(number, reply.json())
            else:
                error = reply.json()["error"]
                assert reply.status_code == 502 and error["retryable"] and reply.headers["retry-after"] == "1"
                assert (error["type"], error["message"]) == ("engine_failed", "the engine died")
        assert 1 <= sum(one.status_code == 502 for one in replies) < 12
        for number, reply in enumerate(replies):
            if reply.status_code == 502:
                assert_right(number, ask(number).json())
        assert httpx.get(f"{served.url}/ready").status_code == 200
        assert "rmr1_engine_failures_total 2.0" in httpx.get(f"{served.url}/metrics").text


def test_siblings_get_their_rewards_over_an_engine_that_dies() -> None:
    answers = ["10", "70", "30", "90"]
    with Judge(Numbers()) as judge:
        wanted = judge.group_rewards("Which?", answers).rewards

    async def ask_all(url: str) -> list[float]:
        client = RewardClient(url, seconds=30)
        siblings = (
            client.score_sibling("Which?", answer, group="g", size=4, index=index)
            for index, answer in enumerate(answers)
        )
        return list(await asyncio.gather(*siblings))

    with serving(Dying({3, 8})) as served:
        assert asyncio.run(ask_all(served.url)) == pytest.approx(list(wanted))


def test_what_hangs_upstream_ends_at_its_deadline_and_holds_no_other_up() -> None:
    def hang_once(call: Call) -> Answer:
        return Answer(kind="hang") if "Question 0:" in call.item else choose(call)

    with (
        FaultyServer(hang_once) as upstream,
        serving(f"openai:judge@{upstream.base_url}", ServeSettings(seconds=4)) as served,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(number: int) -> tuple[httpx.Response, float]:
            time.sleep(0.15 * number)
            started = time.monotonic()
            reply = httpx.post(f"{served.url}/v1/judge", json=make_pair(number), timeout=30)
            return reply, time.monotonic() - started

        (hung, waited), *others = pool.map(ask, range(8))
        assert hung.status_code == 504 and hung.json()["error"]["type"] == "deadline" and 3.5 < waited < 6
        for number, (reply, seconds) in enumerate(others, start=1):
            assert_right(number, reply.json())
            assert seconds < 3
        assert_right(9, ask(9)[0].json())


@pytest.mark.parametrize("kind", ["pairs", "group", "siblings", "shared rubric"])
def test_what_hangs_upstream_in_all_places_makes_way_at_its_deadline(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siblings, "_PATIENCE_SECONDS", 0.3)
    answers = ["3", "7"]
    body: dict[str, Any] = {"question": "Hang!", "timeout": 1}
    bodies = {
        "pairs": [{**body, "a": "3", "b": "7"}, {**body, "a": "7", "b": "3"}],
        "group": [{**body, "answers": answers}],
        "siblings": [
            {**body, "group": "g", "size": 2, "index": number, "answer": answer}
            for number, answer in enumerate(answers)
        ],
        "shared rubric": [{**body, "a": "3", "b": "7"}, {**body, "a": "7", "b": "3"}],
    }[kind]

    places = 1 if kind == "shared rubric" else 2

    def behave(call: Call) -> Answer:
        if "Hang!" in call.item:
            return Answer(kind="hang")
        return choose(call) if "Question" in call.item and "[The Start of" in call.item else good(text=RUBRIC)

    def load() -> PairJudge:
        settings = {"share_rubric": True} if kind == "shared rubric" else {}
        name = f"openai:judge@{upstream.base_url}"
        return Judge(name, options={"concurrency": places}, **settings).pair_judge  # type: ignore[arg-type]

    with FaultyServer(behave) as upstream, serving(load) as served, ThreadPoolExecutor(4) as pool:
        route = "judge" if "a" in bodies[0] else "group/score"
        hung = [pool.submit(httpx.post, f"{served.url}/v1/{route}", json=one, timeout=30) for one in bodies]
        wait_until(lambda: upstream.num_active >= places)
        time.sleep(0.1)
        started = time.monotonic()
        found = httpx.post(f"{served.url}/v1/judge", json={**make_pair(1), "timeout": 20}, timeout=30)
        assert found.status_code == 200, found.text
        assert time.monotonic() - started < 6
        assert {one.result().status_code for one in hung} <= {502, 504}
        wait_until(lambda: served.service.queue.num_at_work == 0)


def test_what_was_judged_before_the_process_was_killed_is_not_judged_again(tmp_path: Path) -> None:
    with FaultyServer(choose) as upstream:
        arguments = ("-m", f"openai:judge@{upstream.base_url}", "--cache", str(tmp_path / "cache"))
        with command(tmp_path / "first", *arguments) as server:
            for number in range(3):
                assert_right(number, server.ask(number).json())
            broken: list[Exception] = []

            def ask() -> None:
                try:
                    server.ask(3)
                except httpx.TransportError as error:
                    broken.append(error)

            thread = threading.Thread(target=ask)
            thread.start()
            wait_until(lambda: len(upstream.calls) == 4)
            server.process.kill()
            thread.join()
            assert len(broken) == 1
        with command(tmp_path / "second", *arguments) as server:
            for number in range(4):
                assert_right(number, server.ask(number).json())
        asked = Counter(re.findall(r"Question \d", "".join(call.item for call in upstream.calls)))
        assert [asked[f"Question {number}"] for number in range(4)] == [1, 1, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_finished_when_the_server_ends(tmp_path: Path, number: signal.Signals) -> None:
    def take_time(call: Call) -> Answer:
        return Answer(body=choose(call).body, seconds=1.5)

    with (
        FaultyServer(take_time) as upstream,
        command(tmp_path / "log", "-m", f"openai:judge@{upstream.base_url}") as server,
        ThreadPoolExecutor(6) as pool,
    ):
        replies = [pool.submit(server.ask, one) for one in range(6)]
        wait_until(lambda: len(upstream.calls) == 6)
        server.process.send_signal(number)
        time.sleep(0.4)
        late = None
        try:
            late = server.ask(6).status_code
        except httpx.TransportError as error:
            late = type(error)
        for one, reply in enumerate(replies):
            assert reply.result().status_code == 200, reply.result().text
            assert_right(one, reply.result().json())
        assert late in (503, httpx.ConnectError)
        assert server.process.wait(15) == 0
        assert "Traceback" not in server.log.read_text()
        assert len(upstream.calls) == 6


def test_what_is_not_finished_in_time_is_told_that_the_server_ends() -> None:
    with FaultyServer(lambda _: Answer(kind="hang")) as upstream, ThreadPoolExecutor(1) as pool:
        with serving(f"openai:judge@{upstream.base_url}") as served:
            hung = pool.submit(httpx.post, f"{served.url}/v1/judge", json=make_pair(0), timeout=30)
            wait_until(lambda: len(upstream.calls) == 1)
        error = hung.result().json()["error"]
    assert (hung.result().status_code, error["type"], error["retryable"]) == (503, "closing", True)
