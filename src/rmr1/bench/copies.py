"""Files of one benchmark that hold the same rows: what two files share is counted once.

A folder may hold a whole file and a part of it, or a packed copy beside an unpacked one. A file all of whose
rows stand in another one is passed over, so the whole file's rows keep their numbers; of files that merely
overlap the later one gives what it has more. Equal rows inside one file are several items, as official
scores count them: of a row that stands twice in one file and once in another there are two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rmr1.data.files import Row, read_rows

T = TypeVar("T")


class _File(NamedTuple):
    """What a file holds."""

    path: Path
    numbers: NDArray[np.uint64]
    """[K] its different rows, as numbers in rising order."""
    counts: NDArray[np.int64]
    """[K] how often each of them stands there."""

    def is_part_of(self, other: _File) -> bool:
        places = np.searchsorted(other.numbers, self.numbers)
        inside = places < len(other.numbers)
        if not inside.all() or (other.numbers[places] != self.numbers).any():
            return False
        return bool((self.counts <= other.counts[places]).all())


def read_rows_once(files: Sequence[Path], identify: Callable[[Row], Sequence[Any]]) -> Iterator[Row]:
    """The rows of the files, which are read twice where there are several; `identify` gives what makes a row
    what it is.

    Raises:
        DataError, ConfigError: as `read_rows`.
    """

    def digest(row: Row) -> bytes:
        # As texts: a number is one in CSV too.
        values = "\0".join(map(str, identify(row)))
        return blake2b(values.encode(errors="surrogatepass"), digest_size=8).digest()

    return read_once(files, read_rows, digest)


def read_once(
    files: Sequence[Path], read: Callable[[Path], Iterator[T]], digest: Callable[[T], bytes]
) -> Iterator[T]:
    """What `read` finds in the files; items of equal digests (8 bytes or more) in two files are the same one."""
    if len(files) == 1:
        yield from read(files[0])
        return

    def number(item: T) -> int:
        return int.from_bytes(digest(item)[:8], "big")

    kept = _drop_copies([_describe(path, map(number, read(path))) for path in files])
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


def _describe(path: Path, numbers: Iterator[int]) -> _File:
    found, counts = np.unique(np.fromiter(numbers, dtype=np.uint64), return_counts=True)
    return _File(path, found, counts)


def _drop_copies(files: Sequence[_File]) -> list[_File]:
    """The files that are no part of another one; of equal ones the first."""

    def is_copy(place: int) -> bool:
        file = files[place]
        return any(
            file.is_part_of(other) and (earlier < place or not other.is_part_of(file))
            for earlier, other in enumerate(files)
            if earlier != place
        )

    return [file for place, file in enumerate(files) if not is_copy(place)]


def columns_of(*names: str) -> Callable[[Row], Sequence[Any]]:
    """An `identify` that looks at these columns."""
    return lambda row: [row.data.get(name) for name in names]
