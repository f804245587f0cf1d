"""What a failed try means: try again, send it in another form, give the request up, or end the run.

Tried again: 408, 409, 425, 429, every 5xx, and a 404 once the server has answered. The run ends at what every
other request would meet too: 401, 402, 403 (unless moderation refused this one prompt), an exhausted quota, a
model that the server does not have. Everything else is the one request's own failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

import httpx
import orjson

from rmr1.engines.openai.limits import parse_retry_after
from rmr1.engines.openai.server import ChatServer
from rmr1.engines.openai.wire import Dialect, is_moderated, read_problem
from rmr1.errors import GenerationError
from rmr1.records import Usage

_LOOKUP_SECONDS = 10.0
_MAX_NAMES = 10
_RETRIED = {408, 409, 425, 429}
_BUSY = {429, 503, 529}


class Retry(Exception):
    """A try that failed and may be repeated."""

    def __init__(
        self,
        what: str,
        detail: str = "",
        *,
        wait: float | None = None,
        is_connect: bool = False,
        is_busy: bool = False,
        usage: Usage | None = None,
    ):
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.wait = wait
        """Seconds the server asks to wait."""
        self.is_connect = is_connect
        self.is_busy = is_busy
        """Whether the server says that it is asked too much."""
        self.usage = usage or Usage()
        self.at = time.monotonic()


class Refused(Exception):
    """A request that the server will not answer however often it is asked."""

    def __init__(self, message: str, *, finish_reason: Literal["error", "skipped"] = "error"):
        super().__init__(message)
        self.finish_reason = finish_reason


class Adapted(Exception):
    """The same request is to be sent in another form."""

    def __init__(self, *, has_length: bool = True):
        super().__init__()
        self.has_length = has_length


async def judge_problem(
    server: ChatServer,
    client: httpx.AsyncClient,
    response: httpx.Response,
    received: bytes,
    body: Mapping[str, Any],
    dialect: Dialect,
    has_length: bool,
) -> Exception:
    """What a status other than success means: the exception to raise."""
    status = response.status_code
    problem = read_problem(status, received)
    said = str(problem)
    if status == 403 and is_moderated(problem.message):
        return Refused(said)
    if status in (401, 403):
        return GenerationError(f"{server.base_url} refuses the key: {said}; {server.key_hint()}")
    if status == 402 or (status == 429 and "insufficient_quota" in problem.code):
        return GenerationError(f"{server.base_url} wants to be paid: {said}; what is finished is kept")
    if status == 404:
        if not server.has_answered:
            return GenerationError(
                await _find_missing(server, client)
                or f"{server.base_url}/chat/completions: {said}; "
                "check the model's name and the URL, which usually ends in /v1"
            )
        return Retry(f"HTTP {status}", problem.message)
    if status in _RETRIED or status >= 500:
        wait = parse_retry_after(response.headers, now=time.time())
        is_busy = status in _BUSY or wait is not None
        return Retry(f"HTTP {status}", problem.message, wait=wait, is_busy=is_busy)
    if status in (400, 413, 422):
        if problem.is_overlong:
            # The answer may be what does not fit: then the server is left to use the room there is.
            return Adapted(has_length=False) if has_length else Refused(said, finish_reason="skipped")
        if status != 413 and server.learn(problem, body, dialect):
            return Adapted()
        if (
            problem.is_unknown_model
            and not server.has_answered
            and (missing := await _find_missing(server, client))
        ):
            return GenerationError(missing)
    return Refused(said)


async def _find_missing(server: ChatServer, client: httpx.AsyncClient) -> str | None:
    """That the server does not have the model, and which ones it has; None where it does not say so."""
    try:
        async with asyncio.timeout(min(_LOOKUP_SECONDS, server.patience.timeout_seconds)):
            listing = await client.get(f"{server.base_url}/models")
        served = [str(entry["id"]) for entry in orjson.loads(server.scrub(listing.content))["data"]]
    except (TimeoutError, httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    if not served or server.model in served:
        return None
    names = ", ".join(served[:_MAX_NAMES])
    if len(served) > _MAX_NAMES:
        names += f" and {len(served) - _MAX_NAMES} more"
    return f"{server.base_url} does not serve model {server.model!r}; it serves {names}"
