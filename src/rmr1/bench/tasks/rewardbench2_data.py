"""RewardBench 2's data: rows of the documented form, and the pairs that they are put to a judge as.

The form (dataset card of `allenai/reward-bench-2`): `id`, `prompt`, `chosen` and `rejected` (lists of
texts), `num_correct`, `num_incorrect`, `subset`; in the subset Ties the id is `tied:NUMBER` or `ref:NUMBER`. It
was not tried on the real file.

A pair's id says what it is: `Factuality/17#1+3/0v2` compares answers 0 and 2 of a prompt with one right and three
wrong answers, right ones first; `0,1` rates both alone; `0v1v2v3` is the choice among four. Ids repeat between
subsets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from rmr1.bench.files import find_official, first_row_with, list_sources, placed, read_rows_once
from rmr1.data.files import Row
from rmr1.data.hub import is_saved_dataset
from rmr1.data.sources.reader import row_id, text, texts, turns
from rmr1.errors import DataError
from rmr1.messages import Messages, assistant
from rmr1.records import Label, PreferencePair

HUB = "allenai/reward-bench-2@test"

SIZES: Mapping[str, int] = {
    "Factuality": 475,
    "Precise IF": 160,
    "Math": 183,
    "Safety": 450,
    "Focus": 495,
    "Ties": 102,
}
"""Subset -> its official number of prompts."""
TIES = "Ties"
ID = re.compile(r"([^/]+)/(.+)#(\d{1,4})\+(\d{1,4})/(\d{1,4}(?:,\d{1,4}|(?:v\d{1,4}){1,3}))")
"""A pair's id: subset, prompt, right answers, wrong ones, and which answers it shows."""
TIES_ID = re.compile(r"(ref|tied):(\d{1,9})")
_COLUMNS = ("id", "subset", "prompt", "chosen", "rejected")
_SUBSETS = {name.lower(): name for name in SIZES} | {"precise instruction following": "Precise IF"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A question and its answers, right ones first."""

    id: str
    """The id as the data have it; `17~2` for the second row of this id in its subset."""
    subset: str
    messages: Messages
    answers: tuple[Messages, ...]
    num_correct: int

    def pair(self, *indices: int, mark: str = "v") -> PreferencePair:
        """Two or four of the answers; the label is the side that is right if only one of two is."""
        right = [index < self.num_correct for index in indices]
        label: Label | None = "A" if right[0] and not any(right[1:]) else None
        wrong = len(self.answers) - self.num_correct
        shown = mark.join(map(str, indices))
        first, second, *others = (self.answers[index] for index in indices)
        return PreferencePair(
            id=f"{self.subset}/{self.id}#{self.num_correct}+{wrong}/{shown}",
            prompt=self.messages,
            response_a=first,
            response_b=second,
            others=tuple(others),
            label=label,
            source="rewardbench2",
            subset=self.subset,
        )


def find_rewardbench2_files(data: Path) -> list[Path]:
    """The file or `save_to_disk` folder itself, or the files in a folder that have the documented columns."""
    if data.is_dir() and is_saved_dataset(data):
        return [data]
    return find_official(
        data,
        is_data=lambda file: first_row_with(file, _COLUMNS) is not None,
        missing="no file with RewardBench 2's columns in it",
        expected="rows of allenai/reward-bench-2",
    )


def read_prompts(data: Path, limit: int | None = None) -> Iterator[Prompt]:
    """The rows; `limit` counts prompts of each subset, and in Ties numbers, which have two prompts each."""
    seen: Counter[tuple[str, str]] = Counter()
    counts: Counter[str] = Counter()
    numbers: set[str] = set()
    sources = list_sources(find_rewardbench2_files, data)
    for row in read_rows_once(sources, _COLUMNS):
        with placed(row):
            prompt = _read_row(row)
        number = seen[prompt.subset, prompt.id] = seen[prompt.subset, prompt.id] + 1
        if prompt.subset == TIES:
            if number > 1:
                raise DataError(f"id {prompt.id!r} stands there twice", path=row.path, line=row.line)
            name = prompt.id.partition(":")[2]
            if limit is not None and name not in numbers and len(numbers) >= limit:
                continue
            numbers.add(name)
            yield prompt
            continue
        counts[prompt.subset] += 1
        if limit is None or counts[prompt.subset] <= limit:
            yield prompt if number == 1 else replace(prompt, id=f"{prompt.id}~{number}")


def _read_row(row: Row) -> Prompt:
    subset = text(row, "subset")
    if subset.lower() not in _SUBSETS:
        raise DataError(f"subset {subset!r} is none of RewardBench 2's: {', '.join(SIZES)}")
    chosen, rejected = texts(row, "chosen"), texts(row, "rejected")
    for column, answers in (("num_correct", chosen), ("num_incorrect", rejected)):
        if row.data.get(column) not in (None, len(answers)):
            raise DataError(f"{column} is {row.data[column]!r}, but there are {len(answers)} such answers")
    prompt = Prompt(
        id=row_id(row, "id"),
        subset=_SUBSETS[subset.lower()],
        messages=turns(row, "prompt", "user"),
        answers=tuple((assistant(answer),) for answer in (*chosen, *rejected)),
        num_correct=len(chosen),
    )
    if prompt.subset == TIES and not TIES_ID.fullmatch(prompt.id):
        raise DataError(f"id {prompt.id!r} of a prompt of Ties is not 'ref:NUMBER' or 'tied:NUMBER'")
    return prompt


def read_comparisons(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """The right answer against each wrong one; in Ties every answer against every other one."""
    for prompt in read_prompts(data, limit):
        count = len(prompt.answers)
        pairs = combinations(range(count), 2) if prompt.subset == TIES else ((0, i) for i in range(1, count))
        for one, other in pairs:
            yield prompt.pair(one, other)


def read_ratings(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """Every answer once, two to a pair; an odd one out is paired with itself."""
    for prompt in read_prompts(data, limit):
        yield from _rate(prompt)


def read_choices(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """The four answers of a prompt at once; those of Ties as `read_ratings`."""
    for prompt in read_prompts(data, limit):
        wrong = len(prompt.answers) - prompt.num_correct
        if prompt.subset == TIES:
            yield from _rate(prompt)
        elif (prompt.num_correct, wrong) == (1, 3):
            yield prompt.pair(0, 1, 2, 3)
        else:
            raise DataError(
                f"{prompt.subset}/{prompt.id}: {prompt.num_correct} right and {wrong} wrong answers; a choice "
                "among four needs 1 and 3, ask by ratings",
                path=data,
            )


def _rate(prompt: Prompt) -> Iterator[PreferencePair]:
    last = len(prompt.answers) - 1
    for index in range(0, last + 1, 2):
        yield prompt.pair(index, min(index + 1, last), mark=",")
