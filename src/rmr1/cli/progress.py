"""Progress of a judging run or of work on pairs: a live line on a terminal, plain lines elsewhere. Standard error only."""

from __future__ import annotations

import time
from types import TracebackType

from rich.cells import cell_len

from rmr1.console import Status, cut, fit, format_seconds
from rmr1.judge.summary import Tally, is_unanswered
from rmr1.records import Judgment
from rmr1.screen import one_line


class Progress:
    """Counts judgments and shows done, rate, tokens, what has no verdict and why, accuracy so far and time left.

    A context manager; `tally` holds the counts.
    """

    def __init__(self, total: int | None, *, done: int = 0, label: str = "judged", quiet: bool = False):
        self.tally = Tally()
        self._total = total
        self._before = done
        self._label = one_line(label)
        self._started = time.perf_counter()
        self._status = Status(quiet=quiet)

    def __enter__(self) -> Progress:
        self._status.__enter__()
        if self._status.is_live:
            self._status.show(self.line, at_once=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.__exit__(kind, error, trace)
        if self.tally.items or kind is None:
            self._status.say(self.line(self._status.width))

    def update(self, judgment: Judgment) -> None:
        self.tally.add(judgment)
        self._status.show(self.line)

    def line(self, width: int = 1000) -> str:
        """`judged 120/2000 · 14.2/s · 31k tokens read, 9k written · 3 without verdict · 2 failed · 58.1% right · 2m12s left`, of which
        what matters least goes first if the line is wider than `width`."""
        tally = self.tally
        split = tally.problems["split_vote"]
        seconds = max(time.perf_counter() - self._started, 1e-9)
        done = self._before + tally.items
        rate = tally.items / seconds
        # Neither is a text that names no side: the model did not answer, or its answers contradict each other.
        num_unread = tally.unparsed - split - tally.problems["generation_failed"]
        time_told = ""
        if self._total is not None and rate > 0 and done < self._total:
            time_told = f"{format_seconds((self._total - done) / rate)} left"
        elif done == self._total:
            time_told = format_seconds(seconds)
        has_share = tally.accuracy is not None and not is_unanswered(tally.items, tally.problems)
        count = f"{done}" + (f"/{self._total}" if self._total is not None else "")
        # In the order of the line, each with its turn to go.
        parts = [
            (0, f"{cut(self._label, width - cell_len(count) - 1)} {count}".lstrip()),
            (6, f"{rate:.1f}/s"),
            (
                7,
                f"{_thousands(tally.prompt_tokens)} tokens read, {_thousands(tally.completion_tokens)} written",
            ),
            (4, f"{num_unread} without verdict"),
            (1, f"{tally.failed} failed" if tally.failed else ""),
            (5, f"{split} undecided" if split else ""),
            (3, f"{100 * tally.accuracy:.1f}% right" if has_share and tally.accuracy is not None else ""),
            (2, time_told),
        ]
        turns = sorted(range(1, len(parts)), key=lambda place: -parts[place][0])
        return fit([text for _, text in parts], width, dropped=turns)


class PairProgress:
    """What is being done and how many pairs are through: a live line on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False):
        self._started = time.perf_counter()
        self._stage = ""
        self._status = Status(quiet=quiet)

    def __enter__(self) -> PairProgress:
        self._status.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.__exit__(kind, error, trace)

    def report(self, stage: str, done: int) -> None:
        """May be called for every pair; a stage that begins (`done` 0) is always printed."""
        is_new = stage != self._stage and done == 0
        if is_new:
            self._stage = stage
        self._status.show(lambda width: self._line(stage, done, width), at_once=is_new)

    def _line(self, stage: str, done: int, width: int) -> str:
        self._stage = stage
        end = f" · {format_seconds(time.perf_counter() - self._started)}"
        if done:
            end = f": {done:,} pairs{end}"
        return cut(one_line(stage), width - cell_len(end)) + end


def _thousands(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 10_000_000 else f"{count / 1e6:.1f}M"
