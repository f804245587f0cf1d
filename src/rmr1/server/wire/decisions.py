"""`/v1/decisions`: OpenAI's decision endpoint, answered by a judge that reasons first and reads the probability
afterwards.

A `choice` of two choices that both have a description is a pair: the input is the conversation, the descriptions are the
answers, and the instructions stand before them as a system message. Other questions are answered only if the server is
told that its model can (`rmr1.server.questions`): a judge that was trained on pairs alone has not learnt to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from rmr1.prompts.question import MOST_OPTIONS
from rmr1.records import Judgment, PreferencePair
from rmr1.server import questions
from rmr1.server.questions import Asked
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.wire.common import OpenBody, describe_failure, is_failed, read_messages, read_pair
from rmr1.verdicts.probability import tell_probability

_MOST_QUESTIONS = 400


class Choice(OpenBody):
    value: str | bool
    description: str | None = None


class Level(OpenBody):
    label: str
    description: str | None = None


class Question(OpenBody):
    """A question about the input."""

    type: Literal["predicate", "choice", "score"]
    name: str | None = None
    instructions: str | list[dict[str, Any]] | None = None
    choices: list[Choice] = Field(default=[], max_length=255)
    levels: list[Level] = Field(default=[], max_length=255)


class DecisionsBody(OpenBody):
    """A request of OpenAI's API."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "model": "judge",
                    "input": "What is 2 + 2?",
                    "questions": [
                        {
                            "type": "choice",
                            "choices": [
                                {"value": "first", "description": "4"},
                                {"value": "second", "description": "5"},
                            ],
                        }
                    ],
                }
            ]
        },
    )

    model: str = ""
    input: str | list[dict[str, Any]]
    questions: list[Question] = Field(min_length=1, max_length=_MOST_QUESTIONS)


