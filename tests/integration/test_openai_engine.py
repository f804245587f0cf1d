"""The openai engine against a real server that misbehaves."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.engines import Request, SamplingParams
from rmr1.engines.base import UNWANTED
from rmr1.engines.openai import OpenAIEngine
from rmr1.errors import GenerationError
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.summary import Tally, summarize_run
from rmr1.messages import ImagePart, Message, TextPart, assistant, user
from rmr1.prompts import load_family
from rmr1.records import Generation, PreferencePair, Usage
from rmr1.store.runs import open_run, read_judgments
from tests.integration.faulty_server import (
    ANSWERED,
    FAULTS,
    LOSSY,
    Answer,
    Behaviour,
    Call,
    FaultyServer,
    busy,
    completion,
    failure,
    good,
    make_request,
    misbehave,
)

KEY = "sk-test-0123456789abcdefghij"
GREEDY = SamplingParams()
SAMPLED = SamplingParams(temperature=0.7, num_samples=3)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(autouse=True)
def _no_threads() -> Iterator[None]:
    """Whatever a test does, no thread of the engine outlives it."""
    yield
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "rmr1-openai"]


def make_engine(url: str, **options: Any) -> OpenAIEngine:
    quick = {
        "backoff_seconds": 0.01,
        "max_backoff_seconds": 0.05,
        "connect_seconds": 0.3,
        "timeout_seconds": 20,
    }
    return OpenAIEngine("judge", url, **{**quick, **options})


def ask(
    behaviour: Behaviour,
    keys: list[str] | None = None,
    params: SamplingParams = GREEDY,
    **options: Any,
) -> tuple[dict[str, tuple[Generation, ...]], FaultyServer, OpenAIEngine]:
    """All answers by key, of a server that has come and gone."""
    with FaultyServer(behaviour) as server:
        engine = make_engine(server.base_url, **options)
        pairs = list(engine.generate((make_request(key) for key in keys or ["one"]), params))
    answers = {request.key: generations for request, generations in pairs}
    assert len(answers) == len(pairs)
    return answers, server, engine


def ask_one(
    behaviour: Behaviour, params: SamplingParams = GREEDY, **options: Any
) -> tuple[Generation, FaultyServer, OpenAIEngine]:
    answers, server, engine = ask(behaviour, ["one"], params, **options)
    return answers["one"][0], server, engine


def first(answer: Answer, then: Answer | None = None) -> Behaviour:
    """`answer` for an item's first call, a good one from then on."""
    return lambda call: answer if call.attempt == 0 else then or good()


def test_every_request_is_answered_once_under_every_fault(soak: bool) -> None:
    keys = [f"item {number}" for number in range(2000 if soak else 400)]
    max_retries = 8
    answers, server, engine = ask(
        misbehave, keys, concurrency=64, max_retries=max_retries, timeout_seconds=3.0
    )

    assert sorted(answers) == sorted(keys)
    seen = Counter(label for labels in server.labels.values() for label in labels)
    assert set(seen) == {*FAULTS, "ok"}
    num_failed = 0
    for key, (generation,) in answers.items():
        met = server.labels[key]
        # Every try but the last one met a fault; after the answer nobody asked again.
        assert not ANSWERED & set(met[:-1]), (key, met)
        assert len(met) <= max_retries + 1
        if met[-1] in ANSWERED:
            assert generation.text == f"{key} <answer>[[A]]</answer>"
            assert generation.error is None
            assert (generation.prompt_tokens, generation.completion_tokens) == (100, 20)
        else:
            num_failed += 1
            assert len(met) == max_retries + 1 or met.count("hang") == 3
            assert generation.finish_reason == "error" and generation.text == ""
            assert f"after {len(met)} tries" in (generation.error or "")
        # Billed once for the answer, and once for each answer that the server itself lost.
        lost = sum(label in LOSSY for label in met)
        assert server.billed[key] == lost + (met[-1] in ANSWERED)
    assert num_failed < len(keys) / 10
    # One identity per item over all its tries.
    identities = {(call.item, call.headers["idempotency-key"]) for call in server.calls}
    assert len(identities) == len({identity for _, identity in identities}) == len(keys)
    billed = 120 * sum(
        label in ANSWERED or label == "no choices" for met in server.labels.values() for label in met
    )
    assert engine.usage.prompt_tokens + engine.usage.completion_tokens == billed
    assert engine.notes == ("the server names the model 'quite-another'",)


def test_answers_do_not_depend_on_when_they_come() -> None:
    keys = [f"item {number}" for number in range(12)]

    def behave(call: Call) -> Answer:
        number = int(call.item.split()[1])
        answer = completion(f"for {call.item}")
        # The first asked for is answered last, by far: also on a busy machine.
        return Answer(body=answer, seconds=0.0 if number else 3.0)

    answers, server, _ = ask(behave, keys, concurrency=12)
    assert {key: generations[0].text for key, generations in answers.items()} == {
        key: f"for {key}" for key in keys
    }
    assert list(answers)[-1] == keys[0]
    seeds = {}
    for concurrency in (1, 12):
        answers, server, _ = ask(
            lambda call: good(), keys, SamplingParams(temperature=1.0), concurrency=concurrency
        )
        seeds[concurrency] = {call.item: call.body["seed"] for call in server.calls}
    assert seeds[1] == seeds[12]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_passing_troubles_are_retried(status: int) -> None:
    generation, server, _ = ask_one(first(failure(status, "busy")))
    assert generation.error is None
    assert len(server.calls) == 2


