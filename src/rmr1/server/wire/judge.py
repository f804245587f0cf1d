"""`/v1/judge`: which of two answers is better, and why; one pair, or many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, model_validator

from rmr1.records import Judgment, Order, PreferencePair, Side
from rmr1.server.service import ClientLeftError, Service, ServiceError, hear_out
from rmr1.server.trace import Piece, Reader
from rmr1.server.wire.common import (
    Body,
    Text,
    Timed,
    describe_failure,
    dump_judgment,
    is_failed,
    read_pair,
)
from rmr1.server.worker import key_of
from rmr1.store.codec import dumps

_ALIVE_SECONDS = 10.0
"""A stream that has nothing to say tells so often that it is there."""


class Pair(Body):
    """A question and two answers."""

    question: Text
    a: Text
    b: Text

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"question": "What is 2 + 2?", "a": "4", "b": "2 + 2 makes 5, as everybody knows."}]
        }
    )


class JudgeBody(Timed):
    """One pair, or several under `pairs`."""

    question: Text | None = None
    a: Text | None = None
    b: Text | None = None
    pairs: list[Pair] | None = Field(default=None, min_length=1)
    stream: bool = Field(default=False, description="answer with server-sent events")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "What is 2 + 2?", "a": "4", "b": "2 + 2 makes 5, as everybody knows."},
                {"pairs": [{"question": "What is 2 + 2?", "a": "4", "b": "5"}], "timeout": 60},
            ]
        }
    )

    @model_validator(mode="after")
    def _check(self) -> JudgeBody:
        is_one = [value is not None for value in (self.question, self.a, self.b)]
        if any(is_one) == (self.pairs is not None) or any(is_one) != all(is_one):
            raise ValueError("expected question, a and b, or pairs")
        return self


def make_router(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/judge", summary="Judge a pair, or several", tags=["judging"])
    async def judge(body: JudgeBody, request: Request) -> Any:
        asked = body.pairs or [Pair(question=body.question or "", a=body.a or "", b=body.b or "")]
        if len(asked) > service.settings.most_items:
            raise ServiceError(
                422, "too_many", f"{len(asked)} pairs; at most {service.settings.most_items} at a time"
            )
        pairs = [read_pair(one.question, one.a, one.b) for one in asked]
        deadline = service.deadline(body.timeout)
        if body.stream:
            if body.pairs is not None:
                raise ServiceError(422, "invalid", "a stream is of one pair")
            events = _stream(service, pairs[0], request, deadline)
            return StreamingResponse(events, media_type="text/event-stream")
        if body.pairs is None:
            return _dump(pairs[0], await hear_out(request, service.judge_pair(pairs[0]), deadline))
        results = await hear_out(
            request, asyncio.gather(*(_judge_one(service, pair, deadline) for pair in pairs)), deadline + 1
        )
        return {"judgments": results}

    return router


async def _judge_one(service: Service, pair: PreferencePair, deadline: float) -> dict[str, Any]:
    """The judgment of one of several pairs, or why there is none: it takes no other along."""
    try:
        async with asyncio.timeout(service.left(deadline)):
            judgment = await service.judge_pair(pair)
    except TimeoutError:
        error = ServiceError(504, "deadline", "the deadline passed before the judgment was there")
        return {"key": key_of(pair), **error.describe()}
    except ServiceError as error:
        return {"key": key_of(pair), **error.describe()}
    return dump_judgment(key_of(pair), judgment)


async def _stream(
    service: Service, pair: PreferencePair, request: Request, deadline: float
) -> AsyncIterator[bytes]:
    """Server-sent events: `text` as the engine writes, `waiting` while there is nothing, then a `vote` for each text, and
    `judgment` or `error`."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(news.set)

    reader = Reader(wake)
    work = service.judge_pair(pair, reader=reader)
    task = asyncio.ensure_future(hear_out(request, work, deadline))
    task.add_done_callback(lambda _: news.set())
    try:
        while not task.done():
            try:
                async with asyncio.timeout(_ALIVE_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield _event("waiting", {"waiting": service.queue.num_waiting})
            news.clear()
            for piece in reader.take():
                yield _tell(piece)
        judgment: Judgment = task.result()
        for piece in reader.finish(judgment.votes):
            yield _tell(piece)
        for vote in judgment.votes:
            told = {**_name(vote.order, vote.side, vote.sample), "winner": vote.winner}
            yield _event("vote", {**told, "text": vote.generation.text})
        yield _event("judgment", _dump(pair, judgment))
    except ServiceError as error:
        yield _event("error", error.describe())
    except ClientLeftError:
        return
    finally:
        reader.leave()
        task.cancel()


def _dump(pair: PreferencePair, judgment: Judgment) -> dict[str, Any]:
    """
    Raises:
        ServiceError: the engine gave no answer.
    """
    if is_failed(judgment):
        raise ServiceError(502, "generation_failed", describe_failure(judgment), retry_after=1)
    return dump_judgment(key_of(pair), judgment)


def _tell(piece: Piece) -> bytes:
    return _event("text", {**_name(*piece.place), "start": piece.start, "delta": piece.delta})


def _name(order: Order, side: Side | None, sample: int) -> dict[str, Any]:
    """The fields that name a text; the side is there only if answers are rated."""
    return {"order": order, **({} if side is None else {"side": side}), "sample": sample}


def _event(name: str, values: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps(values) + b"\n\n"
