"""The data that a command line names: files, folders, datasets and patterns, each read once."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from rmr1.data.files import expand_pattern, list_files
from rmr1.errors import DataError
from rmr1.screen import print


def list_sources(names: Sequence[str]) -> list[str]:
    """What was named on the command line, patterns such as `data/*.jsonl` replaced by the files that fit them, each
    once.

    Raises:
        DataError: no file fits a pattern.
    """
    found: dict[str, str] = {}
    for name in names:
        files = expand_pattern(name)
        if not files:
            raise DataError("no file fits this pattern", path=name)
        for file in files:
            first = found.setdefault(os.path.realpath(file), file)
            if first is not file:
                print(f"rmr1: {file}: named twice, read once", file=sys.stderr)
    files_of = functools.cache(lambda folder: frozenset(map(str, list_files(Path(folder)))))
    inside = {place: _folder_around(place, found, files_of) for place in found}
    for place, folder in inside.items():
        if folder is not None:
            print(f"rmr1: {found[place]}: is in {folder}, which is named too; read once", file=sys.stderr)
    return [file for place, file in found.items() if inside[place] is None]


def _folder_around(
    place: str, found: Mapping[str, str], files_of: Callable[[str], Collection[str]]
) -> str | None:
    """The named folder among whose files this one is."""
    parents = (parent for parent in map(str, Path(place).parents) if parent in found)
    return next((found[parent] for parent in parents if place in files_of(parent)), None)