def test_a_request_that_never_succeeds_says_why_in_one_line() -> None:
    generation, server, engine = ask_one(lambda call: failure(500, "on\nfire"), max_retries=2)
    assert generation.error == "HTTP 500 after 3 tries: on fire"
    assert generation.finish_reason == "error"
    assert len(server.calls) == 3
    assert engine.usage == Usage()
    generation, _, _ = ask_one(lambda call: failure(503, "busy"), max_retries=0)
    assert generation.error == "HTTP 503 after 1 try: busy"


def test_what_is_wrong_with_the_request_is_not_repeated() -> None:
    generation, server, _ = ask_one(lambda call: failure(400, "messages: roles must alternate"))
    assert generation.error == "HTTP 400: messages: roles must alternate"
    assert generation.is_refused
    assert len(server.calls) == 1


def test_retry_after_is_kept_by_the_request_that_got_it_and_holds_no_other() -> None:
    answers, server, _ = ask(first_of("b", busy(0.6)), list("abcdefgh"), concurrency=1)
    assert all(generation.error is None for (generation,) in answers.values())
    asked = [call.item for call in server.calls]
    assert asked == [*"abcdefgh", "b"]
    assert server.calls[-1].at - server.calls[1].at >= 0.59


def first_of(item: str, answer: Answer) -> Behaviour:
    return lambda call: answer if call.item == item and call.attempt == 0 else good()


def assert_promises_kept(server: FaultyServer, seconds: float) -> None:
    """No call came before the time that the refusal of the item's last one had named."""
    last: dict[str, float] = {}
    for call in sorted(server.calls, key=lambda call: call.at):
        assert call.at - last.get(call.item, -math.inf) >= 0.98 * seconds, call.item
        last[call.item] = call.at


@pytest.mark.parametrize("percent", [2, 10])
def test_a_server_that_refuses_at_random_is_asked_once_more_for_each_refusal(percent: int) -> None:
    def behave(call: Call) -> Answer:
        digest = hashlib.sha256(f"{call.item}/{call.attempt}".encode()).digest()
        return busy(0.3) if digest[0] * 100 < percent * 256 else good()

    keys = [f"item {number}" for number in range(400)]
    answers, server, _ = ask(behave, keys, concurrency=16)
    assert all(generation.error is None for (generation,) in answers.values())
    met = Counter(label for labels in server.labels.values() for label in labels)
    assert met["ok"] == len(keys) and met["429"] >= len(keys) * percent / 200
    assert len(server.calls) == met.total()
    assert_promises_kept(server, 0.3)
    # While one waits the others go on.
    refused = {call.item: call.at for call in server.calls if server.labels[call.item][call.attempt] == "429"}
    is_overtaken = [any(0.1 < call.at - at < 0.3 for call in server.calls) for at in refused.values()]
    assert sum(is_overtaken) > len(refused) / 2


@pytest.mark.parametrize("answer", [busy(0.1), failure(503, "overloaded")], ids=["429 with a time", "503"])
def test_a_server_that_takes_few_at_once_is_asked_few_at_once(answer: Answer) -> None:
    """Five times as many are allowed as it takes, and hardly any try is refused after the first ones."""
    limit, concurrency = 4, 20
    keys = [f"item {number}" for number in range(300)]
    server = FaultyServer(
        lambda call: answer if server.num_active > limit else Answer(body=completion(), seconds=0.02)
    )
    with server:
        engine = make_engine(server.base_url, concurrency=concurrency)
        answers = dict(engine.generate(map(make_request, keys), GREEDY))
    assert all(generation.error is None for (generation,) in answers.values())
    assert len(answers) == len(keys)
    assert len(server.calls) <= 1.2 * len(keys) + concurrency
    late = sorted(server.calls, key=lambda call: call.at)[2 * concurrency :]
    assert sum(call.attempt > 0 for call in late) <= 0.2 * len(keys)


@pytest.mark.parametrize("has_time", [True, False])
def test_a_server_that_takes_nothing_for_a_while_is_asked_now_and_then(has_time: bool) -> None:
    began = time.monotonic()

    def behave(call: Call) -> Answer:
        refusal = busy(0.25) if has_time else failure(503, "overloaded")
        return refusal if time.monotonic() - began < 1.5 else good()

    keys = [f"item {number}" for number in range(100)]
    answers, server, _ = ask(behave, keys, concurrency=16, backoff_seconds=0.1, max_backoff_seconds=0.5)
    assert all(generation.error is None for (generation,) in answers.values())
    # All that were in flight, and then one at a time.
    assert len(server.calls) <= len(keys) + 16 + 8


def test_those_that_wait_for_another_try_do_not_keep_others_from_being_read() -> None:
    def behave(call: Call) -> Answer:
        return busy(1.5) if call.attempt == 0 and int(call.item) % 4 == 0 else good()

    keys = [str(number) for number in range(48)]
    answers, server, _ = ask(behave, keys, concurrency=4)
    assert all(generation.error is None for (generation,) in answers.values())
    num_waiting = most_waiting = 0
    for call in sorted(server.calls, key=lambda call: call.at):
        num_waiting += 1 if server.labels[call.item][call.attempt] == "429" else -call.attempt
        most_waiting = max(most_waiting, num_waiting)
    # Four more than are held beside them, and no more than that.
    assert 8 < most_waiting <= 12


