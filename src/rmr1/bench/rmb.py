"""RMB (arXiv 2410.09893): helpfulness and harmlessness, as pairs and as best-of-N lists.

Comes in: the authors' tree (`Pairwise_set/**.json`, `BoN_set/**.json`) or the same rows as JSONL with
the file's name in `rmb_file`. Goes out: pairs, one for each loser of a list; and from judgments of
them the scores of RM-R1's evaluation (appendix and upstream scripts): pairwise is the share of all
pairs of a split; a list counts only where the best answer wins against every loser; overall is the
unweighted mean of the four. A tie or a missing verdict is no win.

A pair's id says where it is from, because uids repeat: `Pairwise_set/Harmlessness/S1#17` is row 17
(from 0) of that file, `BoN_set/Harmlessness/S1#17:2/3` the second of three losers of that row's list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.bench.base import Benchmark
from rmr1.bench.copies import read_rows_once
from rmr1.bench.outcomes import Measure, Measures, Outcomes, PartBuilder, Whole, mean, share
from rmr1.bench.places import find_official
from rmr1.bench.rmb_sizes import SIZES
from rmr1.bench.tally import (
    RIGHT_BOTH_WAYS,
    RulingCounts,
    add_pair,
    both_ways,
    both_ways_measures,
    refuse_repeated,
)
from rmr1.data.files import Row
from rmr1.data.rulings import Ruling
from rmr1.errors import DataError
from rmr1.records import Message, PreferencePair, assistant

SPLITS = ("Helpfulness", "Harmlessness")
SETS = ("Pairwise_set", "BoN_set")
INSIDE = "pairs of "
"""The beginning of a part's name that holds the pairs inside best-of-N lists, which no official score counts."""

_ID = re.compile(
    r"(Pairwise_set|BoN_set)/((Helpfulness|Harmlessness)/[^#]+)#([^#:]+)(?::(\d{1,4})/(\d{1,4}))?"
)

_COLUMNS = ("pair_uid", "bon_uid", "conversation_input", "chosen", "reject", "bon_best", "loser_list")
"""What makes a row of either set what it is, with its file."""

_LOSER = re.compile(r"\d{1,4}/\d{1,4}")


def find_rmb_files(data: Path) -> list[Path]:
    """The data files of either layout in a folder, or in its `RMB_dataset` folder; or the one JSONL named.

    Raises:
        DataError: there are none.
    """
    return find_official(
        data,
        [f"{name}/**/*.json" for name in SETS],
        ["*_set_*.jsonl*"],
        inner="RMB_dataset",
        missing=f"neither {SETS[0]} and {SETS[1]} nor *_set_*.jsonl in it",
        expected="RMB_dataset of the authors' repository",
    )


def read_rmb(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """The pairs of every file; `limit` counts pairs or lists of each of the four parts. What two files hold both is
    read once.

    The better answer is always `response_a`, so a judge must be asked in seeded or both orders.

    Raises:
        DataError: a file cannot be read, or a row is not RMB's.
    """
    rows: Counter[str] = Counter()
    parts: Counter[tuple[str, str]] = Counter()
    for row in read_rows_once(
        find_rmb_files(data), lambda row: [_file_of(row), *map(row.data.get, _COLUMNS)]
    ):
        file = _file_of(row)
        found = _ID.fullmatch(f"{file}#0")
        if found is None or found.group(2) not in SIZES:
            raise DataError(f"{file!r} is no part of RMB", path=row.path, line=row.line)
        part = (found.group(1), found.group(3))
        number = rows[file]
        rows[file] += 1
        parts[part] += 1
        if limit is not None and parts[part] > limit:
            continue
        try:
            yield from _read_row(row.data, file, number)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"not a row of RMB: {reason}", path=row.path, line=row.line) from None


def _file_of(row: Row) -> str:
    """`BoN_set/Harmlessness/S1`, said in the row or, of `.../BoN_set/Harmlessness/S1.json`, by its place."""
    if "rmb_file" in row.data:
        return str(row.data["rmb_file"])
    path = Path(row.path)
    parts = path.with_suffix("").parts
    start = max((index for index, part in enumerate(parts) if part in SETS), default=0)
    return "/".join(parts[start:])


