"""What a person sees while a model is trained: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_SECONDS = 10.0
"""Time between two plain lines."""


class Display:
    """A context manager; standard error only."""

    def __init__(
        self,
        total: int,
        *,
        done: int = 0,
        quiet: bool = False,
        describe: Callable[[Mapping[str, Any]], list[str]] | None = None,
    ):
        """`describe` gives the parts of a step's line between its number and the time that is left."""
        self._describe = describe or describe_loss
        self._total = total
        self._first = done
        self._quiet = quiet
        self._started = self._printed = time.perf_counter()
        self._live: Live | None = None
        self._line = ""

    def __enter__(self) -> Display:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)
        if not self._quiet and self._line:
            print(self._line, file=sys.stderr)

    def update(self, values: Mapping[str, Any]) -> None:
        """Show a step's figures."""
        self._line = self.format_step(values)
        if self._quiet:
            return
        now = time.perf_counter()
        if self._live is not None:
            self._live.update(self._line)
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            print(self._line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def format_step(self, values: Mapping[str, Any]) -> str:
        """`step 120/600 · ... · 3m10s left`."""
        step = int(values["step"])
        seconds = time.perf_counter() - self._started
        left = seconds / max(1, step - self._first) * (self._total - step)
        time_left = f"{_format_seconds(left)} left" if step < self._total else _format_seconds(seconds)
        return " · ".join([f"step {step}/{self._total}", *self._describe(values), time_left])


def describe_loss(values: Mapping[str, Any]) -> list[str]:
    """`loss 0.4312 · rate 4.9e-06 · 1200 tokens/s`."""
    return [
        f"loss {values['loss']:.4f}",
        f"rate {values['lr']:.1e}",
        f"{values['tokens_per_second']:.0f} tokens/s",
    ]


def _format_seconds(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    return (
        f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    )