def test_leaving_while_all_are_held_takes_no_time() -> None:
    with FaultyServer(lambda call: good() if call.item == "0" else busy(60)) as server:
        engine = make_engine(server.base_url, concurrency=4, timeout_seconds=100)
        started = time.monotonic()
        stream = engine.generate(map(make_request, map(str, range(50))), GREEDY)
        assert next(stream)[0].key == "0"
        while len(server.calls) < 5:
            time.sleep(0.01)
        stream.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < 20
    assert len(server.calls) < 20


def test_a_server_that_asks_for_too_much_time_is_not_waited_for() -> None:
    generation, server, _ = ask_one(lambda call: Answer(status=429, body={}, headers={"Retry-After": "3600"}))
    assert generation.error == (
        "HTTP 429 after 1 try: the server asks to wait 3600 s, timeout_seconds allows 20 s"
    )
    assert len(server.calls) == 1


def test_a_short_deadline_for_answers_is_none_for_the_wait_before_them() -> None:
    options = {"timeout_seconds": 0.5, "max_backoff_seconds": 5.0}
    generation, server, _ = ask_one(first(busy(1)), **options)
    assert generation.error is None and server.calls[1].at - server.calls[0].at >= 1.0
    generation, server, _ = ask_one(first(busy(6)), **options)
    assert generation.error == (
        "HTTP 429 after 1 try: the server asks to wait 6 s, max_backoff_seconds allows 5 s"
    )


def test_what_all_wait_for_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    began: list[float] = []

    def behave(call: Call) -> Answer:
        began.append(call.at)
        return failure(503, "Loading model") if call.at < began[0] + 6.5 else good()

    keys = [str(number) for number in range(12)]
    options = {"backoff_seconds": 1.0, "max_backoff_seconds": 60.0}
    answers, _, engine = ask(behave, keys, concurrency=2, **options)
    assert not any(generation.error for (generation,) in answers.values())
    said = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert len(said) == 1 and said[0].endswith(": the server answers HTTP 503: Loading model; waiting")
    assert engine.notes == ()  # it has passed


def test_the_deadline_bounds_each_try() -> None:
    started = time.monotonic()
    generation, server, _ = ask_one(lambda call: Answer(kind="hang"), timeout_seconds=0.3, max_retries=2)
    assert generation.error == "no complete answer within 0.3 s after 3 tries"
    assert len(server.calls) == 3
    assert 0.9 <= time.monotonic() - started < 10


