"""The texts of a ticket while they are written, for those who read along.

An engine's threads tell a `Trace` what they write; each reader takes what is new since it took last, from the thread of the
event loop. A slow reader holds nobody up: what it has not taken gathers in the texts, which are there once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from threading import Lock
from typing import NamedTuple

from rmr1.engines.base import Request
from rmr1.records import Generation, Order, Side, Vote


class Place(NamedTuple):
    """The text of the judgment that it belongs to."""

    order: Order
    side: Side | None
    """The answer that is rated, if answers are."""
    sample: int


class Piece(NamedTuple):
    """What is new of a text: `delta` follows its first `start` characters; what was known behind them does not hold."""

    place: Place
    start: int
    delta: str


class Trace:
    """The texts so far. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._texts: dict[Place, str] = {}
        self._readers: list[Reader] = []

    @property
    def is_there(self) -> bool:
        """Whether anybody reads."""
        return bool(self._readers)

    def join(self, reader: Reader) -> None:
        """Let somebody read along, from the beginning as far as it is known."""
        with self._lock:
            reader.trace = self
            self._readers.append(reader)
            reader.changed.update(self._texts)
        reader.wake()

    def leave(self, reader: Reader) -> None:
        """Nothing is told to this reader any more."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)

    def hear(self, place: Place, start: int, delta: str) -> None:
        """Take in what follows the first `start` characters of a text. What begins behind all that is known is left out:
        the whole text comes at its end."""
        with self._lock:
            text = self._texts.get(place, "")
            if start > len(text):
                return
            kept = start + _count_alike(text[start:], delta)
            if kept == len(text) == start + len(delta):
                return
            self._texts[place] = text[:start] + delta
            readers = tuple(self._readers)
            for reader in readers:
                reader.changed.add(place)
                reader.known[place] = min(reader.known.get(place, 0), kept)
        for reader in readers:
            reader.wake()

    def take(self, reader: Reader) -> list[Piece]:
        """What is new to a reader."""
        with self._lock:
            pieces = []
            for place in sorted(reader.changed, key=str):
                start, text = reader.known.get(place, 0), self._texts[place]
                reader.known[place] = len(text)
                pieces.append(Piece(place, start, text[start:]))
            reader.changed.clear()
        return pieces

    def look(self, place: Place) -> str:
        """A text as far as it is known."""
        return self._texts.get(place, "")


@dataclass(eq=False)
class Reader:
    """Somebody who reads along."""

    wake: Callable[[], None]
    """Called from any thread whenever there is something new; returns at once."""
    trace: Trace | None = None
    known: dict[Place, int] = field(default_factory=dict)
    """Characters of each text that were taken and hold."""
    changed: set[Place] = field(default_factory=set)

    def take(self) -> list[Piece]:
        """What is new."""
        return [] if self.trace is None else self.trace.take(self)

    def finish(self, votes: Sequence[Vote]) -> list[Piece]:
        """What is missing, behind all that was taken, to have read the votes' texts as they are stored."""
        pieces = []
        for vote in votes:
            place = Place(vote.order, vote.side, vote.sample)
            known = "" if self.trace is None else self.trace.look(place)[: self.known.get(place, 0)]
            if known != (text := vote.generation.text):
                start = _count_alike(known, text)
                pieces.append(Piece(place, start, text[start:]))
        return pieces

    def leave(self) -> None:
        """Read no further."""
        if self.trace is not None:
            self.trace.leave(self)


@dataclass(slots=True, eq=False)
class Ear:
    """Hears one request for a trace (`rmr1.engines.base.Listener`); of a text that goes on, the beginning too."""

    trace: Trace
    request: Request
    _has_begun: bool = False

    @property
    def is_there(self) -> bool:
        return self.trace.is_there

    def hear(self, sample: int, start: int, delta: str) -> None:
        prompt, going_on = self.request.prompt, self.request.going_on
        place = Place(prompt.order, prompt.side, sample)
        if going_on is not None:
            if not self._has_begun:
                self.trace.hear(place, 0, going_on.start)
                self._has_begun = True
            start += len(going_on.start)
        self.trace.hear(place, start, delta)


def _count_alike(one: str, other: str) -> int:
    """How many characters both begin with alike."""
    if other.startswith(one):
        return len(one)
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


def hear_whole(request: Request, generations: Sequence[Generation]) -> None:
    """Tell who listens to a request its texts as they are in the end: what engines have not told of them."""
    listener = request.listener
    if listener is None or not listener.is_there:
        return
    samples = range(len(generations)) if request.samples is None else request.samples
    for sample, generation in zip(samples, generations, strict=False):
        listener.hear(sample, 0, generation.text)
