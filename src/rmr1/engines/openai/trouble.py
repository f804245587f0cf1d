"""What a failed try means: try again, send it in another form, give the request up, or end the run.

Tried again: 408, 409, 425, 429, every 5xx, and a 404 once the server has answered. Sent in another form, as long
as there is one that may help (`rmr1.engines.openai.remedies`): 400, 413, 422, and a 500 that comes back. The run
ends at what every other request would meet too: 402, an exhausted quota, a model that the server does not have, 401
and 403; but if others were answered, these two only once they come often in a row: 401 is tried again until then.
Everything else is the one request's own failure.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import orjson

from rmr1.engines.openai.limits import parse_retry_after
from rmr1.engines.openai.problems import ServerProblem, is_moderated
from rmr1.engines.openai.remedies import Form
from rmr1.engines.openai.server import ChatServer
from rmr1.errors import GenerationError
from rmr1.records import Usage

_LOOKUP_SECONDS = 10.0
_MAX_NAMES = 10
_KEY_BACKOFFS = 4
"""Waits of the first length after which a key that was good is not believed to be good again soon."""
_RETRIED = {404, 408, 409, 425, 429}
REFUSALS = (400, 413, 422)
"""Statuses of a request that the server may answer in another form."""
_BUSY = {429, 503, 529}


@dataclass(eq=False)
class Retry(Exception):
    """A try that failed and may be repeated."""

    what: str
    detail: str = ""
    wait: float | None = None
    """Seconds the server asks to wait."""
    is_connect: bool = False
    is_busy: bool = False
    """Whether the server says that it is asked too much."""
    usage: Usage = field(default_factory=Usage)
    is_empty: bool = False
    """Whether the server has answered, with nothing."""
    is_lasting: bool = False
    """Whether it is seldom gone by the next try, however long that waits: it gets few tries, and short waits."""


@dataclass(eq=False)
class Refused(Exception):
    """A request that the server will not answer however often it is asked."""

    message: str
    finish_reason: Literal["error", "skipped"] = "error"


class Adapted(Exception):
    """The same request is to be sent in another form."""


async def judge_problem(
    server: ChatServer,
    client: httpx.AsyncClient,
    problem: ServerProblem,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    form: Form,
) -> Exception:
    """What a status other than success means: the exception to raise. `form` is how `body` was written."""
    status, said, text = problem.status, str(problem), f"{problem.code} {problem.text}"
    if status == 403 and (is_moderated(text) or server.forgive()):
        return Refused(said)
    if status == 401 and server.forgive(_KEY_BACKOFFS * server.patience.backoff_seconds):
        return Retry(f"HTTP {status}", problem.message)
    if status in (401, 403):
        return GenerationError(f"{server.base_url} refuses the key: {said}; {server.key_hint()}")
    if status == 402 or (status == 429 and "insufficient_quota" in problem.code):
        return GenerationError(f"{server.base_url} wants to be paid: {said}; what is finished is kept")
    if status == 404 and not server.has_answered:
        return GenerationError(
            await _find_missing(server, client)
            or f"{server.base_url}/chat/completions: {said}; "
            "check the model's name and the URL, which usually ends in /v1"
        )
    # A trouble that passes does not say the same twice: a 500 that does may be about the request.
    if status in REFUSALS or (status == 500 and form.is_repeated(problem)):
        refusal = server.read_refusal(problem, body, form)
        is_undone = status == 500 and refusal.says_nothing and form.undo(problem)
        is_changed = is_undone or form.change(problem, lambda: server.rank(refusal.suggest()))
        meant = str(next(iter(form.reasons.values()), problem))  # said of the request as it was meant
        if not is_changed and refusal.is_too_long:
            return Refused(meant, "skipped")
        if status in REFUSALS:
            if is_changed:
                return Adapted()
            if refusal.says_nothing and server.patience.max_retries and form.ask_again():
                return Retry(f"HTTP {status}", problem.message)
            is_repeated = re.search(rf"(?<!\w){re.escape(server.model)}(?!\w)", problem.text) is not None
            is_about_model = is_repeated or "model" in problem.code or "model" in problem.places
            if (
                is_about_model
                and not server.has_answered
                and (missing := await _find_missing(server, client))
            ):
                return GenerationError(missing)
            return Refused(meant)
    if status not in _RETRIED and status < 500:
        return Refused(said)
    wait = parse_retry_after(headers, now=time.time())
    return Retry(f"HTTP {status}", problem.message, wait, is_busy=status in _BUSY or wait is not None)


async def _find_missing(server: ChatServer, client: httpx.AsyncClient) -> str | None:
    """A line that the server does not have the model, and which ones it has; None if it does not say so."""
    try:
        async with asyncio.timeout(min(_LOOKUP_SECONDS, server.patience.timeout_seconds)):
            listing = await client.get(f"{server.base_url}/models")
        served = [str(entry["id"]) for entry in orjson.loads(server.scrub(listing.content))["data"]]
    except (TimeoutError, httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    if not served or server.model in served:
        return None
    more = f" and {len(served) - _MAX_NAMES} more" if len(served) > _MAX_NAMES else ""
    names = ", ".join(served[:_MAX_NAMES])
    return f"{server.base_url} does not serve model {server.model!r}; it serves {names}{more}"
