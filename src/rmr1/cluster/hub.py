"""The meeting place of driver, reader and actors: blocks wait here until they are read, and what actors say for the driver.

The class is an actor of Ray's with coroutines as methods; in a test it is an object.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from rmr1.cluster.blocks import Window
from rmr1.cluster.outline import Profile
from rmr1.errors import GenerationError, RMR1Error


@dataclass(slots=True)
class Reports:
    """What actors said of themselves."""

    profiles: list[Profile] = field(default_factory=list)
    """Profiles of actors that were loaded since this was last asked for."""
    failure: RMR1Error | None = None
    """Why the actors cannot go on."""


class Hub:
    """The blocks in flight, and the reports of actors."""

    def __init__(self, most_retries: int) -> None:
        """`most_retries` is how often a block is judged again because its actor was lost."""
        self._most_retries = most_retries
        self._begun: Counter[int] = Counter()
        self._window = Window()
        self._changed = asyncio.Condition()
        self._reports = Reports()

    async def put(self, number: int, block: bytes, answered: list[int]) -> None:
        """A new block, and the numbers of those that are answered."""
        async with self._changed:
            self._window.put(number, block)
            for one in answered:
                self._window.drop(one)
                del self._begun[one]
            self._changed.notify_all()

    async def end(self) -> None:
        """No more blocks come."""
        async with self._changed:
            self._window.is_over = True
            self._changed.notify_all()

    async def get(self, number: int) -> bytes | None:
        """The block of a number, as soon as it is there (`Window.get`)."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._window.is_ready(number))
            return self._window.get(number)

    async def begin(self, number: int) -> None:
        """An actor begins with a block. One that ends every actor that takes it would go round for ever."""
        self._begun[number] += 1
        if (times := self._begun[number]) > 1 + self._most_retries:
            told = GenerationError(
                f"{times - 1} actors were lost, one after the other, over the same block of items"
            )
            await self.report_failure(told)

    async def report(self, profile: Profile) -> None:
        """An actor has loaded the judge."""
        self._reports.profiles.append(profile)

    async def report_failure(self, error: RMR1Error) -> None:
        """An actor cannot load the judge, or the actors cannot go on; the first reason stays."""
        self._reports.failure = self._reports.failure or error

    async def take_reports(self) -> Reports:
        """What was reported since the last call; a failure stays."""
        taken = Reports(profiles=self._reports.profiles, failure=self._reports.failure)
        self._reports.profiles = []
        return taken
