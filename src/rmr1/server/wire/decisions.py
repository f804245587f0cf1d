"""`/v1/decisions`: OpenAI's decision endpoint, answered by a judge that reasons first and reads the probability
afterwards.

A `choice` of two choices that both have a description is a pair: the input is the conversation, the descriptions are the
answers, and the instructions stand before them as a system message. A judge of pairs answers no other question.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from rmr1.records import Judgment, PreferencePair
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.wire.common import OpenBody, describe_failure, is_failed, read_pair
from rmr1.verdicts.probability import tell_probability

_MOST_QUESTIONS = 400


class Choice(OpenBody):
    value: str | bool
    description: str | None = None


class Question(OpenBody):
    """A question about the input."""

    type: Literal["predicate", "choice", "score"]
    name: str | None = None
    instructions: str | list[dict[str, Any]] | None = None
    choices: list[Choice] = Field(default=[], max_length=255)


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

    @router.post("/v1/decisions", summary="Decide between two answers", tags=["judging"])
    async def decide(body: DecisionsBody, request: Request) -> dict[str, Any]:
        if len(body.questions) > service.settings.most_items:
            most = service.settings.most_items
            raise ServiceError(422, "too_many", f"{len(body.questions)} questions; at most {most} at a time")
        pairs = [_read(body.input, question, number) for number, question in enumerate(body.questions)]
        judging = asyncio.gather(*map(service.judge_pair, pairs))
        judgments = await hear_out(request, judging, service.deadline(None))
        answers = [_answer(*one) for one in zip(body.questions, judgments, strict=True)]
        return {"answers": answers, "model": service.judge.name, "usage": _count(judgments)}

    return router


def _read(asked: str | list[dict[str, Any]], question: Question, number: int) -> PreferencePair:
    place = f"questions.{number}"
    texts = [one.description for one in question.choices]
    if question.type != "choice" or len(texts) != 2 or not all(texts):
        raise ServiceError(
            422,
            "unsupported_question",
            f"{place}: this judge compares two answers; expected a choice of two, each with its answer as description",
        )
    messages = (
        [{"role": "user", "content": asked}]
        if isinstance(asked, str)
        else [_read_turn(one, place) for one in asked]
    )
    if question.instructions:
        messages.insert(0, {"role": "system", "content": _join(question.instructions, place)})
    return read_pair(messages, texts[0] or "", texts[1] or "")


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


def _answer(question: Question, judgment: Judgment) -> dict[str, Any]:
    if is_failed(judgment):
        raise ServiceError(502, "generation_failed", describe_failure(judgment), retry_after=1)
    probability = judgment.calibrated if judgment.calibrated is not None else tell_probability(judgment)
    if judgment.winner is None:
        return {"type": "refusal", "name": question.name}
    if probability is None:
        raise ServiceError(
            422, "no_probability", "the judge tells no probabilities; serve it with their log-probabilities"
        )
    shares = (probability, 1 - probability)
    values = [one.value for one in question.choices]
    return {
        "type": "choice",
        "name": question.name,
        "choice": values[0] if shares[0] >= shares[1] else values[1],
        "confidence": max(shares),
        "probabilities": [
            {"value": value, "probability": share} for value, share in zip(values, shares, strict=True)
        ],
    }


def _count(judgments: list[Judgment]) -> dict[str, Any]:
    read = sum(one.prompt_tokens for one in judgments if not one.is_cached)
    written = sum(one.completion_tokens for one in judgments if not one.is_cached)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": written},
        "total_tokens": read + written,
    }
