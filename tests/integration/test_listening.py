"""Texts that are read while they are written: what engines tell, and what a reader of the server's events gets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from rmr1.engines import Engine, Request, SamplingParams
from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.openai.engine import OpenAIEngine
from rmr1.engines.scripted import ScriptedEngine
from rmr1.judge.base import PairJudge
from rmr1.judge.judge import Judge
from rmr1.judge.load import load_judge
from rmr1.records import Generation, JudgePrompt
from tests.integration.faulty_server import Answer, Call, FaultyServer, failure, good, make_request, stream
from tests.integration.served import Numbers, Served, serving
from tests.listening import Listening
from tests.tiny_models import build_model, build_tokenizer, save_model

PAIR = {"question": "What is 2 + 2?", "a": "4", "b": "5"}
DRAWN = SamplingParams(temperature=1.0, max_new_tokens=40, num_samples=3)


def write(engine: Engine, request: Request, params: SamplingParams) -> tuple[Generation, ...]:
    ((_, generations),) = engine.generate([request], params)
    return generations


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    folder = save_model(tmp_path_factory.mktemp("model"), build_model(), build_tokenizer("letter"))
    return TransformersEngine(str(folder), device="cpu")


@pytest.mark.parametrize("stop", [(), ("e",)])
def test_the_transformers_engine_tells_each_sample_as_it_is_written_and_the_texts_are_the_same(
    engine: TransformersEngine, stop: tuple[str, ...]
) -> None:
    params = replace(DRAWN, stop=stop)
    silent = write(engine, make_request("the question", seed=5), params)
    listening = Listening()
    heard = write(engine, make_request("the question", seed=5, listener=listening), params)
    assert heard == silent and listening.num_taken_back == 0
    for sample, generation in enumerate(heard):
        told = listening.texts.get(sample, "")
        # Broken characters at the end are told with the whole text, if they are its own.
        assert generation.text.startswith(told) and set(generation.text[len(told) :]) <= {"\ufffd"}
    assert listening.num_pieces > 10


def test_who_stops_to_listen_changes_nothing_and_hears_no_more(engine: TransformersEngine) -> None:
    listening = Listening(most=2)
    heard = write(engine, make_request("the question", seed=5, listener=listening), DRAWN)
    assert heard == write(engine, make_request("the question", seed=5), DRAWN)
    assert listening.num_pieces == 2


def test_the_scripted_engine_tells_a_few_pieces() -> None:
    listening = Listening()
    (generation,) = write(
        ScriptedEngine(["a text of the script"]), make_request("x", listener=listening), SamplingParams()
    )
    assert listening.texts == {0: generation.text} and listening.num_pieces == 4


def make_engine(url: str, **options: Any) -> OpenAIEngine:
    return OpenAIEngine(
        "judge", url, backoff_seconds=0.01, connect_seconds=0.3, timeout_seconds=20, **options
    )


TEXT = "<think>\nHm.\n</think>\n\n<answer>[[A]]</answer>"
DELTAS = ({"reasoning_content": "Hm"}, {"reasoning_content": "."}, "<answer>", "[[A", "]]</answer>")


def test_a_server_is_asked_for_events_only_if_somebody_listens_and_gives_the_same() -> None:
    def answer(call: Call) -> Answer:
        if call.body.get("stream"):
            return Answer(body=stream(*DELTAS), pause=0.06)
        return good(text="<answer>[[A]]</answer>", message={"reasoning_content": "Hm."})

    listening = Listening()
    with FaultyServer(answer) as server:
        engine = make_engine(server.base_url)
        (silent,) = write(engine, make_request("silent"), SamplingParams())
        (heard,) = write(engine, make_request("heard", listener=listening), SamplingParams())
        (left,) = write(engine, make_request("left", listener=Listening(most=0)), SamplingParams())
    assert [call.body.get("stream") for call in server.calls] == [None, True, None]
    assert silent.text == TEXT and heard == silent == left
    assert TEXT.startswith(listening.texts[0]) and listening.num_pieces >= 4 and not listening.num_taken_back


def test_a_server_that_refuses_streams_is_asked_for_whole_texts_and_not_again() -> None:
    def answer(call: Call) -> Answer:
        return failure(400, "unknown field: stream_options") if "stream" in call.body else good()

    with FaultyServer(answer) as server:
        engine = make_engine(server.base_url)
        for number in range(3):
            request = make_request(str(number), listener=Listening())
            (found,) = write(engine, request, SamplingParams())
            assert found.text == "<answer>[[A]]</answer>"
    assert ["stream" in call.body for call in server.calls] == [True, False, False, False]
    assert any("refuses streams" in note for note in engine.notes)


def test_a_server_that_sends_it_whole_all_the_same_is_read() -> None:
    listening = Listening()
    with FaultyServer(lambda call: good()) as server:
        (found,) = write(
            make_engine(server.base_url), make_request("x", listener=listening), SamplingParams()
        )
    assert found.text == "<answer>[[A]]</answer>" and len(server.calls) == 1 and not listening.texts


def test_a_stream_that_breaks_is_asked_for_again_and_what_does_not_hold_is_taken_back() -> None:
    def answer(call: Call) -> Answer:
        if call.attempt == 0:
            return Answer(body=stream("Perhaps ", "[[B]]", is_whole=False), pause=0.06)
        return Answer(body=stream("Surely ", "<answer>[[A]]</answer>"), pause=0.06)

    listening = Listening()
    with FaultyServer(answer) as server:
        (found,) = write(
            make_engine(server.base_url), make_request("x", listener=listening), SamplingParams()
        )
    assert found.text == "Surely <answer>[[A]]</answer>" and len(server.calls) == 2
    assert found.text.startswith(listening.texts[0]) and listening.num_taken_back == 1


def test_a_key_that_a_server_repeats_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    listening = Listening()
    body = stream("it is ", "sk-01234", "56789abcdef", " <answer>[[A]]</answer>", "sk-not it", " end")
    with FaultyServer(lambda call: Answer(body=body, pause=0.06)) as server:
        (found,) = write(
            make_engine(server.base_url), make_request("x", listener=listening), SamplingParams()
        )
    assert found.text == "it is *** <answer>[[A]]</answer>sk-not it end"
    assert found.text.startswith(listening.texts[0]) and not listening.num_taken_back


def read_events(reply: httpx.Response) -> Iterator[tuple[str, Any]]:
    rest = ""
    for part in reply.iter_text():
        *blocks, rest = (rest + part).split("\n\n")
        for block in blocks:
            name, data = block.split("\n")
            yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def fold(events: Iterable[tuple[str, Any]]) -> tuple[list[str], dict[tuple[str, int], str], Any]:
    """(names of the events, texts by order and sample, the judgment)."""
    names, texts, judgment = [], {}, None
    for name, told in events:
        names.append(name)
        if name == "text":
            place = told["order"], told["sample"]
            assert told["start"] <= len(texts.get(place, ""))
            texts[place] = texts.get(place, "")[: told["start"]] + told["delta"]
        elif name == "vote":
            assert texts.get((told["order"], told["sample"]), "") == told["text"]
        elif name == "judgment":
            judgment = told
    return names, texts, judgment


def stream_pair(served: Served, **more: Any) -> tuple[list[str], dict[tuple[str, int], str], Any]:
    with (
        served.client() as client,
        client.stream("POST", "/v1/judge", json={**PAIR, "stream": True, **more}) as reply,
    ):
        return fold(read_events(reply))


@pytest.mark.parametrize("more", [{}, {"guide": "protocol"}], ids=["free", "guided"])
def test_a_reader_sees_the_texts_of_both_orders_grow_and_has_what_is_stored(more: dict[str, str]) -> None:
    sampling = SamplingParams(temperature=0.7, num_samples=2, max_new_tokens=400)
    settings: dict[str, Any] = {"order": "both", "sampling": sampling, **more}
    with (
        serving(lambda: Judge("tiny", **settings).pair_judge) as served,
        Judge("tiny", **settings) as judge,
    ):
        names, texts, judgment = stream_pair(served)
        again = stream_pair(served)
        direct = judge.compare(PAIR["question"], PAIR["a"], PAIR["b"])
    votes = {(vote["order"], vote["sample"]): vote["generation"]["text"] for vote in judgment["votes"]}
    assert texts == votes == again[1] and len(votes) == 4
    assert set(votes.values()) == {vote.generation.text for vote in direct.votes}
    assert names[-5:] == ["vote"] * 4 + ["judgment"] and names.count("text") > 40


class Slow(ScriptedEngine):
    """Writes a letter, waits until it may go on, and writes the rest of a long text."""

    def __init__(self) -> None:
        super().__init__(self._write, "slow")
        self.may_go_on = Event()
        self.has_begun = Event()
        self.is_done = Event()
        self.num_left = 0

    @staticmethod
    def _write(prompt: JudgePrompt, sample: int) -> str:
        return "x" * 400_000 + "<answer>[[A]]</answer>"

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            text = self._write(request.prompt, 0)
            if request.is_heard:
                assert request.listener is not None
                request.listener.hear(0, 0, "x")
            self.has_begun.set()
            while not self.may_go_on.wait(0.02):
                if request.is_given_up:
                    self.num_left += 1
                    yield request, (Generation(text="", finish_reason="error", error="left"),)
                    break
            else:
                for start in range(1, len(text), 100):
                    if request.is_heard:
                        request.listener.hear(0, start, text[start : start + 100])  # type: ignore[union-attr]
                self.is_done.set()
                yield request, (Generation(text=text, finish_reason="stop"),)


def test_who_joins_a_request_reads_it_from_the_beginning_and_who_leaves_ends_it() -> None:
    engine = Slow()
    with serving(engine) as served, ThreadPoolExecutor(2) as pool:
        silent = pool.submit(httpx.post, f"{served.url}/v1/judge", json=PAIR, timeout=30)
        assert engine.has_begun.wait(10)
        joined = pool.submit(stream_pair, served)
        time.sleep(0.2)
        engine.may_go_on.set()
        _, texts, judgment = joined.result()
        assert [text[:2] for text in texts.values()] == ["xx"] and judgment["winner"] in ("A", "B")
        assert silent.result().json()["votes"] == judgment["votes"]
        engine.may_go_on.clear()
        body = {**PAIR, "b": "6", "stream": True}
        with served.client() as client, client.stream("POST", "/v1/judge", json=body) as reply:
            assert next(read_events(reply))[0] == "text"
        deadline = time.monotonic() + 10
        while not engine.num_left and time.monotonic() < deadline:
            time.sleep(0.02)
        assert engine.num_left == 1


def test_a_reader_who_does_not_read_holds_nobody_up_and_reads_the_rest_together() -> None:
    engine = Slow()
    with serving(engine) as served, served.client() as client:
        with client.stream("POST", "/v1/judge", json={**PAIR, "stream": True}) as reply:
            events = read_events(reply)
            first = next(events)
            engine.may_go_on.set()
            assert engine.is_done.wait(10)  # 4,000 pieces, none of which was read
            assert client.post("/v1/judge", json={**PAIR, "b": "7"}).json()["winner"] in ("A", "B")
            names, texts, judgment = fold([first, *events])
        assert judgment["winner"] in ("A", "B") and len(next(iter(texts.values()))) == 400_022
        assert names.count("text") < 1000


def test_a_deadline_amid_a_text_is_an_error_behind_what_was_written() -> None:
    engine = Slow()
    with serving(engine) as served:
        names, texts, judgment = stream_pair(served, timeout=0.5)
        assert (names, list(texts.values()), judgment) == (["text", "error"], ["x"], None)
        deadline = time.monotonic() + 5
        while not engine.num_left and time.monotonic() < deadline:
            time.sleep(0.02)
    assert engine.num_left == 1


def test_a_later_stage_of_a_cascade_writes_over_what_the_first_one_wrote() -> None:
    def load() -> PairJudge:
        return Judge("scripted:longer", cascade=("direct", "rubric")).pair_judge

    with serving(load) as served:
        names, texts, judgment = stream_pair(served)
    assert names[-2:] == ["vote", "judgment"] and len(judgment["stages"]) == 2
    assert list(texts.values()) == [judgment["votes"][0]["generation"]["text"]]
    assert "<rubric>" in next(iter(texts.values()))


def test_each_answer_that_is_rated_has_a_text_of_its_own() -> None:
    with serving(lambda: Judge("tiny", family="rating").pair_judge) as served, served.client() as client:
        reply = client.post("/v1/judge", json={**PAIR, "stream": True})
    texts: dict[str, str] = {}
    votes: dict[str, str] = {}
    for name, told in read_events(reply):
        if name == "text":
            texts[told["side"]] = texts.get(told["side"], "")[: told["start"]] + told["delta"]
        elif name == "vote":
            votes[told["side"]] = told["text"]
    assert texts == votes and sorted(votes) == ["A", "B"]


def test_a_judge_that_writes_nothing_is_streamed_without_texts() -> None:
    with serving("tiny-scalar") as served:
        names, texts, judgment = stream_pair(served)
    assert "text" not in names and names[-1] == "judgment" and not texts and judgment["winner"] in ("A", "B")


def test_a_judgment_that_is_kept_is_told_in_one_piece(tmp_path: Path) -> None:
    with serving(lambda: load_judge("scripted:longer", cache=tmp_path / "cache")) as served:
        first, second = stream_pair(served), stream_pair(served)
    assert second[0] == ["text", "vote", "judgment"]
    assert first[1] == second[1] and first[2]["votes"] == second[2]["votes"]


def test_an_engine_that_tells_nothing_is_heard_when_a_text_is_whole() -> None:
    class Silent(ScriptedEngine):
        def generate(
            self, requests: Iterable[Request], params: SamplingParams
        ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
            for request in requests:
                ((_, found),) = super().generate([replace(request, listener=None)], params)
                yield request, found

    with serving(Silent(["Well. <answer>[[A]]</answer>"], "silent")) as served:
        names, texts, _ = stream_pair(served)
    assert names == ["text", "vote", "judgment"]
    assert list(texts.values()) == ["Well. <answer>[[A]]</answer>"]


def test_a_failure_takes_back_what_was_read() -> None:
    class Failing(ScriptedEngine):
        def generate(
            self, requests: Iterable[Request], params: SamplingParams
        ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
            for request in requests:
                if request.listener is not None:
                    request.listener.hear(0, 0, "I think")
                time.sleep(0.1)
                yield request, (Generation(text="", finish_reason="error", error="it broke"),)

    with serving(Failing(["x"], "failing")) as served:
        names, texts, _ = stream_pair(served)
    assert names == ["text", "text", "vote", "error"] and list(texts.values()) == [""]


def test_a_stream_that_failed_is_no_answer_to_a_request_that_is_repeated() -> None:
    with serving(Numbers(failures=1)) as served, served.client() as client:
        body = {**PAIR, "b": "7, unless it is broken", "stream": True}
        found = [
            fold(read_events(client.post("/v1/judge", json=body, headers={"Idempotency-Key": "k"})))
            for _ in range(3)
        ]
    assert [names[-1] for names, *_ in found] == ["error", "judgment", "judgment"]
    assert found[1] == found[2] and found[1][2]["winner"] == "B"
