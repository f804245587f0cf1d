"""The openai engine against servers that refuse: what they can be asked is found out, whatever their words.

Each server here keeps a rule and says so in its own way: as known servers do, in other languages, or not at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.engines import Request, SamplingParams
from rmr1.engines.openai import OpenAIEngine
from rmr1.engines.openai.problems import read_problem
from rmr1.engines.openai.remedies import MOST_FORMS
from rmr1.errors import GenerationError
from rmr1.messages import Message, assistant, user
from rmr1.records import Generation
from tests.integration.faulty_server import (
    Answer,
    Behaviour,
    Call,
    FaultyServer,
    completion,
    failure,
    good,
    make_request,
)

CONTEXT = 4096
MOST_NEW = 8192
SAMPLED = SamplingParams(temperature=0.7, num_samples=4)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(
    behaviour: Behaviour,
    requests: Sequence[Request],
    params: SamplingParams | None = None,
    *,
    concurrency: int = 1,
    **options: Any,
) -> tuple[dict[str, tuple[Generation, ...]], FaultyServer, OpenAIEngine]:
    """All answers by key, of a server that has come and gone."""
    quick = {"backoff_seconds": 0.01, "max_backoff_seconds": 0.02, "timeout_seconds": 20, **options}
    with FaultyServer(behaviour) as server:
        engine = OpenAIEngine("judge", server.base_url, concurrency=concurrency, **quick)
        answers = dict(engine.generate(requests, params or SamplingParams()))
    most = MOST_FORMS + options.get("max_retries", 6)
    assert len(server.calls) <= most * max(1, len(requests)) * (params.num_samples if params else 1)
    return {request.key: generations for request, generations in answers.items()}, server, engine


def make_requests(**sizes: int) -> list[Request]:
    """Requests by name, each of about so many tokens."""
    return [make_request(name, messages=(user(f"{name} " + "word" * size),)) for name, size in sizes.items()]


def calls_of(server: FaultyServer, name: str) -> list[Call]:
    return [call for call in server.calls if name in json.dumps(call.body["messages"])]


def count_tokens(call: Call) -> int:
    return sum(len(str(message["content"])) // 4 for message in call.body["messages"])


def read_cases(shared: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shared / "cases/server-errors.jsonl").read_text().splitlines()]


# Context: prompt and answer do not fit together, or the prompt alone does not

Said = Callable[[int, int], Any]
"""(prompt tokens, new tokens asked for) -> the body of the refusal."""

BOTH_COUNT: dict[str, tuple[int, Said]] = {
    "TGI": (422, lambda p, m: {"error": f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {CONTEXT}. Given: {p} `inputs` tokens and {m} `max_new_tokens`"}),
    "TensorRT-LLM": (400, lambda p, m: {"message": f"The sum of prompt length ({p}.0) and max_tokens ({m}) should not exceed max_seq_len ({CONTEXT})"}),
    "vLLM": (400, lambda p, m: {"error": {"message": f"'max_tokens' or 'max_completion_tokens' is too large: {m}. This model's maximum context length is {CONTEXT} tokens and your request has {p} input tokens ({m} > {CONTEXT} - {p})", "type": "BadRequestError", "param": "max_tokens", "code": 400}}),
    "OpenAI": (400, lambda p, m: {"error": {"message": f"This model's maximum context length is {CONTEXT} tokens. However, you requested {p + m} tokens ({p} in the messages, {m} in the completion).", "param": "messages", "code": "context_length_exceeded"}}),
    "sum only, Japanese": (400, lambda p, m: {"error": {"message": f"\u5408\u8a08{p + m}\u30c8\u30fc\u30af\u30f3\u306f\u4e0a\u9650{CONTEXT}\u3092\u8d85\u3048\u3066\u3044\u307e\u3059"}}),
    "prompt and limit, German": (400, lambda p, m: {"fehler": f"Mit {p} Token Eingabe und der verlangten Antwort wird das Fenster von {CONTEXT} gesprengt"}),
    "grouped, French": (400, lambda p, m: {"erreur": {"message": f"{p:,} jetons re\u00e7us, {m:,} demand\u00e9s, {CONTEXT:,} au plus".replace(",", "\u202f", 0)}}),
    "Chinese": (400, lambda p, m: {"error": {"code": "1261", "message": f"\u8f93\u5165\u957f\u5ea6\u4e3a{p}\u4e2a\u4ee4\u724c\uff0c\u8d85\u8fc7\u6700\u5927\u503c{CONTEXT}"}}),
    "limit only": (400, lambda p, m: {"error": {"message": f"Your request exceeded model token limit: {CONTEXT}"}}),
    "fields": (400, lambda p, m: {"error": {"code": 400, "message": "no", "n_prompt_tokens": p, "n_ctx": CONTEXT}}),
    "code only": (400, lambda p, m: {"error": {"code": "context_length_exceeded", "message": "no"}}),
    "words only": (400, lambda p, m: {"error": {"message": "the request exceeds the available context size, try increasing it"}}),
    "wrapped": (400, lambda p, m: {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": json.dumps({"message": f"{p} + {m} > {CONTEXT}"})}}}),
    "status only": (413, lambda p, m: b"<html><head><title>413</title></head><body><h1>Request Entity Too Large</h1></body></html>"),
    "server error": (500, lambda p, m: {"error": {"code": 500, "message": f"{p} tokens, context {CONTEXT}"}}),
}  # fmt: skip

PROMPT_COUNTS: dict[str, tuple[int, Said]] = {
    "Gemini": (400, lambda p, m: [{"error": {"code": 400, "message": f"The input token count ({p}) exceeds the maximum number of tokens allowed ({CONTEXT}).", "status": "INVALID_ARGUMENT"}}]),
    "SGLang": (400, lambda p, m: {"message": f"Input length ({p} tokens) exceeds the maximum allowed length ({CONTEXT} tokens)."}),
    "Anthropic": (400, lambda p, m: {"type": "error", "error": {"type": "invalid_request_error", "message": f"prompt is too long: {p} tokens > {CONTEXT} maximum"}}),
    "Turkish": (422, lambda p, m: {"detail": f"\u0130stem {p} belirte\u00e7, en fazla {CONTEXT}"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOTH_COUNT)
def test_an_answer_gets_the_room_there_is_and_a_prompt_without_any_is_too_long(name: str) -> None:
    status, say = BOTH_COUNT[name]

    def behave(call: Call) -> Answer:
        prompt, most = count_tokens(call), call.body.get("max_tokens", 0)
        return Answer(status=status, body=say(prompt, most)) if prompt + max(1, most) > CONTEXT else good()

    requests = make_requests(small=30, middle=2500, huge=4400, other=30, last=3000)
    answers, server, engine = ask(behave, requests, SamplingParams(max_new_tokens=1024))
    assert answers["small"][0].error is None and answers["other"][0].error is None
    assert answers["middle"][0].error is None and answers["last"][0].error is None
    assert len(calls_of(server, "middle")) == 1
    assert answers["huge"][0].finish_reason == "skipped" and answers["huge"][0].error
    assert not answers["huge"][0].is_refused
    # One that fits with less: what was refused of it is no matter of the others.
    answers, server, engine = ask(behave, requests, SamplingParams(max_new_tokens=MOST_NEW))
    assert [answers[key][0].finish_reason for key in ("small", "middle", "other", "last")] == ["stop"] * 4
    assert answers["huge"][0].finish_reason == "skipped"
    assert next(iter(calls_of(server, "other"))).body["max_tokens"] == MOST_NEW
    # Said once, however many items it was.
    (note,) = engine.notes
    assert " (one item; others that need it get what fits), because the server said: HTTP" in note


@pytest.mark.parametrize("name", ["TGI", "TensorRT-LLM", "vLLM", "OpenAI", "sum only, Japanese", "wrapped"])
def test_the_room_is_used_where_the_numbers_tell_it(name: str) -> None:
    status, say = BOTH_COUNT[name]

    def behave(call: Call) -> Answer:
        prompt, most = count_tokens(call), call.body.get("max_tokens", 16)
        return Answer(status=status, body=say(prompt, most)) if prompt + most > CONTEXT else good()

    _, server, _ = ask(behave, make_requests(middle=2500), SamplingParams(max_new_tokens=MOST_NEW))
    assert len(server.calls) == 2
    assert server.calls[-1].body["max_tokens"] == CONTEXT - count_tokens(server.calls[-1])


@pytest.mark.parametrize("name", PROMPT_COUNTS)
def test_a_prompt_that_is_too_long_is_its_own_matter(name: str) -> None:
    status, say = PROMPT_COUNTS[name]

    def behave(call: Call) -> Answer:
        prompt = count_tokens(call)
        return (
            Answer(status=status, body=say(prompt, call.body.get("max_tokens", 0)))
            if prompt > CONTEXT
            else good()
        )

    sizes = {f"huge{n}": 4100 + 900 * n for n in range(4)} | {f"small{n}": 100 for n in range(4)}
    for concurrency in (1, 8):
        answers, server, engine = ask(
            behave, make_requests(**sizes), SamplingParams(max_new_tokens=3000), concurrency=concurrency
        )
        for key, (generation,) in answers.items():
            assert generation.finish_reason == ("skipped" if "huge" in key else "stop"), generation
            if "huge" in key:
                # What was said of the request as it was meant.
                assert generation.error == str(
                    read_problem(status, json.dumps(say(sizes[key] + 1, 3000)).encode())
                )
        small = [call for call in server.calls if "small" in call.item]
        assert len(small) == 4 and all(call.body["max_tokens"] == 3000 for call in small)
        assert max(Counter(call.item for call in server.calls).values()) <= 4
        assert engine.notes == ()


# The limit of new tokens

LIMITED: dict[str, tuple[int, Any]] = {
    "DeepSeek": (400, {"error": {"message": "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"}}),
    "OpenAI": (400, {"error": {"message": "max_tokens is too large: 16384. This model supports at most 8192 completion tokens, whereas you provided 16384.", "param": "max_tokens"}}),
    "FastAPI": (422, {"detail": [{"type": "less_than_equal", "loc": ["body", "max_tokens"], "msg": "Input should be less than or equal to 8192", "input": 16384}]}),
    "Spanish": (400, {"error": "La respuesta puede tener como m\u00e1ximo 8192 tokens"}),
    "Chinese": (400, {"error": {"code": "InvalidParameter", "message": "\u53c2\u6570\u9519\u8bef\uff1a\u53d6\u503c\u8303\u56f4\u4e3a[1,8192]"}}),
    "range": (400, {"message": "expected 1-8192"}),
    "grouped": (400, {"message": "output limit 8,192"}),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITED)
def test_the_limit_of_new_tokens_that_is_named_is_used(name: str) -> None:
    status, said = LIMITED[name]

    def behave(call: Call) -> Answer:
        # This one takes no other name, and wants to be told.
        return good() if call.body.get("max_tokens", 10**6) <= 8192 else Answer(status=status, body=said)

    params = SamplingParams(max_new_tokens=16384)
    sizes = dict.fromkeys(("one", "two", "three", "four", "five", "six"), 20)
    answers, server, engine = ask(behave, make_requests(**sizes), params)
    assert all(generations[0].finish_reason == "stop" for generations in answers.values())
    # An item that is sent after the first one was helped confirms it; from then on nobody asks for more.
    asked = {key: [call.body["max_tokens"] for call in calls_of(server, key)] for key in answers}
    assert all(asked[key] == [16384, 8192] for key in ("one", "two", "three"))
    assert asked["five"] == asked["six"] == [8192]
    assert len(engine.notes) == 1 and engine.notes[0].startswith(
        "at most 8192 new tokens are asked for, because"
    )


def test_a_single_refusal_changes_nothing_for_others() -> None:
    def behave(call: Call) -> Answer:
        is_first = call.item.startswith("one") and call.attempt == 0
        return Answer(status=400, body=LIMITED["DeepSeek"][1]) if is_first else good()

    params = SamplingParams(max_new_tokens=16384)
    answers, server, engine = ask(behave, make_requests(one=20, two=20, three=20), params)
    (note,) = engine.notes
    assert note.startswith("at most 8192 new tokens are asked for (one item), because the server said")
    assert [call.body["max_tokens"] for call in calls_of(server, "one")] == [16384, 8192]
    assert [call.body["max_tokens"] for key in ("two", "three") for call in calls_of(server, key)] == [
        16384
    ] * 2
    assert all(generations[0].error is None for generations in answers.values())


# Several choices

SINGLE: dict[str, tuple[int, Any]] = {
    "llama.cpp": (400, {"error": {"code": 400, "message": "Only one completion choice is allowed", "type": "invalid_request_error"}}),
    "named": (400, {"error": {"message": "`n` > 1 is not supported"}}),
    "FastAPI": (422, {"detail": [{"loc": ["body", "n"], "msg": "Input should be less than 2", "type": "less_than"}]}),
    "param": (400, {"error": {"message": "bad value", "param": "n"}}),
    "Korean": (400, {"error": {"message": "\uc120\ud0dd\uc9c0\ub294 \ud558\ub098\ub9cc \ud5c8\uc6a9\ub429\ub2c8\ub2e4"}}),
    "echo": (400, {"error": "4 != 1"}),
    "nothing": (400, b""),
    "html": (422, b"<html><body><h1>Unprocessable</h1></body></html>"),
    "server error": (500, {"error": {"message": "internal error"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_samples_are_asked_for_one_by_one_where_several_are_refused(name: str) -> None:
    status, said = SINGLE[name]

    def behave(call: Call) -> Answer:
        return (
            Answer(status=status, body=said)
            if call.body.get("n", 1) > 1
            else good(text=str(call.body["seed"]))
        )

    sizes = dict.fromkeys(("one", "two", *(f"more{number}" for number in range(30)), "last"), 20)
    answers, server, engine = ask(behave, make_requests(**sizes), SAMPLED)
    for generations in answers.values():
        assert len({generation.text for generation in generations}) == 4
        assert all(generation.error is None for generation in generations)
    # Later ones are asked so from the start, and lose nothing else.
    assert len(calls_of(server, "last")) == 4
    for call in calls_of(server, "last"):
        assert "n" not in call.body and call.body["temperature"] == 0.7 and call.body["top_k"] == -1
    assert len(engine.notes) == 1 and engine.notes[0].startswith("samples are asked for one by one, because")


# System text and turns

NO_SYSTEM: dict[str, tuple[int, Any]] = {
    "vLLM, Gemma": (400, {"error": {"message": "System role not supported", "type": "BadRequestError", "code": 400}}),
    "llama.cpp": (500, {"error": {"code": 500, "message": "Conversation roles must alternate user/assistant/user/assistant/... at row 1, column 9", "type": "server_error"}}),
    "FastAPI": (422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "unexpected value; permitted: user, assistant"}]}),
    "Portuguese": (400, {"error": "o papel 'system' n\u00e3o \u00e9 suportado"}),
    "param": (400, {"error": {"message": "invalid", "param": "messages[0].role"}}),
    "nothing": (400, b""),
    "nothing, 500": (500, b""),
    "plain": (422, b"unprocessable entity"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_SYSTEM)
@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=0.5)])
def test_system_text_goes_into_the_first_user_turn_where_the_role_is_refused(
    name: str, params: SamplingParams
) -> None:
    status, said = NO_SYSTEM[name]

    def behave(call: Call) -> Answer:
        has_system = any(message["role"] == "system" for message in call.body["messages"])
        return Answer(status=status, body=said) if has_system else good()

    requests = [
        make_request(key, messages=(Message(role="system", content="Judge."), user(key)))
        for key in ("one", "two", *(f"more{number}" for number in range(30)), "last")
    ]
    answers, server, engine = ask(behave, requests, params)
    assert all(generations[0].error is None for generations in answers.values())
    (last,) = calls_of(server, "last")
    assert last.body["messages"] == [{"role": "user", "content": "Judge.\n\nlast"}]
    assert last.body["max_tokens"] == MOST_NEW and last.body["temperature"] == params.temperature
    assert len(engine.notes) == 1
    assert engine.notes[0].startswith(
        "the system text is put into the first user turn, because the server said"
    )


def test_turns_of_one_role_are_joined_where_they_must_alternate() -> None:
    def behave(call: Call) -> Answer:
        roles = [message["role"] for message in call.body["messages"] if message["role"] != "system"]
        is_wrong = roles != (["user", "assistant"] * len(roles))[: len(roles)]
        return (
            failure(400, "Conversation roles must alternate user/assistant/user/assistant/...")
            if is_wrong
            else good()
        )

    messages = (Message(role="system", content="Judge."), user("a"), user("b"), assistant("c"), user("d"))
    answers, server, engine = ask(
        behave, [make_request(key, messages=messages) for key in ("one", "two", "three")]
    )
    assert all(generations[0].error is None for generations in answers.values())
    assert server.calls[-1].body["messages"] == [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    assert len(engine.notes) == 1 and "turns of one role" in engine.notes[0]


def test_a_system_role_that_was_taken_before_stays() -> None:
    def behave(call: Call) -> Answer:
        return Answer(status=400, body=b"") if call.item.startswith("bad") else good()

    requests = [
        make_request(key, messages=(Message(role="system", content="Judge."), user(key)))
        for key in ("good", "bad1", "bad2", "bad3", "last")
    ]
    answers, server, engine = ask(behave, requests)
    assert [answers[key][0].finish_reason for key in ("good", "bad1", "bad2", "last")] == [
        "stop",
        "error",
        "error",
        "stop",
    ]
    assert all(call.body["messages"][0]["role"] == "system" for call in server.calls)
    assert max(Counter(call.item for call in server.calls).values()) <= 3
    assert engine.notes == ()


# Sampling as asked


def test_a_server_that_takes_no_further_parameters_is_said_to_shape_the_draw() -> None:
    unknown = {"top_k", "min_p", "repetition_penalty"}

    def behave(call: Call) -> Answer:
        found = sorted(unknown & set(call.body))
        return (
            failure(400, f"Unrecognized request arguments supplied: {', '.join(found)}") if found else good()
        )

    params = SamplingParams(temperature=0.7)
    sizes = dict.fromkeys(("one", "two", "three", "four", "five", "six"), 9)
    answers, server, engine = ask(behave, make_requests(**sizes), params)
    assert all(generations[0].error is None for generations in answers.values())
    assert len(server.calls) == 10
    assert server.calls[-1].body["top_p"] == 1.0 and not unknown & set(server.calls[-1].body)
    assert len(engine.notes) == 1
    assert "top_k, min_p, repetition_penalty are left to the server" in engine.notes[0]


def test_parameters_that_are_refused_one_after_the_other() -> None:
    def behave(call: Call) -> Answer:
        name = next(
            (one for one in ("min_p", "seed", "repetition_penalty", "top_p") if one in call.body), None
        )
        return good() if name is None else failure(400, f"{name}: extra inputs are not permitted")

    sizes = dict.fromkeys((*(f"item{number}" for number in range(20)), "last"), 9)
    answers, server, engine = ask(behave, make_requests(**sizes), SamplingParams(temperature=0.7))
    assert all(generations[0].error is None for generations in answers.values())
    assert len(calls_of(server, "last")) == 1
    assert "top_k" in server.calls[-1].body and "temperature" in server.calls[-1].body
    assert len(engine.notes) == 4


def test_a_server_that_refuses_several_things_and_never_says_which() -> None:
    def behave(call: Call) -> Answer:
        is_wrong = "seed" in call.body or "min_p" in call.body or call.body["messages"][0]["role"] == "system"
        return Answer(status=400, body=b"") if is_wrong else good()

    requests = [
        make_request(key, messages=(Message(role="system", content="Judge."), user(key)))
        for key in (*(f"item{number}" for number in range(20)), "last")
    ]
    answers, server, _ = ask(behave, requests, SamplingParams(temperature=0.7))
    assert all(generations[0].error is None for generations in answers.values())
    assert len(calls_of(server, "last")) == 1
    assert max(Counter(call.item for call in server.calls).values()) <= MOST_FORMS


def test_a_router_behind_which_one_server_knows_less() -> None:
    """What an error names is left out for the item that met it, though others were answered with it."""

    def behave(call: Call) -> Answer:
        is_wrong = call.item.startswith("odd") and "min_p" in call.body
        return failure(400, "not supported by this provider", param="min_p") if is_wrong else good()

    sizes = {f"{'odd' if n % 3 == 2 else 'even'}{n}": 9 for n in range(30)}
    answers, server, engine = ask(behave, make_requests(**sizes), SamplingParams(temperature=0.7))
    assert all(generations[0].error is None for generations in answers.values())
    assert len(server.calls) == 40
    (note,) = engine.notes
    assert note.startswith("min_p is left to the server (one item; ")
    for call in server.calls:
        assert "min_p" in call.body or call.attempt == 1
        assert {"top_k", "repetition_penalty", "seed"} <= {*call.body}


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_that_says_nothing_is_met_once_more(status: int) -> None:
    """All that could be changed was taken before: it may be a server behind, out of order for a moment."""

    def behave(call: Call) -> Answer:
        is_wrong = call.item.startswith("dead") or (call.item.startswith("odd") and call.attempt == 0)
        return failure(status, "Provider returned error") if is_wrong else good()

    requests = make_requests(first=99, odd1=9, odd2=9, dead=9, last=9)
    answers, server, engine = ask(behave, requests, SamplingParams(temperature=0.7))
    assert {key for key, (one,) in answers.items() if one.error} == {"dead"}
    (dead,) = answers["dead"]
    assert dead.is_refused and dead.error == f"HTTP {status}: Provider returned error"
    assert Counter(call.item.split()[0] for call in server.calls) == {
        "first": 1, "odd1": 2, "odd2": 2, "dead": 2, "last": 1
    }  # fmt: skip
    assert len({frozenset(call.body) for call in server.calls}) == 1 and engine.notes == ()


# A server that always says no


@pytest.mark.parametrize("status", [400, 413, 422, 500])
@pytest.mark.parametrize(
    "said", [b"", b"<h1>no</h1>", {"error": "nein"}, {"error": {"message": "no (req_8f3a2b)"}}]
)
@pytest.mark.parametrize("params", [SamplingParams(), SAMPLED])
def test_a_server_that_always_refuses_is_given_up(status: int, said: Any, params: SamplingParams) -> None:
    requests = [
        make_request(key, messages=(Message(role="system", content="Judge."), user(key)))
        for key in ("one", "two")
    ]
    answers, _, engine = ask(lambda call: Answer(status=status, body=said), requests, params, max_retries=3)
    for generations in answers.values():
        assert len(generations) == params.num_samples
        for generation in generations:
            assert generation.finish_reason == ("skipped" if status == 413 else "error")
            assert (generation.error or "").startswith(f"HTTP {status}")
    assert engine.notes == ()


def test_a_number_that_is_no_limit_makes_no_prompt_too_long() -> None:
    answers, _, _ = ask(lambda call: failure(400, "account 48213 is blocked"), make_requests(one=20))
    assert answers["one"][0].finish_reason == "error"


def test_a_passing_trouble_changes_nothing() -> None:
    """A 500 that comes twice may be about the request; one that passes is not, and no part is given up for it."""

    def behave(call: Call) -> Answer:
        return failure(500, "busy") if call.attempt < 3 and not call.item.startswith("first") else good()

    requests = make_requests(first=9, one=9, two=9, three=9)
    answers, server, engine = ask(behave, requests, SamplingParams(temperature=0.7))
    assert all(generations[0].error is None for generations in answers.values())
    assert len({frozenset(call.body) for call in server.calls}) == 1
    assert engine.notes == ()


@pytest.mark.parametrize(
    ("status", "said", "seconds"),
    [(500, "Internal server error", 0.5), (400, "Upstream error", 0.1), (422, "node 4711 is away", 0.1)],
)
def test_a_trouble_at_the_start_changes_nothing_for_the_run(status: int, said: str, seconds: float) -> None:
    """Those that were in flight met one and the same trouble; what two of them were tried with is no finding."""
    began: list[float] = []

    def behave(call: Call) -> Answer:
        began.append(call.at)
        if call.at < began[0] + seconds:
            return replace(failure(status, said), seconds=0.02)
        return good()

    requests = [
        make_request(name, messages=(Message(role="system", content="Judge."), user(name)))
        for name in (f"item{number:02}" for number in range(60))
    ]
    params = SamplingParams(temperature=0.7)
    options = {"backoff_seconds": 0.1, "max_backoff_seconds": 0.2}
    answers, server, _ = ask(behave, requests, params, concurrency=8, **options)
    assert sum(generations[0].error is None for generations in answers.values()) >= 52
    late = [call for call in server.calls if int(call.item[-2:]) >= 40]
    assert len(late) == 20
    for call in late:
        assert call.body["messages"][0]["role"] == "system" and call.body["temperature"] == 0.7
        assert {"seed", "top_p", "top_k", "min_p", "repetition_penalty"} <= {*call.body}
    assert all("temperature" in call.body for call in server.calls)


def test_a_failure_without_a_word_is_asked_about_as_it_was_meant_in_between() -> None:
    def behave(call: Call) -> Answer:
        return failure(500, "Internal server error") if call.attempt < 5 else good()

    answers, server, engine = ask(behave, make_requests(one=9), SamplingParams(temperature=0.7))
    assert answers["one"][0].error is None and engine.notes == ()
    meant = {*server.calls[0].body}
    assert [{*call.body} == meant for call in server.calls] == [True, True, False, True, False, True]


def test_one_choice_after_passing_troubles_is_not_taken_for_all() -> None:
    def behave(call: Call) -> Answer:
        return failure(500, "busy") if call.attempt < 20 else good(text=str(call.body["seed"]))

    answers, _, _ = ask(behave, make_requests(one=9), SAMPLED, max_retries=30)
    assert len({generation.text for generation in answers["one"]}) == 4


def test_access_that_is_refused_for_one_prompt_is_not_the_key() -> None:
    page = b"<html><title>Attention Required! | Cloudflare</title></html>"

    def behave(call: Call) -> Answer:
        return Answer(status=403, body=page, seconds=0.05) if call.item.startswith("bad") else good()

    answers, _, _ = ask(behave, make_requests(one=9, bad=9, two=9))
    assert [answers[key][0].finish_reason for key in ("one", "bad", "two")] == ["stop", "error", "stop"]
    with pytest.raises(GenerationError, match="refuses the key"):
        ask(behave, make_requests(one=9, **{f"bad{n}": 9 for n in range(30)}))


def test_a_key_that_is_refused_among_answers_may_be_a_passing_trouble() -> None:
    def behave(call: Call) -> Answer:
        is_refused = call.attempt < call.item.startswith("bad")
        return replace(failure(401, "auth backend timeout"), seconds=0.05) if is_refused else good()

    answers, server, _ = ask(behave, make_requests(one=9, **{f"bad{n}": 9 for n in range(30)}))
    assert all(generations[0].error is None for generations in answers.values())
    assert len(server.calls) == 61

    refused: list[str] = []

    def refuse_for_a_while(call: Call) -> Answer:
        if call.item.startswith("one"):
            return good()
        refused.append(call.item)
        return (
            replace(failure(401, "no"), seconds=0.05) if len(refused) <= 12 else good()
        )  # all of the first wave, some of the next

    sizes = {"one": 9, **{f"bad{n}": 9 for n in range(90)}}
    options = {"concurrency": 8, "backoff_seconds": 0.3, "max_backoff_seconds": 1.0}
    answers, _, _ = ask(refuse_for_a_while, make_requests(**sizes), **options)
    assert all(generations[0].error is None for generations in answers.values())

    def refuse(call: Call) -> Answer:
        return good() if call.item.startswith("one") else failure(401, "no")

    with pytest.raises(GenerationError, match="refuses the key"):
        ask(refuse, make_requests(one=9, **{f"bad{n}": 9 for n in range(30)}))


def test_a_model_that_a_server_does_not_know_in_any_language_ends_the_run() -> None:
    with FaultyServer(
        lambda call: failure(400, "\u6a21\u578b judge \u4e0d\u5b58\u5728"), models=["large"]
    ) as server:
        engine = OpenAIEngine("judge", server.base_url)
        with pytest.raises(GenerationError, match="does not serve model 'judge'; it serves large"):
            list(engine.generate([make_request("one")], SamplingParams()))


def test_a_name_that_is_not_listed_but_served_ends_nothing() -> None:
    def behave(call: Call) -> Answer:
        return failure(400, "judge: only one choice") if call.body.get("n", 1) > 1 else good()

    with FaultyServer(behave, models=["judge-q4.gguf"]) as server:
        engine = OpenAIEngine("judge", server.base_url)
        ((_, generations),) = engine.generate([make_request("one")], SAMPLED)
    assert [generation.error for generation in generations] == [None] * 4


# The shared cases


def test_the_shared_cases(shared: Path) -> None:
    """Each answer is given to every second item, always: the others are asked as before."""
    for case in read_cases(shared):
        sent = case.get("sent", {})

        def behave(call: Call, case: Mapping[str, Any] = case, sent: Mapping[str, int] = sent) -> Answer:
            is_meant = "bad" in call.item and all(call.body.get(key) == value for key, value in sent.items())
            return Answer(status=case["status"], body=case["body"]) if is_meant else good()

        params = SamplingParams(
            temperature=0.7 if "n" in sent else 0.0,
            num_samples=sent.get("n", 1),
            max_new_tokens=sent.get("max_tokens", MOST_NEW),
        )
        for sizes in (
            {"good1": 20, "bad1": 20, "good2": 20, "bad2": 4700},
            {"bad1": 20, "bad2": 20, "good1": 20},
        ):
            answers, server, _ = ask(behave, make_requests(**sizes), params)
            for key, generations in answers.items():
                right = "skipped" if "bad" in key and not sent else "stop"
                assert {one.finish_reason for one in generations} == {right}, (case, key, generations)
            if "max_tokens" in sent:
                assert [call.body["max_tokens"] for call in calls_of(server, "bad1")] == [16384, 8192]
            if "n" in sent:
                assert {len(generations) for generations in answers.values()} == {4}
            if not sent:
                assert all(call.body["max_tokens"] == MOST_NEW for call in calls_of(server, "good"))
                assert max(Counter(call.item for call in server.calls).values()) <= 5


# Prompts that are cut in silence


def count(sizes: Mapping[str, int], counts: Callable[[int], int]) -> tuple[str, ...]:
    def behave(call: Call) -> Answer:
        tokens = counts(count_tokens(call))
        return Answer(body=completion(usage={"prompt_tokens": tokens, "completion_tokens": 5}))

    return ask(behave, make_requests(**sizes), concurrency=4)[2].notes


def test_a_server_that_cuts_prompts_in_silence_is_told_about() -> None:
    sizes = {f"item{n}": 1000 * n for n in range(1, 9)}
    (note,) = count(sizes, lambda tokens: min(tokens, 2048))
    assert "both count as 2,048 tokens" in note and "cut prompts in silence" in note
    assert count(sizes, lambda tokens: tokens) == ()
    # Few tokens, but more of them for more text; and a fixed number for texts that may have it.
    assert count(sizes, lambda tokens: tokens // 2) == ()
    assert count({f"item{n}": 20 + n for n in range(9)}, lambda tokens: 100) == ()
