"""What run.json says about a run: enough to repeat it, and to refuse going on with another."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmr1.engines.base import Dated
from rmr1.judge.base import PairJudge
from rmr1.store.identity import list_versions
from rmr1.store.runs import RUN_FILE, read_description

FORMAT = 1
"""Version of the run folder's layout."""

_LIBRARIES = ("rmr1", "torch", "transformers", "tokenizers", "vllm")


def describe_run(
    command: str, judge: PairJudge, *, data: Mapping[str, Any] | None, folder: str | Path | None = None
) -> dict[str, Any]:
    """The description of a run that `store.runs.open_run` stores in the folder, or compares with the one there.

    The run begins here: the time that its prompts may hold is fixed, or taken from the run in `folder`.
    """
    stored = None if folder is None or not (Path(folder) / RUN_FILE).exists() else read_description(folder)
    begin_run(judge, None if stored is None else stored.get("model"))
    return {
        "format": FORMAT,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **library_versions()},
        "data": None if data is None else dict(data),
        **judge.describe(),
    }


def begin_run(asked: object, stored: Mapping[str, Any] | None) -> None:
    """Fix the time for an engine, a scorer or a judge, if it writes one into its prompts."""
    if isinstance(asked, Dated):  # which knows its models
        asked.begin_run(stored)
        return
    for one in (getattr(asked, "engine", None), getattr(asked, "scorer", None)):
        if isinstance(one, Dated):
            one.begin_run(stored)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can change a result, where installed."""
    return list_versions(_LIBRARIES)