def make_router(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/decisions", summary="Decide questions about an input", tags=["judging"])
    async def decide(body: DecisionsBody, request: Request) -> dict[str, Any]:
        if len(body.questions) > service.settings.most_items:
            most = service.settings.most_items
            raise ServiceError(422, "too_many", f"{len(body.questions)} questions; at most {most} at a time")
        answering = [
            _decide(service, body.input, question, f"questions.{number}")
            for number, question in enumerate(body.questions)
        ]
        found = await hear_out(request, asyncio.gather(*answering), service.deadline(None))
        spent = [tokens for _, tokens in found]
        return {
            "answers": [answer for answer, _ in found],
            "model": service.judge.name,
            "usage": _count(sum(read for read, _ in spent), sum(written for _, written in spent)),
        }

    return router


async def _decide(
    service: Service, asked: str | list[dict[str, Any]], question: Question, place: str
) -> tuple[dict[str, Any], tuple[int, int]]:
    """The answer, and the tokens that were read and written for it."""
    texts = [one.description for one in question.choices]
    if question.type == "choice" and len(texts) == 2 and all(texts):
        judgment = await service.judge_pair(_read_pair(asked, question, place))
        spent = (0, 0) if judgment.is_cached else (judgment.prompt_tokens, judgment.completion_tokens)
        return _tell(question, _share(judgment)), spent
    if not service.settings.answers_questions:
        raise ServiceError(
            422,
            "unsupported_question",
            f"{place}: this judge compares two answers; expected a choice of two, each with its answer as description",
        )
    options = _list_options(question, place)
    conversation = read_messages(_read_input(asked, place), "input", "user")
    told = Asked(input=conversation, question=_join(question.instructions or "", place), options=options)
    decided = await questions.decide(service, told)
    generation = decided.generation
    return _tell(question, decided.shares), (generation.prompt_tokens, generation.completion_tokens)


def _list_options(question: Question, place: str) -> tuple[str, ...]:
    """What the question offers, as the prompt shows it."""
    if question.type == "predicate":
        return "The statement is true.", "The statement is false."
    if question.type == "choice":
        offered = [(str(one.value), one.description) for one in question.choices]
    else:
        offered = [(one.label, one.description) for one in question.levels]
    if not 2 <= len(offered) <= MOST_OPTIONS:
        raise ServiceError(422, "invalid", f"{place}: {len(offered)} options; expected 2 to {MOST_OPTIONS}")
    return tuple(f"{name}: {text}" if text else name for name, text in offered)


def _read_pair(asked: str | list[dict[str, Any]], question: Question, place: str) -> PreferencePair:
    read = _read_input(asked, place)
    messages = [{"role": "user", "content": read}] if isinstance(read, str) else read
    if question.instructions:
        messages = [{"role": "system", "content": _join(question.instructions, place)}, *messages]
    first, second = (one.description or "" for one in question.choices)
    return read_pair(messages, first, second)


def _read_input(asked: str | list[dict[str, Any]], place: str) -> str | list[dict[str, Any]]:
    return asked if isinstance(asked, str) else [_read_turn(one, place) for one in asked]


def _read_turn(turn: dict[str, Any], place: str) -> dict[str, Any]:
    """A message of the chat API for an item of the input; calls of tools and their results are messages too."""
    kind = turn.get("type", "message")
    if kind in ("function_call", "custom_tool_call"):
        call = {"name": turn.get("name"), "arguments": turn.get("arguments", turn.get("input"))}
        called = {"id": turn.get("call_id"), "type": "function", "function": call}
        return {"role": "assistant", "content": "", "tool_calls": [called]}
    if kind in ("function_call_output", "custom_tool_call_output"):
        content = _join(turn.get("output", ""), place)
        return {"role": "tool", "content": content, "tool_call_id": turn.get("call_id")}
    if kind != "message":
        raise ServiceError(422, "invalid", f"input: an item of type {str(kind)[:40]!r} is not known")
    role = {"developer": "system"}.get(str(turn.get("role")), turn.get("role"))
    return {"role": role, "content": _join(turn.get("content", ""), place)}


def _join(content: Any, place: str) -> str:
    """The text of a content of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(
        isinstance(one, dict) and isinstance(one.get("text"), str) for one in content
    ):
        return "\n\n".join(one["text"] for one in content)
    raise ServiceError(422, "invalid", f"{place}: expected texts, or parts that are texts")


def _share(judgment: Judgment) -> tuple[float, float] | None:
    """The probabilities of both answers; None if there is no verdict.

    Raises:
        ServiceError: the engine failed, or tells no probabilities.
    """
    if is_failed(judgment):
        raise ServiceError(502, "generation_failed", describe_failure(judgment), retry_after=1)
    if judgment.winner is None:
        return None
    probability = judgment.calibrated if judgment.calibrated is not None else tell_probability(judgment)
    if probability is None:
        raise ServiceError(
            422, "no_probability", "the judge tells no probabilities; serve it with their log-probabilities"
        )
    return probability, 1 - probability


def _tell(question: Question, shares: Sequence[float] | None) -> dict[str, Any]:
    """An answer in OpenAI's form; a question for which the judge named nothing is answered by a refusal."""
    if shares is None:
        return {"type": "refusal", "name": question.name}
    named: dict[str, Any] = {"type": question.type, "name": question.name}
    if question.type == "predicate":
        return {**named, "probability": shares[0]}
    if question.type == "choice":
        values = [one.value for one in question.choices]
        told = [{"value": value, "probability": one} for value, one in zip(values, shares, strict=True)]
        choice = values[max(range(len(values)), key=lambda place: shares[place])]
        return {**named, "choice": choice, "confidence": max(shares), "probabilities": told}
    labels = [one.label for one in question.levels]
    told = [
        {"label": label, "probability": one, "value": value}
        for value, (label, one) in enumerate(zip(labels, shares, strict=True))
    ]
    score = sum(value * one for value, one in enumerate(shares))
    return {**named, "score": score, "confidence": max(shares), "probabilities": told}


def _count(read: int, written: int) -> dict[str, Any]:
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": written},
        "total_tokens": read + written,
    }
