"""Blocks of items on their way to the actors and back, as bytes; and the driver's book of what is out.

An item keeps the key that it has in its run, so it is judged as in one process: its place and its seeds follow from the
key. A block is answered as a whole, so that one that is judged again, because its actor was lost, is the same block.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rmr1.errors import GenerationError, RMR1Error
from rmr1.records import Judgment, PreferencePair

BLOCK_ITEMS = 16
"""Items of a block at most."""

Adaptation = tuple[str, ...]
"""A change of the judge: the method of `AdaptableJudge` and its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A pair that is judged elsewhere."""

    key: str
    pair: PreferencePair


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the items of a block are asked about, beside what the actors were loaded with."""

    adapted: tuple[Adaptation, ...] = ()
    """What was made of the judge, one after the other."""
    model: Mapping[str, Any] | None = None
    """The model's section of run.json, whose time all prompts hold if they hold one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Items that go to an actor together."""

    number: int
    """Its place among the blocks that were sent, from 0."""
    asking: Way
    items: tuple[tuple[str, PreferencePair], ...]

    def encode(self) -> bytes:
        return pickle.dumps(self, protocol=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an actor made of a block."""

    number: int
    judgments: tuple[tuple[str, Judgment], ...]
    """Judgments of every item, or, if there is an error, of those that were finished before it."""
    notes: tuple[str, ...] = ()
    """What the actor's engine found out."""
    error: RMR1Error | None = None

    def encode(self) -> bytes:
        return pickle.dumps(self, protocol=5)


def decode(data: bytes) -> Any:
    """The block or the answer that was encoded."""
    return pickle.loads(data)


class Ledger:
    """What is out: blocks that were sent and not answered yet. Every item comes back once."""

    def __init__(self, asking: Way, *, first: int = 0, block_items: int = BLOCK_ITEMS):
        self._asking = asking
        self._block_items = block_items
        self._next = first
        self._filling: list[Work] = []
        self._out: dict[int, dict[str, Work]] = {}

    @property
    def num_out(self) -> int:
        """Blocks that are out."""
        return len(self._out)

    @property
    def next_number(self) -> int:
        """The number of the next block."""
        return self._next

    def add(self, work: Work) -> Block | None:
        """The block that is full by it, to be sent; None if there is still room."""
        self._filling.append(work)
        return self.close_block() if len(self._filling) >= self._block_items else None

    def close_block(self) -> Block | None:
        """What has gathered so far, to be sent; None if that is nothing."""
        if not self._filling:
            return None
        items = tuple((work.key, work.pair) for work in self._filling)
        block = Block(number=self._next, asking=self._asking, items=items)
        self._out[self._next] = {work.key: work for work in self._filling}
        self._next += 1
        self._filling = []
        return block

    def take(self, answer: Answer) -> Iterator[tuple[Work, Judgment]]:
        """Each item with its judgment; nothing of a block that was answered before.

        Raises:
            GenerationError: the answer is not about what was sent. RMR1Error: what befell the actor's engine; what it
                had finished of the block comes first.
        """
        works = self._out.pop(answer.number, None)
        if works is None:
            return
        for key, judgment in answer.judgments:
            work = works.pop(key, None)
            if work is None:
                raise GenerationError(f"an actor judged item {key}, which was not in its block")
            yield work, judgment
        if answer.error is not None:
            raise answer.error
        if works:
            raise GenerationError(f"an actor left {len(works)} items of a block unjudged")


class Window:
    """The blocks that an actor may still ask for, by number. A reader that begins again is given the same ones."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}
        self._next = 0
        self.is_over = False
        """Whether no more blocks will come."""

    @property
    def next_number(self) -> int:
        """The number of the first block that has not come yet."""
        return self._next

    def put(self, number: int, block: bytes) -> None:
        self._blocks[number] = block
        self._next = max(self._next, number + 1)

    def drop(self, number: int) -> None:
        """The block is answered: nobody needs it any more."""
        self._blocks.pop(number, None)

    def is_ready(self, number: int) -> bool:
        return number < self._next or self.is_over

    def get(self, number: int) -> bytes | None:
        """The block; b"" if it is answered, and None if there is none any more."""
        return self._blocks.get(number, b"") if number < self._next else None
