"""The place of a benchmark's official data below one that was named: the authors' layouts, tried in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rmr1.data.files import kind_of, read_rows
from rmr1.errors import DataError


def find_official(
    data: Path,
    *layouts: Sequence[str],
    inner: str = "data",
    is_data: Callable[[Path], bool] = Path.is_file,
    missing: str,
    expected: str,
) -> list[Path]:
    """The one file that is named; or, of a folder and of its `inner` one, the files of the first layout that
    has any: all that one of its patterns matches and `is_data` takes.

    `missing` says what is not in the folder, `expected` what should be named.

    Raises:
        DataError: there are none.
    """
    if data.is_file():
        return [data]
    for folder in (data, data / inner):
        for patterns in layouts:
            found = (file for pattern in patterns for file in folder.glob(pattern))
            if files := sorted(file for file in found if file.is_file() and is_data(file)):
                return files
    seen = missing if data.is_dir() else "no such folder"
    raise DataError(f"{seen}; expected {expected}", path=data)


def first_row_with(file: Path, columns: Sequence[str]) -> dict[str, Any] | None:
    """The first row of a data file that has these columns; None of any other file."""
    if kind_of(file) is None or file.name.startswith("."):
        return None
    try:
        row = next(iter(read_rows(file)), None)
    except DataError:
        return None
    return row.data if row is not None and all(name in row.data for name in columns) else None
