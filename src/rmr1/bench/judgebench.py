"""JudgeBench (arXiv 2410.12784): hard pairs with an objectively right answer, each judged both ways.

Comes in: the official JSONL files, one per model that wrote the responses. Goes out: pairs; and from
judgments of them the official score. Per order +1 for the right side, -1 for the other, 0 for a tie
or no verdict; a pair is correct where the sum is above 0, so right once and wrong once is incorrect,
right once and undecided once is correct. One order alone (the official single-game mode, for scalar
models) follows the same rule. All scores are micro averages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.bench.base import (
    Benchmark,
    BenchmarkScores,
    Count,
    Overall,
    placement_of,
    sum_counts,
)
from rmr1.bench.metrics import wilson_interval
from rmr1.data.files import read_rows
from rmr1.errors import DataError
from rmr1.judge.compare import decide
from rmr1.records import Judgment, Label, Order, PreferencePair, assistant, swap_label, user

CATEGORIES = ("Knowledge", "Reasoning", "Math", "Coding")

OFFICIAL: Mapping[str, Mapping[str, int]] = {
    "gpt-4o-2024-05-13": {"Knowledge": 154, "Reasoning": 98, "Math": 56, "Coding": 42},
    "claude-3-5-sonnet-20240620": {"Knowledge": 154, "Reasoning": 51, "Math": 34, "Coding": 31},
}
"""Sizes of the official sets, by the model that wrote the responses."""

LABELS: Mapping[str, Label] = {"A>B": "A", "B>A": "B"}
"""The benchmark's labels, and its judges' decisions."""

_SOURCES = {"livebench-reasoning": "Reasoning", "livebench-math": "Math", "livecodebench": "Coding"}
_TEXTS = ("pair_id", "source", "question", "response_model", "response_A", "response_B", "label")


def category_of(source: str) -> str:
    """The category that a pair's `source` counts in.

    Raises:
        DataError: JudgeBench has no such source.
    """
    if source.startswith("mmlu-pro"):
        return "Knowledge"
    if source not in _SOURCES:
        raise DataError(f"source {source!r} is none of JudgeBench's: mmlu-pro-*, {', '.join(_SOURCES)}")
    return _SOURCES[source]


def find_judgebench_files(data: Path) -> list[Path]:
    """The JSONL files in a folder, or in its `data` folder; or the one file that is named.

    Raises:
        DataError: there are none.
    """
    if data.is_file():
        return [data]
    for folder in (data, data / "data"):
        files = sorted(file for file in folder.glob("*.jsonl*") if file.is_file())
        if files:
            return files
    seen = "no such folder" if not data.is_dir() else "no *.jsonl file in it"
    raise DataError(f"{seen}; expected the folder with JudgeBench's JSONL files", path=data)


def read_judgebench(data: Path, limit: int | None = None) -> Iterator[PreferencePair]:
    """The pairs of every file; `limit` is per file.

    Raises:
        DataError: a file cannot be read, or a row is not JudgeBench's.
    """
    for path in find_judgebench_files(data):
        for number, row in enumerate(read_rows(path)):
            if limit is not None and number >= limit:
                break
            yield read_judgebench_pair(row.data, row.path, row.line)


def read_judgebench_pair(data: Mapping[str, Any], path: str | Path, line: int | None) -> PreferencePair:
    """One row as a pair; keys that are no part of the pair are let be.

    Raises:
        DataError: a text is missing, or label or source are unknown.
    """
    for name in _TEXTS:
        if not isinstance(data.get(name), str):
            raise DataError(f"no text in {name!r}; expected a row of JudgeBench", path=path, line=line)
    if data["label"] not in LABELS:
        raise DataError(f"label {data['label']!r} is not 'A>B' or 'B>A'", path=path, line=line)
    try:
        category_of(data["source"])
    except DataError as error:
        raise DataError(error.message, path=path, line=line) from None
    return PreferencePair(
        id=data["pair_id"],
        prompt=(user(data["question"]),),
        response_a=(assistant(data["response_A"]),),
        response_b=(assistant(data["response_B"]),),
        label=LABELS[data["label"]],
        source=data["response_model"],
        subset=data["source"],
    )


def verdicts_by_order(judgment: Judgment) -> dict[Order, str | None]:
    """What the judge said in each order (pair frame): the majority of that order's votes.

    A scalar judgment knows no order and counts as `given`.
    """
    if not judgment.votes:
        return {"given": judgment.winner}
    return {
        order: decide([vote for vote in judgment.votes if vote.order == order]).winner
        for order in judgment.orders
    }


def points(winner: str | None, label: str) -> int:
    """+1 for the right side, -1 for the other, 0 for a tie or no verdict."""
    if winner == label:
        return 1
    return -1 if winner == swap_label(label) else 0


def score_judgebench(judgments: Iterable[Judgment]) -> BenchmarkScores:
    """The official scores per set: four categories and all, and how consistent both orders are.

    Raises:
        DataError: a judgment is not of a labelled JudgeBench pair.
    """
    by_source: dict[tuple[str, str], Count] = {}
    consistent: dict[str, Count] = {}
    right_twice: dict[str, Count] = {}
    ids: dict[str, set[str]] = {}
    orders: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    num_judgments = 0
    for judgment in judgments:
        pair = judgment.pair
        if pair.label not in ("A", "B") or pair.source is None or pair.subset is None:
            raise DataError(
                f"pair {pair.id!r} is no labelled JudgeBench pair; was the run made with bench judgebench?"
            )
        category_of(pair.subset)
        num_judgments += 1
        orders[placement_of(judgment)] += 1
        for problem in _missing_verdicts(judgment):
            problems[problem] += 1
        verdicts = verdicts_by_order(judgment)
        no_verdict, tie = None in verdicts.values(), "tie" in verdicts.values()
        total = sum(points(winner, pair.label) for winner in verdicts.values())
        by_source.setdefault((pair.source, pair.subset), Count()).add(
            correct=total > 0, no_verdict=no_verdict, tie=tie
        )
        ids.setdefault(pair.source, set()).add(pair.id)
        if len(verdicts) == 2:
            first, second = verdicts.values()
            same = first == second and first is not None
            consistent.setdefault(pair.source, Count()).add(correct=same, no_verdict=no_verdict, tie=tie)
            right_twice.setdefault(pair.source, Count()).add(
                correct=total == 2, no_verdict=no_verdict, tie=tie
            )
    overall, figures = [], []
    for group in sorted(
        ids, key=lambda name: (list(OFFICIAL).index(name) if name in OFFICIAL else len(OFFICIAL), name)
    ):
        sizes = OFFICIAL.get(group, {})
        by_category = {
            name: sum_counts(
                count
                for (one, source), count in by_source.items()
                if one == group and category_of(source) == name
            )
            for name in CATEGORIES
        }
        figures += [count.figure(group, name, sizes.get(name)) for name, count in by_category.items()]
        if group in consistent:
            figures.append(consistent[group].figure(group, "same verdict both ways"))
            figures.append(right_twice[group].figure(group, "right both ways"))
        overall.append(_overall(group, sum_counts(by_category.values()), by_category, sizes, len(ids[group])))
    return BenchmarkScores(
        benchmark="judgebench",
        overall=tuple(overall),
        figures=tuple(figures),
        categories=tuple(count.figure(group, source) for (group, source), count in sorted(by_source.items())),
        judgments=num_judgments,
        orders=tuple(sorted(orders.items())),
        problems=tuple(sorted(problems.items())),
        notes=("per order: right +1, opposite -1, tie or no verdict 0; correct where the sum is above 0",),
    )


def _missing_verdicts(judgment: Judgment) -> list[str]:
    if not judgment.votes:
        return [judgment.problem] if judgment.problem is not None else []
    decisions = (
        decide([vote for vote in judgment.votes if vote.order == order]) for order in judgment.orders
    )
    return [decision.problem for decision in decisions if decision.problem is not None]


def _overall(
    group: str, whole: Count, by_category: Mapping[str, Count], sizes: Mapping[str, int], num_distinct: int
) -> Overall:
    official = sum(sizes.values()) or None
    missing = tuple(name for name, size in sizes.items() if by_category[name].total != size)
    is_complete = official is not None and not missing and num_distinct == official
    return Overall(
        group=group,
        value=whole.correct / whole.total if is_complete else None,
        total=num_distinct,
        official=official,
        correct=whole.correct,
        no_verdict=whole.no_verdict,
        ties=whole.ties,
        interval=wilson_interval(whole.correct, whole.total) if is_complete else None,
        missing=missing,
    )


JUDGEBENCH = Benchmark(
    name="judgebench",
    title="JudgeBench",
    order="both",
    placements=("both", "given", "seeded"),
    find_files=find_judgebench_files,
    read_pairs=read_judgebench,
    score=score_judgebench,
)
