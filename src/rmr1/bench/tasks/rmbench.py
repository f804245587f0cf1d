"""RM-Bench (arXiv 2410.16184): three right against three wrong answers, each in three styles.

Comes in: the authors' `total_dataset.json`, or their `*_filtered.json` by domain (also as JSONL, gzipped,
or in the repository's `data` folder). Goes out: nine pairs for each item, the right answer first; and from
judgments of them a 3x3 matrix for each item, rows the right answer's style, columns the wrong one's:

    style      0 concise, 1 detailed, 2 detailed with Markdown
    normal     0-0 1-1 2-2      the same style
    hard       0-1 0-2 1-2      the right answer is the plainer one
    easy       1-0 2-0 2-1      the wrong answer is the plainer one

Each difficulty is a mean over a domain's items; the domain's score is the mean of its three, a
difficulty's the mean of the four domains, overall the mean of all. The two parts of Safety are one domain,
item by item. A tie or a missing verdict is no win. (Paper section 3.4; RM-R1's `eval/RM-Bench`.)

Variant `as-published`: RM-R1's script reads the third of its three result files in place of the second, so
the cells 0-1, 1-2 and 2-0 are never read and 0-2, 1-0 and 2-1 stand for them. Hard is then
(2 x 0-2 + 1-0) / 3, easy (1-0 + 2 x 2-1) / 3. RM-R1's published RM-Bench figures are such.

A pair's id is `<part>/<id>:c0r1`: right answer in style 0, wrong answer in style 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rmr1.bench.base import AS_PUBLISHED, Benchmark, list_sources
from rmr1.bench.copies import read_rows_once
from rmr1.bench.official_files import find_official
from rmr1.bench.outcomes import Estimate, Measure, Measures, Outcomes, PartBuilder, Whole, mean, share
from rmr1.bench.ruling_counts import (
    RIGHT_BOTH_WAYS,
    SAME_BOTH_WAYS,
    RulingCounts,
    both_ways,
    both_ways_measures,
)
from rmr1.data.files import Row, stem_of
from rmr1.data.sources.reader import optional_text, row_id, texts, turns
from rmr1.errors import DataError
from rmr1.records import PreferencePair, assistant
from rmr1.store.rulings import Ruling

SIZES: Mapping[str, int] = {
    "chat": 129,
    "math": 529,
    "code": 228,
    "safety-refuse": 284,
    "safety-response": 157,
}
"""Part -> items: 1,327 in all."""

DOMAINS: Mapping[str, tuple[str, ...]] = {
    "Chat": ("chat",),
    "Math": ("math",),
    "Code": ("code",),
    "Safety": ("safety-refuse", "safety-response"),
}

STYLES = 3
CELLS: Mapping[str, int] = {f"c{i}r{j}": STYLES * i + j for i in range(STYLES) for j in range(STYLES)}
"""Cell's name -> its place in the matrix, row by row."""


def _cells(*names: str) -> tuple[int, ...]:
    return tuple(CELLS[name] for name in names)


DIFFICULTIES: Mapping[str, tuple[int, ...]] = {
    "Easy": _cells("c1r0", "c2r0", "c2r1"),
    "Normal": _cells("c0r0", "c1r1", "c2r2"),
    "Hard": _cells("c0r1", "c0r2", "c1r2"),
}
PUBLISHED_DIFFICULTIES: Mapping[str, tuple[int, ...]] = {
    "Easy": _cells("c1r0", "c2r1", "c2r1"),
    "Normal": _cells("c0r0", "c1r1", "c2r2"),
    "Hard": _cells("c0r2", "c0r2", "c1r0"),
}

_TOTAL = "total_dataset.json"
_COLUMNS = ("id", "prompt", "chosen", "rejected")


def find_rm_bench_files(data: Path) -> list[Path]:
    """The one file that is named; or in a folder, or its `data` folder, the whole set, else its parts.

    Raises:
        DataError: there are none.
    """
    return find_official(
        data,
        [f"{_TOTAL}*"],
        ["*_filtered.json*"],
        missing=f"neither {_TOTAL} nor *_filtered.json in it",
        expected="the data folder of the authors' repository",
    )


