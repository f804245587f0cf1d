"""NeMo Gym: a resources server (`/verify`, `/seed_session`, `/aggregate_metrics`, `/compare`), and its GenRM model
(`/v1/responses`), which compares two answers in the form that `genrm_compare` asks for.

In `/verify` siblings meet in the barrier by `_ng_task_index` or `_ng_group_id`, and `_ng_rollout_index`; a judge that
fails gives reward 0 with `_ng_failure_class`, as Gym's own judges do, so that the row is left out and tried again.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from rmr1.judge.groups import reward_group
from rmr1.messages import Messages, assistant
from rmr1.records import Candidates
from rmr1.server.barrier import Asked, Barrier
from rmr1.server.comparing import Threads
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.settings import ServeSettings
from rmr1.server.wire.common import OpenBody, describe_failure, is_failed, read_messages, read_pair
from rmr1.server.wire.groups import check_size, name_group
from rmr1.store.codec import dumps
from rmr1.verdicts.probability import tell_probability


class VerifyBody(OpenBody):
    """A rollout."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any]
    response: dict[str, Any]


class CompareBody(OpenBody):
    """A conversation and the answers to it."""

    conversation_history: list[dict[str, Any]] = Field(min_length=1)
    response_objs: list[dict[str, Any]] = Field(min_length=2)
    principle: str | None = None


class ResponsesBody(OpenBody):
    """What `genrm_compare` asks its model."""

    model: str = ""
    input: str | list[dict[str, Any]]
    metadata: dict[str, Any] = Field(default_factory=dict)


def make_router(service: Service, barrier: Barrier) -> APIRouter:
    router = APIRouter(tags=["trainers"])
    threads = Threads(service)

    @router.post("/seed_session", summary="Begin a session of NeMo Gym; nothing is kept of it")
    async def seed_session() -> dict[str, Any]:
        return {}

    @router.post("/verify", summary="Reward of a rollout of NeMo Gym")
    async def verify(body: VerifyBody, request: Request) -> dict[str, Any]:
        extra = body.model_extra or {}
        asked, name, index = _read_rollout(body, extra, service.settings)
        answer = (assistant(read_output(body.response)),)
        deadline = service.deadline(None)
        echoed = {**extra, "responses_create_params": body.responses_create_params, "response": body.response}
        try:
            score = barrier.score if asked.baseline is not None else barrier.score_again
            scoring = score(name, answer=answer, asked=asked, deadline=deadline, index=index)
            told = await hear_out(request, scoring, deadline + 1)
        except ServiceError as error:
            if error.status == 422:
                raise
            failure = {"_ng_failure_class": "judge_failed", "_ng_failure_judge_error": str(error)}
            return {**echoed, "reward": 0.0, **failure}
        rests_on = {"judge_status": told.status, "judge_failed_comparisons": told.failed}
        return {**echoed, "reward": told.reward, **rests_on}

    @router.post("/aggregate_metrics", summary="Means over rollouts of NeMo Gym, failed ones left out")
    async def aggregate(body: dict[str, Any]) -> dict[str, Any]:
        rows = body.get("verify_responses", body.get("rollouts", []))
        rewards = [
            row["reward"]
            for row in (rows if isinstance(rows, list) else [])
            if isinstance(row, dict)
            and "_ng_failure_class" not in row
            and isinstance(row.get("reward"), int | float)
        ]
        mean = sum(rewards) / len(rewards) if rewards else None
        failed = (len(rows) if isinstance(rows, list) else 0) - len(rewards)
        return {"metrics": {"mean_reward": mean, "scored": len(rewards), "failed": failed}}

    @router.post("/compare", summary="Rewards of the answers of a cohort of NeMo Gym")
    async def compare(body: CompareBody, request: Request) -> dict[str, Any]:
        answers = [(assistant(read_output(one)),) for one in body.response_objs]
        if len(answers) > service.settings.most_group:
            raise ServiceError(
                422, "too_many", f"{len(answers)} answers; at most {service.settings.most_group}"
            )
        prompt = _with_principle(
            read_messages(body.conversation_history, "conversation_history"), body.principle
        )
        candidates = Candidates(id="0", prompt=prompt, responses=tuple(answers))
        deadline = service.deadline(None)
        found = await threads.compare(
            request, deadline, lambda judge: reward_group(judge, candidates), order="both"
        )
        if None in found.rewards:
            raise ServiceError(502, "no_reward", "an answer has no comparison with a verdict", retry_after=1)
        return {
            "rewards": list(found.rewards),
            "comparison_results": [],
            "metrics": {"failed": found.failed, "undecided": found.undecided},
        }

    @router.post("/v1/responses", summary="Stand in as the GenRM model of NeMo Gym")
    async def respond(body: ResponsesBody, request: Request) -> dict[str, Any]:
        answers = [body.metadata.get(name) for name in ("response_1", "response_2")]
        if not all(isinstance(one, str) for one in answers):
            raise ServiceError(
                422, "invalid", "metadata: expected response_1 and response_2, the answers to compare"
            )
        principle = body.metadata.get("principle")
        prompt = _with_principle(read_messages(body.input, "input", "user"), principle)
        pair = read_pair([{"role": one.role, "content": one.text} for one in prompt], *map(str, answers))
        judgment = await hear_out(request, service.judge_pair(pair), service.deadline(None))
        if is_failed(judgment):
            raise ServiceError(502, "generation_failed", describe_failure(judgment), retry_after=1)
        share = tell_probability(judgment)
        if share is None:
            share = {"A": 1.0, "B": 0.0, "tie": 0.5}.get(judgment.winner or "")
        if share is None:
            raise ServiceError(502, "no_verdict", f"there is no verdict: {judgment.problem}", retry_after=1)
        return _dump_response(service.judge.name, json.dumps(grade(share)), judgment)

    return router


