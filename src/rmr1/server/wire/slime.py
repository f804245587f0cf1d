"""`/rm`: the remote reward of slime (`--rm-type remote_rm`), one sample a request; the whole answer is the reward.

Samples are not told apart into groups, so an answer is compared with the reference of its label. Whole groups are
posted to `/v1/group/score` by a `custom_rm` function (`rmr1.integrations.slime`).
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict

from rmr1.server.barrier import Asked, Barrier
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.wire.common import OpenBody, Text, read_messages
from rmr1.server.wire.groups import name_group

CLIENT_SECONDS = 110.0
"""The client gives up after 120 seconds and asks again."""


class SampleBody(OpenBody):
    """A request of slime."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"prompt": "What is 2 + 2?", "response": "4", "label": "The sum is 4."}]
        },
    )

    prompt: Text
    response: str
    label: Any = None


def make_router(service: Service, barrier: Barrier) -> APIRouter:
    router = APIRouter(tags=["trainers"])

    @router.post("/rm", summary="Remote reward of slime")
    async def score(body: SampleBody, request: Request) -> float:
        if not isinstance(body.label, str) or not body.label.strip():
            raise ServiceError(
                422, "invalid", "label: expected a reference answer, with which the response is compared"
            )
        asked = Asked(
            size=1,
            prompt=read_messages(body.prompt, "prompt", "user"),
            method="reference",
            baseline=read_messages(body.label, "label"),
        )
        deadline = service.deadline(CLIENT_SECONDS)
        name = name_group("slime", body.prompt, body.label, body.response)
        try:
            told = await hear_out(
                request,
                barrier.score(name, 0, read_messages(body.response, "response"), asked, deadline),
                deadline + 5,
            )
        except ServiceError as error:
            return service.replace_failure(error)
        reward: float = told.reward
        return reward

    return router
