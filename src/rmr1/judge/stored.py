"""Pairs that can be read twice, for judging from Python into a run folder."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from rmr1.records import PreferencePair


@contextmanager
def readable_twice(pairs: Iterable[PreferencePair]) -> Iterator[Iterable[PreferencePair]]:
    """Pairs that can be read again; those of an iterator are kept in a temporary file as they are read."""
    if iter(pairs) is not pairs:
        yield pairs
        return
    with tempfile.TemporaryFile(prefix="rmr1-") as file:
        yield _Spooled(pairs, file)


class _Spooled:
    """Pairs of an iterator that can be read again: what was read is in a file."""

    def __init__(self, pairs: Iterable[PreferencePair], file: IO[bytes]):
        self._left = iter(pairs)
        self._file = file

    def __iter__(self) -> Iterator[PreferencePair]:
        place = 0
        while True:
            self._file.seek(place)
            try:
                pair = pickle.load(
                    self._file
                )  # not as JSON, which would lose the mark of an id that is the row's own
            except EOFError:
                pair = next(self._left, None)
                if pair is None:
                    return
                pickle.dump(pair, self._file)
            place = self._file.tell()
            yield pair
