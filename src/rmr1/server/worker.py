"""A judge in a thread of its own, which works through the tickets of all callers, many at a time.

The judge is loaded in its thread and used in no other. It is asked as in a run (`rmr1.judge.ask.ask_all`), about
whatever is in the queue: an engine that asks for more gets what came in meanwhile, so requests of many callers share its
batches.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, cast
from weakref import WeakValueDictionary

from rmr1.engines.base import UNWANTED, Request
from rmr1.errors import GenerationError, RMR1Error
from rmr1.judge.alarm import Alarm
from rmr1.judge.ask import Ask, Asking, ServableJudge, Steps, ask_all
from rmr1.judge.base import PairJudge
from rmr1.judge.groups import place_both
from rmr1.judge.identity import begin_run
from rmr1.judge.routing import Routed
from rmr1.judge.settings import Placement
from rmr1.records import Judgment, PreferencePair
from rmr1.server.queue import Ticket, TicketQueue
from rmr1.server.trace import Ear, hear_whole
from rmr1.store.keys import format_key, item_digest

_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the engine is asked again after it failed so many times on end."""


def key_of(pair: PreferencePair) -> str:
    """The key under which a run would store the first such pair; its seeds follow from it."""
    return format_key(item_digest(pair), 0)


class Askings:
    """How one judge is asked: as it is, and in both orders."""

    def __init__(self, judge: ServableJudge):
        self.judge = judge
        self._found: dict[Placement | None, Asking[Any, Any]] = {None: judge.begin()}

    def find(self, order: Placement | None = None) -> Asking[Any, Any]:
        """
        Raises:
            ConfigError: the judge cannot be asked in both orders.
        """
        if order not in self._found:
            placed = place_both(self.judge)
            assert isinstance(placed, ServableJudge)
            self._found[order] = placed.begin()
        return self._found[order]


class JudgeWorker:
    """Works through a queue with a judge of its own."""

    def __init__(self, load: Callable[[], PairJudge], queue: TicketQueue, *, name: str = "judge"):
        """Start the thread and load the judge in it; `wait_until_loaded` says how that went."""
        self.queue = queue
        self.failure: str | None = None
        """Why the engine failed when it was asked last; None if it answered."""
        self.num_failures = 0
        """How often the engine failed as a whole."""
        self._load = load
        self._loaded: Future[ServableJudge] = Future()
        self._at_work: dict[str, Ticket] = {}
        self._shared: _Shared = WeakValueDictionary()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def wait_until_loaded(self) -> ServableJudge:
        """The judge; to be looked at, not to be asked.

        Raises:
            RMR1Error: it cannot be loaded, or is none that can be asked by many.
        """
        return self._loaded.result()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float) -> bool:
        """Whether the thread has ended, after waiting for it; it ends when the queue is closed and empty."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            judge = self._load()
            if not isinstance(judge, ServableJudge):
                raise RMR1Error(f"judge {judge.name!r} cannot be served: it is asked in runs only")
            begin_run(judge, None)
        except BaseException as error:
            self._loaded.set_exception(error)
            return
        self._loaded.set_result(judge)
        failed_in_a_row = 0
        try:
            while (first := self._wait(failed_in_a_row)) is not None:
                self._at_work[first.key] = first
                try:
                    for key, outcome in self._ask(Askings(judge), first):
                        self.queue.finish(self._at_work.pop(key), cast(_Outcome, outcome).tell())
                        self.failure, failed_in_a_row = None, 0
                except Exception as error:  # whatever befell the engine, callers are told
                    failed_in_a_row += 1
                    self.num_failures += 1
                    self.failure = str(error) or type(error).__name__
                    if not isinstance(error, RMR1Error):
                        error = GenerationError(f"{judge.name}: {type(error).__name__}: {error}")
                    self._fail(error)
        finally:
            self._fail(GenerationError(f"{judge.name}: the worker has ended"))
            judge.close()

    def _wait(self, failed_in_a_row: int) -> Ticket | None:
        """The next ticket, after a pause if the engine has just failed; None if the queue is closed."""
        if failed_in_a_row:
            time.sleep(_PAUSES[min(failed_in_a_row, len(_PAUSES)) - 1])
        return self.queue.take(wait=True)

    def _ask(self, askings: Askings, first: Ticket) -> Iterator[tuple[str, Judgment]]:
        def begin(ticket: Ticket) -> Ask[Any, Any]:
            self._at_work[ticket.key] = ticket
            return Ask(key=ticket.key, steps=_guard(ticket, askings, self._shared))

        asks, asking = _Feed(begin, first, self.queue), askings.find()
        return ask_all(asks, _telling(asking.answer), models=asking.models, alarm=_NoAlarm())

    def _fail(self, error: RMR1Error) -> None:
        for ticket in tuple(self._at_work.values()):
            self.queue.finish(ticket, error)
        self._at_work.clear()


class _Feed(Iterator[Ask[Any, Any]]):
    """What is asked about the tickets as they come; it may have more after it had none."""

    def __init__(self, begin: Callable[[Ticket], Ask[Any, Any]], first: Ticket, queue: TicketQueue):
        self._begin = begin
        self._first: Ticket | None = first
        self._queue = queue

    def __next__(self) -> Ask[Any, Any]:
        ticket = self._first or self._queue.take(wait=False)
        self._first = None
        if ticket is None:
            raise StopIteration
        return self._begin(ticket)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of a ticket, in the place of a judgment."""

    result: Any
    seconds: float = 0.0

    def tell(self) -> Any:
        return (
            replace(self.result, seconds=self.seconds) if isinstance(self.result, Judgment) else self.result
        )


