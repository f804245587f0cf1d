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
from collections import Counter, OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from rmr1.errors import RMR1Error
from rmr1.judge.groups import reward_group
from rmr1.judge.ranking.contest import Contest, identify
from rmr1.messages import Messages
from rmr1.records import Candidates, Judgment, PreferencePair
from rmr1.server.comparing import KnownJudge
from rmr1.server.service import Service, ServiceError
from rmr1.server.wire.common import is_failed
from rmr1.server.worker import key_of

Status = Literal["scored", "partial"]

_MOST_GROUPS = 100_000
"""Finished groups that are kept."""
_FULL_SECONDS = 0.25
"""How long a comparison for which the queue has no room, or which failed with the engine, waits for another try."""
_MOST_TRIES = 3
"""How often the engine may fail at a comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What all siblings of a group have to agree about."""

    size: int
    prompt: Messages
    method: str
    baseline: Messages | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What a sibling is told."""

    reward: float
    status: Status
    """`partial` if siblings were missing."""
    siblings: int
    """Answers that it was compared among, itself counted."""
    mean: float
    """The mean reward of the group."""


class _Group:
    """A group as its siblings come."""

    def __init__(self, service: Service, asked: Asked, room: asyncio.Semaphore):
        self.asked = asked
        self._room = room
        self.touched = time.monotonic()
        self.waiting: Counter[int] = Counter()
        """Requests that wait, by the number of their sibling."""
        self.changed = asyncio.Event()
        """Set whenever a result is there, and replaced."""
        self.results: dict[int, Reward | ServiceError] = {}
        self._said: dict[int, str] = {}
        """What each sibling says (`identify`), by its number."""
        self._answers: dict[int, Messages] = {}
        """The siblings themselves, until the group is settled."""
        self._is_closed = False
        self._service = service
        self._known: dict[str, Judgment] = {}
        """Judgments of comparisons that did not fail, by the keys of their pairs."""
        self._comparing: dict[str, asyncio.Task[None]] = {}
        self._concluding: set[asyncio.Task[None]] = set()

    def add(self, index: int, answer: Messages) -> None:
        """Take a sibling in, and begin to compare it; one whose comparisons failed is compared again.

        Raises:
            ServiceError: another answer came under this number, or the group was closed without it.
        """
        self.touched = time.monotonic()
        said = identify(answer)
        known = self._said.get(index)
        if known is not None and known != said:
            raise ServiceError(409, "conflict", f"another answer came as number {index} of this group before")
        if known is None and self._is_closed:
            raise ServiceError(
                410, "group_closed", "the group was rewarded without this answer, which came too late"
            )
        if isinstance(self.results.get(index), ServiceError):
            del self.results[index]
        if index in self.results:
            return
        baseline = self.asked.baseline
        others = [one for number, one in self._answers.items() if number != index]
        self._said[index], self._answers[index] = said, answer
        for other in others if baseline is None else [baseline]:
            if identify(other) != said:
                self._compare(answer, other)
        task = asyncio.create_task(self._conclude(index))
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    def number(self, answer: Messages) -> int:
        """The number of a sibling that is not numbered: the one of a request that came again, or the next one.

        An equal answer for which no request waits any more came again, and so did every one of a group that is full;
        while the first request still waits, it is another sibling that says the same.
        """
        said = identify(answer)
        alike = [index for index, one in self._said.items() if one == said]
        is_full = len(self._said) >= self.asked.size
        again = (index for index in alike if is_full or index in self.results or not self.waiting[index])
        return next(again, len(self._said))

    def _compare(self, one: Messages, other: Messages) -> None:
        pair = Contest(self._gather([one, other]), self.asked.seed).pair((0, 1))
        key = key_of(pair)
        if key in self._known or key in self._comparing:
            return

        async def compare() -> None:
            try:
                async with self._room:
                    judgment = await self._judge(pair)
            except ServiceError:
                return  # nothing is known of it then
            finally:
                del self._comparing[key]
            if not is_failed(judgment):
                self._known[key] = judgment

        self._comparing[key] = asyncio.create_task(compare())

    async def _judge(self, pair: PreferencePair) -> Judgment:
        """The judgment of a pair; without it rewards would be others, so it is waited for if the queue is full, and asked
        for again if the engine failed as a whole."""
        num_failures = 0
        while True:
            try:
                return await self._service.judge_pair(pair, order="both")
            except ServiceError as error:
                num_failures += error.kind == "engine_failed"
                if error.kind not in ("queue_full", "engine_failed") or num_failures == _MOST_TRIES:
                    raise
            await asyncio.sleep(_FULL_SECONDS)

    async def _conclude(self, index: int) -> None:
        """Determine the rewards once nothing is missing."""
        while self._comparing:
            await asyncio.wait(self._comparing.values())
        if self._said.keys() <= self.results.keys():
            return
        if self.asked.baseline is not None:
            self._reward([index])
        elif len(self._answers) == self.asked.size:
            self._reward(sorted(self._answers))

    def close(self) -> None:
        """Reward those that are there among themselves."""
        self._is_closed = True
        self._reward(sorted(self._answers))

    def _reward(self, indices: list[int]) -> None:
        for index, told in zip(indices, self._compute(indices), strict=True):
            if isinstance(self.results.get(index), Reward):
                continue  # what was told once stands
            self.results[index] = told
        if self._is_settled:
            # Nothing is computed of them any more, and they are most of what a group takes.
            self._known.clear()
            self._answers.clear()
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def _is_settled(self) -> bool:
        """Whether everyone who may come has come, and has a reward."""
        is_whole = self._is_closed or len(self._said) == self.asked.size
        return is_whole and all(isinstance(self.results.get(index), Reward) for index in self._said)

    def _compute(self, indices: list[int]) -> list[Reward | ServiceError]:
        asked = self.asked
        if asked.baseline is None and len(indices) < 2:
            missing = "no sibling of this answer came before the deadline"
            return [ServiceError(503, "missing_siblings", missing, retry_after=1) for _ in indices]
        try:
            found = reward_group(
                KnownJudge(self._service.find_judge("both"), self._known),
                self._gather([self._answers[index] for index in indices]),
                method=asked.method,
                baseline=asked.baseline,
                seed=asked.seed,
            )
        except RMR1Error as error:
            return [ServiceError(422, "invalid", str(error)) for _ in indices]
        is_whole = asked.baseline is not None or len(indices) == asked.size
        known = [one for one in found.rewards if one is not None]
        mean = sum(known) / len(known) if known else None
        told: list[Reward | ServiceError] = []
        for reward, problem in zip(found.rewards, found.problems, strict=True):
            if reward is None or mean is None:
                message = f"no comparison of this answer has a verdict ({problem})"
                told.append(ServiceError(502, "no_reward", message, problem=problem, group_mean=mean))
            else:
                status: Status = "scored" if is_whole else "partial"
                told.append(Reward(reward=reward, status=status, siblings=len(indices), mean=mean))
        return told

    def _gather(self, answers: list[Messages]) -> Candidates:
        return Candidates(id="0", prompt=self.asked.prompt, responses=tuple(answers))

    def drop(self) -> None:
        for task in (*self._comparing.values(), *self._concluding):
            task.cancel()


class Barrier:
    """All groups of a server."""

    def __init__(self, service: Service):
        self._service = service
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        # Beyond, comparisons wait for their turn here, so that those of a large batch do not fill the queue.
        self._room = asyncio.Semaphore(max(1, service.settings.most_waiting // 2))

    async def score(self, name: str, index: int, answer: Messages, asked: Asked, deadline: float) -> Reward:
        """The reward of one sibling, when it is determined.

        Args:
            name: the group's; the same for all its siblings and for nothing else.

        Raises:
            ServiceError: there is none: it does not fit its siblings, these did not come, or comparisons failed.
        """
        if not 0 <= index < asked.size:
            fault = f"number {index} of a group of {asked.size}; expected 0 to {asked.size - 1}"
            raise ServiceError(422, "invalid", fault)
        group = self._find(name, asked)
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
        told = group.results[index]
        counted = self._service.metrics.rewards
        if isinstance(told, ServiceError):
            counted.labels(told.kind).inc()
            raise told
        counted.labels(told.status).inc()
        return told

    async def score_unnumbered(self, name: str, answer: Messages, asked: Asked, deadline: float) -> Reward:
        """`score` for a client that does not number siblings: they are numbered by what they say.

        One whose answer came before is a repetition if nobody waits for that one any more.
        """
        group = self._find(name, asked)
        return await self.score(name, group.number(answer), answer, asked, deadline)

    def _give_up(self, group: _Group) -> None:
        """What becomes of a group at a deadline at which a reward is not determined."""
        if group.asked.baseline is not None:
            raise ServiceError(504, "deadline", "the deadline passed before the comparison was made")
        if self._service.settings.on_missing == "fail":
            raise ServiceError(
                503, "missing_siblings", "not all siblings came and were compared in time", retry_after=1
            )
        group.close()

    def _find(self, name: str, asked: Asked) -> _Group:
        self._forget()
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(self._service, asked, self._room)
        elif group.asked != asked:
            raise ServiceError(
                409,
                "conflict",
                "siblings of this group came with another question, size, method or reference",
            )
        self._groups.move_to_end(name)
        return group

    def _forget(self) -> None:
        """Drop groups that nobody has asked for in a while."""
        oldest = time.monotonic() - self._service.settings.kept_seconds
        for name, group in tuple(islice(self._groups.items(), 100)):
            is_old = group.touched < oldest or len(self._groups) > _MOST_GROUPS
            if is_old and not group.waiting.total():
                group.drop()
                del self._groups[name]
