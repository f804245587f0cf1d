"""Columns of facts -> the figures of a report: accuracy by group, position, trust in probabilities, quotations, cost.

Pure functions of arrays. I is the number of judgments. No verdict counts as wrong; an interval is by prompt if
judgments share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.audit.columns import Columns
from rmr1.judge.consistency import difference_interval
from rmr1.judge.reliability import LABELS, expect_risks, summarize_reliability
from rmr1.stats import Booleans, share_interval

Interval = tuple[float, float]
Codes = NDArray[np.int64]

MOST_GROUPS = 100
"""Groups of one sort that have a row of their own, the largest; the rest share one."""
MOST_POINTS = 100
ALIKE = 0.1
"""Answers are alike in length if the longer has no more than this share of its characters beyond the other's."""

FIGURE_COLUMNS = (
    *(
        "source",
        "subset",
        "family",
        "task_type",
        "kind",
        "winner",
        "label",
        "is_right",
        "problem",
        "has_failed",
    ),
    *("given", "swapped", "has_flipped", "probability", "confidence", "is_calibrated"),
    *("quotes_exact", "quotes_levelled", "quotes_invented", "prompt"),
    *("length_a", "length_b", "marks_a", "marks_b"),
    *("prompt_tokens", "completion_tokens", "is_estimated", "is_cached", "seconds"),
)
"""The fields of `Facts` that `measure` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigures:
    """The labelled judgments of a group."""

    name: str
    labelled: int
    right: int
    accuracy: float
    interval: Interval | None
    """95%, by prompt if items share one; None if there are too few prompts for any."""
    unparsed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFigures:
    """Pairs asked both ways with a verdict in either."""

    pairs: int
    consistent: int
    first: int
    """Pairs in which the answer shown first wins both times."""
    second: int
    bias: float
    """The share of the first place less that of the second, in [-1, 1]."""
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPoint:
    """What accepting only the surest judgments costs."""

    coverage: float
    """The share that is accepted, in (0, 1]."""
    threshold: float
    """The lowest confidence among them."""
    risk: float
    """The share of them that is wrong; of equally sure ones that are accepted in part, the share to be expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFigures:
    """Risk and coverage of the labelled judgments with a confidence in their winner, the surest accepted first."""

    items: int
    area: float
    """AURC: the mean of the risks over all coverages (Geifman and El-Yaniv 2017)."""
    points: tuple[RiskPoint, ...]
    """The curve has at most `MOST_POINTS`, evenly spaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is said of many judgments together."""

    items: int
    labelled: int
    right: int
    unparsed: int
    failed: int
    accuracy: GroupFigures | None
    """All labelled judgments together; None if there are none."""
    subsets: tuple[GroupFigures, ...]
    """One for each, sorted by name; empty if no judgment has a subset."""
    groups: Mapping[str, tuple[GroupFigures, ...]] = field(default_factory=dict)
    """The same by `source`, `family` and `task_type`, by `length` (whether the preferred answer is longer) and by
    `markdown` (whether it has more of it); only what tells at least two groups apart."""
    position: PositionFigures | None
    reliability: dict[str, Any] | None
    """The section `reliability` of summary.json."""
    risk: RiskFigures | None
    """None if no labelled judgment has a confidence."""
    winners: dict[str, int]
    problems: dict[str, int]
    quotes: dict[str, int]
    """How quotations were found: exact, levelled, none."""
    judgments_with_quotes: int
    judgments_with_invented: int
    asked: int
    """Judgments that were asked for and not found in a cache; the tokens are theirs."""
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    seconds: float
    """The mean of a judgment, from its asking to its verdict."""
    people_labels: int = 0
    """Judgments whose label is that of people."""
    disputed: int = 0
    """Judgments without label, because people disagree."""


