"""Going on with a run by its folder alone: what the command was asked for, as run.json keeps it.

    "asked_by": {"directory": "..", "config": {"model": "openai:judge@http://...", "data": {"limit": 100}}}

Names of files are kept as they were typed, and beside them the directory that they count from, relative to the run
folder, so both may be moved together. No secret is among the settings: keys are named by their environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.cli.config import JudgeConfig
from rmr1.data.runs import RUN_FILE, read_description
from rmr1.errors import DataError, RunError

SECTION = "asked_by"
_PIPE = "-"


def describe_command(config: JudgeConfig, folder: str | Path) -> dict[str, Any]:
    """The section of run.json."""
    return {
        SECTION: {
            "directory": os.path.relpath(Path.cwd(), Path(folder).resolve()),
            "config": config.model_dump(mode="json", exclude_unset=True),
        }
    }


def read_command(folder: str | Path, command: str) -> tuple[list[str], dict[str, Any]]:
    """The data's sources and the settings of the run in `folder`, with files named as they are found from here.

    Raises:
        RunError: it is no run folder, was not begun by `command`, or its pairs were piped in.
        DataError: a file of it is gone.
    """
    description = read_description(folder)
    stored, data = description.get(SECTION), description.get("data") or {}
    sources = data.get("sources")
    if description.get("command") != command or stored is None or not sources:
        made = description.get("command", "another command")
        raise RunError(
            f"{folder}: {RUN_FILE} does not hold what rmr1 {command} was asked for (it was made by rmr1 {made}); "
            "name the data and the judge again"
        )
    if sources == [_PIPE]:
        raise RunError(
            f"{folder}: its pairs came from standard input; give them again: rmr1 {command} - -o {folder}"
        )
    base = Path(folder) / stored["directory"]
    found = [_locate(source, base) for source in sources]
    for source, place in zip(sources, found, strict=True):
        if place == source and _is_file_name(source) and not Path(place).exists():
            raise DataError(f"no such file any more; the run in {folder} was made from it", path=source)
    return found, dict(_relocate(stored["config"], base))


def _relocate(config: Mapping[str, Any], base: Path) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key in ("model", "family") and isinstance(value, str):
            scheme, colon, name = value.rpartition(":")
            yield key, _locate(value, base) if not colon else f"{scheme}{colon}{_locate(name, base)}"
        elif key == "engine":
            yield (
                key,
                {name: _locate(one, base) if name == "lora_adapter" else one for name, one in value.items()},
            )
        else:
            yield key, value


def _locate(name: str, base: Path) -> str:
    """The file's name from here if `base` holds it; else the name as it is."""
    place = base / name
    return os.path.relpath(place) if not os.path.isabs(name) and place.exists() else name


def _is_file_name(source: str) -> bool:
    from rmr1.data.files import kind_of

    return os.path.isabs(source) or kind_of(Path(source)) is not None
