"""Siblings that come one by one: the answers of a group, each in a request of its own.

An answer is compared with those that are there as soon as it comes. When all are there and compared, everyone gets the
reward that the whole group would have had at once (`rmr1.judge.groups.reward_group`). Against a reference answer each
has its reward at once. A request that comes again joins the first one, or gets the same answer.

A group whose siblings are not all there at a caller's deadline is closed: by policy those that are there are rewarded
among themselves, or none is. What failed is told as a failure, and may be tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from itertools import islice

from rmr1.messages import Messages
from rmr1.records import Judgment, PreferencePair
from rmr1.server.service import Service, ServiceError
from rmr1.server.siblings import Asked, Held, Reward, Siblings

__all__ = ["Asked", "Barrier", "Reward"]

_MOST_GROUPS = 100_000
"""Groups that are kept while nobody waits for them."""
_MOST_CHARS = 256 << 20
"""Characters of their texts."""
_PAUSE_SECONDS = 0.1
"""How often it is looked for room in the queue."""
_MOST_TRIES = 3
"""How often the engine may fail as a whole at a comparison."""


class Barrier:
    """All groups of a server."""

    def __init__(self, service: Service):
        self._service = service
        self._groups: OrderedDict[str, Siblings] = OrderedDict()
        self._held = Held()
        # Comparisons beyond these wait here, so that there is room in the queue for what others ask.
        self._room = asyncio.Semaphore(max(1, service.settings.most_waiting // 2))

    async def score(self, name: str, index: int, answer: Messages, asked: Asked, deadline: float) -> Reward:
        """The reward of one sibling, when it is determined.

        Args:
            name: the group's; the same for all its siblings and for nothing else.

        Raises:
            ServiceError: there is none: it does not fit its siblings, these did not come, or comparisons failed.
        """
        _check_index(index, asked)
        return await self._score(self._find(name, asked), index, answer, deadline)

    async def score_again(
        self, name: str, answer: Messages, asked: Asked, deadline: float, *, index: int | None = None
    ) -> Reward:
        """`score` for a client that asks about the same question again, such as in a later epoch, under the same name.

        Siblings that it does not number are numbered by what they say. A group begins anew when the last one is
        complete and an answer comes that repeats none of its requests (`Siblings.find_place`).
        """
        if index is not None:
            _check_index(index, asked)
        group = self._find(name, asked)
        for one in (group.before, group):
            place = None if one is None else one.find_place(answer, index)
            if one is not None and place is not None:
                return await self._score(one, place, answer, deadline)
        after = self._groups[name] = Siblings(self._service, asked, self._compare, self._held)
        if group.before is not None:
            (group.before.drop if group.before.is_idle else group.before.release)()
        after.before, group.before = group, None
        return await self._score(after, 0 if index is None else index, answer, deadline)

    async def _score(self, group: Siblings, index: int, answer: Messages, deadline: float) -> Reward:
        group.add(index, answer)
        group.waiting[index] += 1
        try:
            while index not in group.results:
                try:
                    async with asyncio.timeout(Service.left(deadline)):
                        await group.changed.wait()
                except TimeoutError:
                    self._give_up(group)
        finally:
            group.waiting[index] -= 1
            group.touched = time.monotonic()
            group.leave()
        told = group.results[index]
        counted = self._service.metrics.rewards
        if isinstance(told, ServiceError):
            counted.labels(told.kind).inc()
            raise told
        group.told.add(index)
        counted.labels(told.status).inc()
        return told

    async def _compare(self, pair: PreferencePair) -> Judgment:
        """The judgment of a pair in both orders, when there is room in the queue; asked for again if the engine failed as
        a whole, because without it rewards would be others."""
        num_failures = 0
        async with self._room:
            while True:
                try:
                    return await self._service.judge_pair(pair, order="both")
                except ServiceError as error:
                    num_failures += error.kind == "engine_failed"
                    if error.kind not in ("queue_full", "engine_failed") or num_failures == _MOST_TRIES:
                        raise
                await asyncio.sleep(_PAUSE_SECONDS)

    def _give_up(self, group: Siblings) -> None:
        """What becomes of a group at a deadline at which a reward is not determined."""
        if group.asked.baseline is not None:
            raise ServiceError(504, "deadline", "the deadline passed before the comparison was made")
        if self._service.settings.on_missing == "fail":
            raise ServiceError(
                503, "missing_siblings", "not all siblings came and were compared in time", retry_after=1
            )
        group.close()

    def _find(self, name: str, asked: Asked) -> Siblings:
        self._forget()
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Siblings(self._service, asked, self._compare, self._held)
        elif group.asked != asked:
            raise ServiceError(
                409,
                "conflict",
                "siblings of this group came with another question, size, method or reference",
            )
        self._groups.move_to_end(name)
        return group

    def _forget(self) -> None:
        """Drop groups that nobody has asked for in a while, and more if there are too many or too long ones."""
        oldest = time.monotonic() - self._service.settings.kept_seconds
        for name, group in tuple(islice(self._groups.items(), 100)):
            is_much = len(self._groups) > _MOST_GROUPS or self._held.num_chars > _MOST_CHARS
            if (is_much or group.touched < oldest) and group.is_idle:
                group.drop()
                del self._groups[name]


def _check_index(index: int, asked: Asked) -> None:
    if not 0 <= index < asked.size:
        fault = f"number {index} of a group of {asked.size}; expected 0 to {asked.size - 1}"
        raise ServiceError(422, "invalid", fault)
