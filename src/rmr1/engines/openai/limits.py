"""When a remote engine may send: a pace for requests and tokens, and the wait before another try.

`Pacer` spaces evenly instead of allowing bursts: with 60 requests a minute the next one may go a second
after the last one, so no window of a minute ever holds more than the limit. Tokens are reserved by an
estimate before a request is sent and corrected when the server has said what was used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock

from rmr1.errors import ConfigError


class Pacer:
    """Hands out the moments at which requests may be sent. Safe to use from several threads."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Limit requests, tokens, both or (None) neither; `clock` gives seconds.

        Raises:
            ConfigError: a limit is not positive.
        """
        for name, value in (
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}; expected a positive number")
        self._request_seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._lock = Lock()
        self._request_free_at = self._token_free_at = self._held_until = clock()

    def reserve(self, num_tokens: float) -> float:
        """Take the next free moment for one request of about `num_tokens`; returns the seconds to it."""
        with self._lock:
            now = self._clock()
            start = max(now, self._request_free_at, self._token_free_at)
            if self._request_seconds:
                self._request_free_at = start + self._request_seconds
            if self._token_seconds:
                self._token_free_at = start + num_tokens * self._token_seconds
            return max(start, self._held_until) - now

    def correct(self, num_tokens: float) -> None:
        """Add tokens to what was reserved; negative where less was used."""
        with self._lock:
            self._token_free_at += num_tokens * self._token_seconds

    def hold(self, seconds: float) -> None:
        """Let nothing start for a while: the server asked for it."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def held_seconds(self) -> float:
        """How long a hold still lasts; 0 where there is none."""
        with self._lock:
            return max(0.0, self._held_until - self._clock())


def compute_backoff(num_tries: int, *, base: float, maximum: float, fraction: float) -> float:
    """Seconds to wait after the try number `num_tries` (from 1) failed.

    Doubles from try to try up to `maximum`; `fraction` in [0, 1] is the random part, which takes away up
    to half so that requests that failed together do not come back together.

        >>> compute_backoff(3, base=1.0, maximum=60.0, fraction=0.0)
        4.0
    """
    seconds = min(maximum, base * 2.0 ** min(num_tries - 1, 32))
    return seconds * (1.0 - 0.5 * fraction)


def parse_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds that a reply asks to wait; None where it does not say so in a form we know.

    `retry-after-ms` (milliseconds) goes before `retry-after` (seconds or an HTTP date). `now` is Unix
    time; a date that has passed gives 0.
    """
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        # Also refuses "nan" and "inf", which float() reads.
        if 0.0 <= seconds < 1e9:
            return seconds
    try:
        when = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.fromtimestamp(now, UTC)).total_seconds())