class _Sharers:
    """The tickets that wait for the answer to one request, such as that for a shared rubric."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []

    def is_wanted(self) -> bool:
        return any(one.is_wanted for one in self.tickets)


_Shared = WeakValueDictionary[str, _Sharers]
"""Key of a request under way -> who waits for it."""


def _guard(ticket: Ticket, askings: Askings, shared: _Shared) -> Steps[Any, Any]:
    """The ticket's steps; an error in them is its own and takes no other along, and they end when nobody waits."""
    result: Any
    try:
        ask: Ask[Any, Any] = ticket.make(askings)
        requests = next(ask.steps)
        while ticket.is_wanted:
            answers = yield tuple(_mark(request, ask.key, ticket, shared) for request in requests)
            requests = ask.steps.send(answers)
        ask.steps.close()
        result = GenerationError(UNWANTED)
    except StopIteration as end:
        result = end.value
    except Exception as error:
        result = error
    return cast(Judgment, _Outcome(result=result))


def _mark(request: Any, key: str, ticket: Ticket, shared: _Shared) -> Any:
    """The request, which says whether somebody still waits for it and tells who reads along; one that items share is made
    for all of them, and told to none."""
    if isinstance(request, Routed):
        return replace(request, request=_mark(request.request, key, ticket, shared))
    if not isinstance(request, Request):
        return request
    if request.key.startswith(key):
        ear = (
            None if request.sheet is not None else Ear(ticket.trace, request)
        )  # a sheet is not what is stored
        return replace(request, is_wanted=lambda: ticket.is_wanted, listener=ear)
    sharers = shared.setdefault(request.key, _Sharers())
    sharers.tickets.append(ticket)
    return replace(request, is_wanted=sharers.is_wanted)


def _telling(answer: Callable[[Iterator[Any]], Iterator[Any]]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """The same stream of answers, of which those who read along hear each as soon as it is there."""

    def stream(requests: Iterator[Any]) -> Iterator[Any]:
        answers = answer(requests)
        try:
            for asked, found in answers:
                request = asked.request if isinstance(asked, Routed) else asked
                if isinstance(request, Request):
                    hear_whole(request, found)
                yield asked, found
        finally:
            # At once, so that an engine cancels what is in flight.
            if close := getattr(answers, "close", None):
                close()

    return stream


class _NoAlarm(Alarm):
    """A server goes on whatever its callers ask."""

    def update(self, judgment: Judgment) -> None:
        pass
