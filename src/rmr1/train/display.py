"""What a person sees while a model is trained: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rmr1.console import Status, fit, format_seconds


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
        self._started = time.perf_counter()
        self._status = Status(quiet=quiet)
        self._last: Mapping[str, Any] | None = None

    def __enter__(self) -> Display:
        self._status.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._status.__exit__(*exception)
        if self._last is not None:
            self._status.say(self.format_step(self._last, self._status.width))

    def update(self, values: Mapping[str, Any]) -> None:
        """Show a step's figures."""
        self._last = values
        self._status.show(lambda width: self.format_step(values, width))

    def say(self, text: str) -> None:
        """A line that stays."""
        self._status.say(text)

    def format_step(self, values: Mapping[str, Any], width: int) -> str:
        """`step 120/600 · 3m10s left`, with as many figures between them as fit."""
        step = int(values["step"])
        seconds = time.perf_counter() - self._started
        left = seconds / max(1, step - self._first) * (self._total - step)
        time_left = f"{format_seconds(left)} left" if step < self._total else format_seconds(seconds)
        parts = [f"step {step}/{self._total}", *self._describe(values), time_left]
        return fit(parts, width, dropped=range(len(parts) - 2, 0, -1))


def describe_loss(values: Mapping[str, Any]) -> list[str]:
    """`loss 0.4312 · rate 4.9e-06 · 1200 tokens/s`."""
    return [
        f"loss {values['loss']:.4f}",
        f"rate {values['lr']:.1e}",
        f"{values['tokens_per_second']:.0f} tokens/s",
    ]
