"""Several models in one stream of requests: each is asked for what is its own, in batches, one model at a time.

A model's stream pulls its requests from the common one, and what is for another model waits for its turn. It ends when
nothing of its own is at hand, or when enough waits for the others; then the model for which most waits goes on. So
batches stay those of each model, and memory holds no more than `MOST_WAITING` requests beside what is in flight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rmr1.judge.ask import Keyed, Steps
from rmr1.records import Judgment

MOST_WAITING = 256
"""Requests that may wait for other models before their turn comes."""

Stream = Callable[[Iterator[Any]], Iterator[tuple[Any, Any]]]
"""A model's requests -> (request, answer) as they finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A request, and the number of the model that it is for."""

    key: str
    place: int
    request: Keyed


def route(place: int, steps: Steps[Any, Any]) -> Steps[Routed, Any]:
    """The same steps, their requests bound for one model."""
    try:
        requests = next(steps)
        while True:
            answers = yield tuple(Routed(key=one.key, place=place, request=one) for one in requests)
            requests = steps.send(answers)
    except StopIteration as end:
        judged: Judgment = end.value
        return judged


def answer_together(
    streams: Sequence[Stream], requests: Iterator[Routed]
) -> Generator[tuple[Routed, Any], None, None]:
    """Yield `(request, answer)` for every request, in the order they finish; all that were pulled are answered."""
    waiting: list[deque[Routed]] = [deque() for _ in streams]
    in_flight: dict[str, Routed] = {}

    def pull(place: int) -> Iterator[Keyed]:
        own = waiting[place]
        while True:
            if not own:
                others = sum(map(len, waiting))
                one = next(requests, None) if others < MOST_WAITING else None
                if one is None:
                    return
                waiting[one.place].append(one)
                continue
            one = own.popleft()
            in_flight[one.request.key] = one
            yield one.request

    while True:
        if not any(waiting):
            first = next(requests, None)
            if first is None:
                return
            waiting[first.place].append(first)
        place = max(range(len(waiting)), key=lambda number: len(waiting[number]))
        answers = streams[place](pull(place))
        try:
            for request, answer in answers:
                yield in_flight.pop(request.key), answer
        finally:
            # At once, so that an engine cancels what is in flight.
            if close := getattr(answers, "close", None):
                close()
