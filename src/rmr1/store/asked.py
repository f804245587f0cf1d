"""What a command was asked for, kept in the folder that it makes, so that the folder's name is enough to go on.

    "asked_by": {"directory": "..", "config": {"model": "openai:judge@http://...", "data": {"limit": 100}}}

Names of files are kept as they were typed, and beside them the directory that they count from, relative to the
folder, so both may be moved together. No secret is among the settings: keys are named by their environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rmr1.data.files import find_missing_source, part_split
from rmr1.errors import DataError, RunError
from rmr1.store.runs import RUN_FILE, read_description

SECTION = "asked_by"
_PIPE = "-"


class Asked(NamedTuple):
    """What a run was asked for."""

    sources: list[str]
    """Of the data, as they are found from here."""
    config: dict[str, Any]
    base: Path
    """What names of files in the config count from."""


def describe_asked(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The section of run.json for settings that were typed here."""
    return {"directory": os.path.relpath(Path.cwd(), Path(folder).resolve()), "config": config}


def read_asked(folder: str | Path, command: str) -> Asked:
    """
    Raises:
        RunError: it is no run folder, was not begun by `command`, or its pairs were piped in.
        DataError: a file of it is gone.
    """
    description = read_description(folder)
    stored, data = description.get(SECTION), description.get("data") or {}
    sources, made = data.get("sources"), description.get("command")
    if made != command:
        raise RunError(
            f"{folder}: this run was made by rmr1 {made or 'in another way'}, not by rmr1 {command}; "
            "name the data and the judge"
        )
    if not isinstance(stored, dict) or not sources:
        raise RunError(
            f"{folder}: {RUN_FILE} does not say which data and settings were asked for (it was made from Python or by "
            "an earlier version); name the data and the judge, and it goes on where it was"
        )
    if sources == [_PIPE]:
        raise RunError(
            f"{folder}: its pairs came from standard input; give them again, and the judge: "
            f"rmr1 {command} - -m MODEL -o {folder}"
        )
    base = Path(folder).resolve() / stored["directory"]
    found = [_locate_source(source, base) for source in sources]
    for source, place in zip(sources, found, strict=True):
        if (problem := find_missing_source(place)) is not None:
            raise DataError(f"{problem}; the run in {folder} was made from it", path=source)
    return Asked(found, stored["config"], base)


def _locate_source(name: str, base: Path) -> str:
    """As `locate`, for `folder@split` too."""
    if (place := locate(name, base)) != name:
        return place
    folder, split = part_split(str(base / name))
    return name if split is None or os.path.isabs(name) else f"{os.path.relpath(folder)}@{split}"


def locate(name: str, base: Path) -> str:
    """The file's name from here if `base` holds it; else the name as it is."""
    place = base / name
    return os.path.relpath(place) if not os.path.isabs(name) and place.exists() else name
