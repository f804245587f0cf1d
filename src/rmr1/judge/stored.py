"""Judging from Python into a run folder: pairs that can be read twice, and judgments found by their keys."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rmr1.data.codec import load_record, loads
from rmr1.data.runs import JUDGMENTS_FILE, iterate_keys, key_digest
from rmr1.records import Judgment, PreferencePair


@contextmanager
def readable_twice(pairs: Iterable[PreferencePair]) -> Iterator[Iterable[PreferencePair]]:
    """Pairs that can be read again; those of an iterator are kept in a temporary file as they are read."""
    if iter(pairs) is not pairs:
        yield pairs
        return
    with tempfile.TemporaryFile(prefix="rmr1-") as file:
        yield _Spooled(pairs, file)


class StoredJudgments:
    """The judgments that a run folder holds now, read one by one when they are asked for."""

    def __init__(self, folder: str | Path):
        self._path = Path(folder) / JUDGMENTS_FILE
        starts, place = [], 0
        with self._path.open("rb") as file:
            for line in file:
                starts.append(place)
                place += len(line)
        self._places = {key_digest(key): starts[number - 1] for number, key, _ in iterate_keys(self._path)}

    def find(self, key: str) -> Judgment | None:
        """The judgment under a key; None if there was none when this was made."""
        place = self._places.get(key_digest(key))
        return None if place is None else self._read(place)

    def __iter__(self) -> Iterator[Judgment]:
        return map(self._read, self._places.values())

    def _read(self, place: int) -> Judgment:
        with self._path.open("rb") as file:
            file.seek(place)
            values = loads(file.readline())
        del values["key"]
        return load_record(Judgment, values)


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
