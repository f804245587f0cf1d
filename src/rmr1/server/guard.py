"""What stands before every route: keys, the limits of a body, answers to repeated requests, the log.

A body is read whole before a route sees it, in a bounded time, and has to be JSON of bounded depth in UTF-8. With an
`Idempotency-Key` a repeated request joins the first one, or gets its answer again.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import re
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rmr1.server.keys import Keys
from rmr1.server.metrics import Metrics
from rmr1.server.settings import ServeSettings

OPEN = ("/health",)
"""Routes that need no key."""

_DEEPEST = 64
"""Brackets inside one another."""
CLOSED_BY_CLIENT = 499
"""The status that a log shows of a request whose client has left; nobody receives it."""
_MOST_KEPT = 10_000
"""Answers to requests with an idempotency key that are kept."""
_MOST_KEPT_BYTES = 256 << 20
"""Bytes of them."""
_ENDS_IN_ERROR = re.compile(rb"^event: error\ndata: .*\n\n\Z", re.MULTILINE)
"""The end of a stream of events that failed."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def refusal(kind: str, message: str, *, is_retryable: bool = False, **more: Any) -> dict[str, Any]:
    """The body of every answer that is an error."""
    return {"error": {"type": kind, "message": message, "retryable": is_retryable, **more}}


@dataclass(slots=True)
class _Answer:
    """What a route sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


@dataclass(slots=True, kw_only=True)
class _Texts:
    """What a request and its answer said, for a log that may hold it."""

    asked: bytearray
    answered: bytearray

    def describe(self) -> dict[str, str]:
        return {
            "asked": self.asked.decode(errors="replace"),
            "answered": self.answered.decode(errors="replace"),
        }


class _Kept:
    """Answers to requests with an idempotency key: under way, or kept for a while."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._found: dict[bytes, tuple[bytes, asyncio.Future[_Answer]]] = {}
        """Name -> digest of the body, and its answer."""
        self._kept: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        """Name of an answered request -> since when, and its bytes."""
        self._num_bytes = 0

    def find(self, name: bytes) -> tuple[bytes, asyncio.Future[_Answer]] | None:
        self._forget()
        return self._found.get(name)

    def begin(self, name: bytes, digest: bytes) -> asyncio.Future[_Answer]:
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._found[name] = (digest, future)
        return future

    def keep(self, name: bytes, answer: _Answer) -> None:
        self._found[name][1].set_result(answer)
        self._kept[name] = (time.monotonic(), len(answer.body))
        self._num_bytes += len(answer.body)
        self._forget()

    def drop(self, name: bytes) -> None:
        """There is no answer; those that wait for it try again."""
        self._found.pop(name)[1].cancel()

    def _forget(self) -> None:
        oldest = time.monotonic() - self._seconds
        while self._kept and (
            next(iter(self._kept.values()))[0] < oldest
            or len(self._kept) > _MOST_KEPT
            or self._num_bytes > _MOST_KEPT_BYTES
        ):
            name, (_, size) = self._kept.popitem(last=False)
            self._num_bytes -= size
            del self._found[name]


