"""The loop that asks: items in, judgments out as they finish. Every judge and every teacher is asked here.

An item is asked about in steps, of which the later ones may depend on the answers to the earlier ones; most have one.
Items whose requests have the same key wait for one answer, which all of them get: what they share is asked once.
Items are pulled as the engine asks for requests and leave as soon as their last answer is in, so memory holds only
what is in flight; the next step of an item goes before a new item. With a run folder each judgment is on disk before it
is yielded, and so is what was found out about a server. A stop at any moment loses only what was in flight.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from rmr1.engines.base import Model, Request, SamplingParams
from rmr1.errors import StoppedError
from rmr1.faces import name_option
from rmr1.judge.alarm import Alarm
from rmr1.judge.base import Items, PairJudge
from rmr1.records import Generation, JudgePrompt, Judgment, PreferencePair, Vote
from rmr1.store.keys import seed_for
from rmr1.store.runs import RunWriter
from rmr1.verdicts.votes import count_next_wave, is_settled


class Keyed(Protocol):
    """What is asked: a prompt, a conversation to be scored, one with the model that it is for (`rmr1.judge.routing`), or a
    whole item that is judged elsewhere."""

    @property
    def key(self) -> str:
        """Unique among what is in flight."""
        ...


R = TypeVar("R", bound=Keyed)
A = TypeVar("A")


def describe_going_on() -> str:
    """What to do about failed items that are stored, as the end of an error."""
    retry = name_option("retry_failed", True)
    return f"; what failed is stored: {retry} asks again, without it a repetition goes on with the rest"


Steps = Generator[tuple[R, ...], Sequence[A], Judgment]
"""Yields the requests of each step, is sent their answers in the same sequence, and returns the judgment."""

Write = Callable[[JudgePrompt, int], Generator[Request, Generation, Generation]]
"""Writes the sample of a number in several requests: yields them, is sent what they gave, and returns the whole."""

_MOST_DONE = 1000
"""Items that need no asking, such as those of a cache, that may gather while the engine is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[R, A]):
    """An item and the steps in which it is asked about."""

    key: str
    steps: Steps[R, A]


AskPair = Callable[[str, PreferencePair], Ask[R, A]]


def ask_once(requests: tuple[R, ...], conclude: Callable[[Sequence[A]], Judgment]) -> Steps[R, A]:
    """One step: all requests together."""
    return conclude((yield requests))


