"""The application: the routes of all wire formats over one service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from rmr1.server.barrier import Barrier
from rmr1.server.guard import CLOSED_BY_CLIENT, Guard, refusal
from rmr1.server.jobs import Jobs
from rmr1.server.keys import Keys
from rmr1.server.service import ClientLeftError, Service, ServiceError
from rmr1.server.wire import chat, decisions, groups, judge, nemo_gym, openrlhf, slime
from rmr1.server.wire import jobs as jobs_wire
from rmr1.version import __version__


def make_app(service: Service, *, keys: Keys, log: Callable[[str], object] | None = None) -> ASGIApp:
    """The whole server as an ASGI application."""

    jobs = None if service.settings.jobs is None else Jobs(service, service.settings.jobs)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        if jobs is not None:
            jobs.go_on()
        yield
        if jobs is not None:
            await jobs.close()
        service.queue.close()

    app = FastAPI(
        title="rmr1",
        version=__version__,
        description="A judge that thinks before it decides: pairs, rankings and rewards of groups.",
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        responses={
            status: {"description": text}
            for status, text in (
                (400, "no JSON in UTF-8"),
                (401, "no known key"),
                (403, "a page of another site asks"),
                (413, "too large"),
                (422, "not what is expected"),
                (429, "too much is waiting; Retry-After says when to come again"),
                (502, "the engine failed; try again"),
                (503, "the server is ending or not ready"),
                (504, "the deadline passed"),
            )
        },
    )
    barrier = Barrier(service)
    for module in (judge, decisions, chat):
        app.include_router(module.make_router(service))
    for trainer in (groups, openrlhf, slime, nemo_gym):
        app.include_router(trainer.make_router(service, barrier))
    app.include_router(jobs_wire.make_router(service, jobs))
    app.add_exception_handler(ServiceError, _tell_service_error)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http_error)
    app.add_exception_handler(ClientLeftError, _tell_nobody)
    app.add_exception_handler(Exception, _tell_mistake)

    @app.get("/health", tags=["state"], summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", tags=["state"], summary="Whether the judge answers")
    async def ready() -> Any:
        if service.is_ready:
            return {"status": "ready", "model": service.judge.name}
        raise ServiceError(503, "not_ready", service.failure or "the judge does not answer", retry_after=5)

    @app.get("/metrics", tags=["state"], summary="Counters, for Prometheus")
    async def metrics() -> Response:
        service.count_failures()
        return Response(service.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", tags=["state"], summary="The judge, as OpenAI's API lists models")
    async def models() -> dict[str, Any]:
        told = {"id": service.judge.name, "object": "model", "created": 0, "owned_by": "rmr1"}
        return {"object": "list", "data": [told]}

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(files("rmr1.server").joinpath("page.html").read_text(encoding="utf-8"))

    return Guard(app, settings=service.settings, keys=keys, metrics=service.metrics, log=log)


async def _tell_service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, round(error.retry_after)))}
    return JSONResponse(error.describe(), status_code=error.status, headers=headers)


async def _tell_invalid(_: Request, error: Exception) -> Response:
    """What is wrong with the fields; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    faults = [
        {"field": ".".join(map(str, one["loc"][1:])) or "body", "fault": one["msg"]} for one in error.errors()
    ]
    first = faults[0]
    message = f"{first['field']}: {first['fault']}"
    return JSONResponse(refusal("invalid", message, faults=faults[:20]), status_code=422)


async def _tell_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    return JSONResponse(
        refusal(kind, str(error.detail)), status_code=error.status_code, headers=error.headers
    )


async def _tell_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=CLOSED_BY_CLIENT)


async def _tell_mistake(_: Request, __: Exception) -> Response:
    message = "the server made a mistake; its log says which"
    return JSONResponse(refusal("internal", message), status_code=500)
