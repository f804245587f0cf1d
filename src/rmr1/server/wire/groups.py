"""`/v1/rank` and `/v1/group/score`: the answers to one question in order, and their rewards; whole groups, or siblings that
come one by one."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, field_validator, model_validator

from rmr1.judge.groups import reward_group
from rmr1.judge.ranking.methods import DEFAULT_METHOD, METHODS
from rmr1.judge.ranking.waves import rank_all
from rmr1.messages import Messages
from rmr1.records import Candidates
from rmr1.rewards.groups import RewardMethod
from rmr1.server.barrier import Asked, Barrier
from rmr1.server.comparing import Threads
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.settings import ServeSettings
from rmr1.server.wire.common import Text, Timed, read_messages
from rmr1.store.codec import dump_record, dumps


class RankBody(Timed):
    """A question and its answers."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"question": "What is 2 + 2?", "answers": ["4", "5", "four"]}]},
    )

    question: Text
    answers: list[Text] = Field(min_length=2)
    method: str = Field(default=DEFAULT_METHOD, json_schema_extra={"enum": list(METHODS)})
    seed: int = 0

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"expected one of {', '.join(METHODS)}")
        return method


class ScoreBody(Timed):
    """A whole group under `answers`; or a sibling with `group`, `size`, `index` and `answer`.

    Without `index` siblings are numbered by what they say, for clients that do not number them.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"question": "What is 2 + 2?", "answers": ["4", "5", "four"]},
                {"question": "What is 2 + 2?", "group": "step-7/row-3", "size": 4, "index": 0, "answer": "4"},
            ]
        },
    )

    question: Text
    answers: list[Text] | None = Field(default=None, min_length=1)
    group: str | None = Field(default=None, min_length=1, max_length=500)
    size: int | None = Field(default=None, ge=1)
    index: int | None = Field(default=None, ge=0)
    attempt: int = 0
    answer: Text | None = None
    method: Literal["win_rate", "bradley_terry", "reference"] | None = None
    baseline: Text | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> ScoreBody:
        sibling = [value is not None for value in (self.group, self.size, self.answer)]
        is_sibling = any(sibling) or self.index is not None
        if is_sibling == (self.answers is not None) or is_sibling != all(sibling):
            raise ValueError("expected answers, or group, size, index and answer of a sibling")
        return self

    @property
    def way(self) -> RewardMethod:
        """The method; with a reference answer against it, if nothing else is said."""
        return self.method or ("win_rate" if self.baseline is None else "reference")


def name_group(*parts: object) -> str:
    """The name of a group in the barrier, of a bounded length."""
    return hashlib.blake2b(dumps([str(part) for part in parts]), digest_size=16).hexdigest()


def check_size(size: int, settings: ServeSettings) -> None:
    """
    Raises:
        ServiceError: a group may not be so large.
    """
    if size > settings.most_group:
        raise ServiceError(422, "too_many", f"a group of {size}; at most {settings.most_group}")


def make_router(service: Service, barrier: Barrier) -> APIRouter:
    router = APIRouter(tags=["groups"])
    threads = Threads(service)

    @router.post("/v1/rank", summary="Put answers in order")
    async def rank(body: RankBody, request: Request) -> dict[str, Any]:
        candidates = _gather(service, body.question, body.answers)
        deadline = service.deadline(body.timeout)
        ranking = await threads.compare(
            request,
            deadline,
            lambda judge: next(rank_all([candidates], judge, method=body.method, seed=body.seed)),
        )
        return {name: value for name, value in dump_record(ranking).items() if name != "candidates"}

    @router.post("/v1/group/score", summary="Rewards of a group, whole or sibling by sibling")
    async def score(body: ScoreBody, request: Request) -> dict[str, Any]:
        deadline = service.deadline(body.timeout)
        baseline = None if body.baseline is None else read_messages(body.baseline, "baseline")
        if body.answers is not None:
            candidates = _gather(service, body.question, body.answers)
            found = await threads.compare(
                request,
                deadline,
                lambda judge: reward_group(
                    judge, candidates, method=body.way, baseline=baseline, seed=body.seed
                ),
                order="both",
            )
            for problem in found.problems:
                service.metrics.rewards.labels(problem or "scored").inc()
            return {
                "rewards": found.rewards,
                "problems": found.problems,
                "method": found.method,
                "failed": found.failed,
                "undecided": found.undecided,
            }
        assert body.size is not None and body.answer is not None
        check_size(body.size, service.settings)
        asked = Asked(
            size=body.size,
            prompt=read_messages(body.question, "question", "user"),
            method=body.way,
            baseline=baseline,
            seed=body.seed,
        )
        name = name_group("group", body.group, body.attempt)
        answer = read_messages(body.answer, "answer")
        if body.index is None:
            scored = barrier.score_again(name, answer, asked, deadline)
        else:
            scored = barrier.score(name, body.index, answer, asked, deadline)
        told = await hear_out(request, scored, deadline + 1)
        return {
            "reward": told.reward,
            "status": told.status,
            "siblings": told.siblings,
            "method": body.way,
            "failed": told.failed,
        }

    return router


def _gather(service: Service, question: Text, answers: list[Text]) -> Candidates:
    if len(answers) > service.settings.most_group:
        raise ServiceError(422, "too_many", f"{len(answers)} answers; at most {service.settings.most_group}")
    found: list[Messages] = [read_messages(one, f"answers[{place}]") for place, one in enumerate(answers)]
    return Candidates(id="0", prompt=read_messages(question, "question", "user"), responses=tuple(found))
