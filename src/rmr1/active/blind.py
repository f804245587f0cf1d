"""The judgments of a run as questions to people who see neither the verdicts nor each other's labels.

Everybody is asked about the same items in one sequence, drawn from a seed and the items' keys alone, so that the labelled
items are a sample by lot of the run, also if it is still being judged and however often the asking is interrupted. Left out
are choices among four, which have no A and B, and judgments that the engine failed to give.
"""

from __future__ import annotations

import os
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from rmr1.active.asking import Task
from rmr1.active.said import find_seen, find_standing, is_answer
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.store.keys import seed_for
from rmr1.store.kinds import find_kind
from rmr1.store.labels import HumanLabel
from rmr1.store.runs import JUDGMENTS_FILE, KeyReader, load_line, parse_line

NUMBER = 100
"""Questions to each person, unless another number is asked for."""


class BlindRun:
    """An `Asker` over a finished or growing run."""

    def __init__(self, folder: str | Path, *, seed: int = 0, number: int = NUMBER, people: int | None = None):
        """Read which items the run holds.

        Args:
            seed: Decides the sequence.
            number: Questions to each person at most; 0 is all.
            people: People who are asked about one item at most; None is everybody.

        Raises:
            ConfigError: A number is out of its range, or the folder is no run or holds nothing to ask about.
        """
        if number < 0:
            raise ConfigError(
                f"{name_option('number')} {number}: expected a whole number of questions, or 0 for all"
            )
        if people is not None and people < 1:
            raise ConfigError(f"{name_option('people')} {people}: expected a number of people from 1")
        self.folder = Path(folder)
        if (kind := find_kind(self.folder)) != "run":
            raise ConfigError(f"{folder}: holds no judgments (it was made by rmr1 {kind})")
        self._path = self.folder / JUDGMENTS_FILE
        self._seed, self._number, self._people = seed, number, people
        self.total = 0
        """Questions that each person is asked at most."""
        self._begin()
        self._refresh()
        if not self._sequence:
            left = ", ".join(f"{count:,} {why}" for why, count in self.left_out.items())
            raise ConfigError(f"{folder}: nothing to ask about ({left or 'no judgment is finished'})")

    def _begin(self) -> None:
        self._sequence: list[tuple[int, str]] = []
        self._places: dict[str, int] = {}
        self._keys = KeyReader(self._path)
        self._lines = self._end = 0
        self._file: int | None = None
        self.left_out: Counter[str] = Counter()
        """Why -> judgments that nobody is asked about."""

    def choose(self, labels: Sequence[HumanLabel], who: str) -> Task | None:
        """The first item of the sequence that the person has neither answered nor seen judged."""
        self._refresh()
        mine = {
            key for key, one in find_standing(labels, who).items() if is_answer(one) and key in self._places
        }
        if len(mine) >= self.total:
            return None
        seen = find_seen(labels, who)
        others = self._count_others(labels, who)
        for _, key in self._sequence:
            is_full = self._people is not None and others[key] >= self._people
            if key not in mine and key not in seen and not is_full:
                return self.find(key)
        return None

    def find(self, key: str) -> Task | None:
        """The question about an item; None if the run does not hold it, or nobody is asked about it."""
        place = self._places.get(key)
        if place is None:
            return None
        with self._path.open("rb") as file:
            file.seek(place)
            values = parse_line(file.readline(), self._path, None)
        return Task(key=key, pair=load_line(values, self._path, None).pair)

    def _count_others(self, labels: Sequence[HumanLabel], who: str) -> Counter[str]:
        """Item's key -> other people who have named a side."""
        if self._people is None:
            return Counter()
        last = {(one.key, one.who): one for one in labels if one.who != who}
        return Counter(key for (key, _), one in last.items() if one.is_blind and one.label is not None)

    def _refresh(self) -> None:
        """Take in what was added to the run; all of it anew if its file was replaced."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if (self._file, self._end) != (None, 0) and (
                found.st_ino != self._file or found.st_size < self._end
            ):
                self._begin()
            self._file = found.st_ino
            file.seek(self._end)
            for line in takewhile(lambda line: line.endswith(b"\n"), file):
                place, self._end, self._lines = self._end, self._end + len(line), self._lines + 1
                self._take(place, line)
        self.total = min(self._number or len(self._sequence), len(self._sequence))

    def _take(self, place: int, line: bytes) -> None:
        values = parse_line(line, self._path, self._lines)
        key = self._keys.read(self._lines, values)
        pair = values.get("pair")
        if not isinstance(pair, dict):
            raise DataError("not a judgment: it has no 'pair'", path=self._path, line=self._lines)
        if pair.get("others"):
            self.left_out["choices among four"] += 1
        elif values.get("problem") == "generation_failed":
            self.left_out["judgments that the engine failed to give"] += 1
        else:
            self._places[key] = place
            insort(self._sequence, (seed_for(self._seed, "asked blind", key), key))