LASTING = {
    "silence": (Answer(kind="hang"), True),
    "no text": (good(text=""), True),
    "a page": (Answer(body=b"<html>Sign in</html>"), False),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_seldom_passes_gets_three_tries_and_short_waits(name: str) -> None:
    answer, has_answers = LASTING[name]
    started = time.monotonic()
    answers, server, _ = ask(
        lambda call: answer if call.item == "dead" else good(),
        ["good", "dead"] if has_answers else ["dead"],
        concurrency=1,
        timeout_seconds=0.3,
        backoff_seconds=0.4,
        max_backoff_seconds=60.0,
    )
    assert "after 3 tries" in (answers["dead"][0].error or "")
    assert sum(call.item == "dead" for call in server.calls) == 3
    # Two waits of at most 0.4 s, and the silence.
    assert 0.4 <= time.monotonic() - started < 2.9


@pytest.mark.parametrize(("answer", "num_tries"), [(good(text=""), 5), (Answer(body=b"<html>"), 3)])
def test_a_server_that_has_never_answered_may_be_about_to_begin(answer: Answer, num_tries: int) -> None:
    def behaviour(call: Call) -> Answer:
        return answer if call.item == "bad" and call.attempt < 4 else good()

    _, server, _ = ask_one(lambda call: answer, max_retries=4)
    assert len(server.calls) == num_tries
    answers, _, _ = ask(behaviour, ["good", "bad"], concurrency=1, max_retries=4)
    # A page among answers is passing, an empty text among them is the item's.
    assert (answers["bad"][0].error is None) is (num_tries == 3)


def test_concurrency_is_never_exceeded_and_is_used() -> None:
    def behave(call: Call) -> Answer:
        return Answer(body=completion(), seconds=0.03)

    keys = [str(number) for number in range(40)]
    _, server, _ = ask(behave, keys, concurrency=5)
    assert server.most_active == 5
    # Samples asked for one by one count as requests.
    _, server, _ = ask(behave, keys[:6], SAMPLED, concurrency=4)
    assert server.most_active <= 4


def test_requests_are_read_only_as_far_as_they_are_needed() -> None:
    pulled = []

    def source() -> Iterator[Request]:
        for number in range(1000):
            pulled.append(number)
            yield make_request(str(number))

    with FaultyServer(lambda call: good()) as server:
        stream = make_engine(server.base_url, concurrency=4).generate(source(), GREEDY)
        for _ in range(10):
            next(stream)
        assert len(pulled) <= 10 + 8
        stream.close()  # type: ignore[attr-defined]
    assert len(server.calls) <= 18


def test_the_pace_of_requests_is_kept() -> None:
    _, server, _ = ask(lambda call: good(), [str(n) for n in range(6)], requests_per_minute=600)
    times = sorted(call.at for call in server.calls)
    assert times[-1] - times[0] >= 0.45


def test_the_pace_of_tokens_follows_what_is_used() -> None:
    # 120 tokens a reply at 72,000 a minute are 0.1 s each; the first guess of 1,024 costs 0.85 s once.
    _, server, _ = ask(
        lambda call: good(), [str(n) for n in range(5)], tokens_per_minute=72_000, concurrency=1
    )
    times = sorted(call.at for call in server.calls)
    assert 0.35 <= times[-1] - times[0] < 5


def test_several_samples_come_in_one_reply() -> None:
    def behave(call: Call) -> Answer:
        texts = ["a", "bb", "c" * 7][: call.body.get("n", 1)]
        choices = [
            {"index": index, "finish_reason": "stop", "message": {"content": text}}
            for index, text in enumerate(texts)
        ]
        return good(choices=choices)

    answers, server, engine = ask(behave, ["one", "two"], SAMPLED)
    assert [generation.text for generation in answers["one"]] == ["a", "bb", "c" * 7]
    # 20 completion tokens are shared out by length, and none is lost.
    assert [generation.completion_tokens for generation in answers["one"]] == [2, 4, 14]
    assert [generation.prompt_tokens for generation in answers["one"]] == [100] * 3
    # It was billed once.
    whole = Usage(prompt_tokens=100, completion_tokens=20)
    assert [generation.billed for generation in answers["one"]] == [whole, None, None]
    assert [call.body["n"] for call in server.calls] == [3, 3]
    assert engine.usage.completion_tokens == 40
    assert engine.notes == ()


def test_samples_are_asked_for_one_by_one_where_the_server_gives_one() -> None:
    keys = ["one", "two", "three"]
    answers, server, engine = ask(
        lambda call: good(text=str(call.body["seed"])), keys, SAMPLED, concurrency=1
    )
    for generations in answers.values():
        assert len({generation.text for generation in generations}) == 3
        assert [generation.text for generation in generations] == [str(g.seed) for g in generations]
        assert [g.billed for g in generations] == [Usage(prompt_tokens=100, completion_tokens=20)] * 3
    assert Counter(call.item for call in server.calls) == {"one": 3, "two": 3, "three": 3}
    # The second item confirms it.
    assert [call.body.get("n") for call in server.calls].count(3) == 2
    assert len(engine.notes) == 1 and "one by one" in engine.notes[0]


def test_a_useless_reply_is_billed_though_other_requests_show_that_choices_come_one_by_one() -> None:
    """Its next try, which waits meanwhile, goes out for one sample."""

    def behave(call: Call) -> Answer:
        if call.item == "one" and not call.attempt:
            return Answer(body=completion(choices=[]), is_billed=True)
        return good()

    keys = ["one", "two", "three"]
    answers, server, engine = ask(behave, keys, SAMPLED, concurrency=3, backoff_seconds=0.5)
    assert [call.body.get("n", 1) for call in server.calls if call.item == "one"] == [3, 1, 1, 1]
    billed = [generation.billed or Usage() for generations in answers.values() for generation in generations]
    assert sum(usage.prompt_tokens for usage in billed) == 100 * server.billed.total() == 1000
    assert engine.usage == Usage(prompt_tokens=1000, completion_tokens=200)


def test_seeds_fit_into_31_bits_and_are_absent_when_greedy() -> None:
    request = make_request("one", seed=2**63 - 1)
    with FaultyServer(lambda call: good()) as server:
        engine = make_engine(server.base_url)
        ((_, (sampled,)),) = engine.generate([request], SamplingParams(temperature=1.0))
        ((_, (greedy,)),) = engine.generate([request], GREEDY)
    assert sampled.seed is not None and 0 <= sampled.seed < 2**31
    assert server.calls[0].body["seed"] == sampled.seed
    assert greedy.seed is None and "seed" not in server.calls[1].body


def token(text: str, logprob: float = -0.01, **others: float) -> dict[str, Any]:
    top = [{"token": name, "logprob": value, "bytes": list(name.encode())} for name, value in others.items()]
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": top}


def test_log_probabilities_are_those_of_the_verdict_letter() -> None:
    tokens = [
        token("<think>[["), token("B", -0.5, A=-1.0, B=-0.5), token("]]</think>"),
        token("\u00e9 <answer>"), token("[["), token("A", -0.2, A=-0.2, B=-1.8), token("]]"),
        token("</answer>"), token("<|im_end|>"),
    ]  # fmt: skip
    body = completion(
        "\u00e9 <answer>[[A]]</answer>", message={"reasoning_content": "[[B]]"}, logprobs={"content": tokens}
    )
    params = SamplingParams(verdict_logprobs=True)
    generation, server, _ = ask_one(lambda call: Answer(body=body), params)
    assert generation.verdict_logprobs == (("A", -0.2), ("B", -1.8))
    assert generation.verdict_mass == pytest.approx(0.8187308 + 0.1652989)
    assert (server.calls[0].body["logprobs"], server.calls[0].body["top_logprobs"]) == (True, 20)
    generation, _, _ = ask_one(lambda call: good(), params)
    assert generation.verdict_logprobs is None and generation.verdict_mass is None
    assert generation.text == "<answer>[[A]]</answer>"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_becomes_thinking(field: str) -> None:
    generation, _, _ = ask_one(lambda call: good(text="<answer>[[B]]</answer>", message={field: "hm"}))
    assert generation.text == "<think>\nhm\n</think>\n\n<answer>[[B]]</answer>"


REFUSALS = {
    "temperature": "Unsupported value: 'temperature' does not support 0.7 with this model.",
    "top_p": "top_p is not supported by this model",
    "top_k": "Unrecognized request argument supplied: top_k",
    "seed": "Unsupported parameter: 'seed'",
    "stop": "Unsupported parameter: 'stop' is not supported with this model.",
    "logprobs": "logprobs are not supported",
    "n": "Only `n` = 1 is supported",
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def behave(call: Call) -> Answer:
        return failure(400, REFUSALS[name]) if name in call.body else good()

    params = SamplingParams(
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        num_samples=2,
        stop=("STOP",),
        verdict_logprobs=True,
        max_new_tokens=77,
    )
    items = [f"item{number}" for number in range(12)]
    answers, server, engine = ask(behave, items, params, concurrency=1)
    assert all(len(generations) == 2 and not generations[0].error for generations in answers.values())
    sent = [set(call.body) for call in server.calls]
    # The second one that was sent after the first one was helped confirms it; from then on all are asked in the
    # server's way.
    assert 2 <= sum(name in fields for fields in sent) <= 8
    assert not any(name in call.body for call in server.calls if call.item in items[5:])
    expected = {"temperature", "top_p", "top_k", "seed", "stop", "logprobs", "top_logprobs", "max_tokens"}
    expected |= {"min_p", "repetition_penalty"}
    dropped = {"logprobs": {"logprobs", "top_logprobs"}}.get(name, {name})
    added = {"max_completion_tokens"} if name == "max_tokens" else set()
    assert sent[-1] - {"model", "messages"} == expected - dropped | added
    about = [note for note in engine.notes if REFUSALS[name][:30] in note]
    assert len(about) == 1
    assert sum(about[0] in record.getMessage() for record in caplog.records) == 1
    assert engine.fingerprint()["extra_body"] == {}


def test_a_parameter_named_by_the_error_is_believed() -> None:
    def behave(call: Call) -> Answer:
        return failure(400, "bad request", param="top_p") if "top_p" in call.body else good()

    generation, _, _ = ask_one(behave, SamplingParams(top_p=0.5))
    assert generation.error is None


def test_a_parameter_that_was_taken_before_is_given_up_for_no_other_item() -> None:
    def behave(call: Call) -> Answer:
        return failure(400, "the message quotes 'temperature'") if call.item == "two" else good()

    answers, server, engine = ask(behave, ["one", "two", "three"], concurrency=1)
    assert answers["two"][0].error == "HTTP 400: the message quotes 'temperature'"
    left_out = [call.item for call in server.calls if "temperature" not in call.body]
    assert {*left_out} == {"two"}
    assert engine.notes == ()


def test_a_parameter_the_user_set_by_name_is_not_given_up() -> None:
    generation, server, _ = ask_one(
        lambda call: failure(400, "'temperature' is not supported"), extra_body={"temperature": 2.5}
    )
    assert generation.finish_reason == "error"
    assert server.calls[0].body["temperature"] == 2.5
    assert len(server.calls) == 1


OVERLONG = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens (808 in the messages, 8192 in the completion)."


def test_an_answer_that_may_not_fit_gets_the_room_there_is() -> None:
    def behave(call: Call) -> Answer:
        if call.item == "huge" or ("max_tokens" in call.body and call.item == "long"):
            return failure(400, OVERLONG)
        return good()

    answers, server, _ = ask(behave, ["long", "huge", "short"], concurrency=1)
    assert answers["long"][0].error is None
    assert answers["short"][0].error is None
    assert answers["huge"][0].finish_reason == "skipped"
    assert "maximum context length is 4096" in (answers["huge"][0].error or "")
    assert "max_tokens" in server.calls[-1].body


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def behave(call: Call) -> Answer:
        said = call.headers["authorization"]
        padded = "x" * 280 + said
        return {
            "good": good(text=f"I saw {said}"),
            "bad": failure(400, padded),
            "broken": failure(500, padded),
            "odd": Answer(body={"error": padded}),
            "refused": failure(400, f"'top_p' is not for {said}") if "top_p" in call.body else good(),
        }[call.item]

    answers, server, engine = ask(
        behave,
        ["refused", "good", "bad", "broken", "odd"],
        SamplingParams(top_p=0.5),
        api_key_env="OTHER_KEY",
        max_retries=0,
        concurrency=1,
    )
    assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {KEY}"}
    shown = [
        repr(answers),
        repr(engine.notes),
        json.dumps(engine.fingerprint()),
        repr(engine),
        engine.name,
        caplog.text,
    ]
    for text in shown:
        assert KEY[:8] not in text
    assert "***" in shown[0]

    with FaultyServer(lambda call: failure(401, f"Incorrect API key provided: {KEY}")) as server:
        engine = make_engine(server.base_url, api_key_env="OTHER_KEY")
        with pytest.raises(GenerationError) as caught:
            list(engine.generate([make_request("one")], GREEDY))
    assert KEY[:8] not in str(caught.value) and "OTHER_KEY" in str(caught.value)


def test_a_run_folder_never_holds_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    pairs = [
        PreferencePair(
            id=str(number),
            prompt=(user(f"question {number}"),),
            response_a=(assistant("yes"),),
            response_b=(assistant("no"),),
            label="A",
        )
        for number in range(3)
    ]

    def behave(call: Call) -> Answer:
        said = call.headers["authorization"]
        return failure(400, f"bad {said}") if "question 1" in call.item else good(model=f"judge {said}")

    with FaultyServer(behave) as server:
        engine = make_engine(server.base_url)
        description = {"engine": engine.fingerprint(), "model": engine.name}
        with open_run(tmp_path / "run", description) as run:
            settings = JudgeSettings(order="given")
            judged = dict(GenerativeJudge(engine, load_family("rubric"), settings).run(pairs, run=run))
    assert sorted(judgment.winner or "none" for judgment in judged.values()) == ["A", "A", "none"]
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files
    assert all(KEY[:8].encode() not in path.read_bytes() for path in files)


def test_no_key_means_no_header() -> None:
    _, server, _ = ask_one(lambda call: good())
    assert "authorization" not in server.calls[0].headers


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_run_in_one_line(status: int) -> None:
    with FaultyServer(lambda call: failure(status, "no")) as server:
        engine = make_engine(server.base_url, concurrency=2)
        with pytest.raises(GenerationError) as caught:
            list(engine.generate((make_request(str(n)) for n in range(50)), GREEDY))
    assert str(caught.value) == (
        f"{server.base_url} refuses the key: HTTP {status}: no; set the environment variable OPENAI_API_KEY to a key"
    )
    assert len(server.calls) <= 8


def test_a_prompt_that_moderation_refuses_is_its_own_failure() -> None:
    generation, _, _ = ask_one(lambda call: failure(403, "input was flagged by moderation"))
    assert generation.error == "HTTP 403: input was flagged by moderation"


def test_an_exhausted_quota_ends_the_run() -> None:
    with (
        FaultyServer(
            lambda call: failure(429, "You exceeded your quota", code="insufficient_quota")
        ) as server,
        pytest.raises(GenerationError, match="wants to be paid: HTTP 429: You exceeded your quota"),
    ):
        list(make_engine(server.base_url).generate([make_request("one")], GREEDY))


def test_a_server_that_is_not_there() -> None:
    with FaultyServer(lambda call: good()) as server:
        url = server.base_url
    started = time.monotonic()
    with pytest.raises(GenerationError, match=r"no connection .*is the server running") as caught:
        list(make_engine(url).generate([make_request("one"), make_request("two")], GREEDY))
    assert url in str(caught.value)
    assert 0.25 <= time.monotonic() - started < 10


def test_a_server_that_goes_away_ends_the_run() -> None:
    server = FaultyServer(lambda call: good())
    done = []
    with server:
        stream = make_engine(server.base_url, concurrency=1, max_retries=2).generate(
            (make_request(str(n)) for n in range(50)), GREEDY
        )
        done.append(next(stream)[0].key)
        server.stop()
        with pytest.raises(GenerationError, match="the server is gone"):
            done.extend(request.key for request, generations in stream)
    assert done[0] == "0" and len(done) < 50


def test_a_model_the_server_does_not_have_ends_the_run() -> None:
    missing = failure(404, "The model `judge` does not exist.", code="model_not_found")
    with FaultyServer(lambda call: missing, models=["large", "small"]) as server:
        with pytest.raises(GenerationError) as caught:
            list(make_engine(server.base_url).generate([make_request("one")], GREEDY))
        assert str(caught.value) == f"{server.base_url} does not serve model 'judge'; it serves large, small"
    with (
        FaultyServer(lambda call: Answer(status=404, body=b"<h1>Not Found</h1>")) as server,
        pytest.raises(GenerationError, match="HTTP 404: Not Found; check the model's name and the URL"),
    ):
        list(make_engine(server.base_url).generate([make_request("one")], GREEDY))


def test_a_404_among_answers_is_a_passing_trouble() -> None:
    def behave(call: Call) -> Answer:
        return failure(404, "loading") if call.item == "two" and call.attempt == 0 else good()

    answers, _, _ = ask(behave, ["one", "two"], concurrency=1)
    assert answers["two"][0].error is None


@pytest.mark.parametrize("content", ["", None, " \n"])
def test_an_empty_reply_is_asked_for_again_and_is_a_failure_in_the_end(content: str | None) -> None:
    generation, server, _ = ask_one(first(good(text=content)))
    assert (generation.text, generation.error) == ("<answer>[[A]]</answer>", None)
    assert generation.billed == Usage(prompt_tokens=200, completion_tokens=40)
    # A server that keeps the answers it gave is asked for another one.
    assert len({call.headers["idempotency-key"] for call in server.calls}) == 2
    generation, server, _ = ask_one(lambda call: good(text=content), max_retries=2)
    assert generation.finish_reason == "error" and not generation.is_refused
    assert generation.error == "no usable reply after 3 tries: the reply holds no text: the text is empty"
    assert len(server.calls) == 3
    generation, _, _ = ask_one(lambda call: good(text=content, message={"reasoning_content": "hm"}))
    assert generation.error is None and generation.text.startswith("<think>\nhm")


def test_one_empty_text_of_several_is_asked_for_alone() -> None:
    def behave(call: Call) -> Answer:
        texts = ["a", "", "c"] if call.body.get("n") == 3 else ["b"]
        choices = [
            {"index": n, "finish_reason": "stop", "message": {"content": one}} for n, one in enumerate(texts)
        ]
        return good(choices=choices)

    answers, server, engine = ask(behave, ["one", "two", "three"], SAMPLED, concurrency=1)
    assert [[one.text for one in generations] for generations in answers.values()] == [["a", "c", "b"]] * 3
    assert sum(call.body.get("n") == 3 for call in server.calls) == 3 and engine.notes == ()


def test_half_characters_and_infinities_in_a_reply_are_read(tmp_path: Path) -> None:
    tokens = [
        token("? ok <answer>[["), token("A", -0.2, A=-0.2, B=-float("inf")), token("]]"), token("</answer>")
    ]  # fmt: skip
    tokens[0] |= {"token": "\ud83d ok <answer>[[", "bytes": None, "logprob": float("nan")}
    body = completion("\ud83d ok <answer>[[A]]</answer>", logprobs={"content": tokens})
    raw = json.dumps(body).encode()
    assert b"\\ud83d" in raw and b"-Infinity" in raw and b"NaN" in raw
    pair = PreferencePair(
        id="1", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),), label="A"
    )
    with FaultyServer(lambda call: Answer(body=raw)) as server:
        engine = make_engine(server.base_url)
        settings = JudgeSettings(order="given", sampling=SamplingParams(verdict_logprobs=True))
        with open_run(tmp_path / "run", {"engine": engine.fingerprint()}) as run:
            ((_, judgment),) = GenerativeJudge(engine, load_family("rubric"), settings).run([pair], run=run)
    assert len(server.calls) == 1
    assert judgment.winner == "A"
    generation = judgment.votes[0].generation
    assert generation.text == "\ufffd ok <answer>[[A]]</answer>"
    assert generation.verdict_logprobs == (("A", -0.2), ("B", -9999.0))
    assert [stored for _, stored in read_judgments(tmp_path / "run")] == [judgment]


