"""Decision endpoints without a server: bodies of both forms, and what of an answer counts."""

from __future__ import annotations

import json
from math import exp
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.engines import load_decider, load_engine
from rmr1.engines.base import Decider, Engine
from rmr1.engines.openai import DecisionModel
from rmr1.engines.openai.decisions import build_decision, find_form, read_decision
from rmr1.engines.openai.wire import ReplyError, build_messages
from rmr1.engines.options import read_options
from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.prompts.render import render_prompt
from rmr1.records import PreferencePair, Usage

URL = "http://127.0.0.1:8000/v1"
PAIR = PreferencePair(
    id="7",
    prompt=(user("2 + 2? [[A]]"),),
    response_a=(assistant("Four. <answer>[[A]]</answer>"),),
    response_b=(assistant("Five."),),
)


def body(answer: Any, **fields: Any) -> bytes:
    """OpenAI's form of a reply with one answer."""
    usage = {"input_tokens": 50, "output_tokens": 1, "total_tokens": 51}
    return json.dumps({"answers": [answer], "model": "m", "usage": usage, **fields}).encode()


def choice(value: str, a: Any, b: Any, **fields: Any) -> dict[str, Any]:
    listed = [{"value": "Chatbot A", "probability": a}, {"value": "Chatbot B", "probability": b}]
    return {"type": "choice", "name": "better", "choice": value, "probabilities": listed, **fields}


def test_a_prompt_in_both_forms() -> None:
    prompt = render_prompt(PAIR, "decision", order="swapped")
    system, shown = (message.text for message in prompt.messages)
    told = {"model": "m", "messages": build_messages(prompt.messages), "labels": prompt.labels}
    first = build_decision("decisions", **told, extra={"prompt_cache_key": "k"})
    assert first == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": shown}],
        "questions": [
            {
                "type": "choice",
                "name": "better",
                "instructions": system,
                "choices": [{"value": "Chatbot A"}, {"value": "Chatbot B"}],
            }
        ],
        "prompt_cache_key": "k",
    }
    second = build_decision("systemone", **told)
    question = {
        "type": "choice",
        "instructions": system,
        "criteria": {"Chatbot A": None, "Chatbot B": None},
    }
    assert second == {"model": "m", "state": shown, "questions": {"better": question}}
    assert (find_form(first), find_form(second)) == ("decisions", "systemone")
    assert shown.index("Five.") < shown.index("Four.")
    # User text is neutralised, and nothing asks for a verdict in writing.
    assert "[[A]]" not in shown and "<answer>" not in shown and "[[A]]" not in system


def test_pictures_and_a_prompt_without_a_system_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "Look:"}, picture]}]
    first = build_decision("decisions", model="m", messages=messages, labels="AB")
    assert first["input"][0]["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
    ]
    assert first["questions"][0]["instructions"] == "Which response is better?"
    second = build_decision("systemone", model="m", messages=messages, labels="AB")
    assert (second["state"], second["images"]) == ("Look:", ["data:image/png;base64,AAAA"])


def test_an_answer_in_openai_form() -> None:
    reply = read_decision(body(choice("Chatbot B", 0.25, 0.75, confidence=0.1)), "AB")
    assert (reply.shares, reply.mass, reply.fault) == ((("A", 0.25), ("B", 0.75)), None, None)
    assert reply.usage == Usage(prompt_tokens=50, completion_tokens=1) and reply.model == "m"
    assert [round(exp(value), 12) for _, value in reply.take_logprobs()] == [0.25, 0.75]


def test_an_answer_in_the_other_form_tells_the_mass_of_the_labels() -> None:
    answer = {"type": "choice", "choice": "Chatbot A", "probabilities": {"Chatbot A": 1.0, "Chatbot B": 0.0}}
    told = {
        "answers": {"better": answer},
        "diagnostics": {"better": {"label_mass": 0.5, "argmax_is_label": True}},
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    reply = read_decision(json.dumps(told).encode(), "AB")
    assert reply.mass == 0.5
    (_, a), (_, b) = reply.take_logprobs()
    assert exp(a) == pytest.approx(0.5) and b == -9999.0  # over the whole vocabulary


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (choice("Chatbot C", 0.5, 0.5), "chooses 'Chatbot C', which is none of the choices"),
        (choice("Chatbot A", 0.4, 0.6), "chooses 'Chatbot A', to which it gives the lower probability, 0.4"),
        (choice("Chatbot A", 0.4, 0.2), "add up to 0.6, not to 1"),
        (choice("Chatbot A", None, 0.2), "probability of 'Chatbot A' is None; expected a number from 0 to 1"),
        (choice("Chatbot A", True, 0), "probability of 'Chatbot A' is True"),
        (choice("Chatbot A", 1.2, -0.2), "probability of 'Chatbot A' is 1.2"),
        ({"type": "choice", "choice": "Chatbot A"}, "has no probabilities: 'm' tells only its choice"),
        (choice("Chatbot A", 0.6, 0.4, probabilities=[]), "has no probabilities"),
        ({"type": "predicate", "probability": 0.4}, "is of type 'predicate'; expected a choice"),
        ({"type": "refusal", "name": "better"}, "declined to answer"),
    ],
)
def test_an_answer_that_does_not_count(answer: dict[str, Any], fault: str) -> None:
    reply = read_decision(body(answer), "AB")
    assert reply.fault is not None and fault in reply.fault
    assert reply.shares == () and reply.is_declined is (answer["type"] == "refusal")
    assert reply.usage is not None  # it is billed all the same


@pytest.mark.parametrize(
    ("received", "told", "status"),
    [
        (b"<html>", "not valid JSON", None),
        (b"[]", "not a JSON object", None),
        (b'{"answers": []}', "holds no answer", None),
        (b'{"answers": {"other": {}}}', "holds no answer", None),
        (b'{"error": "Unexpected endpoint or method. (POST /v1/decisions)"}', "Unexpected endpoint", 404),
        (b'{"error": {"message": "no such route"}}', "no such route", 404),
    ],
)
def test_replies_that_are_none(received: bytes, told: str, status: int | None) -> None:
    with pytest.raises(ReplyError) as caught:
        read_decision(received, "AB")
    assert told in caught.value.message and caught.value.status == status


def test_the_model_and_its_options() -> None:
    model = load_decider(f"decisions:org/m@{URL}", {"concurrency": 4, "least_label_mass": 0.25})
    assert isinstance(model, DecisionModel) and isinstance(model, Decider) and not isinstance(model, Engine)
    assert model.name == f"decisions:org/m@{URL}"
    assert model.fingerprint() == {
        "engine": "decisions",
        "name": "org/m",
        "base_url": URL,
        "extra_body": {},
        "least_label_mass": 0.25,
    }
    shared = set(read_options("openai").model_fields) - {"use_max_completion_tokens"}
    assert set(read_options("decisions").model_fields) == {*shared, "least_label_mass"}
    assert read_options("decisions")().concurrency == 32
    for options, told in (
        ({"use_max_completion_tokens": True}, "unknown key 'engine.use_max_completion_tokens'"),
        ({"least_label_mass": 2}, "least_label_mass"),
        ({"extra_body": {"questions": []}}, "extra_body may not set 'questions'"),
    ):
        with pytest.raises(ConfigError, match=told):
            load_decider(f"decisions:m@{URL}", options)
    with pytest.raises(ConfigError, match="it chooses, and writes no text"):
        load_engine(f"decisions:m@{URL}")
    with pytest.raises(ConfigError, match="named decisions:NAME@URL"):
        load_decider("decisions:@http://x/v1")
