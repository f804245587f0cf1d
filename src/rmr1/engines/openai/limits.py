"""The times at which a remote engine may send: the user's limits, what the server takes, and the wait before another try.

`Pacer` keeps the limits that the user sets. It spaces evenly, so no window of a minute ever holds more than the limit.
Tokens are taken by an estimate when a request is sent and corrected when the server has said what was used.

`Throttle` finds the server's own limits, whichever they are (so many at a time, so many a second, nothing for
a while), from which tries it refuses as too many (429, 503, 529, or any other with a time to wait). It is a
congestion control like TCP's, with these differences:

- A refusal takes one off the number in flight, not half. An answer puts 0.03 back, so that at a limit about 3 tries
  in 100 find out whether it has been raised; many in a row put back more.
- If at 0.6 of the number in flight the share of answers has not risen, fewer do not help, and the number grows again
  in spite of refusals.
- Tries are spread over the time that an answer takes. A number below one is a pause between them.
- If only one may be in flight, and most tries were refused lately or eight in a row, nothing is sent until the
  time that the server named. Any other refusal holds up only the request that met it. A server that has
  taken nothing after several such times is not spared any more: it may be out of order.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from threading import Lock

_REGAINED = 0.03
_MANY_ANSWERS = 64
"""Answers in a row after which the number grows faster."""
_MANY_REFUSALS = 8
_LONGEST_HOLD = 8.0
"""Seconds for which a server that names no time is left alone: it may be loading."""
_LEAST_ALLOWED = 0.25
_MEMORY = 32
_FEWER = 0.6
_RISE = 1.25
"""The factor by which the share of answers must rise with `_FEWER` in flight if that is to be a help."""
_SPREAD = 0.6


class Pacer:
    """Says when the next request may be sent. Safe to use from several threads."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._request_seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._lock = Lock()
        self._request_free_at = self._token_free_at = clock()

    def take(self, num_tokens: float) -> float:
        """Take this moment for a request of about `num_tokens`: 0; else nothing, and the seconds to a free one."""
        with self._lock:
            now = self._clock()
            seconds = max(self._request_free_at, self._token_free_at) - now
            if seconds > 0:
                return seconds
            self._request_free_at = now + self._request_seconds
            self._token_free_at = now + num_tokens * self._token_seconds
            return 0.0

    def correct(self, num_tokens: float) -> None:
        """Add tokens to what was taken; negative if less was used."""
        with self._lock:
            self._token_free_at += num_tokens * self._token_seconds


