"""Values of a row: as numbers, and as an error shows them."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any


def as_number(value: Any) -> float | None:
    """A number, or a text that is one; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def quote_all(values: Sequence[Any], *, last: str = "and") -> str:
    """`'A', 'B' or 'tie'`."""
    quoted = [repr(value) for value in values] or ["nothing"]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def shorten(value: Any) -> str:
    """A value as it is shown in an error: at most about 60 characters."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 60
    return "null" if value is None else shown.repr(value)


def describe_missing(value: Any, name: str) -> str:
    """What is wrong with a text that is not there, for an error."""
    if not isinstance(value, str):
        return f"{name!r} is empty"
    return f"{name!r} is missing, since its cell says {str(value)!r}; if that is the text itself, write it as JSON lines"
