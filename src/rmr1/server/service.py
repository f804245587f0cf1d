"""What every route calls: judgments of the workers, awaited with a deadline, and dropped if the client leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.requests import Request

from rmr1.errors import RMR1Error
from rmr1.judge.ask import Ask, Asking, ServableJudge
from rmr1.records import Judgment, PreferencePair
from rmr1.server.guard import refusal
from rmr1.server.metrics import Metrics
from rmr1.server.queue import ClosedError, QueueFullError, TicketQueue
from rmr1.server.settings import ServeSettings
from rmr1.server.worker import JudgeWorker, key_of


class ServiceError(RMR1Error):
    """An answer that is an error."""

    def __init__(
        self, status: int, kind: str, message: str, *, retry_after: float | None = None, **more: Any
    ):
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
        self.more = more

    def describe(self) -> dict[str, Any]:
        """The body of the answer; `retryable` says whether the same request may be answered later."""
        is_retryable = self.status in (408, 429, 502, 503, 504)
        return refusal(self.kind, str(self), is_retryable=is_retryable, **self.more)


class ClientLeftError(Exception):
    """The client has closed its connection; nobody is there to be answered."""


class Service:
    """A judge that many callers ask."""

    def __init__(
        self,
        judge: ServableJudge,
        queue: TicketQueue,
        workers: Sequence[JudgeWorker],
        settings: ServeSettings,
    ):
        self.judge = judge
        self.queue = queue
        self.workers = tuple(workers)
        self.settings = settings
        self.metrics = Metrics(queue)
        self._counted_failures = 0

    @property
    def is_ready(self) -> bool:
        """Whether a worker is there whose engine answered when it was asked last."""
        return any(one.is_alive and one.failure is None for one in self.workers)

    @property
    def failure(self) -> str | None:
        """Why it is not ready."""
        failures = [one.failure or "the worker has ended" for one in self.workers]
        return None if self.is_ready else "; ".join(dict.fromkeys(failures))

    def count_failures(self) -> None:
        """Count what befell the engines since the last time."""
        number = sum(one.num_failures for one in self.workers)
        self.metrics.engine_failures.inc(number - self._counted_failures)
        self._counted_failures = number

    def submit(
        self, key: str, make: Callable[[Any], Any], *, in_background: bool = False
    ) -> asyncio.Future[Any]:
        """What is asked, under way.

        Raises:
            ServiceError: the queue is full, or the server ends.
        """
        try:
            future: Future[Any] = self.queue.ask(key, make, in_background=in_background)
        except QueueFullError as error:
            raise ServiceError(429, "queue_full", str(error), retry_after=error.seconds) from None
        except ClosedError as error:
            raise ServiceError(503, "closing", str(error), retry_after=1) from None
        return asyncio.wrap_future(future)

    async def judge_pair(self, pair: PreferencePair, *, in_background: bool = False) -> Judgment:
        """The judgment of a pair.

        Raises:
            ServiceError: it cannot be asked for now, or the engine as a whole failed.
        """
        return await self.judge_as(key_of(pair), pair, in_background=in_background)

    async def judge_as(self, key: str, pair: PreferencePair, *, in_background: bool = False) -> Judgment:
        """The judgment of a pair that has this key in its run; as `judge_pair`."""

        def make(asking: Asking[Any, Any]) -> Ask[Any, Any]:
            return asking.ask(key, pair)

        judgment: Judgment = await self.ask(key, make, in_background=in_background)
        self.metrics.count(judgment)
        return judgment

    async def ask(self, key: str, make: Callable[[Any], Any], *, in_background: bool = False) -> Any:
        """The result of a ticket; as `judge_pair`."""
        try:
            return await self.submit(key, make, in_background=in_background)
        except ServiceError:
            raise
        except RMR1Error as error:
            self.count_failures()
            raise ServiceError(502, "engine_failed", str(error), retry_after=1) from None

    def deadline(self, seconds: float | None) -> float:
        """When a request ends that may take so long, by the event loop's clock; at most the server's own limit."""
        most = self.settings.seconds
        return time.monotonic() + (most if seconds is None else min(seconds, most))

    @staticmethod
    def left(deadline: float) -> float:
        """Seconds until a deadline; 0 if it has passed."""
        return max(0.0, deadline - time.monotonic())


async def hear_out(request: Request, work: Any, deadline: float) -> Any:
    """The result of an awaitable, unless the deadline passes or the client leaves: then it is cancelled.

    Raises:
        ServiceError: the deadline has passed. ClientLeftError: the client has left.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_leaving(request))
    try:
        await asyncio.wait(
            {task, leaving},
            timeout=Service.left(deadline),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if task.done():
            return task.result()
        if leaving.done():
            raise ClientLeftError
        raise ServiceError(504, "deadline", "the deadline passed before the judgment was there")
    finally:
        for one in (task, leaving):
            one.cancel()


async def _wait_for_leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
