"""A console that prints inert text, and displays of work that goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.text import Text

from rmr1.judge.summary import Tally, is_unanswered
from rmr1.records import Judgment
from rmr1.screen import format_bytes, format_count, format_percent, format_seconds, one_line, print, spell

if TYPE_CHECKING:
    from rich.live import Live

_ENDS = re.compile(r" +$", re.MULTILINE)
"""What fills a table's lines up; none of it goes into a file or pipe."""
PLAIN_SECONDS = 10.0
"""Time between two plain lines."""
LIVE_SECONDS = 0.2
"""Time between two forms of a live line."""


class Console(RichConsole):
    """Rich's console without markup, emoji codes and automatic colours in what it is given, and with inert text.

    A `str` is one line, in tables too, and its line breaks are spelled out; what may have several is a `Text`.
    """

    def __init__(self, **options: Any):
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    @property  # type: ignore[misc]
    def file(self) -> Any:
        """The stream, under the guard: only here it is known which escapes are ours."""
        return getattr(super().file, "unguarded", super().file)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(one_line(text), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command and the pager, instead of an exit of rich's own."""
        raise BrokenPipeError

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        inert = (one if one.control else Segment(spell(one.text), one.style) for one in buffer)
        text = super()._render_buffer(inert)
        return text if self.is_terminal else _ENDS.sub("", text)


def cut(text: str, width: int) -> str:
    """The beginning of `text` that fits `width` columns, an ellipsis at its end if anything is left out."""
    shown = Text(text)
    shown.truncate(max(0, width), overflow="ellipsis" if width > 0 else "crop")
    return shown.plain


def fit(parts: Sequence[str], width: int, *, dropped: Sequence[int] = ()) -> str:
    """Parts of a line joined by ` · `. If they are wider than `width`, those at the places `dropped` go first, then those
    at the end; the first part stays and is cut."""
    shown = dict(enumerate(parts))
    leaving = [*dropped, *(place for place in range(len(parts) - 1, 0, -1) if place not in dropped)]
    for place in leaving:
        line = " · ".join(part for part in shown.values() if part)
        if cell_len(line) <= width:
            return line
        shown.pop(place, None)
    return cut(parts[0], width)


class Status(ABC):
    """A line about work that goes on, on standard error: live on a terminal, a plain one now and then elsewhere.

    The line is made only when it is shown, so `show` may be called often.
    """

    def __init__(self, total: int | None = None, *, done: int = 0, quiet: bool = False):
        self._total = total
        self._first = self._done = done
        self._quiet = quiet
        self._started = self._shown = time.perf_counter()
        self._live: Live | None = None
        self._console = Console(stderr=True)

    @abstractmethod
    def line(self, width: int) -> str:
        """The line, in at most `width` columns."""

    @property
    def seconds(self) -> float:
        return max(time.perf_counter() - self._started, 1e-9)

    @property
    def rate(self) -> float:
        """What is done in a second."""
        return (self._done - self._first) / self.seconds

    @property
    def time_told(self) -> str:
        """The time that is left, at the end the time that was taken; empty if neither is known."""
        if self._total is not None and self._done < self._total:
            return f"{format_seconds((self._total - self._done) / self.rate)} left" if self.rate else ""
        return format_seconds(self.seconds) if self._total is not None else ""

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)
            self._live = None

    def show(self, *, at_once: bool = False) -> None:
        """Show the line if it is its turn, or `at_once`."""
        wait = PLAIN_SECONDS if self._live is None else LIVE_SECONDS
        now = time.perf_counter()
        if self._quiet or (not at_once and now - self._shown < wait):
            return
        self._shown = now
        if self._live is not None:
            self._live.update(Text(one_line(self._fitted()), no_wrap=True, overflow="ellipsis"))
        else:
            self.say(self._fitted())

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._quiet:
            return
        if self._live is not None:
            self._console.print(one_line(text), soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _fitted(self) -> str:
        # The last column stays free, because some terminals break the line there.
        return self.line(max(1, self._console.width - 1))


class Progress(Status):
    """Counts judgments, in `tally`: done, rate, tokens, what has no verdict and why, accuracy so far and the time left."""

    def __init__(self, total: int | None, *, label: str = "judged", **options: Any):
        super().__init__(total, **options)
        self.tally = Tally()
        self._label = one_line(label)

    def __enter__(self) -> Self:
        super().__enter__()
        self.show(at_once=self._live is not None)
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        if self.tally.items or exception[0] is None:
            self.say(self._fitted())

    def update(self, judgment: Judgment) -> None:
        self.tally.add(judgment)
        self.show()

    def line(self, width: int = 1000) -> str:
        """`judged 120/2000 · 14.2/s · 31k tokens read, 9k written · 3 without verdict · 58.1% right · 2m12s left`."""
        tally = self.tally
        self._done = self._first + tally.items
        split = tally.problems["split_vote"]
        # Neither names a side: the model did not answer, or its answers contradict each other.
        num_unread = tally.unparsed - split - tally.problems["generation_failed"]
        has_share = tally.accuracy is not None and not is_unanswered(tally.items, tally.problems)
        count = f"{self._done}" + (f"/{self._total}" if self._total is not None else "")
        tokens = f"{format_count(tally.prompt_tokens)} tokens read, {format_count(tally.completion_tokens)} written"
        parts = [
            f"{cut(self._label, width - cell_len(count) - 1)} {count}".lstrip(),
            f"{self.rate:.1f}/s",
            tokens,
            f"{num_unread} without verdict",
            f"{tally.failed} failed" if tally.failed else "",
            f"{split} undecided" if split else "",
            f"{format_percent(tally.accuracy, 1)}% right" if has_share else "",
            self.time_told,
        ]
        return fit(parts, width, dropped=(2, 1, 5, 3, 6, 7, 4))


class PairProgress(Status):
    """What is being done, and how many pairs are through."""

    _stage = ""

    def report(self, stage: str, done: int) -> None:
        """May be called for every pair; a stage that begins (`done` 0) is always printed."""
        is_new = stage != self._stage and done == 0
        self._stage, self._done = stage, done
        self.show(at_once=is_new)

    def line(self, width: int) -> str:
        end = f" · {format_seconds(self.seconds)}"
        if self._done:
            end = f": {self._done:,} pairs{end}"
        return cut(one_line(self._stage), width - cell_len(end)) + end


def describe_loss(values: Mapping[str, Any]) -> list[str]:
    """`loss 0.4312 · rate 4.9e-06 · 1200 tokens/s`."""
    speed = f"{values['tokens_per_second']:.0f} tokens/s"
    return [f"loss {values['loss']:.4f}", f"rate {values['lr']:.1e}", speed]


class Display(Status):
    """The figures of a training's last step and the time left."""

    def __init__(
        self,
        total: int,
        *,
        describe: Callable[[Mapping[str, Any]], list[str]] = describe_loss,
        **options: Any,
    ):
        super().__init__(total, **options)
        self._describe = describe
        self._last: Mapping[str, Any] | None = None

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        if self._last is not None:
            self.say(self._fitted())

    def update(self, values: Mapping[str, Any]) -> None:
        self._last = values
        self._done = int(values["step"])
        self.show()

    def line(self, width: int) -> str:
        parts = [f"step {self._done}/{self._total}", *self._describe(self._last or {}), self.time_told]
        return fit(parts, width, dropped=range(len(parts) - 2, 0, -1))


class ByteProgress(Status):
    """What is being read, and how much of it is through."""

    def __init__(self, label: str, total: int, **options: Any):
        super().__init__(total, **options)
        self._label = one_line(label)

    def report(self, done: int, total: int) -> None:
        """May be called often; the total may grow."""
        self._done, self._total = done, total
        self.show()

    def line(self, width: int) -> str:
        parts = [
            self._label,
            f"{format_bytes(self._done)} of {format_bytes(self._total or 0)}",
            f"{format_bytes(int(self.rate))}/s",
            self.time_told,
        ]
        return fit(parts, width, dropped=(2,))
