"""Going on with a run by its folder alone: what the command was asked for, as run.json keeps it (`rmr1.store.asked`)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmr1.cli.config import JudgeConfig, build_config
from rmr1.engines.names import SCHEMES
from rmr1.models import is_bundled
from rmr1.prompts import is_named_family
from rmr1.store.asked import SECTION, describe_asked, locate, read_asked
from rmr1.store.keys import number_items
from rmr1.store.runs import read_description, read_final_summary

if TYPE_CHECKING:
    from rmr1.cli.session import PairSource

_SCHEMES_OF_FILES = ("vllm", "replay")
"""What stands behind these may be a file or a folder; behind the others is a name."""


def describe_command(
    config: JudgeConfig, source: PairSource, folder: str | Path, stored: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The sections of run.json that say what is asked for. A run that goes on by its folder alone keeps its names."""
    asked = config.model_dump(mode="json", exclude_unset=True)
    if stored is None or not _is_as_stored(config, stored):
        return {"data": source.describe(), SECTION: describe_asked(asked, folder)}
    description = read_description(folder)
    before = description[SECTION]
    reading = {"data": asked["data"]} if "data" in asked else {}
    return {"data": description["data"], SECTION: {**before, "config": {**before["config"], **reading}}}


def read_command(folder: str | Path, command: str) -> tuple[list[str], dict[str, Any]]:
    """The data's sources and the settings of the run in `folder`, with files named as they are found from here.

    Raises:
        RunError: it is no run folder, was not begun by `command`, or its pairs were piped in.
        DataError: a file of it is gone.
    """
    sources, config, base = read_asked(folder, command)
    return sources, dict(_relocate(config, base))


def find_summary(
    arguments: argparse.Namespace, config: JudgeConfig, stored: Mapping[str, Any], source: PairSource
) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do: every pair is judged as it is asked for now.

    Raises:
        RunError: a finished item is not in the data.
    """
    if not _is_as_stored(config, stored):
        return None  # whether the run goes on so is said where it is opened
    return read_final_summary(
        Path(arguments.output),
        source.keys,
        asked=(keys for keys, _ in number_items(source.pairs())),
        data=source.describe(),
        retry_failed=arguments.retry_failed,
    )


def _is_as_stored(config: JudgeConfig, stored: Mapping[str, Any]) -> bool:
    """Whether nothing but the limit is asked for in another way."""
    before = build_config(argparse.Namespace(), stored)
    without_limit = {"data": {"limit"}}
    return before.model_dump(exclude=without_limit) == config.model_dump(exclude=without_limit)


def _relocate(config: Mapping[str, Any], base: Path) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key == "model":
            yield key, _locate_model(value, base)
        elif key == "family":
            yield key, value if is_named_family(value) else locate(value, base)
        elif key == "engine" and isinstance(value.get("lora_adapter"), str):
            yield key, {**value, "lora_adapter": locate(value["lora_adapter"], base)}
        else:
            yield key, value


def _locate_model(name: str, base: Path) -> str:
    scheme, colon, rest = name.partition(":")
    if is_bundled(name):
        return name
    if colon and scheme in SCHEMES:
        return f"{scheme}:{locate(rest, base)}" if scheme in _SCHEMES_OF_FILES else name
    return locate(name, base)
