"""Progress of a judging run or of work on pairs: a live line on a terminal, plain lines elsewhere. Standard error only."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rmr1.judge.summary import Tally, is_unanswered
from rmr1.records import Judgment

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_SECONDS = 10.0
"""Time between two plain lines."""


class Progress:
    """Counts judgments and shows done, rate, tokens, what has no verdict and why, accuracy so far and time left.

    A context manager; `tally` holds the counts.
    """

    def __init__(self, total: int | None, *, done: int = 0, label: str = "judged", quiet: bool = False):
        self.tally = Tally()
        self._total = total
        self._before = done
        self._label = label
        self._quiet = quiet
        self._started = time.perf_counter()
        self._printed = self._started
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.__enter__()
            self._live.update(self.line())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
        if not self._quiet and (self.tally.items or kind is None):
            print(self.line(), file=sys.stderr)

    def update(self, judgment: Judgment) -> None:
        self.tally.add(judgment)
        if self._quiet:
            return
        now = time.perf_counter()
        if self._live is not None:
            if now - self._printed >= 0.2:
                self._printed = now
                self._live.update(self.line())
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """`judged 120/2000 · 14.2/s · 31k tokens · 3 without verdict · 2 failed · 58.1% right · 2m12s left`."""
        tally = self.tally
        split = tally.problems["split_vote"]
        seconds = max(time.perf_counter() - self._started, 1e-9)
        done = self._before + tally.items
        rate = tally.items / seconds
        # Neither is a text that names no side: the model did not answer, or its answers contradict each other.
        num_unread = tally.unparsed - split - tally.problems["generation_failed"]
        parts = [
            f"{self._label} {done}" + (f"/{self._total}" if self._total is not None else ""),
            f"{rate:.1f}/s",
            f"{_thousands(tally.prompt_tokens)} tokens read, {_thousands(tally.completion_tokens)} written",
            f"{num_unread} without verdict",
        ]
        if tally.failed:
            parts.append(f"{tally.failed} failed")
        if split:
            parts.append(f"{split} undecided")
        if tally.accuracy is not None and not is_unanswered(tally.items, tally.problems):
            parts.append(f"{100 * tally.accuracy:.1f}% right")
        if self._total is not None and rate > 0 and done < self._total:
            parts.append(f"{format_seconds((self._total - done) / rate)} left")
        elif done == self._total:
            parts.append(format_seconds(seconds))
        return " · ".join(parts)


class PairProgress:
    """What is being done and how many pairs are through: a live line on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False):
        self._quiet = quiet
        self._started = self._printed = time.perf_counter()
        self._stage = ""
        self._live: Live | None = None

    def __enter__(self) -> PairProgress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def report(self, stage: str, done: int) -> None:
        """May be called for every pair; a stage that begins (`done` 0) is always printed."""
        if self._quiet:
            return
        now = time.perf_counter()
        is_new = stage != self._stage and done == 0
        if not is_new and now - self._printed < (PLAIN_SECONDS if self._live is None else 0.2):
            return
        self._stage, self._printed = stage, now
        line = f"{stage}: {done:,} pairs" if done else stage
        line = f"{line} · {format_seconds(now - self._started)}"
        if self._live is not None:
            self._live.update(line)
        else:
            print(line, file=sys.stderr, flush=True)


def format_seconds(seconds: float) -> str:
    """`45s`, `2m12s`, `3h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _thousands(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 10_000_000 else f"{count / 1e6:.1f}M"