def ask_prompts(
    key: str,
    prompts: Sequence[JudgePrompt],
    *,
    seed: int,
    params: SamplingParams,
    stop_votes: float | None = None,
    write: Write | None = None,
    cast: Callable[[Generation, JudgePrompt, int], Vote],
    conclude: Callable[[Sequence[Vote]], Judgment],
) -> Steps[Request, tuple[Generation, ...]]:
    """The samples of prompts that differ in their order; every text is read by `cast`, with its sample's number.

    With `stop_votes` they come in waves, the same number of each prompt, and end as soon as the votes are settled
    (`rmr1.verdicts.votes.is_settled`): what is cast are the first of the votes that all samples would give.

    Args:
        write: writes one sample of a prompt in several requests; by default a request gives all samples of a prompt.
    """
    by_prompt: list[list[Vote]] = [[] for _ in prompts]
    asked, num_samples = 0, params.num_samples
    while asked < num_samples:
        votes = [vote for ones in by_prompt for vote in ones]
        wave = left = num_samples - asked
        if stop_votes is not None:
            if is_settled(votes, left * len(prompts), stop_votes):
                break
            wanted = count_next_wave(votes, left * len(prompts), stop_votes)
            wave = -(-wanted // len(prompts))
        samples = range(asked, asked + wave)
        answers: Sequence[tuple[Generation, ...]]
        if write is None:
            answers = yield tuple(
                Request(
                    key=f"{key}/{prompt.slot}",
                    prompt=prompt,
                    seed=seed_for(seed, "sampling", key, prompt.slot),
                    params=params,
                    samples=None if wave == num_samples else samples,
                )
                for prompt in prompts
            )
        else:
            texts = yield from write_together(
                [write(prompt, sample) for prompt in prompts for sample in samples]
            )
            answers = [tuple(texts[place : place + wave]) for place in range(0, len(texts), wave)]
        for ones, prompt, generations in zip(by_prompt, prompts, answers, strict=True):
            ones += [cast(one, prompt, sample) for sample, one in zip(samples, generations, strict=True)]
        asked += wave
    return conclude([vote for ones in by_prompt for vote in ones])


def write_together(
    writings: Sequence[Generator[Request, Generation, Generation]],
) -> Generator[tuple[Request, ...], Sequence[tuple[Generation, ...]], list[Generation]]:
    """Several texts at once, each of their requests in a step of its own; the texts in their sequence."""
    results: dict[int, Generation] = {}
    waiting = {number: next(one) for number, one in enumerate(writings)}
    while waiting:
        answers = yield tuple(waiting.values())
        for number, (generation,) in zip(list(waiting), answers, strict=True):
            try:
                waiting[number] = writings[number].send(generation)
            except StopIteration as end:
                results[number] = end.value
                del waiting[number]
    return [results[number] for number in range(len(writings))]


@dataclass(slots=True)
class _Item(Generic[R, A]):
    """An item in flight."""

    ask: Ask[R, A]
    started: float = field(default_factory=time.perf_counter)
    requests: tuple[R, ...] = ()
    """Those of the present step."""
    answers: dict[str, A] = field(default_factory=dict)
    """The answers to them so far, by the key of their request."""

    def advance(self) -> Judgment | None:
        """Go on to the next step; the judgment if there is none."""
        try:
            if self.requests:
                answers = [self.answers[request.key] for request in self.requests]
                self.requests = self.ask.steps.send(answers)
            else:
                self.requests = next(self.ask.steps)
        except StopIteration as end:
            judgment: Judgment = end.value
            if judgment.seconds:
                return judgment  # it was timed where it was made
            return replace(judgment, seconds=round(time.perf_counter() - self.started, 4))
        self.answers = {}
        return None


class _Desk(Generic[R, A]):
    """The items in flight, the requests that wait to be pulled, and the judgments that wait to be stored."""

    def __init__(self, asks: Iterable[Ask[R, A]]):
        self._asks: Iterator[Ask[R, A]] = iter(asks)
        self._queue: deque[R] = deque()
        self._waiting: dict[str, list[_Item[R, A]]] = {}
        self.done: deque[tuple[str, Judgment]] = deque()

    def fill(self) -> bool:
        """Have a request at hand, if there is one."""
        while not self._queue and len(self.done) < _MOST_DONE:
            one = next(self._asks, None)
            if one is None:
                break
            self._advance(_Item(one))
        return bool(self._queue)

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        """A request, as the engine asks for it; if none is at hand, an answer may bring more of them."""
        if not self.fill():
            raise StopIteration
        return self._queue.popleft()

    def take(self, request: R, answer: A) -> None:
        """Take in an answer; behind the last one of a step the item goes on."""
        for item in self._waiting.pop(request.key):
            item.answers[request.key] = answer
            if len(item.answers) == len(item.requests):
                self._advance(item)

    def _advance(self, item: _Item[R, A]) -> None:
        judgment = item.advance()
        if judgment is not None:
            self.done.append((item.ask.key, judgment))
            return
        for request in item.requests:
            items = self._waiting.setdefault(request.key, [])
            if not items:
                self._queue.append(request)
            items.append(item)


def ask_all(
    asks: Iterable[Ask[R, A]],
    answer: Callable[[Iterator[R]], Iterator[tuple[R, A]]],
    *,
    models: Sequence[Model],
    run: RunWriter | None = None,
    alarm: Alarm | None = None,
) -> Generator[tuple[str, Judgment], None, None]:
    """Yield `(key, judgment)` for every item, in the order they finish.

    Args:
        answer: the stream of `models`, whose notes are stored with the run. It is started again for requests that
            come up when it has ended.
        alarm: notices that going on is of no use; by default one that knows what the run holds.

    Raises:
        GenerationError: the engine as a whole failed. What was finished is stored.
        StoppedError: the alarm was raised; likewise.
        RunError: a judgment could not be stored.
    """
    if alarm is None:
        alarm = Alarm(
            has_answers=run is not None and run.has_answers, advice=getattr(models[0], "advice", None)
        )
    desk: _Desk[R, A] = _Desk(asks)

    def store() -> Iterator[tuple[str, Judgment]]:
        while desk.done:
            key, judgment = desk.done.popleft()
            if run is not None:
                run.append(key, judgment)
                run.add_notes(f"{one.name}: {note}" for one in models for note in getattr(one, "notes", ()))
            alarm.update(judgment)
            yield key, judgment
            if alarm.cause is not None:
                raise StoppedError(f"stopped: {alarm.cause}" + ("" if run is None else describe_going_on()))

    while desk.fill() or desk.done:
        answers = answer(desk)
        try:
            for request, found in answers:
                desk.take(request, found)
                yield from store()
        finally:
            # At once, so that an engine cancels what is in flight.
            if close := getattr(answers, "close", None):
                close()
        yield from store()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(Generic[R, A]):
    """How a judge is asked from now on."""

    ask: AskPair[R, A]
    answer: Callable[[Iterator[R]], Iterator[tuple[R, A]]]
    """The stream of the models."""
    models: Sequence[Model]

    def run(
        self, items: Items, run: RunWriter | None = None, *, alarm: Alarm | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """`ask_all` about pairs with the keys that they have in their run."""
        asks = (self.ask(key, pair) for key, pair in items)
        return ask_all(asks, self.answer, models=self.models, run=run, alarm=alarm)


@runtime_checkable
class ServableJudge(PairJudge, Protocol):
    """A judge of ours, which can be asked about pairs that come one by one."""

    def begin(self, run: RunWriter | None = None) -> Asking[Any, Any]:
        """How it is asked from now on, for a run if one is given."""
        ...
