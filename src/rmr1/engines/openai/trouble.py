"""What becomes of a try that failed: another try, another form of the request, or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rmr1.records import Usage


@dataclass(eq=False)
class Retry(Exception):
    """A try that failed and may be repeated."""

    what: str
    detail: str = ""
    wait: float | None = None
    """Seconds the server asks to wait."""
    is_connect: bool = False
    is_busy: bool = False
    """Whether the server says that it is asked too much."""
    usage: Usage = field(default_factory=Usage)
    is_empty: bool = False
    """Whether the server has answered, with nothing."""
    is_lasting: bool = False
    """Whether it is seldom gone by the next try, however long that waits: it gets few tries, and short waits."""


@dataclass(eq=False)
class Refused(Exception):
    """A request that the server will not answer however often it is asked."""

    message: str
    finish_reason: Literal["error", "skipped"] = "error"


class Adapted(Exception):
    """The same request is to be sent in another form."""
