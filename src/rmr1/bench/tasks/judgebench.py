"""JudgeBench (arXiv 2410.12784): hard pairs with an objectively right answer, each judged both ways.

Comes in: the official JSONL files, one per model that wrote the responses. Goes out: pairs, and the official
score: per order +1 for the right side, -1 for the other, 0 for a tie or no verdict; a pair is correct where the
sum is above 0. One order alone (the official single-game mode, for scalar models) follows the same rule. All
scores are micro averages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from rmr1.bench.base import Benchmark
from rmr1.bench.files import find_official, list_sources, placed, read_rows_once
from rmr1.bench.outcomes import Measure, Measures, Outcomes, PartBuilder, Whole
from rmr1.bench.ruling_counts import RIGHT_BOTH_WAYS, SAME_BOTH_WAYS, RulingCounts, both_ways_measures, not_of
from rmr1.data.files import Row
from rmr1.errors import DataError
from rmr1.messages import assistant, user
from rmr1.records import Label, PreferencePair, swap_label
from rmr1.store.rulings import Ruling

CATEGORIES = ("Knowledge", "Reasoning", "Math", "Coding")

OFFICIAL: Mapping[str, Mapping[str, int]] = {
    "gpt-4o-2024-05-13": {"Knowledge": 154, "Reasoning": 98, "Math": 56, "Coding": 42},
    "claude-3-5-sonnet-20240620": {"Knowledge": 154, "Reasoning": 51, "Math": 34, "Coding": 31},
}
"""Sizes of the official sets, by the model that wrote the responses."""

LABELS: Mapping[str, Label] = {"A>B": "A", "B>A": "B"}
"""The benchmark's labels, and its judges' decisions."""

_ONE_WAY = "asked in one order; JudgeBench asks a judge that writes in both"

_SEPARATOR = "/"
"""Between the model that wrote the responses, whose name may hold it too, and the source in a part's name."""

_SOURCES = {"livebench-reasoning": "Reasoning", "livebench-math": "Math", "livecodebench": "Coding"}
_TEXTS = ("pair_id", "source", "question", "response_model", "response_A", "response_B", "label")


def category_of(source: str | None) -> str | None:
    """The category that a pair's `source` counts in; None if JudgeBench has no such source."""
    if source and source.startswith("mmlu-pro") and _SEPARATOR not in source:
        return "Knowledge"
    return _SOURCES.get(source or "")


find_judgebench_files = partial(
    find_official,
    layouts=(["*.jsonl*"],),
    missing="no *.jsonl file in it",
    expected="the folder with JudgeBench's JSONL files",
)


def read_judgebench(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """The pairs of every file; `limit` is per file."""
    numbers: Counter[str] = Counter()
    for row in read_rows_once(list_sources(find_judgebench_files, data), _TEXTS):
        numbers[row.path] += 1
        if limit is None or numbers[row.path] <= limit:
            yield read_judgebench_pair(row)


def read_judgebench_pair(row: Row) -> PreferencePair:
    """One row as a pair; keys that are no part of the pair are let be."""
    data = row.data
    with placed(row):
        for name in _TEXTS:
            if not isinstance(data.get(name), str):
                raise DataError(f"no text in {name!r}; expected a row of JudgeBench")
        if data["label"] not in LABELS:
            raise DataError(f"label {data['label']!r} is not 'A>B' or 'B>A'")
        if category_of(data["source"]) is None:
            known = ", ".join(_SOURCES)
            raise DataError(f"source {data['source']!r} is none of JudgeBench's: mmlu-pro-*, {known}")
    return PreferencePair(
        id=data["pair_id"],
        prompt=(user(data["question"]),),
        response_a=(assistant(data["response_A"]),),
        response_b=(assistant(data["response_B"]),),
        label=LABELS[data["label"]],
        source=data["response_model"],
        subset=data["source"],
    )


def points(winner: str | None, label: str) -> int:
    """+1 for the right side, -1 for the other, 0 for a tie or no verdict."""
    if winner == label:
        return 1
    return -1 if winner == swap_label(label) else 0


def tally_judgebench(rulings: Iterable[Ruling]) -> Outcomes:
    """One part for every source of questions in each set."""
    parts: dict[str, PartBuilder] = {}
    counts = RulingCounts()
    for ruling in counts.answered(rulings):
        label = ruling.label
        if label not in ("A", "B") or ruling.source is None or category_of(ruling.subset) is None:
            raise not_of(ruling, "JudgeBench", "judgebench")
        said = list(ruling.by_order().values())
        name = f"{ruling.source}{_SEPARATOR}{ruling.subset}"
        part = parts.setdefault(name, PartBuilder(name))
        total = sum(points(winner, label) for winner, _ in said)
        part.items.append(ruling.id)
        part.clusters.append(ruling.prompt)
        part.credits.append(total > 0)
        part.no_verdict.append(sum(winner is None for winner, _ in said))
        part.ties.append(sum(winner == "tie" for winner, _ in said))
        if len(said) == 2:
            part.note(SAME_BOTH_WAYS, said[0][0] == said[1][0] and said[0][0] is not None)
            part.note(RIGHT_BOTH_WAYS, total == 2)
    one_way = any(counts.orders[order] for order in ("given", "swapped"))
    return counts.outcomes(
        "judgebench",
        (parts[name] for name in sorted(parts)),
        deviations=(_ONE_WAY,) if one_way else (),
    )


def rule_judgebench(outcomes: Outcomes, variant: str) -> Measures:
    """Figures of each set: four categories and all, and how consistent both orders are."""
    overall: list[Whole] = []
    figures: list[Measure] = []
    sources: list[Measure] = []
    places = {name: name.rpartition(_SEPARATOR) for name in outcomes.parts}
    found = {model for model, _, _ in places.values()}
    groups = [name for name in OFFICIAL if name in found]
    groups += sorted(name for name in found if name not in OFFICIAL)
    for group in groups:
        sizes = OFFICIAL.get(group, {})
        parts = tuple(name for name, (model, _, _) in places.items() if model == group)
        categories = tuple(
            Measure(
                group=group,
                name=category,
                parts=tuple(name for name in parts if category_of(places[name][2]) == category),
                official=sizes.get(category),
            )
            for category in CATEGORIES
        )
        figures += [*categories, *both_ways_measures(outcomes, {group: parts})]
        size = sum(sizes.values()) or None
        whole = Measure(group=group, name="overall", parts=parts, official=size)
        overall.append(Whole(measure=whole, needs=categories, is_official=group in OFFICIAL))
        sources += [Measure(group=group, name=places[name][2], parts=(name,)) for name in parts]
    return Measures(
        overall=tuple(overall),
        figures=tuple(figures),
        categories=tuple(sources),
        notes=("per order: right +1, opposite -1, tie or no verdict 0; correct where the sum is above 0",),
    )


JUDGEBENCH = Benchmark(
    name="judgebench",
    title="JudgeBench",
    order="both",
    placements=("both", "given", "seeded"),
    find_files=find_judgebench_files,
    read_pairs=read_judgebench,
    tally=tally_judgebench,
    rule=rule_judgebench,
    hub="ScalerLab/JudgeBench@gpt",
)
