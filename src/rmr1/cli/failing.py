"""How one of several processes fails: it reports to the one that started it (`rmr1.cli.launch`), which speaks for all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

REPORT = "RMR1_REPORT"
"""Variable that names the file in which a process reports how it failed."""
_SIGNS = (
    "gloo",
    "nccl",
    "connection closed by peer",
    "connection reset",
    "tcpstore",
    "process group",
    "pair closure",
)
"""What the messages of torch hold, in small letters, when a process has lost the others."""


def report(error: BaseException, lines: Sequence[str], code: int) -> bool:
    """Report how this process failed to the one that started it; False if there is none."""
    path = os.environ.get(REPORT)
    if path is None:
        return False
    values = {"lines": list(lines), "code": code, "is_lost": is_lost(error)}
    with suppress(OSError):
        Path(path).write_text(json.dumps(values), encoding="utf-8")
    return True


def is_lost(error: BaseException | None) -> bool:
    """Whether an error says that another process does not answer any more."""
    while error is not None:
        told = f"{type(error).__module__} {type(error).__name__} {error}".lower()
        if "torch.distributed" in told or type(error).__name__.startswith("Dist"):
            return True
        if isinstance(error, RuntimeError) and any(sign in told for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False
