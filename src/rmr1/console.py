"""Lines and tables of a terminal: a console that prints inert text, lines that fit, a live line about work that goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.text import Text

from rmr1.screen import one_line, print, spell

if TYPE_CHECKING:
    from rich.live import Live

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
        """Under the guard: what is ours among the escapes is known here only."""
        return getattr(super().file, "unguarded", super().file)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(one_line(text), **options)

    def on_broken_pipe(self) -> None:
        """The reader has gone: for `rmr1.cli.main` or the pager to say what that means, not an exit of rich's own."""
        raise BrokenPipeError

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            one if one.control else Segment(spell(one.text), one.style) for one in buffer
        )


def cut(text: str, width: int) -> str:
    """The beginning of `text` that fits `width` columns, an ellipsis at its end if anything is left out."""
    if cell_len(text) <= width:
        return text
    kept, used = "", 1
    for letter in text:
        used += cell_len(letter)
        if used > width:
            break
        kept += letter
    return f"{kept.rstrip()}…" if width > 0 else ""


def fit(parts: Sequence[str], width: int, *, dropped: Sequence[int] = ()) -> str:
    """Parts of a line joined by ` · `; of one too wide those at the places `dropped` go first, then those at the end,
    until it fits `width` columns. The first part stays and is cut."""
    shown = dict(enumerate(parts))
    leaving = [*dropped, *(place for place in range(len(parts) - 1, 0, -1) if place not in dropped)]
    for place in leaving:
        line = " · ".join(part for part in shown.values() if part)
        if cell_len(line) <= width:
            return line
        shown.pop(place, None)
    return cut(parts[0], width)


class Status:
    """A line about work that goes on: live on a terminal, a plain one now and then elsewhere; standard error only.

    A line is given as a function of the columns it may take, and made only when it is shown.
    """

    def __init__(self, *, quiet: bool = False):
        self._quiet = quiet
        self._shown = time.perf_counter()
        self._live: Live | None = None
        self._console = Console(stderr=True)

    @property
    def width(self) -> int:
        """Columns of a line; the last one stays free, because some terminals break the line there."""
        return max(1, self._console.width - 1)

    @property
    def is_live(self) -> bool:
        return self._live is not None

    def __enter__(self) -> Status:
        if not self._quiet and self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)
            self._live = None

    def show(self, line: Callable[[int], str], *, at_once: bool = False) -> None:
        """May be called as often as anything happens; `at_once` for what must not wait for its turn."""
        now = time.perf_counter()
        wait = PLAIN_SECONDS if self._live is None else LIVE_SECONDS
        if self._quiet or (not at_once and now - self._shown < wait):
            return
        self._shown = now
        if self._live is not None:
            self._live.update(Text(one_line(line(self.width)), no_wrap=True, overflow="ellipsis"))
        else:
            self.say(line(self.width))

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._quiet:
            return
        if self._live is not None:
            self._console.print(one_line(text), soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


def format_seconds(seconds: float) -> str:
    """`45s`, `2m12s`, `3h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
