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
from typing import Any, Literal

import httpx
import orjson

from rmr1.engines.openai.limits import parse_retry_after
from rmr1.engines.openai.problems import Problem, is_moderated
from rmr1.engines.openai.remedies import Form
from rmr1.engines.openai.server import ChatServer
from rmr1.errors import GenerationError
from rmr1.records import Usage

_LOOKUP_SECONDS = 10.0
_MAX_NAMES = 10
_KEY_BACKOFFS = 4
"""Waits of the first length after which a key that was good is not believed to be good again soon."""
_RETRIED = {408, 409, 425, 429}
REFUSALS = (400, 413, 422)
"""Statuses of a request that the server may answer in another form."""
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
        is_empty: bool = False,
        is_lasting: bool = False,
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
        self.is_empty = is_empty
        """Whether the server has answered, with nothing."""
        self.is_lasting = is_lasting
        """Whether it is seldom gone by the next try, however long that waits: it gets few tries, and short waits."""
        self.at = time.monotonic()


class Refused(Exception):
    """A request that the server will not answer however often it is asked."""

    def __init__(self, message: str, *, finish_reason: Literal["error", "skipped"] = "error"):
        super().__init__(message)
        self.finish_reason = finish_reason


class Adapted(Exception):
    """The same request is to be sent in another form."""


async def judge_problem(
    server: ChatServer,
    client: httpx.AsyncClient,
    problem: Problem,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    form: Form,
    *,
    num_prompt_tokens: int,
) -> Exception:
    """What a status other than success means: the exception to raise. `form` is how `body` was written."""
    status = problem.status
    said = str(problem)
    if status == 403 and (is_moderated(f"{problem.code} {problem.text}") or server.forgive()):
        return Refused(said)
    if status == 401 and server.forgive(_KEY_BACKOFFS * server.patience.backoff_seconds):
        return Retry(f"HTTP {status}", problem.message)
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
        if status == 500 and form.is_repeated(problem):
            # A passing trouble does not say the same twice, so it may be the request after all.
            refusal = server.read_refusal(problem, body, form, num_prompt_tokens)
            is_undone = refusal.says_nothing and form.undo(problem)
            if not is_undone and not server.change_form(form, refusal) and refusal.is_too_long:
                return Refused(said, finish_reason="skipped")
        wait = parse_retry_after(headers, now=time.time())
        is_busy = status in _BUSY or wait is not None
        return Retry(f"HTTP {status}", problem.message, wait=wait, is_busy=is_busy)
    if status in REFUSALS:
        refusal = server.read_refusal(problem, body, form, num_prompt_tokens)
        if server.change_form(form, refusal):
            return Adapted()
        if status != 413 and refusal.says_nothing and server.patience.max_retries and form.ask_again():
            return Retry(f"HTTP {status}", problem.message)
        said = str(next(iter(form.reasons.values()), problem))  # of the request as it was meant
        if refusal.is_too_long:
            return Refused(said, finish_reason="skipped")
        if _is_about_model(problem, server.model) and not server.has_answered:
            missing = await _find_missing(server, client)
            if missing is not None:
                return GenerationError(missing)
    return Refused(said)


def _is_about_model(problem: Problem, model: str) -> bool:
    """Whether a field names the model, or the text repeats its name."""
    is_repeated = re.search(rf"(?<!\w){re.escape(model)}(?!\w)", problem.text) is not None
    return is_repeated or "model" in problem.code or "model" in problem.places


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
    names = ", ".join(served[:_MAX_NAMES])
    if len(served) > _MAX_NAMES:
        names += f" and {len(served) - _MAX_NAMES} more"
    return f"{server.base_url} does not serve model {server.model!r}; it serves {names}"