def measure(columns: Columns) -> Figures:
    """The figures of these judgments, of which the columns are `FIGURE_COLUMNS`."""
    numbers = columns.numbers
    items = len(columns)
    labelled = _take_labelled(columns)
    quotes = {
        name: int(numbers[f"quotes_{column}"].sum(dtype=np.int64))
        for name, column in (("exact", "exact"), ("levelled", "levelled"), ("none", "invented"))
    }
    has_quotes_I = numbers["quotes_exact"] + numbers["quotes_levelled"] + numbers["quotes_invented"] > 0
    was_asked_I = numbers["is_cached"] == 0
    problems = columns.count_names("problem")
    winners = columns.count_names("winner")
    subsets = _group_by_name(labelled, "subset", "no subset")
    sorts = {
        "source": _group_by_name(labelled, "source", "no source"),
        "family": _group_by_name(labelled, "family", "none"),
        "task_type": _group_by_name(labelled, "task_type", "not told"),
        "length": _group_by_style(labelled, "length", ("longer", "alike", "shorter"), ALIKE),
        "markdown": _group_by_style(labelled, "marks", ("more", "as much", "less"), 0.0),
    }
    return Figures(
        items=items,
        labelled=len(labelled),
        right=int((labelled.numbers["is_right"] == 1).sum()),
        unparsed=sum(count for name, count in problems.items() if name is not None),
        failed=int((numbers["has_failed"] == 1).sum()),
        accuracy=_describe("all", labelled) if len(labelled) else None,
        subsets=subsets,
        groups={name: found for name, found in sorts.items() if len(found) > 1},
        position=_measure_position(columns),
        reliability=_measure_reliability(labelled),
        risk=_measure_risk(labelled),
        winners=dict(sorted((name or "none", count) for name, count in winners.items())),
        problems=dict(sorted((name, count) for name, count in problems.items() if name is not None)),
        quotes=quotes,
        judgments_with_quotes=int(has_quotes_I.sum()),
        judgments_with_invented=int((numbers["quotes_invented"] > 0).sum()),
        asked=int(was_asked_I.sum()),
        prompt_tokens=int(numbers["prompt_tokens"][was_asked_I].sum(dtype=np.int64)),
        completion_tokens=int(numbers["completion_tokens"][was_asked_I].sum(dtype=np.int64)),
        is_estimated=bool((numbers["is_estimated"][was_asked_I] == 1).any()),
        seconds=fsum(numbers["seconds"]) / items if items else 0.0,
    )


def _take_labelled(columns: Columns) -> Columns:
    """What is said of labelled judgments, by prompt: intervals sort them by it, which is fast if they are sorted."""
    numbers = columns.numbers
    places_I = np.flatnonzero(numbers["is_right"] >= 0)
    places_I = places_I[np.argsort(numbers["prompt"][places_I])]
    prompts_I = numbers["prompt"][places_I]
    wanted = (
        *("source", "subset", "family", "task_type", "kind", "winner", "label", "is_right"),
        *("probability", "confidence", "is_calibrated", "length_a", "length_b", "marks_a", "marks_b"),
    )
    taken = {name: numbers[name][places_I] for name in wanted}
    is_next_I = np.diff(prompts_I, prepend=prompts_I[:1]) != 0
    taken["prompt"] = np.cumsum(is_next_I, dtype=np.int32)
    return Columns(numbers=taken, names=columns.names)


def _describe(name: str, labelled: Columns) -> GroupFigures:
    is_right_I = labelled.numbers["is_right"] == 1
    right = int(is_right_I.sum())
    return GroupFigures(
        name=name,
        labelled=len(labelled),
        right=right,
        accuracy=right / len(labelled),
        interval=share_interval(is_right_I.astype(np.float64), labelled.numbers["prompt"]),
        unparsed=int((labelled.numbers["winner"] < 0).sum()),
    )


def _group_by_name(labelled: Columns, column: str, without: str) -> tuple[GroupFigures, ...]:
    """The groups are those of the column's names, sorted; there are none if no judgment has one."""
    names = labelled.names[column]
    nameless = [code for code, name in enumerate(names) if not name]
    codes_I = labelled.numbers[column].astype(np.int64)
    codes_I[np.isin(codes_I, nameless)] = -1
    counts = np.bincount(codes_I + 1, minlength=len(names) + 1)
    present = [int(code) - 1 for code in np.flatnonzero(counts)]
    if set(present) <= {-1}:
        return ()
    called = {code: names[code] if code >= 0 else "" for code in present}
    ranked = sorted(present, key=lambda code: (-int(counts[code + 1]), called[code]))
    rest = ranked[MOST_GROUPS:]
    if rest:
        codes_I[np.isin(codes_I, rest)] = rest[0]
        called = {**{code: called[code] for code in ranked[:MOST_GROUPS]}, rest[0]: f"others ({len(rest):,})"}
    return tuple(
        _describe(name or without, one)
        for code, name in sorted(called.items(), key=lambda item: item[1])
        if len(one := _take_group(labelled, codes_I == code))
    )