class Throttle:
    """How many requests may be in flight, learnt from the server. Safe to use from several threads."""

    def __init__(
        self,
        most: int,
        *,
        hold_seconds: float,
        max_hold_seconds: float,
        most_holds: int = 6,
        clock: Callable[[], float] = time.monotonic,
        fraction: Callable[[], float] = random.random,
    ):
        """Start with `most`, which is never exceeded.

        `hold_seconds` is for servers that name no time; it doubles up to `max_hold_seconds`, or 8. After `most_holds` in
        a row the server is not spared until it answers, so that a run fails as soon as its tries are used up.
        """
        self._most = self.allowed = self._steady = float(most)
        """`allowed`: how many may be in flight; below 1, the part of the time that one may be. `_steady`: what was
        allowed before nothing was taken any more; regained one by one."""
        self._hold_seconds = hold_seconds
        self._max_hold_seconds = max_hold_seconds
        self._most_holds = most_holds
        self._clock = clock
        self._fraction = fraction
        self._lock = Lock()
        self._sent_at = self._held_until = -math.inf
        self._answer_seconds = 0.0
        self._num_answers = self._num_refusals = 0
        """Answers since the last refusal, and refusals since the last answer."""
        self._num_holds = self._num_outlasted = 0.0
        """Holds since the last answer, and those of them that came one after the other; a hold that was cut short
        counts as the part that it is."""
        self._refused_share = 0.0
        self._is_noise = False
        """Whether refusals have been found not to depend on the number in flight."""
        self._compared_allowed = self.allowed
        self._compared_share = 1.0
        """The share of answers: the least one since the comparison began; while refusals are noise, that of then."""
        self._num_compared = 0

    @property
    def held(self) -> float:
        """Seconds for which nothing is sent."""
        return max(0.0, self._held_until - self._clock())

    def wait(self, num_in_flight: int) -> float:
        """Seconds until one more may be sent; infinite until one of those in flight has come back."""
        with self._lock:
            if num_in_flight >= math.ceil(self.allowed):
                return math.inf
            at = self._held_until
            if self.allowed < self._most:
                at = max(at, self._sent_at + _SPREAD * self._answer_seconds / self.allowed)
            return max(0.0, at - self._clock())

    def send(self) -> None:
        with self._lock:
            self._sent_at = self._clock()

    def answer(self, seconds: float | None = None) -> None:
        """The server has taken a try, and its answer took so long; None if it was no answer."""
        with self._lock:
            if seconds is not None:
                weight = 0.125 if self._answer_seconds else 1.0
                self._answer_seconds += weight * (seconds - self._answer_seconds)
            self._refused_share -= self._refused_share / _MEMORY
            self._num_compared += 1
            self._num_answers += 1
            if self._num_refusals and self.allowed > 1:
                self._steady = self.allowed
            self._num_refusals = 0
            self._num_holds = self._num_outlasted = 0.0
            if self.allowed < self._steady:
                self.allowed = min(self.allowed + min(1.0, self.allowed), self._steady)
            else:
                self.allowed = min(self.allowed + self._step() * min(1.0, self.allowed / 4), self._most)
            if self._num_answers >= _MANY_ANSWERS:
                self._compare(is_noise=False)

    def refuse(self, seconds: float | None) -> None:
        """The server has refused a try as one too many, and asks to wait so long; None if it names no time."""
        with self._lock:
            if self._num_outlasted >= self._most_holds:
                self.allowed = self._most
                return
            self._num_answers = 0
            self._num_compared += 1
            self._refused_share += (1.0 - self._refused_share) / _MEMORY
            self._judge()
            self.allowed = max(_LEAST_ALLOWED, self.allowed - min(1.0, self.allowed / 4))
            if not self._num_refusals:
                self._steady = self.allowed
            self._num_refusals += 1
            is_out = self._refused_share > 0.5 or self._num_refusals >= _MANY_REFUSALS
            if self.allowed <= 1 and self._num_refusals > 1 and is_out:
                part = 1.0
                if seconds is None:
                    whole = min(self._max_hold_seconds, self._hold_seconds * 2.0 ** min(self._num_holds, 32))
                    seconds = min(whole, _LONGEST_HOLD)
                    part = seconds / whole if whole else 1.0
                    self._num_holds += part
                # Those that were in flight together meet one and the same refusal.
                if seconds > 0 and self._clock() >= self._held_until:
                    self._num_outlasted += part
                # The random part is for others that the server holds as well.
                until = self._clock() + seconds * (1.0 + 0.1 * self._fraction())
                self._held_until = max(self._held_until, until)

    def _step(self) -> float:
        step = _REGAINED * max(1.0, self._num_answers / _MANY_ANSWERS) ** 2
        if self._is_noise:
            step = max(step, _REGAINED + 1.5 * self._refused_share / (1.0 - self._refused_share))
        return min(1.0, step)

    def _judge(self) -> None:
        """Find out whether fewer in flight mean fewer refusals."""
        share = 1.0 - self._refused_share
        if self._is_noise:
            if share < 0.5 or share * _RISE < self._compared_share:
                self._compare(is_noise=False)
            return
        self._compared_share = min(self._compared_share, share)
        if share < 0.5:
            self._compare(is_noise=False)
        elif (
            self.allowed <= max(_LEAST_ALLOWED, _FEWER * self._compared_allowed)
            and self._num_compared >= _MEMORY
        ):
            self._compare(is_noise=share < _RISE * self._compared_share)

    def _compare(self, *, is_noise: bool) -> None:
        """Begin a comparison with what is allowed now."""
        self._is_noise = is_noise
        self._compared_allowed = self.allowed
        self._compared_share = 1.0 - self._refused_share
        self._num_compared = 0


def parse_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds that a reply asks to wait, at the Unix time `now`; None if it does not say so in a form we know."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            # Also refuses "nan" and "inf", which float() reads.
            if 0.0 <= (seconds := float(headers[name]) * scale) < 1e9:
                return seconds
    with suppress(KeyError, ValueError, TypeError):
        when = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now)
    return None