def test_what_was_found_out_about_a_server_is_kept_with_the_run(tmp_path: Path) -> None:
    def behave(call: Call) -> Answer:
        has_system = call.body["messages"][0]["role"] == "system"
        return failure(400, "System role not supported") if has_system else good(model="quite-another")

    pair = PreferencePair(
        id="1", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )
    for number in (1, 2):
        with FaultyServer(behave if number == 1 else lambda call: good(model="a-third")) as server:
            judge = GenerativeJudge(make_engine(server.base_url), load_family("rubric"), JudgeSettings())
            with open_run(tmp_path / "run", {"engine": "x"}) as run:
                tally = Tally()
                for _, judgment in judge.run([pair] * number, run=run):
                    tally.add(judgment)
                run.write_summary(summarize_run(run, tally, judge))
    notes = json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    assert [note.partition("/v1: ")[2].partition(",")[0] for note in notes] == [
        "the system text is put into the first user turn (one item)",
        "the server names the model 'quite-another'",
        "the server names the model 'a-third'",
    ]


def test_an_error_that_is_sent_as_a_success_is_one() -> None:
    body = {"error": {"code": 400, "message": "maximum context length is 4096 tokens, 9000 in the messages"}}
    generation, server, _ = ask_one(lambda call: Answer(body=body))
    assert generation.finish_reason == "skipped" and len(server.calls) <= 4
    generation, server, _ = ask_one(
        lambda call: Answer(body={"error": {"code": 502, "message": "gone"}}), max_retries=1
    )
    assert generation.error == "HTTP 502 after 2 tries: gone"


