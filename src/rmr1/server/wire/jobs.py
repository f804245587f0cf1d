"""`/v1/jobs`: large batches, judged behind all else, each in a run folder that every verb reads."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from rmr1.server.jobs import Jobs
from rmr1.server.service import Service, ServiceError
from rmr1.server.wire.common import Body, Text, read_pair


class JobPair(Body):
    question: Text
    a: Text
    b: Text


class JobBody(Body):
    """The pairs of a job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"pairs": [{"question": "What is 2 + 2?", "a": "4", "b": "5"}]}]},
    )

    pairs: list[JobPair] = Field(min_length=1)


def make_router(service: Service, jobs: Jobs | None) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    def require() -> Jobs:
        if jobs is None:
            raise ServiceError(501, "no_jobs", "this server takes no jobs; it has no folder for them")
        return jobs

    @router.post("", status_code=202, summary="Judge many pairs in the background")
    async def start(body: JobBody) -> dict[str, Any]:
        job = require().create([read_pair(one.question, one.a, one.b) for one in body.pairs])
        return job.describe()

    @router.get("", summary="All jobs")
    def list_jobs() -> dict[str, Any]:
        return {"jobs": [job.describe() for job in require().list()]}

    @router.get("/{name}", summary="How far a job is")
    def show(name: str) -> dict[str, Any]:
        return require().find(name).describe()

    @router.get("/{name}/judgments", summary="What is judged so far, a line of JSON each")
    async def read(name: str) -> Response:
        return StreamingResponse(require().find(name).read(), media_type="application/x-ndjson")

    @router.delete("/{name}", summary="Stop a job; what is judged stays")
    async def stop(name: str) -> dict[str, Any]:
        job = require().find(name)
        await job.stop()
        return job.describe()

    return router
