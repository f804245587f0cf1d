"""Judges that stand for the workers' one where a ranking or the rewards of a group want a judge.

Both are asked as any judge (`rmr1.judge.base.PairJudge`): one has what it is asked about judged by the workers, the other
knows judgments that were made already. So a ranking and a reward are computed by the same code as outside of a server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from starlette.requests import Request

from rmr1.errors import ConfigError, DataError, RMR1Error
from rmr1.judge.base import PairJudge
from rmr1.judge.settings import Placement
from rmr1.records import Judgment, PreferencePair
from rmr1.server.service import Service, ServiceError, hear_out
from rmr1.server.worker import key_of
from rmr1.store.runs import RunWriter

Result = TypeVar("Result")

_MOST_AT_ONCE = 64
"""Whole groups that are worked at at a time, each by a thread that mostly waits."""


class Threads:
    """Works at whole groups, each in a thread that asks the workers and waits for them."""

    def __init__(self, service: Service):
        self._service = service
        self._pool = ThreadPoolExecutor(max_workers=_MOST_AT_ONCE, thread_name_prefix="group")
        self._num_groups = 0

    async def compare(
        self,
        request: Request,
        deadline: float,
        function: Callable[[QueuedJudge], Result],
        *,
        order: Placement | None = None,
    ) -> Result:
        """What a function makes of a judge that it asks; `order` is another placement than the judge's own.

        Raises:
            ServiceError: too many are waiting, the question is wrong, or asking failed.
        """
        if self._num_groups >= _MOST_AT_ONCE + self._service.settings.most_waiting:
            seconds = self._service.queue.estimate_wait()
            raise ServiceError(429, "queue_full", "too many groups are waiting", retry_after=seconds)
        judge = QueuedJudge(self._service, deadline, order)
        self._num_groups += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, function, judge)
            result: Result = await hear_out(request, work, deadline)
            return result
        except (ConfigError, DataError) as error:
            raise ServiceError(422, "invalid", str(error)) from None
        finally:
            self._num_groups -= 1
            judge.leave()


class _Standing:
    """What both have of the judge for which they stand."""

    def __init__(self, judge: PairJudge):
        self.name = judge.name
        self.order: Placement | None = judge.order
        self._judge = judge

    def describe(self) -> dict[str, Any]:
        return self._judge.describe()

    def close(self) -> None:
        """Nothing to release."""


class QueuedJudge(_Standing):
    """Has pairs judged by the workers, and waits for them; for a thread that may wait."""

    def __init__(self, service: Service, deadline: float, order: Placement | None = None):
        """
        Args:
            order: another placement than the judge's own.
        """
        super().__init__(service.find_judge(order))
        self._order = order
        self._service = service
        self._deadline = deadline
        self._is_left = False
        self._waiting: dict[Future[Judgment], str] = {}

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """
        Raises:
            ServiceError: the queue is full, the engine failed, or the deadline has passed.
        """
        try:
            left = deque(pairs)
            while left or self._waiting:
                self._submit(left)
                done, _ = wait(
                    self._waiting, timeout=Service.left(self._deadline), return_when=FIRST_COMPLETED
                )
                if self._is_left or not done:
                    raise ServiceError(
                        504, "deadline", "the deadline passed before all comparisons were made"
                    )
                for future in done:
                    key = self._waiting.pop(future)
                    try:
                        judgment = future.result()
                    except ServiceError:
                        raise
                    except RMR1Error as error:
                        raise self._service.explain(error) from None
                    self._service.metrics.count(judgment)
                    yield key, judgment
        finally:
            self._drop()

    def _submit(self, pairs: deque[PreferencePair]) -> None:
        """Put pairs into the queue; if it is full, the others when one of ours is judged."""
        while pairs:
            try:
                future = self._service.submit_pair(pairs[0], order=self._order)
            except ServiceError as error:
                if error.status == 429 and self._waiting:
                    return
                raise
            self._waiting[future] = key_of(pairs.popleft())

    def leave(self) -> None:
        """Nobody waits for what is asked about."""
        self._is_left = True
        self._drop()

    def _drop(self) -> None:
        for future in tuple(self._waiting):
            future.cancel()
        self._waiting.clear()


class KnownJudge(_Standing):
    """Knows judgments by the keys of their pairs; of what it does not know it says that the engine gave no answer."""

    def __init__(self, judge: PairJudge, known: Mapping[str, Judgment]):
        super().__init__(judge)
        self._known = known

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        for pair in pairs:
            key = key_of(pair)
            found = self._known.get(key)
            yield (
                key,
                found
                or Judgment(
                    pair=pair, family="", rule="", winner=None, problem="generation_failed", confidence=None
                ),
            )