def test_usage_counts_without_a_text() -> None:
    body = completion(None, finish_reason="length")
    generation, _, engine = ask_one(lambda call: Answer(body=body))
    assert (generation.text, generation.finish_reason, generation.error) == ("", "length", None)
    assert (generation.prompt_tokens, generation.completion_tokens) == (100, 20)
    assert engine.usage == Usage(prompt_tokens=100, completion_tokens=20)
    # What was spent on replies of no use is kept with the failure.
    generation, _, engine = ask_one(lambda call: good(choices=[]), max_retries=2)
    assert generation.error == "no usable reply after 3 tries: the reply holds no text (no choices)"
    assert (generation.prompt_tokens, generation.completion_tokens) == (300, 60)
    assert engine.usage.completion_tokens == 60
    assert not generation.is_refused
    # Or with the text that came after them.
    generation, _, _ = ask_one(lambda call: good() if call.attempt else good(choices=[]))
    assert (generation.prompt_tokens, generation.completion_tokens) == (100, 20)
    assert generation.billed == Usage(prompt_tokens=200, completion_tokens=40)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_usage_is_estimated_where_the_server_sends_none(usage: dict[str, int] | None) -> None:
    generation, _, engine = ask_one(lambda call: good(text="nine char", usage=usage))
    assert generation.billed == Usage(
        prompt_tokens=generation.prompt_tokens, completion_tokens=3, is_estimated=True
    )
    assert engine.usage == generation.billed
    assert len(engine.notes) == 1 and "estimates from characters" in engine.notes[0]


