"""The loop that asks: items in, judgments out as they finish. Every judge and every teacher is asked here.

Items are pulled as the engine asks for requests and leave as soon as their last answer is in, so memory holds
only what is in flight. With a run folder each judgment is on disk before it is yielded, and so is what was
found out about a server. A stop at any moment loses only what was in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rmr1.data.keys import seed_for
from rmr1.data.runs import RunWriter
from rmr1.engines.base import Engine, Request, Scorer, ScoreRequest
from rmr1.errors import StoppedError
from rmr1.faces import name_option
from rmr1.judge.alarm import Alarm
from rmr1.records import Generation, JudgePrompt, Judgment, Vote

R = TypeVar("R", Request, ScoreRequest)
A = TypeVar("A")


def describe_going_on() -> str:
    """What to do about failed items that are stored, as the end of an error."""
    retry = name_option("retry_failed", True)
    return f"; what failed is stored: {retry} asks again, without it a repetition goes on with the rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[R, A]):
    """An item, all that is asked about it, and what to make of the answers."""

    key: str
    requests: tuple[R, ...]
    conclude: Callable[[Sequence[A], float], Judgment]
    """Makes the judgment from the answers, in the sequence of the requests, and the seconds that they took."""


def ask_prompts(
    key: str,
    prompts: Sequence[JudgePrompt],
    *,
    seed: int,
    cast: Callable[[Generation, JudgePrompt, int], Vote],
    conclude: Callable[[Sequence[Vote], float], Judgment],
) -> Ask[Request, tuple[Generation, ...]]:
    """An item whose prompts differ in their order; every text is read by `cast`, with its sample's number."""

    def read(answers: Sequence[tuple[Generation, ...]], seconds: float) -> Judgment:
        votes = [
            cast(generation, prompt, sample)
            for prompt, generations in zip(prompts, answers, strict=True)
            for sample, generation in enumerate(generations)
        ]
        return conclude(votes, seconds)

    requests = tuple(
        Request(
            key=f"{key}/{prompt.order}",
            prompt=prompt,
            seed=seed_for(seed, "sampling", key, prompt.order),
        )
        for prompt in prompts
    )
    return Ask(key=key, requests=requests, conclude=read)


@dataclass(slots=True)
class _InFlight(Generic[R, A]):
    ask: Ask[R, A]
    started: float = field(default_factory=time.perf_counter)
    answers: dict[str, A] = field(default_factory=dict)
    """The answers so far, by the key of their request."""

    def conclude(self) -> Judgment:
        answers = [self.answers[request.key] for request in self.ask.requests]
        return self.ask.conclude(answers, round(time.perf_counter() - self.started, 4))


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
        GenerationError: the engine as a whole failed. What was finished is stored.
        StoppedError: the alarm was raised; likewise.
        RunError: a judgment could not be stored.
    """
    if alarm is None:
        alarm = Alarm(has_answers=run is not None and run.has_answers, advice=getattr(engine, "advice", None))
    waiting: dict[str, _InFlight[R, A]] = {}

    def requests() -> Iterator[R]:
        for one in asks:
            item = _InFlight(one)
            for request in one.requests:
                waiting[request.key] = item
                yield request

    answers = answer(requests())
    try:
        for request, found in answers:
            item = waiting.pop(request.key)
            item.answers[request.key] = found
            if len(item.answers) < len(item.ask.requests):
                continue
            key, judgment = item.ask.key, item.conclude()
            if run is not None:
                run.append(key, judgment)
                run.add_notes(f"{engine.name}: {note}" for note in getattr(engine, "notes", ()))
            alarm.update(judgment)
            yield key, judgment
            if alarm.cause is not None:
                raise StoppedError(f"stopped: {alarm.cause}" + ("" if run is None else describe_going_on()))
    finally:
        # At once, so that an engine cancels what is in flight.
        if close := getattr(answers, "close", None):
            close()
