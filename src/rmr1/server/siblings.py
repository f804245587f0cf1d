"""A group whose answers come one by one: they are compared as they come, and rewarded when nothing is missing.

Texts are held until all have their rewards; afterwards only what each of them was, by a digest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

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

_PATIENCE_SECONDS = 5.0
"""How long comparisons go on for which nobody waits: a client that lost patience may come again."""


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
    """`partial` if siblings, or comparisons of them, were missing at the deadline."""
    siblings: int
    """Answers that it was compared among, itself counted."""
    mean: float
    """The mean reward of the group."""
    failed: int
    """Comparisons of the group that have no verdict, or were not made, and count for nothing."""


@dataclass(slots=True)
class Held:
    """Characters of the texts that all groups hold."""

    num_chars: int = 0


class Siblings:
    """A group as its answers come."""

    def __init__(
        self,
        service: Service,
        asked: Asked,
        compare: Callable[[PreferencePair], Coroutine[Any, Any, Judgment]],
        held: Held,
    ):
        """
        Args:
            compare: has a pair judged in both orders; a `ServiceError` says that nothing is known of it.
        """
        self.asked = asked
        self.touched = time.monotonic()
        self.waiting: Counter[int] = Counter()
        """Requests that wait, by the number of their sibling."""
        self.told: set[int] = set()
        """Siblings whose reward has been told to a client that was there."""
        self.changed = asyncio.Event()
        """Set whenever a result is there, and replaced."""
        self.results: dict[int, Reward | ServiceError] = {}
        self.before: Siblings | None = None
        """The group that had this name before; the last one only."""
        self._names: dict[int, str] = {}
        """What each answer says, by a digest."""
        self._answers: dict[int, Messages] = {}
        self._is_closed = False
        self._held, self._num_chars = held, 0
        self._hold(count_chars(asked.prompt))
        self._service = service
        self._judge = compare
        self._known: dict[str, Judgment] = {}
        """Judgments of comparisons that did not fail, by the keys of their pairs."""
        self._lost: dict[str, PreferencePair] = {}
        """Comparisons of which nothing is known, because the engine failed as a whole or the server refused them."""
        self._comparing: dict[str, asyncio.Task[None]] = {}
        self._concluding: set[asyncio.Task[None]] = set()

    @property
    def is_over(self) -> bool:
        """Whether it takes no further answer."""
        return self._is_closed or len(self._names) >= self.asked.size

    @property
    def is_idle(self) -> bool:
        return not self.waiting.total() and (self.before is None or self.before.is_idle)

    def add(self, index: int, answer: Messages) -> None:
        """Take a sibling in, and begin to compare it; one whose comparisons failed is compared again.

        Raises:
            ServiceError: another answer came under this number, or the group was closed without it.
        """
        self.touched = time.monotonic()
        known, name = self._names.get(index), identify(answer)
        if known not in (None, name):
            raise ServiceError(409, "conflict", f"another answer came as number {index} of this group before")
        if known is None and self._is_closed:
            raise ServiceError(
                410, "group_closed", "the group was rewarded without this answer, which came too late"
            )
        if isinstance(self.results.get(index), ServiceError):
            del self.results[index]
        if index in self.results:
            return
        if index not in self._answers:
            self._hold(count_chars(answer))
        self._names[index], self._answers[index] = name, answer
        baseline = self.asked.baseline
        others = [one for number, one in self._answers.items() if number != index]
        for other in others if baseline is None else [baseline]:
            if identify(other) != name:
                self._compare(Contest(self._gather([answer, other]), self.asked.seed).pair((0, 1)))
        for pair in tuple(self._lost.values()):
            self._compare(pair)
        task = asyncio.create_task(self._conclude(index))
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    def find_place(self, answer: Messages, index: int | None = None) -> int | None:
        """The number of an answer of a client that asks about the same question again and again.

        It is that of the request that it repeats, which is one whose client has left before it was told. It may have a
        place of its own else; None if the group takes no further answer. While a request still waits, an equal answer is
        another sibling that says the same.

        Args:
            index: its number, if the client tells it.
        """
        if index is not None:
            is_new = index in self.told or (index not in self._names and self.is_over)
            return None if is_new else index
        name = identify(answer)
        for number, one in self._names.items():
            if one == name and number not in self.told and not self.waiting[number]:
                return number
        return None if self.is_over else len(self._names)

    def close(self) -> None:
        """Reward those that are there among themselves."""
        self._reward(sorted(self._answers))
        self._is_closed = any(isinstance(one, Reward) for one in self.results.values())

    def leave(self) -> None:
        """If nobody waits any more, comparisons under way end soon, as if the engine had failed at them: what hangs behind
        the judge would keep its place in the engine else. Whoever comes again has them made again."""
        if self._comparing and not self.waiting.total():
            asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._stop_comparing)

    def _stop_comparing(self) -> None:
        if not self.waiting.total() and time.monotonic() >= self.touched + 0.9 * _PATIENCE_SECONDS:
            for task in self._comparing.values():
                task.cancel()

    def drop(self) -> None:
        for task in (*self._comparing.values(), *self._concluding):
            task.cancel()
        self.release()
        if self.before is not None:
            self.before.drop()

    def release(self) -> None:
        """Count its texts no longer; those who wait for it may still be answered."""
        self._hold(-self._num_chars)

    def _hold(self, num_chars: int) -> None:
        self._num_chars += num_chars
        self._held.num_chars += num_chars

    def _compare(self, pair: PreferencePair) -> None:
        key = key_of(pair)
        if key in self._known or key in self._comparing:
            return
        self._lost.pop(key, None)

        async def compare() -> None:
            try:
                judgment = await self._judge(pair)
                if not is_failed(judgment):
                    self._known[key] = judgment
                    self._hold(sum(len(vote.generation.text) for vote in judgment.votes))
            except ServiceError:
                self._lost[key] = pair
            except asyncio.CancelledError:
                self._lost[key] = pair
                raise
            finally:
                del self._comparing[key]

        self._comparing[key] = asyncio.create_task(compare())

    async def _conclude(self, index: int) -> None:
        """Determine the rewards once nothing is missing."""
        while self._comparing:
            await asyncio.wait(self._comparing.values())
        if self._names.keys() <= self.results.keys():
            return
        if self.asked.baseline is not None:
            self._reward([index])
        elif self.is_over:
            self._reward(sorted(self._answers))

    def _reward(self, indices: list[int]) -> None:
        for index, told in zip(indices, self._compute(indices), strict=True):
            if isinstance(self.results.get(index), Reward):
                continue  # what was told once stands
            self.results[index] = told
        self.changed.set()
        self.changed = asyncio.Event()
        if len(self.results) >= self.asked.size and not any(
            isinstance(one, ServiceError) for one in self.results.values()
        ):
            self._known.clear()
            self._answers.clear()
            self._hold(count_chars(self.asked.prompt) - self._num_chars)

    def _compute(self, indices: list[int]) -> list[Reward | ServiceError]:
        asked = self.asked
        if asked.baseline is None and len(indices) < 2:
            missing = "no sibling of this answer came before the deadline"
            return [ServiceError(503, "missing_siblings", missing, retry_after=1) for _ in indices]
        if self._lost and not self._comparing:
            lost = f"{len(self._lost)} comparisons were not made, because the engine failed"
            return [ServiceError(502, "engine_failed", lost, retry_after=1) for _ in indices]
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
        is_whole = asked.baseline is not None or (len(indices) == asked.size and not self._comparing)
        known = [one for one in found.rewards if one is not None]
        mean = sum(known) / len(known) if known else None
        told: list[Reward | ServiceError] = []
        for reward, problem in zip(found.rewards, found.problems, strict=True):
            if reward is None or mean is None:
                message = f"no comparison of this answer has a verdict ({problem})"
                told.append(ServiceError(502, "no_reward", message, problem=problem, group_mean=mean))
            else:
                status: Status = "scored" if is_whole else "partial"
                told.append(
                    Reward(
                        reward=reward, status=status, siblings=len(indices), mean=mean, failed=found.failed
                    )
                )
        return told

    def _gather(self, answers: list[Messages]) -> Candidates:
        return Candidates(id="0", prompt=self.asked.prompt, responses=tuple(answers))


def count_chars(messages: Messages) -> int:
    """Characters of texts, for what a server holds in memory."""
    return sum(len(one.text) for one in messages)
