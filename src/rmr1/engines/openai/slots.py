"""The queue in which requests wait until they may be sent."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rmr1.engines.openai.server import Adapted, ChatServer, Refused, Retry


class Slots:
    """A queue before the server's throttle and the user's limits."""

    def __init__(self, server: ChatServer):
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[asyncio.Future[int], Callable[[], int]]] = deque()
        self._num_in_flight = 0
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def take(self, guess: Callable[[], int]) -> AsyncIterator[int]:
        """Wait until a request of about `guess()` tokens may be sent, first come first served."""
        turn: asyncio.Future[int] = self._loop.create_future()
        self._queue.append((turn, guess))
        self._admit()
        try:
            num_tokens = await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()
            raise
        throttle = self._server.throttle
        started = time.monotonic()
        try:
            yield num_tokens
        except Retry as failed:
            if failed.is_busy:
                # Who is asked to wait for too long gives up, and holds nobody.
                is_kept = failed.wait is None or failed.wait <= self._server.patience.longest_wait[0]
                throttle.refuse(failed.wait if is_kept else 0.0)
                self._server.tell_hold(f"{failed.what}: {failed.detail}" if failed.detail else failed.what)
            elif not failed.is_connect:
                throttle.answer()
            raise
        except (Refused, Adapted):
            throttle.answer()
            raise
        else:
            throttle.answer(time.monotonic() - started)
        finally:
            self._leave()

    def _admit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            turn, guess = self._queue[0]
            if turn.cancelled():
                self._queue.popleft()
                continue
            num_tokens = guess()
            seconds = self._server.throttle.wait(self._num_in_flight) or self._server.pacer.take(num_tokens)
            if seconds > 0:
                if seconds < math.inf:
                    self._timer = self._loop.call_later(seconds, self._admit)
                return
            self._queue.popleft()
            self._num_in_flight += 1
            self._server.throttle.send()
            turn.set_result(num_tokens)

    def _leave(self) -> None:
        self._num_in_flight -= 1
        self._admit()
