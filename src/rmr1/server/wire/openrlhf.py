"""`/get_reward`: the remote reward of OpenRLHF 0.11 (`openrlhf/utils/agent.py`), one rollout a request.

The client sends query (prompt and answer in one text), prompts and labels, and understands numbers only. The label is
JSON and says which group a rollout belongs to: `{"group": "row-17", "reference": "..."}`. With a reference the answer
is compared with it; else siblings meet in the barrier, numbered by what they say, because the client does not number them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from rmr1.messages import assistant, user
from rmr1.prompts.escape import find_tokens, is_control
from rmr1.server.barrier import Asked, Barrier, Reward
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.settings import ServeSettings
from rmr1.server.wire.common import OpenBody
from rmr1.server.wire.groups import check_size, name_group

CLIENT_SECONDS = 170.0
"""The client gives up after 180 seconds and asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """The reward of a rollout, and what it rests on."""

    reward: float
    failed: int = 0
    """Comparisons of its group without a verdict."""
    is_partial: bool = False
    """Whether siblings were missing."""
    is_replaced: bool = False
    """Whether it is the mean of its group, in the place of a reward."""


class RewardBody(OpenBody):
    """A request of OpenRLHF; its lists have one item in version 0.11."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "query": ["What is 2 + 2?\n4"],
                    "prompts": ["What is 2 + 2?\n"],
                    "labels": ['{"group": "row-3", "reference": "The sum is 4."}'],
                }
            ]
        },
    )

    query: list[str] = Field(min_length=1)
    prompts: list[str]
    labels: list[Any]


def make_router(service: Service, barrier: Barrier) -> APIRouter:
    router = APIRouter(tags=["trainers"])

    @router.post("/get_reward", summary="Remote reward of OpenRLHF")
    async def get_reward(body: RewardBody, request: Request) -> dict[str, Any]:
        if not len(body.query) == len(body.prompts) == len(body.labels) <= service.settings.most_items:
            raise ServiceError(422, "invalid", "query, prompts and labels differ in length, or are too long")
        deadline = service.deadline(CLIENT_SECONDS)
        asked = zip(body.query, body.prompts, body.labels, strict=True)
        rewards = asyncio.gather(
            *(_score(service, barrier, query, prompt, label, deadline) for query, prompt, label in asked)
        )
        told = await hear_out(request, rewards, deadline + 5)
        values = [one.reward for one in told]
        return {"rewards": values, "scores": values, "extra_logs": _list_logs(told)}

    return router


async def _score(
    service: Service, barrier: Barrier, query: str, prompt: str, label: Any, deadline: float
) -> _Scored:
    asked, group = read_label(label, prompt, service.settings)
    answer = cut_answer(query, prompt)
    try:
        if not answer.strip():
            raise ServiceError(422, "empty", "the answer is empty")
        name, said = [group, hashlib.sha256(prompt.encode()).hexdigest()], (assistant(answer),)
        told: Reward
        if asked.baseline is None:
            told = await barrier.score_again(name_group("openrlhf", *name), said, asked, deadline)
        else:
            told = await barrier.score(name_group("openrlhf", *name, answer), 0, said, asked, deadline)
        return _Scored(reward=told.reward, failed=told.failed, is_partial=told.status == "partial")
    except ServiceError as error:
        return _Scored(reward=service.replace_failure(error), is_replaced=True)


def _list_logs(told: Sequence[_Scored]) -> dict[str, list[float]]:
    """What OpenRLHF logs beside the rewards, a number for each: what they rest on."""
    return {
        "judge_failed_comparisons": [float(one.failed) for one in told],
        "judge_partial": [float(one.is_partial) for one in told],
        "judge_replaced_by_mean": [float(one.is_replaced) for one in told],
    }


def cut_answer(query: str, prompt: str) -> str:
    """What stands behind the prompt, without the tokens that end a turn.

    OpenRLHF decodes the query from tokens, which may put other spaces between them than the prompt has.

    >>> cut_answer("<s> Hello\\nThe answer is 4.<|im_end|>", "<s>Hello\\n")
    'The answer is 4.'

    Raises:
        ServiceError: the query does not begin with the prompt.
    """
    if query.startswith(prompt):
        place = len(prompt)
    else:
        place = 0
        for letter in "".join(prompt.split()):
            while place < len(query) and query[place].isspace():
                place += 1
            if query[place : place + 1] != letter:
                raise ServiceError(422, "invalid", "query does not begin with its prompt")
            place += 1
        query = query[:place] + query[place:].lstrip()
    answer = query[place:]
    while True:
        body = answer.rstrip()
        ends = [start for start, end in find_tokens(body) if end == len(body) and is_control(body[start:end])]
        if not ends:
            return answer
        answer = body[: min(ends)]


def read_label(label: Any, prompt: str, settings: ServeSettings) -> tuple[Asked, str]:
    """What a label says of the group and its reference answer.

    Raises:
        ServiceError: it says neither, or the size of the group is not known.
    """
    try:
        values = json.loads(label) if isinstance(label, str) else label
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not {"group", "reference"} & values.keys():
        raise ServiceError(
            422,
            "invalid",
            'a label has to be JSON such as {"group": "row-17"} or {"reference": "a good answer"}',
        )
    reference, size = values.get("reference"), values.get("size", settings.group_size)
    question = values.get("question", prompt)
    if not isinstance(question, str) or not isinstance(reference, str | None):
        raise ServiceError(422, "invalid", "question and reference of a label have to be texts")
    if not question.strip() or (reference is not None and not reference.strip()):
        raise ServiceError(422, "invalid", "question or reference of a label is empty")
    if reference is not None:
        baseline = (assistant(reference),)
        return Asked(size=1, prompt=(user(question),), method="reference", baseline=baseline), str(label)
    if not isinstance(size, int) or size < 2:
        raise ServiceError(
            422,
            "invalid",
            "the size of the group is not known: write it into the label, or start the server with it",
        )
    check_size(size, settings)
    return Asked(size=size, prompt=(user(question),), method="win_rate"), str(values["group"])
