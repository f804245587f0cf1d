"""`/v1/chat/completions`: the model behind the judge, asked for a text as OpenAI's API asks for one.

Nothing of the judge is in between. Fields that would change the answer and are not supported are refused.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from rmr1.engines.base import Request as EngineRequest
from rmr1.engines.base import SamplingParams
from rmr1.judge.ask import Ask, ask_once
from rmr1.judge.generative import GenerativeJudge
from rmr1.records import NO_TEXT, Generation, JudgePrompt
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.wire.common import Body, read_turns
from rmr1.server.worker import Askings

_MEANINGLESS = (
    "user",
    "metadata",
    "store",
    "stream_options",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
)
"""Fields that change nothing in an answer of ours."""
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "stream": (False, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "logprobs": (False, None),
    "tools": ([], None),
    "tool_choice": ("none", None),
    "response_format": ({"type": "text"}, None),
}
"""Fields that are taken only with a value that asks for nothing."""


class ChatBody(Body):
    """A request of OpenAI's chat API."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"model": "judge", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}]
        },
    )

    model: str = ""
    messages: list[dict[str, Any]] = Field(min_length=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int = Field(default=1, ge=1, le=64)
    stop: str | list[str] | None = None
    seed: int | None = None


def make_router(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/chat/completions", summary="Ask the model itself", tags=["model"])
    async def complete(body: ChatBody, request: Request) -> dict[str, Any]:
        judge = service.judge
        if not isinstance(judge, GenerativeJudge):
            raise ServiceError(
                422, "no_text", f"{judge.name} is not one model that writes, which could be asked for a text"
            )
        params, prompt = _read(body, judge.settings.sampling.max_new_tokens)
        key = f"chat-{uuid.uuid4().hex}"
        seed = secrets.randbits(53) if body.seed is None else body.seed

        def make(_: Askings) -> Ask[Any, Any]:
            asked = EngineRequest(key=key, prompt=prompt, seed=seed, params=params)
            return Ask(key=key, steps=ask_once((asked,), lambda answers: answers[0]))

        texts = await hear_out(
            request, service.hear(asyncio.wrap_future(service.submit(key, make))), service.deadline(None)
        )
        return _dump(service, texts)

    return router


def _read(body: ChatBody, most_tokens: int) -> tuple[SamplingParams, JudgePrompt]:
    for name, value in (body.model_extra or {}).items():
        if name not in _MEANINGLESS and value not in _DEFAULTS.get(name, (None,)):
            raise ServiceError(422, "unsupported", f"{name} is not supported")
    messages = read_turns(body.messages, "messages", "user")
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    wanted = body.max_completion_tokens or body.max_tokens or most_tokens
    if wanted > most_tokens:
        raise ServiceError(422, "too_many", f"{wanted} tokens; this server writes at most {most_tokens}")
    params = SamplingParams(
        temperature=body.temperature,
        top_p=body.top_p,
        max_new_tokens=wanted,
        num_samples=body.n,
        stop=tuple(stop),
    )
    return params, JudgePrompt(pair_id="chat", family="chat", order="given", messages=messages, labels=())


def _dump(service: Service, texts: tuple[Generation, ...]) -> dict[str, Any]:
    if all(one.finish_reason in NO_TEXT for one in texts):
        first = texts[0]
        if first.finish_reason == "skipped":
            raise ServiceError(422, "too_long", first.error or "the prompt is too long for the model")
        raise ServiceError(
            502, "generation_failed", first.error or "the engine gave no answer", retry_after=1
        )
    read, written = texts[0].prompt_tokens, sum(one.completion_tokens for one in texts)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": service.judge.name,
        "choices": [
            {
                "index": number,
                "message": {"role": "assistant", "content": one.text},
                "finish_reason": one.finish_reason,
                "logprobs": None,
            }
            for number, one in enumerate(texts)
            if one.finish_reason not in NO_TEXT
        ],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }
