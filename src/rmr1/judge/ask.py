"""The loop that asks: items in, judgments out as they finish. Every judge and every teacher is asked here.

Items are pulled as the engine asks for requests and leave as soon as their last answer is in, so memory holds
only what is in flight. With a run folder each judgment is on disk before it is yielded, and so is what was
found out about a server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rmr1.engines.base import Engine, Request, Scorer, ScoreRequest
from rmr1.errors import StoppedError
from rmr1.faces import name_option
from rmr1.judge.alarm import Alarm
from rmr1.records import Judgment
from rmr1.store.runs import RunWriter

R = TypeVar("R", Request, ScoreRequest)
A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[R, A]):
    """An item, all that is asked about it, and what to make of the answers."""

    key: str
    requests: tuple[R, ...]
    conclude: Callable[[Sequence[A], float], Judgment]
    """Makes the judgment from the answers, in the sequence of the requests, and the seconds that they took."""


def ask_all(
    asks: Iterable[Ask[R, A]],
    answer: Callable[[Iterator[R]], Iterator[tuple[R, A]]],
    *,
    engine: Engine | Scorer,
    run: RunWriter | None = None,
    alarm: Alarm | None = None,
) -> Generator[tuple[str, Judgment], None, None]:
    """Yield `(key, judgment)` for every item, in the order they finish.

    Args:
        answer: the stream of `engine`, whose notes are stored with the run.
        alarm: notices that going on is of no use; by default one that knows what the run holds.

    Raises:
        StoppedError: the alarm was raised. What was finished is stored.
    """
    if alarm is None:
        alarm = Alarm(has_answers=run is not None and run.has_answers, advice=getattr(engine, "advice", None))
    waiting: dict[str, tuple[Ask[R, A], float, dict[str, A]]] = {}
    """By the key of a request: its item, when that began, and the answers to the item's requests so far."""

    def requests() -> Iterator[R]:
        for one in asks:
            item: tuple[Ask[R, A], float, dict[str, A]] = (one, time.perf_counter(), {})
            for request in one.requests:
                waiting[request.key] = item
                yield request

    answers = answer(requests())
    try:
        for request, found in answers:
            ask, began, known = waiting.pop(request.key)
            known[request.key] = found
            if len(known) < len(ask.requests):
                continue
            key, seconds = ask.key, round(time.perf_counter() - began, 4)
            judgment = ask.conclude([known[one.key] for one in ask.requests], seconds)
            if run is not None:
                run.append(key, judgment)
                run.add_notes(f"{engine.name}: {note}" for note in getattr(engine, "notes", ()))
            alarm.update(judgment)
            yield key, judgment
            if alarm.cause is not None:
                advice = (
                    ""
                    if run is None
                    else (
                        f"; what failed is stored: {name_option('retry_failed', True)} asks again, without it a "
                        "repetition goes on with the rest"
                    )
                )
                raise StoppedError(f"stopped: {alarm.cause}{advice}")
    finally:
        # At once, so that an engine cancels what is in flight.
        if close := getattr(answers, "close", None):
            close()