def test_a_filtered_text_is_a_failure_that_keeps_its_text() -> None:
    generation, _, _ = ask_one(lambda call: good(text="well", finish_reason="content_filter"))
    assert (generation.finish_reason, generation.text) == ("error", "well")
    assert "content filter" in (generation.error or "") and generation.is_refused


def test_pictures_are_sent_as_parts(tmp_path: Path) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(b"\x89PNG")
    secret = tmp_path / "notes.txt"
    secret.write_text("private")
    content = (
        TextPart(text="Look:"),
        ImagePart(url="https://example.org/cat.jpg"),
        ImagePart(url=picture.as_uri()),
    )
    requests = [
        make_request(
            "one", messages=(Message(role="system", content="Judge."), Message(role="user", content=content))
        ),
        make_request("two", messages=(Message(role="user", content=(ImagePart(url=secret.as_uri()),)),)),
        make_request("three", messages=(user("q"), assistant("a"), user("\ud800"))),
    ]
    with FaultyServer(lambda call: good()) as server:
        answers = {r.key: g for r, g in make_engine(server.base_url).generate(requests, GREEDY)}
    sent = {call.body["messages"][0]["content"]: call.body["messages"] for call in server.calls}
    assert sent["Judge."][1] == {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look:"},
            {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        ],
    }
    assert sent["q"][2] == {"role": "user", "content": "\ufffd"}
    assert len(server.calls) == 2
    assert "not the name of a picture" in (answers["two"][0].error or "")


