"""A run read otherwise than in the order in which its items finished: in the sequence of the data, or as it grows."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path

from rmr1.errors import RunError
from rmr1.records import Judgment
from rmr1.store.runs import (
    JUDGMENTS_FILE,
    KeyReader,
    iterate_keys,
    load_line,
    parse_line,
    read_description,
    read_judgments,
)


def read_in_order(folder: str | Path) -> Iterator[tuple[str, Judgment]]:
    """(key, judgment) of every finished item, in the sequence of the data that were judged. Items whose line tells no
    place, those of earlier versions, come before the others, in the order they finished; 16 bytes an item are held.

    Two items may tell the same place if the data changed between two starts of a run; the earlier one comes first.
    """
    read_description(folder)
    path = Path(folder) / JUDGMENTS_FILE
    places, starts, is_sorted = array("q"), array("Q"), True
    end, last = 0, -1
    for line in _iterate_raw(path):
        place = parse_line(line, path, len(places) + 1).get("place", -1)
        is_sorted, last = is_sorted and place >= last, place
        places.append(place)
        starts.append(end)
        end += len(line)
    if is_sorted:
        yield from islice(read_judgments(folder), len(places))
        return
    if -1 in places:  # only these may have keys of earlier versions
        for number, key, values in islice(iterate_keys(path), len(places)):
            if "place" not in values:
                yield key, load_line(values, path, number)
    with path.open("rb") as file:
        for index in sorted(range(len(places)), key=places.__getitem__):
            if places[index] >= 0:
                file.seek(starts[index])
                values = parse_line(file.readline(), path, index + 1)
                yield values["key"], load_line(values, path, index + 1)


def _iterate_raw(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from takewhile(lambda line: line.endswith(b"\n"), file)


class RunTail:
    """What is added to a run's judgments; each call of `read` gives what has come since the last one."""

    def __init__(self, folder: str | Path):
        read_description(folder)
        self._path = Path(folder) / JUDGMENTS_FILE
        self._keys = KeyReader(self._path)
        self._number = self._end = 0
        self._file: int | None = None

    def read(self) -> Iterator[tuple[str, Judgment]]:
        """(key, judgment) of each whole line, from the first one on.

        Raises:
            RunError: the file was replaced meanwhile, as a run that judges again what failed does.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != (self._file or found.st_ino) or found.st_size < self._end:
                raise RunError(f"{self._path}: replaced by another file meanwhile; begin again")
            self._file = found.st_ino
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._end += len(line)
                self._number += 1
                values = parse_line(line, self._path, self._number)
                yield self._keys.read(self._number, values), load_line(values, self._path, self._number)
