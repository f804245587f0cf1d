"""The figures of a finished curation as plain JSON values: what the card shows and `--json` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.curate.choose import Selection
from rmr1.curate.contamination import KINDS, KNOWN, BenchmarkIndex
from rmr1.curate.filters import REASONS
from rmr1.curate.inputs import CurateSource
from rmr1.curate.scan import Overlaps, SourceTally
from rmr1.curate.table import LABELS, Columns
from rmr1.curate.write import WritePlan

TEXTS = ("prompt", "preferred", "other")

LARGE_GROUP = 0.05
"""Share of all prompts from which on one group, which goes to one split whole, is worth a note."""


def count_all(
    sources: tuple[CurateSource, ...],
    tallies: Mapping[str, SourceTally],
    columns: Columns,
    choice: Selection,
    plan: WritePlan,
    roots: Sequence[int],
    index: BenchmarkIndex | None,
) -> dict[str, Any]:
    """All of them; `roots` is the group of each prompt."""
    order = np.array(choice.order, dtype=np.int64)
    split_of = np.array([plan.split_of[item] for item in choice.order], dtype=np.int64)
    flipped = np.array([plan.swapped[item] for item in choice.order], dtype=bool)
    per_source = {}
    for number, source in enumerate(sources):
        mine = columns.source[order] == number
        found = tallies[source.name].describe()
        # What the filters dropped, and what was decided afterwards.
        dropped = tallies[source.name].dropped.copy()
        dropped.update(reason for item, reason in choice.reasons.items() if columns.source[item] == number)
        found["dropped"] = {reason: dropped[reason] for reason in REASONS if dropped[reason]}
        found["kept"] = int(mine.sum())
        found["splits"] = {name: int((mine & (split_of == at)).sum()) for at, name in enumerate(plan.splits)}
        found |= _describe_pairs(columns, order[mine], flipped[mine])
        per_source[source.name] = found
    per_split = {}
    for at, name in enumerate(plan.splits):
        mine = split_of == at
        per_split[name] = {"pairs": int(mine.sum()), **_describe_pairs(columns, order[mine], flipped[mine])}
    kept_roots = np.array([roots[prompt] for prompt in np.unique(columns.prompt[order]).tolist()])
    sizes = np.unique(kept_roots, return_counts=True)[1]
    return {
        "read": sum(one["read"] for one in per_source.values()),
        "unreadable": sum(one["unreadable"] for one in per_source.values()),
        "kept": len(order),
        "sources": per_source,
        "splits": per_split,
        "total": _describe_pairs(columns, order, flipped),
        "prompt_groups": {
            "prompts": len(kept_roots),
            "groups": len(sizes),
            "largest": int(sizes.max(initial=0)),
        },
        "benchmarks": {} if index is None else _describe_benchmarks(index, tallies),
        "not_compared_with": [] if index is None else [one for one in KNOWN if one not in index.figures],
        "notes": [
            *choice.shortages,
            *(
                f"{one.name}: {tallies[one.name].passed:,} pairs passed the filters where the recipe expects "
                f"{one.recipe.expected:,}"
                for one in sources
                if one.recipe.expected not in (None, tallies[one.name].passed)
            ),
            *(
                f"{name}: none of its {one['read']:,} pairs is left "
                f"({', '.join(f'{number:,} {reason}' for reason, number in one['dropped'].items())})"
                for name, one in per_source.items()
                if not one["kept"]
            ),
            *_find_lumps(per_split, int(sizes.max(initial=0)), len(kept_roots)),
        ],
    }


def _describe_pairs(columns: Columns, items: NDArray[np.int64], flipped: NDArray[np.bool_]) -> dict[str, Any]:
    labels = columns.label[items]
    has_winner = labels <= LABELS.index("B")
    found: dict[str, Any] = {
        "prompts": len(np.unique(columns.prompt[items])),
        "multi_turn": int(columns.is_multi_turn[items].sum()),
        "labels": {
            "A": int((has_winner & ((labels == 0) != flipped)).sum()),
            "B": int((has_winner & ((labels == 1) != flipped)).sum()),
            "tie": int((labels == LABELS.index("tie")).sum()),
            "none": int((labels == LABELS.index(None)).sum()),
        },
    }
    for unit, lengths in (("characters", columns.characters), ("tokens", columns.tokens)):
        if lengths is not None:
            found[unit] = _describe_lengths(lengths[items], has_winner)
    return found


def _describe_lengths(lengths: NDArray[np.uint32], has_winner: NDArray[np.bool_]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at, name in enumerate(TEXTS):
        one = lengths[:, at]
        found[name] = (
            {"median": int(np.median(one)), "p95": int(np.quantile(one, 0.95)), "max": int(one.max())}
            if len(one)
            else None
        )
    won, lost = lengths[has_winner, 1], lengths[has_winner, 2]
    found["preferred_longer"] = (
        round(float((won > lost).mean() + (won == lost).mean() / 2), 4) if len(won) else None
    )
    return found


def _describe_benchmarks(index: BenchmarkIndex, tallies: Mapping[str, SourceTally]) -> dict[str, Any]:
    described = {}
    for name, figures in index.figures.items():
        everywhere: Overlaps = {kind: Counter() for kind in KINDS}
        found = {source: tally.overlaps[name] for source, tally in tallies.items() if name in tally.overlaps}
        for one in found.values():
            for kind, prompts in one.items():
                everywhere[kind].update(prompts)
        sources = {source: _count_overlaps(one) for source, one in found.items()}
        described[name] = {**figures, "removed": _count_overlaps(everywhere), "sources": sources}
    return described


def _count_overlaps(found: Overlaps) -> dict[str, Any]:
    return {
        "pairs": sum(one.total() for one in found.values()),
        "prompts": len(set().union(*found.values())),
        "pairs_by_kind": {kind: one.total() for kind, one in found.items()},
        "prompts_by_kind": {kind: len(one) for kind, one in found.items()},
    }


def _find_lumps(splits: Mapping[str, Any], largest: int, prompts: int) -> list[str]:
    found = [
        f"split {name} has no pair: there are too few prompts for its share"
        for name, one in splits.items()
        if not one["pairs"]
    ]
    if len(splits) > 1 and largest > max(1, LARGE_GROUP * prompts):
        found.append(
            f"one group of similar prompts holds {largest:,} of {prompts:,} and goes to one split; if they are not one "
            "question, raise duplicates.prompts"
        )
    return found