def test_extra_fields_and_headers_are_sent() -> None:
    _, server, engine = ask_one(
        lambda call: good(),
        SamplingParams(temperature=0.5, top_k=7),
        extra_body={"chat_template_kwargs": {"enable_thinking": False}, "temperature": 0.1},
        extra_headers={"X-Title": "tests"},
        use_max_completion_tokens=True,
    )
    body = server.calls[0].body
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["temperature"] == 0.1 and body["top_k"] == 7
    assert body["max_completion_tokens"] == 8192 and "max_tokens" not in body
    assert "stop" not in body and "n" not in body
    assert (body["top_p"], body["min_p"], body["repetition_penalty"]) == (1.0, 0.0, 1.0)
    assert server.calls[0].headers["x-title"] == "tests"
    assert server.calls[0].path == "/v1/chat/completions"
    assert engine.fingerprint() == {
        "engine": "openai",
        "name": "judge",
        "base_url": server.base_url,
        "extra_body": {"chat_template_kwargs": {"enable_thinking": False}, "temperature": 0.1},
    }


@pytest.mark.parametrize("way", ["close", "interrupt", "drop", "engine"])
def test_leaving_cancels_what_is_in_flight(way: str) -> None:
    def behave(call: Call) -> Answer:
        return good() if call.item == "0" else Answer(kind="hang")

    def source() -> Iterator[Request]:
        for number in range(4):
            yield make_request(str(number))
        if way == "interrupt":
            raise KeyboardInterrupt

    with FaultyServer(behave) as server:
        engine = make_engine(server.base_url, timeout_seconds=60)
        started = time.monotonic()
        stream = engine.generate(source(), GREEDY)
        if way == "interrupt":
            with pytest.raises(KeyboardInterrupt):
                list(stream)
        else:
            assert next(stream)[0].key == "0"
        if way == "close":
            stream.close()  # type: ignore[attr-defined]
        if way == "engine":
            engine.close()
            with pytest.raises(GenerationError, match="the engine was closed"):
                next(stream)
        del stream
        gc.collect()
        assert not [thread for thread in threading.enumerate() if thread.name == "rmr1-openai"]
        assert time.monotonic() - started < 20


def test_nothing_to_do_sends_nothing() -> None:
    with FaultyServer(lambda call: good()) as server:
        assert list(make_engine(server.base_url).generate([], GREEDY)) == []
    assert server.calls == []


def test_an_engine_serves_several_streams_at_once() -> None:
    with FaultyServer(lambda call: good(text=call.item)) as server:
        engine = make_engine(server.base_url)
        one = engine.generate((make_request(f"a{n}") for n in range(5)), GREEDY)
        two = engine.generate((make_request(f"b{n}") for n in range(5)), GREEDY)
        texts = {g[0].text for pair in zip(one, two, strict=True) for _, g in pair}
        for stream in (one, two):
            stream.close()  # type: ignore[attr-defined]
    assert texts == {f"{side}{n}" for side in "ab" for n in range(5)}


def test_what_nobody_waits_for_is_given_up_and_the_rest_goes_on() -> None:
    def behave(call: Any) -> Answer:
        return replace(good(), seconds=5.0) if call.item == "left" else good()

    with FaultyServer(behave) as server:
        engine = make_engine(server.base_url)
        until = time.monotonic() + 0.2
        left = make_request("left", is_wanted=lambda: time.monotonic() < until)
        stays = make_request("stays", is_wanted=lambda: True)
        started = time.monotonic()
        found = {one.key: texts[0] for one, texts in engine.generate([left, stays], GREEDY)}
        assert time.monotonic() - started < 3
    assert (found["left"].finish_reason, found["left"].error) == ("error", UNWANTED)
    assert found["stays"].text == "<answer>[[A]]</answer>"
