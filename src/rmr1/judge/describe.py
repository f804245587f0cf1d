"""What run.json says about a run: enough to repeat it, and to refuse going on with another."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from rmr1.judge.base import PairJudge

FORMAT = 1
"""Version of the run folder's layout."""

_LIBRARIES = ("rmr1", "torch", "transformers", "tokenizers", "vllm")


def describe_run(command: str, judge: PairJudge, *, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """The description of a run that `data.runs.open_run` stores and compares."""
    return {
        "format": FORMAT,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **library_versions()},
        "data": None if data is None else dict(data),
        **judge.describe(),
    }


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can change a result, where installed."""
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