def _read_row(data: Mapping[str, Any], file: str, number: int) -> Iterator[PreferencePair]:
    prompt = tuple(
        Message(role=turn["role"], content=_text(turn["content"])) for turn in data["conversation_input"]
    )
    if not prompt or any(message.role not in ("system", "user", "assistant") for message in prompt):
        raise ValueError("conversation_input is empty or has an unknown role")
    if file.startswith("Pairwise_set"):
        answers = [(f"{file}#{number}", data["chosen"], data["reject"])]
    else:
        losers = data["loser_list"]
        if not losers:
            raise ValueError("loser_list is empty")
        answers = [
            (f"{file}#{number}:{index}/{len(losers)}", data["bon_best"], loser)
            for index, loser in enumerate(losers, 1)
        ]
    for pair_id, better, worse in answers:
        yield PreferencePair(
            id=pair_id,
            prompt=prompt,
            response_a=(assistant(_text(better["answer"])),),
            response_b=(assistant(_text(worse["answer"])),),
            label="A",
            source="rmb",
            subset=file,
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


class _Lists(PartBuilder):
    """The best-of-N lists of one part while their comparisons come in."""

    def __init__(self, name: str, official: int):
        super().__init__(name, official)
        self.inside = PartBuilder(INSIDE + name)
        self._numbers: dict[str, int] = {}
        self._places: list[int] = []
        self._losers: list[int] = []
        self._prompts: list[int] = []
        self._right: dict[int, bool] = {}

    def add(self, row: str, loser: str, ruling: Ruling) -> None:
        """One comparison: `row` of the file, `loser` as `2/3`."""
        number = self._numbers.setdefault(row, len(self._numbers))
        if number == len(self._losers):
            self._losers.append(int(loser.partition("/")[2]))
            self._prompts.append(ruling.prompt)
        add_pair(self.inside, f"{row}:{loser}", ruling)
        self._places.append(number)
        if len(ruling.votes) > 1 and (found := both_ways(ruling)) is not None:
            self._right[number] = self._right.get(number, True) and found[1]

    def close(self) -> int:
        """Turn the comparisons into lists; how many lists lack some of theirs, and are left out."""
        refuse_repeated(self.inside, "#")
        num = len(self._losers)
        judged, won, no_verdict, ties = [0] * num, [0] * num, [0] * num, [0] * num
        for index, number in enumerate(self._places):
            judged[number] += 1
            won[number] += self.inside.credits[index]
            no_verdict[number] += self.inside.no_verdict[index]
            ties[number] += self.inside.ties[index]
        for row, number in self._numbers.items():
            if judged[number] < self._losers[number]:
                continue
            self.items.append(row)
            self.clusters.append(self._prompts[number])
            self.credits.append(won[number] == self._losers[number])
            self.no_verdict.append(no_verdict[number])
            self.ties.append(ties[number])
            if number in self._right:
                self.note(RIGHT_BOTH_WAYS, self._right[number])
        return num - len(self.items)


def tally_rmb(rulings: Iterable[Ruling]) -> Outcomes:
    """Pairs, lists, and the pairs inside the lists, by category.

    Lists with comparisons that were not judged are left out and counted as unfinished.

    Raises:
        DataError: a judgment is not of an RMB pair, or one pair was judged twice.
    """
    pairs = {(name := f"{SETS[0]}/{one}"): PartBuilder(name, sizes[0]) for one, sizes in SIZES.items()}
    lists = {(name := f"{SETS[1]}/{one}"): _Lists(name, sizes[1]) for one, sizes in SIZES.items()}
    counts = RulingCounts()
    for ruling in counts.answered(rulings):
        name, _, row = ruling.id.rpartition("#")
        part = pairs.get(name)
        if part is not None and ruling.label is not None and ":" not in row:
            add_pair(part, row, ruling)
            continue
        row, _, loser = row.partition(":")
        if name not in lists or ruling.label is None or not _LOSER.fullmatch(loser):
            raise DataError(
                f"pair {ruling.id!r} is no labelled pair of RMB; was the run made with bench rmb?"
            )
        lists[name].add(row, loser, ruling)
    for one in pairs.values():
        refuse_repeated(one, "#")
    unfinished = sum(one.close() for one in lists.values())
    builders = [*pairs.values(), *lists.values(), *(one.inside for one in lists.values())]
    return counts.outcomes("rmb", builders, unfinished=unfinished, deviations=counts.find_one_place())


def rule_rmb(outcomes: Outcomes, variant: str) -> Measures:
    """The four scores, their unweighted mean, pair accuracy inside the lists, and every category."""
    scores = [
        Measure(group=split.lower(), name=name, parts=_parts(kind, split))
        for kind, name in zip(SETS, ("pairwise", "best of N"), strict=True)
        for split in SPLITS
    ]
    inside = [
        Measure(group=split.lower(), name="pairs inside best of N", parts=_parts(INSIDE + SETS[1], split))
        for split in SPLITS
    ]
    categories = {
        kind: tuple(Measure(group=name, name=part, parts=(f"{kind}/{part}",)) for part in SIZES)
        for kind, name in zip(SETS, ("pairwise", "best of N"), strict=True)
    }
    overall = Measure(
        group="rmb",
        name="overall",
        parts=tuple(part for one in scores for part in one.parts),
        estimate=mean(*(share(*one.parts) for one in scores)),
    )
    needs = tuple(
        Measure(group="needs", name=f"{kind}/{part}", parts=(f"{kind}/{part}",))
        for kind in SETS
        for part in SIZES
    )
    beside = {f"{one.group}, {one.name}": one.parts for one in scores}
    return Measures(
        overall=(Whole(measure=overall, needs=needs),),
        figures=(*scores, *inside, *both_ways_measures(outcomes, beside)),
        categories=tuple(
            one for part in categories.values() for one in part if len(outcomes.parts[one.parts[0]])
        ),
        notes=(
            "a list counts where the best answer wins against every loser; a tie or no verdict is no win",
        ),
    )


def _parts(kind: str, split: str) -> tuple[str, ...]:
    """Every item of a split counts alike, however its categories differ in size."""
    return tuple(f"{kind}/{category}" for category in SIZES if category.startswith(split))


RMB = Benchmark(
    name="rmb",
    title="RMB",
    order="seeded",
    placements=("seeded", "both"),
    find_files=find_rmb_files,
    read_pairs=read_rmb,
    tally=tally_rmb,
    rule=rule_rmb,
)
