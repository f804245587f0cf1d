"""Small files that are replaced as a whole: readers see the old content or the new one, also after a kill."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.errors import RunError


def write_text(path: Path, text: str) -> None:
    """Lone surrogates, which UTF-8 cannot hold, are written as `\\ud83d`: in JSON that is what they are.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise RunError(f"{path}: cannot write ({error.strerror})") from None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """
    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
