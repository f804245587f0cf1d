"""How the judge is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OnFailure = Literal["error", "mean"]
"""What a client that understands numbers only is told of an answer without a reward.

error    an HTTP error, which it may try again
mean     the mean of its group's rewards, which changes no advantage; it is counted
"""

OnMissing = Literal["partial", "fail"]
"""What becomes of a group that is not complete at its deadline.

partial    the answers that came are compared with each other
fail       none of them has a reward
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Limits and policies of a server."""

    most_waiting: int = 1000
    """Judgments that wait at a time; what comes beyond is answered with 429."""
    most_items: int = 256
    """Pairs, answers or questions of a request."""
    most_bytes: int = 8 << 20
    """Bytes of a request."""
    most_group: int = 64
    """Answers of a group."""
    seconds: float = 600.0
    """How long a request is worked at, unless it says less."""
    body_seconds: float = 30.0
    """How long the bytes of a request may take to come."""
    kept_seconds: float = 900.0
    """How long finished groups and the answers of repeated requests are kept."""
    group_size: int | None = None
    """Answers of a group, for clients that do not tell it."""
    on_missing: OnMissing = "partial"
    on_failure: OnFailure = "error"
    answers_questions: bool = False
    """Whether `/v1/decisions` also answers questions that are no pair."""
    jobs: Path | None = None
    """The folder of the run folders of large batches; None takes none."""
    keys: Path | None = None
    """A file of keys, one a line as `name:key` or `key`; beside those of the environment."""
    logs_texts: bool = False
    """Whether the log holds what is asked and answered."""