def read_rm_bench(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """Nine pairs of every item; `limit` is items of each part.

    The domain stands in a column of the whole set, and only in the file's name in the parts. The better
    answer is always `response_a`, so a judge must be asked in seeded or both orders.

    Raises:
        DataError: a file cannot be read, or a row is not RM-Bench's.
    """
    sources = list_sources(find_rm_bench_files, data)
    numbers: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for row in read_rows_once(sources, lambda row: [_part_of(row), *map(row.data.get, _COLUMNS)]):
        try:
            part = _part_of(row)
            if part not in SIZES:
                raise DataError(f"{part!r} is no part of RM-Bench; it has {', '.join(SIZES)}")
            numbers[part] += 1
            if limit is not None and numbers[part] > limit:
                continue
            item = f"{part}/{row_id(row, 'id')}"
            seen[item] += 1
            if seen[item] > 1:
                item = f"{item}-{seen[item]}"
            prompt = turns(row, "prompt", "user")
            answers = {column: texts(row, column) for column in ("chosen", "rejected")}
            for column, found in answers.items():
                if len(found) != STYLES:
                    raise DataError(f"{column!r} holds {len(found)} answers, expected {STYLES}")
        except DataError as error:
            raise DataError(error.message, path=row.path, line=row.line) from None
        for i, better in enumerate(answers["chosen"]):
            for j, worse in enumerate(answers["rejected"]):
                yield PreferencePair(
                    id=f"{item}:c{i}r{j}",
                    prompt=prompt,
                    response_a=(assistant(better),),
                    response_b=(assistant(worse),),
                    label="A",
                    source="rm-bench",
                    subset=part,
                )


def _part_of(row: Row) -> str:
    return optional_text(row, "domain") or stem_of(row.path).removesuffix("_filtered")


class _Matrices(PartBuilder):
    """The items of one part while their nine judgments come in, in any sequence."""

    def __init__(self, name: str, official: int):
        super().__init__(name, official, num_cells=len(CELLS))
        self._cells: dict[str, list[int | None]] = {}
        self._prompts: dict[str, int] = {}
        self._lacking: dict[str, list[int]] = {}
        self._ways: dict[str, list[int]] = {}

    def add(self, item: str, cell: int, ruling: Ruling) -> None:
        cells = self._cells.get(item)
        if cells is None:
            cells = self._cells[item] = [None] * len(CELLS)
            self._prompts[item] = ruling.prompt
        if cells[cell] is not None:
            raise DataError(f"pair {ruling.id!r} was judged twice")
        winner, _ = ruling.asked_first()
        cells[cell] = int(winner == ruling.label)
        if winner is None or winner == "tie":
            self._lacking.setdefault(item, [0, 0])[winner is not None] += 1
        if len(ruling.votes) > 1 and (found := both_ways(ruling)) is not None:
            ways = self._ways.setdefault(item, [0, 0, 0])
            for index, value in enumerate((*found, True)):
                ways[index] += value

    def close(self) -> int:
        """Keep the items whose matrix is full; how many are not."""
        for item, cells in self._cells.items():
            if None in cells:
                continue
            self.items.append(item)
            self.clusters.append(self._prompts[item])
            self.credits.append(cells)
            no_verdict, ties = self._lacking.get(item, (0, 0))
            self.no_verdict.append(no_verdict)
            self.ties.append(ties)
            if item in self._ways:
                same, right, asked = self._ways[item]
                self.note(SAME_BOTH_WAYS, same / asked)
                self.note(RIGHT_BOTH_WAYS, right / asked)
        return len(self._cells) - len(self.items)


def tally_rm_bench(rulings: Iterable[Ruling]) -> Outcomes:
    """One part for each of the authors' files, one item for each full matrix.

    Items with judgments that are missing are left out and counted as unfinished.

    Raises:
        DataError: a judgment is not of an RM-Bench pair, or one pair was judged twice.
    """
    parts = {name: _Matrices(name, size) for name, size in SIZES.items()}
    counts = RulingCounts()
    for ruling in counts.answered(rulings):
        name, _, rest = ruling.id.partition("/")
        item, _, cell = rest.rpartition(":")
        if name not in parts or cell not in CELLS or ruling.label not in ("A", "B"):
            raise DataError(
                f"pair {ruling.id!r} is no labelled pair of RM-Bench; was the run made with bench rm-bench?"
            )
        parts[name].add(item, CELLS[cell], ruling)
    unfinished = sum(part.close() for part in parts.values())
    return counts.outcomes(
        "rm-bench", parts.values(), unfinished=unfinished, deviations=counts.find_one_place()
    )


def rule_rm_bench(outcomes: Outcomes, variant: str) -> Measures:
    """Four domains, three difficulties, their mean, and every domain's difficulties."""
    difficulties = PUBLISHED_DIFFICULTIES if variant == AS_PUBLISHED else DIFFICULTIES
    every = tuple(SIZES)

    def one(domain: str, cells: Sequence[int]) -> Estimate:
        return share(*DOMAINS[domain], cells=cells)

    def by_domain(domain: str) -> Estimate:
        return mean(*(one(domain, cells) for cells in difficulties.values()))

    domains = tuple(
        Measure(group="domains", name=domain, parts=parts, estimate=by_domain(domain))
        for domain, parts in DOMAINS.items()
    )
    by_difficulty = tuple(
        Measure(
            group="difficulties",
            name=name,
            parts=every,
            estimate=mean(*(one(domain, cells) for domain in DOMAINS)),
        )
        for name, cells in difficulties.items()
    )
    overall = Measure(
        group="rm-bench", name="overall", parts=every, estimate=mean(*(by_domain(name) for name in DOMAINS))
    )
    needs = tuple(Measure(group="parts", name=name, parts=(name,)) for name in SIZES)
    notes = [
        "an item is a 3x3 matrix of styles; domains and difficulties count alike; a tie or no verdict is no win"
    ]
    if variant == AS_PUBLISHED:
        notes.append("as published: cells 0-1, 1-2 and 2-0 are replaced by 0-2, 1-0 and 2-1, RM-R1's fault")
    return Measures(
        overall=(Whole(measure=overall, needs=needs),),
        figures=(*domains, *by_difficulty, *both_ways_measures(outcomes, {"all pairs": every})),
        categories=tuple(
            Measure(group=domain, name=name, parts=parts, estimate=one(domain, cells))
            for domain, parts in DOMAINS.items()
            if any(len(outcomes.parts[part]) for part in parts)
            for name, cells in difficulties.items()
        ),
        notes=tuple(notes),
    )


RM_BENCH = Benchmark(
    name="rm-bench",
    title="RM-Bench",
    order="seeded",
    placements=("seeded", "both"),
    find_files=find_rm_bench_files,
    read_pairs=read_rm_bench,
    tally=tally_rm_bench,
    rule=rule_rm_bench,
    variants={AS_PUBLISHED: "RM-R1's style-file fault: cells 0-1, 1-2 and 2-0 are never read"},
    hub="THU-KEG/RM-Bench",
)
