"""The rubrics that a run's judgments share: one for each question, kept for as long as the run is gone on with.

    runs/x/rubrics.jsonl      {"key": question, "criteria": [...], "generation": {...}, "asked_by": key}, a line each,
                              only appended to

A rubric is written before the first judgment by it, with one system call; a line that a kill has cut short is cut off
when the run goes on, and the rubric, by which nothing was judged yet, is asked for again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from rmr1.records import Generation, RubricItem
from rmr1.store.codec import dump_record, dumps, load_record, loads
from rmr1.store.replace import writing
from rmr1.store.runs import iterate_lines

RUBRICS_FILE = "rubrics.jsonl"
_KEPT = "what was finished is kept: free space or permissions, then run the same command again"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRubric:
    """What a judge wrote when it was asked for a question's rubric."""

    criteria: tuple[RubricItem, ...] = ()
    """Empty if none could be read."""
    generation: Generation | None = None
    """The text that they were read from; None if it is not at hand, as of a judgment from a cache."""
    asked_by: str = ""
    """The key of the item that it was asked for, whose judgment counts its tokens, also if it is judged anew."""


class RubricKeeper:
    """Keeps one rubric for each question, in memory or in a run's folder."""

    def __init__(self, folder: Path | None = None):
        """Go on with what the folder holds; without one they are kept in memory."""
        self._path = None if folder is None else folder / RUBRICS_FILE
        self._rubrics: dict[str, SharedRubric] = {}
        self._places: dict[str, int] = {}
        """Question -> the place of its line, of those in a file."""
        self._end = 0
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            sizes = [len(line) for line in file if line.endswith(b"\n")]
        for number, values in iterate_lines(self._path):
            self._places.setdefault(values["key"], self._end)
            self._end += sizes[number - 1]

    def __len__(self) -> int:
        return len(self._rubrics) + len(self._places)

    def find(self, question: str) -> SharedRubric | None:
        """The rubric of the question with this digest (`rmr1.store.keys.question_digest`); None if there is none yet.

        Raises:
            DataError: the file was damaged.
        """
        place = self._places.get(question)
        if place is None or self._path is None:
            return self._rubrics.get(question)
        with self._path.open("rb") as file:
            file.seek(place)
            values = loads(file.readline())
        del values["key"]
        return load_record(SharedRubric, values)

    def keep(self, question: str, rubric: SharedRubric) -> None:
        """Keep the rubric, of a question that has none.

        Raises:
            RunError: the file cannot be written.
        """
        if self._path is None:
            self._rubrics[question] = replace(
                rubric, asked_by=""
            )  # another call may bring the same item again
            return
        line = dumps({"key": question, **dump_record(rubric)}) + b"\n"
        with writing(self._path, _KEPT):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.ftruncate(handle, self._end)  # a line that a kill or a full disk has cut short
                os.lseek(handle, self._end, os.SEEK_SET)
                written = 0
                while written < len(line):
                    written += os.write(handle, line[written:])
            finally:
                os.close(handle)
        self._places[question], self._end = self._end, self._end + len(line)
