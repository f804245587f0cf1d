"""Going on with a run by its folder alone: what the command was asked for is kept in run.json.

    "asked_by": {"directory": "..", "config": {"model": "openai:judge@http://...", "data": {"limit": 100}}}

Names of files are kept as they were typed, and beside them the directory that they count from, relative to the
folder, so both may be moved together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.data.files import find_missing_source, part_split
from rmr1.engines.names import SCHEMES
from rmr1.errors import DataError, RunError
from rmr1.judge.config import JudgeConfig
from rmr1.judge.source import PairSource
from rmr1.models import is_bundled
from rmr1.prompts import is_named_family
from rmr1.store.runs import RUN_FILE, read_description, read_final_summary

SECTION = "asked_by"
_SCHEMES_OF_FILES = ("vllm", "replay")


def describe_command(
    config: JudgeConfig, source: PairSource, folder: str | Path, stored: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The sections of run.json that say what is asked for. A run that goes on by its folder alone keeps its names."""
    said = config.model_dump(mode="json", exclude_unset=True)
    if stored is None or not _is_as_stored(config, stored):
        asked = {"directory": os.path.relpath(Path.cwd(), Path(folder).resolve()), "config": said}
        return {"data": source.describe(), SECTION: asked}
    description = read_description(folder)
    before = description[SECTION]
    reading = {"data": said["data"]} if "data" in said else {}
    return {"data": description["data"], SECTION: {**before, "config": {**before["config"], **reading}}}


def read_command(folder: str | Path, command: str) -> tuple[list[str], dict[str, Any]]:
    """The data's sources and the settings of the run in `folder`, with files named as they are found from here."""
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
            "an earlier version); name the data and the judge"
        )
    if sources == ["-"]:
        raise RunError(
            f"{folder}: its pairs came from standard input; give them again, and the judge: "
            f"rmr1 {command} - -m MODEL -o {folder}"
        )
    base = Path(folder).resolve() / stored["directory"]
    found = [_locate_source(source, base) for source in sources]
    for source, place in zip(sources, found, strict=True):
        if (problem := find_missing_source(place)) is not None:
            raise DataError(f"{problem}; the run in {folder} was made from it", path=source)
    return found, dict(_relocate(stored["config"], base))


def find_summary(
    folder: Path, config: JudgeConfig, stored: Mapping[str, Any], source: PairSource, *, retry_failed: bool
) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do: every pair is judged as it is asked for now."""
    if not _is_as_stored(config, stored):
        return None  # whether the run goes on so is said where it is opened
    return read_final_summary(
        folder,
        source.keys,
        asked=source.items(),
        data=source.describe(),
        retry_failed=retry_failed,
    )


def _is_as_stored(config: JudgeConfig, stored: Mapping[str, Any]) -> bool:
    before = JudgeConfig.from_values(stored, "stored run")
    without_limit = {"data": {"limit"}}
    return before.model_dump(exclude=without_limit) == config.model_dump(exclude=without_limit)


def _relocate(config: Mapping[str, Any], base: Path) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key == "model" and not is_bundled(value):
            scheme, colon, rest = value.partition(":")
            if not colon or scheme not in SCHEMES:
                yield key, _locate(value, base)
            else:
                yield key, f"{scheme}:{_locate(rest, base)}" if scheme in _SCHEMES_OF_FILES else value
        elif key in ("calibration", "cache", "criteria"):
            yield key, _locate(value, base)
        elif key == "family":
            yield key, value if is_named_family(value) else _locate(value, base)
        elif key == "engine" and isinstance(value.get("lora_adapter"), str):
            yield key, {**value, "lora_adapter": _locate(value["lora_adapter"], base)}
        else:
            yield key, value


def _locate_source(name: str, base: Path) -> str:
    if (place := _locate(name, base)) != name:
        return place
    folder, split = part_split(str(base / name))
    return name if split is None or os.path.isabs(name) else f"{os.path.relpath(folder)}@{split}"


def _locate(name: str, base: Path) -> str:
    place = base / name
    try:
        is_there = not os.path.isabs(name) and place.exists()
    except OSError:  # a text of criteria may be longer than a name can be
        is_there = False
    return os.path.relpath(place) if is_there else name
