"""The data files of a benchmark: where they lie below a place that was named, and their rows.

A folder may hold a whole file and a part of it, or a packed copy beside an unpacked one. A file all of whose
rows stand in another one is passed over; of files that merely overlap the later one gives what it has more.
Equal rows inside one file are several items, as official scores count them: of a row that stands twice in one
file and once in another there are two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rmr1.data.files import Row, kind_of, read_rows
from rmr1.data.hub import parse_dataset_name
from rmr1.data.sources.reader import row_id
from rmr1.errors import DataError

T = TypeVar("T")


def find_official(
    data: Path,
    *,
    layouts: Sequence[Sequence[str]] = (("*",),),
    inner: str = "data",
    is_data: Callable[[Path], bool] = Path.is_file,
    missing: str,
    expected: str,
) -> list[Path]:
    """The one file that is named; or, of a folder and of its `inner` one, the files of the first layout that
    has any: all that one of its patterns matches and `is_data` takes.
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


def list_sources(find_files: Callable[[Path], list[Path]], data: Path) -> list[Path]:
    """The benchmark's files, or the name of a hub's dataset as it is."""
    is_name = not data.exists() and parse_dataset_name(str(data)) is not None
    return [data] if is_name else find_files(data)


@contextmanager
def placed(row: Row) -> Iterator[None]:
    """Errors inside name the row."""
    try:
        yield
    except DataError as error:
        raise DataError(error.message, path=row.path, line=row.line) from None


def read_items(
    files: Sequence[Path],
    columns: Sequence[str],
    part_of: Callable[[Row], str],
    parts: Collection[str],
    title: str,
    limit: int | None,
) -> Iterator[tuple[Row, str, str]]:
    """Each row with its part and its item's name, `<part>/<id>`; the second item of a name ends in `-2`.

    `limit` is items of each of the `parts` of the benchmark called `title`.
    """
    numbers: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for row in read_rows_once(files, columns, part_of):
        with placed(row):
            part = part_of(row)
            if part not in parts:
                raise DataError(f"{part!r} is no part of {title}; it has {', '.join(parts)}")
            numbers[part] += 1
            if limit is not None and numbers[part] > limit:
                continue
            name = f"{part}/{row_id(row, 'id')}"
        seen[name] += 1
        yield row, part, name if seen[name] == 1 else f"{name}-{seen[name]}"


class _File(NamedTuple):
    path: Path
    numbers: NDArray[np.uint64]
    """[K] its different rows, as numbers in rising order."""
    counts: NDArray[np.int64]
    """[K] how often each of them stands there."""

    def is_part_of(self, other: _File) -> bool:
        _, here, there = np.intersect1d(self.numbers, other.numbers, assume_unique=True, return_indices=True)
        return len(here) == len(self.numbers) and bool((self.counts[here] <= other.counts[there]).all())


def read_rows_once(
    files: Sequence[Path], columns: Sequence[str], part_of: Callable[[Row], str] = lambda row: ""
) -> Iterator[Row]:
    """The rows of the files, by part and columns; several files are read twice."""

    def digest(row: Row) -> bytes:
        # As texts: a number is one in CSV too.
        values = "\0".join(map(str, [part_of(row), *map(row.data.get, columns)]))
        return blake2b(values.encode(errors="surrogatepass"), digest_size=8).digest()

    return read_once(files, read_rows, digest)


def read_once(
    files: Sequence[Path], read: Callable[[Path], Iterator[T]], digest: Callable[[T], bytes]
) -> Iterator[T]:
    """What `read` finds in the files; items of equal digests in two files are the same one."""
    if len(files) == 1:
        yield from read(files[0])
        return

    def number(item: T) -> int:
        return int.from_bytes(digest(item)[:8], "big")

    found = (np.unique(np.fromiter(map(number, read(path)), np.uint64), return_counts=True) for path in files)
    kept = _drop_copies([_File(path, *one) for path, one in zip(files, found, strict=True)])
    numbers, holders = np.unique(np.concatenate([file.numbers for file in kept]), return_counts=True)
    shared = frozenset(numbers[holders > 1].tolist())
    given: Counter[int] = Counter()
    for file in kept:
        before, here = dict(given), Counter[int]()
        for item in read(file.path):
            if shared and (key := number(item)) in shared:
                here[key] += 1
                if here[key] <= before.get(key, 0):
                    continue
                given[key] = here[key]
            yield item


def _drop_copies(files: Sequence[_File]) -> list[_File]:
    """The first of equal files is kept."""
    return [
        file
        for place, file in enumerate(files)
        if not any(
            file.is_part_of(other) and (earlier < place or not other.is_part_of(file))
            for earlier, other in enumerate(files)
            if earlier != place
        )
    ]
