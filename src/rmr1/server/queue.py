"""Tickets: what callers want to have judged, waiting or at work; in one bounded queue for all workers.

A caller waits on a future of its own. Callers that want the same, under the same key, share a ticket, so a request that
is repeated is joined to the first one. A ticket that no caller waits for any more is dropped if it is still waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rmr1.errors import RMR1Error
from rmr1.server.trace import Reader, Trace

_PACE_KEPT = 200
"""Finished tickets that tell the pace."""


class QueueFullError(RMR1Error):
    """So many tickets are waiting that another one is not taken."""

    def __init__(self, most: int, seconds: float):
        super().__init__(f"{most} requests are waiting already; try again in {seconds:.0f} seconds")
        self.seconds = seconds
        """How long until there is room, at the present pace; at least 1."""


class ClosedError(RMR1Error):
    """The queue takes nothing any more, because the server ends."""


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket:
    """One thing that is to be asked, and who waits for it."""

    key: str
    make: Callable[[Any], Any]
    """Makes, of how a worker's judge is asked (`rmr1.server.worker.Askings`), what is asked (`rmr1.judge.ask.Ask`)."""
    waiting: list[Future[Any]] = field(default_factory=list)
    trace: Trace = field(default_factory=Trace)
    """Its texts while they are written, if somebody reads along."""

    @property
    def is_wanted(self) -> bool:
        return any(not one.done() for one in self.waiting)


class TicketQueue:
    """The tickets of all callers. Every method may be called from any thread."""

    def __init__(self, most_waiting: int):
        """
        Args:
            most_waiting: tickets that wait at a time, those in the background aside.
        """
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._front: deque[Ticket] = deque()
        self._back: deque[Ticket] = deque()
        self._tickets: dict[str, Ticket] = {}
        self._is_closed = False
        self._finished: deque[float] = deque(maxlen=_PACE_KEPT)

    @property
    def num_waiting(self) -> int:
        return len(self._front) + len(self._back)

    @property
    def num_at_work(self) -> int:
        return len(self._tickets) - self.num_waiting

    def ask(
        self,
        key: str,
        make: Callable[[Any], Any],
        *,
        in_background: bool = False,
        reader: Reader | None = None,
    ) -> Future[Any]:
        """A future of what is asked; it is joined to a ticket of the same key that is not finished yet.

        Cancelling the future says that nobody waits for it.

        Args:
            in_background: behind all that others wait for, and beyond the bound.
            reader: reads the texts along, until it leaves.

        Raises:
            QueueFullError: too many are waiting. ClosedError: the queue is closed.
        """
        future: Future[Any] = Future()
        with self._changed:
            if self._is_closed:
                raise ClosedError("the server is ending and takes no new requests")
            ticket = self._tickets.get(key)
            if ticket is not None:
                ticket.waiting.append(future)
                if reader is not None:
                    ticket.trace.join(reader)
                if not in_background and ticket in self._back:
                    self._back.remove(ticket)
                    self._front.append(ticket)
                return future
            if not in_background and len(self._front) >= self._most_waiting:
                self._drop_unwanted()
                if len(self._front) >= self._most_waiting:
                    raise QueueFullError(self._most_waiting, self.estimate_wait())
            ticket = Ticket(key=key, make=make, waiting=[future])
            if reader is not None:
                ticket.trace.join(reader)
            self._tickets[key] = ticket
            (self._back if in_background else self._front).append(ticket)
            self._changed.notify()
        return future

    def take(self, *, wait: bool) -> Ticket | None:
        """The next ticket that somebody waits for; None if there is none, after waiting for one with `wait`, until the
        queue is closed."""
        with self._changed:
            while True:
                while self._front or self._back:
                    ticket = (self._front or self._back).popleft()
                    if ticket.is_wanted:
                        return ticket
                    self._tickets.pop(ticket.key, None)
                if not wait or self._is_closed:
                    return None
                self._changed.wait()

    def finish(self, ticket: Ticket, result: Any) -> None:
        """Give the result, or the error, to all who wait for it."""
        with self._changed:
            self._tickets.pop(ticket.key, None)
            self._finished.append(time.monotonic())
            self._changed.notify_all()
        for future in ticket.waiting:
            with suppress(InvalidStateError):  # cancelled meanwhile
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def estimate_wait(self) -> float:
        """Seconds until a ticket that comes now would be taken, at the present pace; at least 1, at most 60."""
        if len(self._finished) < 2:
            return 1.0
        seconds = time.monotonic() - self._finished[0]
        return min(60.0, max(1.0, len(self._front) * seconds / len(self._finished)))

    def close(self, error: BaseException | None = None) -> None:
        """Take no more tickets; with an error, what waits gets it."""
        with self._changed:
            self._is_closed = True
            left = [] if error is None else [*self._front, *self._back]
            if error is not None:
                self._front.clear()
                self._back.clear()
            self._changed.notify_all()
        for ticket in left:
            self.finish(ticket, error)

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether everything is finished, after waiting for it at most so long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._tickets, timeout=seconds)

    def _drop_unwanted(self) -> None:
        for ticket in [one for one in self._front if not one.is_wanted]:
            self._front.remove(ticket)
            self._tickets.pop(ticket.key, None)
