"""Files and folders that are replaced as a whole: readers see the old content or the new one, also after a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmr1.errors import RMR1Error, RunError, reason_of
from rmr1.store.codec import loads

PART = ".part-"


@contextmanager
def replacing(path: Path, part: Path | None = None) -> Iterator[Path]:
    """A place for a new file or folder, which takes the name `path` if the block ends well and is removed if it does
    not. A `part` of the caller's own may hold what an earlier try left, and stays."""
    place = part or path.with_name(f"{PART}{path.name}")
    try:
        if part is None:
            remove(place)
        yield place
        if place.is_dir():
            for file in (*place.iterdir(), place):
                _flush(file)
            remove(path)
            os.replace(place, path)
            _flush(path.parent)
        else:
            os.replace(place, path)
    finally:
        if part is None:
            remove(place)


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it; nothing there is no error."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def writing(
    path: Path,
    advice: str = "free space, then run the same command again",
    *,
    what: str = "",
    kind: type[RMR1Error] = RunError,
    also: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Say in one line, by an error of class `kind`, that `path`, or `what` of it, cannot be written: the disk is
    full, the folder is not ours, or the library that writes raises one of `also`."""
    told: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except RMR1Error:
        raise
    except told as error:
        line = f"{path}: {what}{' ' * bool(what)}cannot be written ({reason_of(error)}); {advice}"
        raise kind(line) from None


def write_text(path: Path, text: str) -> None:
    """Lone surrogates, which UTF-8 cannot hold, are written as `\\ud83d`: in JSON that is what they are."""
    with writing(path), replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, values: Mapping[str, Any], *, indent: int = 2) -> None:
    """Replace a file by these values."""
    write_text(path, json.dumps(values, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds."""
    try:
        values = loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; the folder was changed") from None
    except ValueError:
        raise RunError(f"{path}: not valid JSON; the file was changed or damaged") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: not a JSON object; the file was changed or damaged")
    return values


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
