"""What run.json says about a run: enough to repeat it, and to refuse going on with another."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from rmr1.engines import Engine
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import PromptFamily

FORMAT = 1
"""Version of the run folder's layout."""

_LIBRARIES = ("rmr1", "torch", "transformers", "tokenizers", "vllm")


def describe_run(
    command: str,
    engine: Engine,
    family: PromptFamily,
    settings: JudgeSettings,
    *,
    data: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The description of a run that `data.runs.open_run` stores and compares."""
    return {
        "format": FORMAT,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **library_versions()},
        "data": None if data is None else dict(data),
        # What was typed is told but not compared: a folder may be named in many ways.
        "model_name": engine.name,
        "model": engine.fingerprint(),
        "prompt": {
            "family": family.name,
            "digest": family.digest,
            "system": family.system,
            "single": family.single,
            "multi": family.multi,
        },
        "settings": settings.describe(),
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
