"""What every route calls: judgments of the workers, awaited with a deadline, and dropped if the client leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.requests import Request

from rmr1.errors import ConfigError, RMR1Error
from rmr1.judge.ask import Ask, ServableJudge
from rmr1.judge.base import PairJudge
from rmr1.judge.groups import place_both
from rmr1.judge.settings import Placement
from rmr1.records import Judgment, PreferencePair
from rmr1.server.guard import refusal
from rmr1.server.metrics import Metrics
from rmr1.server.queue import ClosedError, QueueFullError, TicketQueue
from rmr1.server.settings import ServeSettings
from rmr1.server.trace import Reader
from rmr1.server.worker import Askings, JudgeWorker, key_of


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
        self._placed: PairJudge | None = None
        """The judge as it is asked in both orders, which every comparison of a group wants."""

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

    def find_judge(self, order: Placement | None = None) -> PairJudge:
        """The judge as it is asked with another placement; to be looked at.

        Raises:
            ServiceError: it cannot be asked so.
        """
        if order is None or self.judge.order in (None, order):
            return self.judge
        try:
            if self._placed is None:
                self._placed = place_both(self.judge)
            return self._placed
        except ConfigError as error:
            raise ServiceError(422, "unsupported", str(error)) from None

    def submit(
        self,
        key: str,
        make: Callable[[Askings], Any],
        *,
        in_background: bool = False,
        reader: Reader | None = None,
    ) -> Future[Any]:
        """What is asked, under way.

        Raises:
            ServiceError: the queue is full, the server ends, or no worker is left.
        """
        if not any(one.is_alive for one in self.workers):
            raise ServiceError(503, "not_ready", self.failure or "the judge does not answer", retry_after=5)
        try:
            return self.queue.ask(key, make, in_background=in_background, reader=reader)
        except QueueFullError as error:
            raise ServiceError(429, "queue_full", str(error), retry_after=error.seconds) from None
        except ClosedError as error:
            raise ServiceError(503, "closing", str(error), retry_after=1) from None

    def submit_pair(
        self,
        pair: PreferencePair,
        *,
        key: str | None = None,
        order: Placement | None = None,
        in_background: bool = False,
        reader: Reader | None = None,
    ) -> Future[Judgment]:
        """A pair to be judged.

        Args:
            key: that of the pair in its run; by default that of the first such pair.
            order: another placement than the judge's own.
            reader: reads the texts along.
        """
        if order is not None:
            self.find_judge(order)
        name = key or key_of(pair)

        def make(askings: Askings) -> Ask[Any, Any]:
            return askings.find(order).ask(name, pair)

        return self.submit(f"{order or ''}/{name}", make, in_background=in_background, reader=reader)

    async def judge_pair(
        self,
        pair: PreferencePair,
        *,
        key: str | None = None,
        order: Placement | None = None,
        in_background: bool = False,
        reader: Reader | None = None,
    ) -> Judgment:
        """The judgment of a pair; arguments as of `submit_pair`.

        Raises:
            ServiceError: it cannot be asked for now, or the engine as a whole failed.
        """
        future = self.submit_pair(pair, key=key, order=order, in_background=in_background, reader=reader)
        judgment: Judgment = await self.hear(asyncio.wrap_future(future))
        self.metrics.count(judgment)
        return judgment

    async def hear(self, future: Awaitable[Any]) -> Any:
        """The result of what is under way; what befell the engine is told as an answer."""
        try:
            return await future
        except ServiceError:
            raise
        except RMR1Error as error:
            raise self.explain(error) from None

    def explain(self, error: RMR1Error) -> ServiceError:
        self.count_failures()
        return ServiceError(502, "engine_failed", str(error), retry_after=1)

    def replace_failure(self, error: ServiceError) -> float:
        """A number for a client that understands nothing else, if the policy gives one: the mean of the group.

        Raises:
            ServiceError: by policy, or because nothing of the group is known.
        """
        mean = error.more.get("group_mean")
        if self.settings.on_failure == "error" or mean is None:
            raise error
        self.metrics.rewards.labels("replaced_by_mean").inc()
        return float(mean)

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