def grade(share: float) -> dict[str, float]:
    """Scores from 1 to 5 and a ranking from 1 (the first is far better) to 6 for a probability that the first is better.

    >>> grade(1.0), grade(0.5)
    ({'score_1': 5.0, 'score_2': 1.0, 'ranking': 1.0}, {'score_1': 3.0, 'score_2': 3.0, 'ranking': 3.5})
    """
    return {
        "score_1": round(1 + 4 * share, 4),
        "score_2": round(5 - 4 * share, 4),
        "ranking": round(6 - 5 * share, 4),
    }


def read_output(response: Mapping[str, Any]) -> str:
    """The text of the assistant's messages of a response of OpenAI's Responses API.

    Raises:
        ServiceError: it has none.
    """
    texts = []
    output = response.get("output")
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, dict) or item.get("type", "message") != "message":
            continue
        content = item.get("content")
        parts = [{"text": content}] if isinstance(content, str) else content
        texts += [
            part["text"]
            for part in (parts if isinstance(parts, list) else [])
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
    if not "".join(texts).strip():
        raise ServiceError(
            422, "invalid", "response: expected output with a message of the assistant that has a text"
        )
    return "\n\n".join(texts)


def _read_rollout(
    body: VerifyBody, extra: Mapping[str, Any], settings: ServeSettings
) -> tuple[Asked, str, int]:
    create = body.responses_create_params
    prompt = read_messages(create.get("input", []), "responses_create_params.input", "user")
    metadata = extra.get("verifier_metadata") or {}
    reference = extra.get("reference", metadata.get("reference") if isinstance(metadata, dict) else None)
    if isinstance(reference, str) and reference.strip():
        asked = Asked(
            size=1, prompt=prompt, method="reference", baseline=read_messages(reference, "reference")
        )
        return asked, name_group("nemo", dumps(create).decode(), reference, read_output(body.response)), 0
    task = extra.get("_ng_group_id", extra.get("_ng_task_index", extra.get("prompt_id")))
    index = extra.get("_ng_rollout_index")
    size = extra.get("group_size", settings.group_size)
    if task is None or not isinstance(index, int) or not isinstance(size, int) or size < 2:
        raise ServiceError(
            422,
            "invalid",
            "expected a reference, or _ng_task_index and _ng_rollout_index with group_size (or a server that knows it)",
        )
    check_size(size, settings)
    attempt = extra.get("_ng_group_attempt", extra.get("_ng_attempt_index", 0))
    name = name_group("nemo", task, attempt, dumps(create.get("input")).decode())
    return Asked(size=size, prompt=prompt, method="win_rate"), name, index % size


def _with_principle(prompt: Messages, principle: Any) -> Messages:
    if not isinstance(principle, str) or not principle.strip():
        return prompt
    return (*read_messages([{"role": "system", "content": principle}], "principle"), *prompt)


def _dump_response(model: str, text: str, judgment: Any) -> dict[str, Any]:
    read, written = judgment.prompt_tokens, judgment.completion_tokens
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": model,
        "output": [
            {
                "id": f"msg_{uuid.uuid4().hex}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": written},
            "total_tokens": read + written,
        },
    }
