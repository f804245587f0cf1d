"""RM-Bench (arXiv 2410.16184): three right against three wrong answers, each in three styles.

Comes in: the authors' `total_dataset.json`, or their `*_filtered.json` by domain. Goes out: nine pairs for each
item, the right answer first; and a 3x3 matrix for each item, rows the right answer's style, columns the wrong
one's:

    style      0 concise, 1 detailed, 2 detailed with Markdown
    normal     0-0 1-1 2-2      the same style
    hard       0-1 0-2 1-2      the right answer is the plainer one
    easy       1-0 2-0 2-1      the wrong answer is the plainer one

Each difficulty is a mean over a domain's items; the domain's score is the mean of its three, a
difficulty's the mean of the four domains, overall the mean of all. The two parts of Safety are one domain,
item by item. A tie or a missing verdict is no win. (Paper section 3.4; RM-R1's `eval/RM-Bench`.)

Variant `as-published`: RM-R1's script reads the third of its three result files in place of the second, so
the cells 0-1, 1-2 and 2-0 are never read and 0-2, 1-0 and 2-1 stand for them. RM-R1's published RM-Bench figures
are such.

A pair's id is `<part>/<id>:c0r1`: right answer in style 0, wrong answer in style 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from rmr1.bench.base import AS_PUBLISHED, Benchmark
from rmr1.bench.files import find_official, list_sources, placed, read_items
from rmr1.bench.outcomes import Measure, Measures, Outcomes, PartBuilder, Whole, mean, share
from rmr1.bench.ruling_counts import (
    RIGHT_BOTH_WAYS,
    SAME_BOTH_WAYS,
    RulingCounts,
    add_group,
    add_pair,
    both_ways_measures,
    group_pairs,
    not_of,
    refuse_repeated,
)
from rmr1.data.files import Row, stem_of
from rmr1.data.sources.reader import optional_text, texts, turns
from rmr1.errors import DataError
from rmr1.messages import assistant
from rmr1.records import PreferencePair
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


find_rm_bench_files = partial(
    find_official,
    layouts=([f"{_TOTAL}*"], ["*_filtered.json*"]),
    missing=f"neither {_TOTAL} nor *_filtered.json in it",
    expected="the data folder of the authors' repository",
)


def read_rm_bench(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """Nine pairs of every item, the better answer first; `limit` is items of each part."""
    files = list_sources(find_rm_bench_files, data)
    for row, part, item in read_items(files, _COLUMNS, _part_of, SIZES, "RM-Bench", limit):
        with placed(row):
            prompt = turns(row, "prompt", "user")
            answers = {column: texts(row, column) for column in ("chosen", "rejected")}
            for column, found in answers.items():
                if len(found) != STYLES:
                    raise DataError(f"{column!r} holds {len(found)} answers, expected {STYLES}")
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


def tally_rm_bench(rulings: Iterable[Ruling]) -> Outcomes:
    """One part for each of the authors' files, one item for each full matrix; others are unfinished."""
    pairs = {name: PartBuilder(name) for name in SIZES}
    counts = RulingCounts()
    for ruling in counts.answered(rulings):
        name, _, pair = ruling.id.partition("/")
        if name not in pairs or pair.rpartition(":")[2] not in CELLS or ruling.label not in ("A", "B"):
            raise not_of(ruling, "RM-Bench", "rm-bench")
        add_pair(pairs[name], pair, ruling)
    matrices = [PartBuilder(name, size, num_cells=len(CELLS)) for name, size in SIZES.items()]
    unfinished = sum(_add_matrices(*one) for one in zip(matrices, pairs.values(), strict=True))
    return counts.outcomes("rm-bench", matrices, unfinished=unfinished, deviations=counts.find_one_place())


def _add_matrices(matrices: PartBuilder, pairs: PartBuilder) -> int:
    """How many items lack some of their pairs, and are left out."""
    refuse_repeated(pairs, "/")
    groups = group_pairs(pairs)
    for item, places in groups.items():
        if len(places) < len(CELLS):
            continue
        credits = {CELLS[pairs.items[one].rpartition(":")[2]]: pairs.credits[one] for one in places}
        add_group(matrices, item, pairs, places, [credits[cell] for cell in range(len(CELLS))])
        for name in (SAME_BOTH_WAYS, RIGHT_BOTH_WAYS):
            if values := pairs.noted(name, places):
                matrices.note(name, sum(values) / len(values))
    return len(groups) - len(matrices.items)


def rule_rm_bench(outcomes: Outcomes, variant: str) -> Measures:
    """Four domains, three difficulties, their mean, and every domain's difficulties."""
    difficulties = PUBLISHED_DIFFICULTIES if variant == AS_PUBLISHED else DIFFICULTIES
    every = tuple(SIZES)

    estimates = {
        (domain, name): share(*parts, cells=cells)
        for domain, parts in DOMAINS.items()
        for name, cells in difficulties.items()
    }
    by_domain = {one: mean(*(estimates[one, name] for name in difficulties)) for one in DOMAINS}
    by_difficulty = {name: mean(*(estimates[one, name] for one in DOMAINS)) for name in difficulties}
    figures = [
        *(
            Measure(group="domains", name=one, parts=DOMAINS[one], estimate=estimate)
            for one, estimate in by_domain.items()
        ),
        *(
            Measure(group="difficulties", name=name, parts=every, estimate=estimate)
            for name, estimate in by_difficulty.items()
        ),
    ]
    overall = Measure(group="rm-bench", name="overall", parts=every, estimate=mean(*by_domain.values()))
    needs = tuple(Measure(group="parts", name=name, parts=(name,)) for name in SIZES)
    notes = [
        "an item is a 3x3 matrix of styles; domains and difficulties count alike; a tie or no verdict is no win"
    ]
    if variant == AS_PUBLISHED:
        notes.append("as published: cells 0-1, 1-2 and 2-0 are replaced by 0-2, 1-0 and 2-1, RM-R1's fault")
    return Measures(
        overall=(Whole(measure=overall, needs=needs),),
        figures=(*figures, *both_ways_measures(outcomes, {"all pairs": every})),
        categories=tuple(
            Measure(group=domain, name=name, parts=DOMAINS[domain], estimate=estimate)
            for (domain, name), estimate in estimates.items()
            if any(len(outcomes.parts[part]) for part in DOMAINS[domain])
        ),
        notes=tuple(notes),
    )


RM_BENCH = Benchmark(
    name="rm-bench",
    title="RM-Bench",
    find_files=find_rm_bench_files,
    read_pairs=read_rm_bench,
    tally=tally_rm_bench,
    rule=rule_rm_bench,
    variants={AS_PUBLISHED: "RM-R1's style-file fault: cells 0-1, 1-2 and 2-0 are never read"},
    hub="THU-KEG/RM-Bench",
)