class Guard:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServeSettings,
        keys: Keys,
        metrics: Metrics,
        log: Callable[[str], object] | None = None,
    ):
        self.app = app
        self._settings = settings
        self._keys = keys
        self._metrics = metrics
        self._log = log or (lambda line: print(line, file=sys.stderr, flush=True))
        self._kept = _Kept(settings.kept_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        started, status = time.perf_counter(), 0
        request_id = uuid.uuid4().hex
        key = None
        texts = _Texts(asked=bytearray(), answered=bytearray())

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {
                    **message,
                    "headers": [*message["headers"], (b"x-request-id", request_id.encode())],
                }
            elif self._settings.logs_texts:
                texts.answered.extend(message.get("body", b""))
            await send(message)

        try:
            if self._keys.is_open and is_foreign(scope, headers):
                await _refuse(
                    tell,
                    403,
                    "forbidden",
                    "a page of another site asks; a server without keys answers its own page only",
                )
                return
            if not self._keys.is_open and scope["path"] not in OPEN:
                key = self._keys.find(headers.get(b"authorization"))
                if key is None:
                    await _refuse(
                        tell, 401, "unauthorized", "expected an Authorization header with a known Bearer key"
                    )
                    return
            await self._pass_on(scope, headers, receive, tell, key, texts)
        except asyncio.CancelledError:
            # The server ends, and the time that it leaves to requests under way has passed.
            if not status:
                await _refuse(tell, 503, "closing", "the server ended before the request was answered")
        except Exception:
            if not status:
                await _refuse(tell, 500, "internal", "the server made a mistake; its log says which")
            raise
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", None) or "none"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            line = {
                "time": round(time.time(), 3),
                "request": request_id,
                "method": scope["method"],
                "route": route,
                "status": status or CLOSED_BY_CLIENT,
                "ms": round(1000 * seconds, 1),
                "key": key,
                **(texts.describe() if self._settings.logs_texts else {}),
            }
            self._log(json.dumps({name: value for name, value in line.items() if value is not None}))

    async def _pass_on(
        self,
        scope: Scope,
        headers: dict[bytes, str],
        receive: Receive,
        send: Send,
        key: str | None,
        texts: _Texts,
    ) -> None:
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        most = self._settings.most_bytes
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                body = await _read(receive, headers, most)
        except TimeoutError:
            await _refuse(
                send, 408, "timeout", f"the body took longer than {self._settings.body_seconds:g} seconds"
            )
            return
        if body is None:
            return  # the client has gone
        if len(body) > most:
            await _refuse(send, 413, "too_large", f"the body is larger than {most} bytes")
            return
        if body and (fault := find_fault(body)) is not None:
            await _refuse(send, 400, "malformed", fault)
            return
        texts.asked.extend(body)
        if body:  # which is JSON, whatever its client calls it
            kept = [one for one in scope["headers"] if one[0] != b"content-type"]
            scope["headers"] = [*kept, (b"content-type", b"application/json")]
        again = _replay(body, receive)
        name = headers.get(b"idempotency-key")
        if name is None:
            await self.app(scope, again, send)
        else:
            told = f"{key}\0{scope['path']}\0{name}"
            await self._answer_once(scope, again, send, hashlib.sha256(told.encode()).digest(), body)

    async def _answer_once(
        self, scope: Scope, receive: Receive, send: Send, name: bytes, body: bytes
    ) -> None:
        """Answer the first request under a name, and those that repeat it with what the first one got.

        What failed, or was left by its client, is no answer: the next one that waits for it takes the first one's place.
        """
        digest, future = hashlib.sha256(body).digest(), self._kept.find(name)
        while future is not None:
            if future[0] != digest:
                await _refuse(
                    send, 422, "idempotency_mismatch", "this Idempotency-Key came with another body before"
                )
                return
            await asyncio.wait({future[1]})
            if not future[1].cancelled():
                await _send(send, future[1].result())
                return
            future = self._kept.find(name)
        answering = self._kept.begin(name, digest)
        answer = _Answer()

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")
            await send(message)

        try:
            await self.app(scope, receive, record)
            is_answered = 200 <= answer.status < 500 and answer.status not in (429, CLOSED_BY_CLIENT)
            if is_answered and not _ENDS_IN_ERROR.search(answer.body):
                self._kept.keep(name, answer)
        finally:
            if not answering.done():  # it failed, so the next one tries again
                self._kept.drop(name)


def is_foreign(scope: Scope, headers: Mapping[bytes, str]) -> bool:
    """Whether a browser asks for a page of another site, which nothing but keys would keep from using the judge.

    It says so itself (`Origin`), or has reached this machine's own address under a name of its own (`Host`).
    """
    host, origin = headers.get(b"host", ""), headers.get(b"origin")
    if origin is not None and origin.partition("://")[2] != host:
        return True
    server = scope.get("server")
    is_local = server is not None and is_loopback(server[0])
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return is_local
    return is_local and not (name == "localhost" or _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def find_fault(body: bytes) -> str | None:
    """Why a body is not taken: no UTF-8, no JSON, or too deep; None if it is."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return f"the body is no JSON in UTF-8: {error}"
    depth = deepest = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return f"the body is nested deeper than {_DEEPEST} levels" if deepest > _DEEPEST else None


async def _read(receive: Receive, headers: dict[bytes, str], most: int) -> bytes | None:
    """The body, or so much of it that it is too large; None if the client has gone."""
    told = headers.get(b"content-length", "")
    if told.isdecimal() and int(told) > most:
        return bytes(most + 1)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > most or not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receives the body that was read, and afterwards what else comes."""
    is_told = False

    async def again() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, kind: str, message: str) -> None:
    body = orjson.dumps(refusal(kind, message, is_retryable=status in (408, 503)))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif status == 503:
        headers.append((b"retry-after", b"1"))
    await _send(send, _Answer(status, headers, body))


async def _send(send: Send, answer: _Answer) -> None:
    headers = [one for one in answer.headers if one[0] != b"x-request-id"]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