def _group_by_style(
    labelled: Columns, column: str, names: tuple[str, str, str], margin: float
) -> tuple[GroupFigures, ...]:
    """The groups tell whether the answer that the label prefers has more, about as much or less; ties have no such answer."""
    numbers = labelled.numbers
    is_a_I, is_b_I = labelled.is_named("label", "A"), labelled.is_named("label", "B")
    a_I, b_I = (numbers[f"{column}_{side}"].astype(np.float64) for side in "ab")
    preferred_I, other_I = np.where(is_a_I, a_I, b_I), np.where(is_a_I, b_I, a_I)
    is_alike_I = np.abs(a_I - b_I) <= margin * np.maximum(a_I, b_I)
    sides = (~is_alike_I & (preferred_I > other_I), is_alike_I, ~is_alike_I & (preferred_I < other_I))
    has_side_I = (is_a_I | is_b_I) & ~labelled.is_named("kind", "choice")  # facts measure two answers
    return tuple(
        _describe(name, one)
        for name, side_I in zip(names, sides, strict=True)
        if len(one := _take_group(labelled, has_side_I & side_I))
    )


def _take_group(columns: Columns, chosen: Booleans) -> Columns:
    wanted = ("is_right", "prompt", "winner")
    return Columns(numbers={name: columns.numbers[name][chosen] for name in wanted}, names={})


def _measure_position(columns: Columns) -> PositionFigures | None:
    numbers = columns.numbers
    asked = columns.take((numbers["has_flipped"] >= 0) & (numbers["given"] >= 0) & (numbers["swapped"] >= 0))
    pairs = len(asked)
    if not pairs:
        return None
    first = int((asked.is_named("given", "A") & asked.is_named("swapped", "B")).sum())
    second = int((asked.is_named("given", "B") & asked.is_named("swapped", "A")).sum())
    return PositionFigures(
        pairs=pairs,
        consistent=int((asked.numbers["has_flipped"] == 0).sum()),
        first=first,
        second=second,
        bias=(first - second) / pairs,
        interval=difference_interval(first, second, pairs),
    )


def _measure_reliability(labelled: Columns) -> dict[str, Any] | None:
    numbers = labelled.numbers
    values = np.array([*(LABELS.get(name, np.nan) for name in labelled.names["label"]), np.nan])
    label_I = values[numbers["label"]]
    is_told_I = ~np.isnan(numbers["probability"]) & ~np.isnan(label_I)
    if not is_told_I.any():
        return None
    return {
        "calibrated": bool((numbers["is_calibrated"] == 1).any()),
        "without": len(labelled) - int(is_told_I.sum()),
        **summarize_reliability(numbers["probability"][is_told_I], label_I[is_told_I]),
    }


def _measure_risk(labelled: Columns) -> RiskFigures | None:
    numbers = labelled.numbers
    is_sure_I = ~np.isnan(numbers["confidence"]) & (numbers["winner"] >= 0)
    confidence_I = numbers["confidence"][is_sure_I]
    items = len(confidence_I)
    if not items:
        return None
    wrong_I = (numbers["is_right"][is_sure_I] != 1).astype(np.float64)
    risks_I = expect_risks(confidence_I, wrong_I)
    falling_I = -np.sort(-confidence_I)
    steps = np.unique(np.ceil(np.linspace(0, items, min(items, MOST_POINTS) + 1)[1:]).astype(int))
    return RiskFigures(
        items=items,
        area=float(risks_I.mean()),
        points=tuple(
            RiskPoint(
                coverage=int(step) / items,
                threshold=float(falling_I[step - 1]),
                risk=float(risks_I[step - 1]),
            )
            for step in steps
        ),
    )
