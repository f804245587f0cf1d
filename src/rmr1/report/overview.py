"""A run's judgments -> the figures of its report, and the judgments to be read; one pass, little memory.

The judgments to be read are the worst (wrong, and not for a flip; the surest first), flips (the two orders
name different winners) and a sample of the rest. Which flips and which sample are drawn from the seed and the
items' keys, so the sequence in the file counts for nothing.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rmr1.audit.filters import has_flipped, winner_confidence
from rmr1.audit.quotes import count_matches, link_quotes
from rmr1.judge.consistency import difference_interval
from rmr1.judge.summary import Tally
from rmr1.records import Judgment
from rmr1.report.selection import Selection
from rmr1.stats import share_interval
from rmr1.store.codec import dump_record
from rmr1.store.keys import seed_for
from rmr1.store.rulings import number_prompt

Interval = tuple[float, float]
Entry = tuple[str, Judgment]

MOST_SUBSETS = 100
"""Subsets that have a row of their own; the rest share one."""
OTHER_SUBSETS = "other subsets"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetFigures:
    """The labelled judgments of a subset."""

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
class Overview:
    """What a report says before the judgments themselves."""

    items: int
    labelled: int
    right: int
    unparsed: int
    failed: int
    accuracy: SubsetFigures | None
    """All labelled judgments together; None if there are none."""
    subsets: tuple[SubsetFigures, ...]
    """One for each, sorted by name; empty if no judgment has a subset."""
    position: PositionFigures | None
    reliability: dict[str, Any] | None
    """The section `reliability` of summary.json."""
    winners: dict[str, int]
    problems: dict[str, int]
    quotes: dict[str, int]
    """How quotations were found: exact, levelled, none."""
    judgments_with_quotes: int
    judgments_with_invented: int
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    seconds: float
    """The mean of a judgment, from its asking to its verdict."""
    people_labels: int
    """Judgments whose label is that of people."""
    disputed: int
    """Judgments without label, because people disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that a report is made of."""

    folder: str
    """The run's name."""
    model: str
    created: str
    conditions: tuple[str, ...]
    """The filters that were set, as text."""
    overview: Overview
    worst: tuple[Entry, ...]
    flips: tuple[Entry, ...]
    sample: tuple[Entry, ...]

    def describe(self) -> dict[str, Any]:
        """The figures as JSON, and the keys of the judgments to be read."""
        lists = {name: [key for key, _ in getattr(self, name)] for name in ("worst", "flips", "sample")}
        head = {name: getattr(self, name) for name in ("folder", "model", "created")}
        return {**head, "filters": list(self.conditions), **asdict(self.overview), **lists}


@dataclass(slots=True)
class _Shares:
    """Whether each labelled judgment is right, and the number of its prompt: 9 bytes each."""

    credits: bytearray = field(default_factory=bytearray)
    prompts: array[int] = field(default_factory=lambda: array("q"))
    unparsed: int = 0

    def add(self, judgment: Judgment, prompt: int) -> None:
        self.credits.append(bool(judgment.correct))
        self.prompts.append(prompt)
        self.unparsed += judgment.winner is None

    def describe(self, name: str) -> SubsetFigures:
        credits_I = np.frombuffer(self.credits, dtype=np.uint8).astype(np.float64)
        right = int(credits_I.sum())
        return SubsetFigures(
            name=name,
            labelled=len(self.credits),
            right=right,
            accuracy=right / len(self.credits),
            interval=share_interval(credits_I, np.frombuffer(self.prompts, dtype=np.int64)),
            unparsed=self.unparsed,
        )


class _Best:
    """The few judgments of the lowest rank that were offered."""

    def __init__(self, most: int):
        self._most = most
        self._heap: list[tuple[tuple[float, ...], str, int]] = []
        self._kept: dict[str, Judgment] = {}

    def offer(self, key: str, judgment: Judgment, *rank: float) -> None:
        if not self._most:
            return
        entry = (tuple(-one for one in rank), key, 0)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            del self._kept[heapq.heapreplace(self._heap, entry)[1]]
        else:
            return
        self._kept[key] = judgment

    def __iter__(self) -> Iterator[Entry]:
        for _, key, _ in sorted(self._heap, reverse=True):
            yield key, self._kept[key]


def build_report(selection: Selection, *, most: int, seed: int) -> ReportData:
    """Count the selection, and choose at most `most` judgments for each list."""
    tally, everything = Tally(), _Shares()
    subsets: dict[str, _Shares] = {}
    quotes: Counter[str] = Counter()
    with_quotes = with_invented = people = disputed = 0
    seconds = 0.0
    # A judgment of the sample may be in another list too: three times as many are held.
    worst, flips, sample = _Best(most), _Best(most), _Best(3 * most)
    for key, judgment in selection:
        tally.add(judgment)
        seconds += judgment.seconds
        people += selection.has_people_label(key)
        disputed += key in selection.settled.disputed
        if judgment.correct is not None:
            prompt = number_prompt([dump_record(message) for message in judgment.pair.prompt])
            everything.add(judgment, prompt)
            name = judgment.pair.subset or ""
            if name not in subsets and len(subsets) >= MOST_SUBSETS:
                name = OTHER_SUBSETS
            subsets.setdefault(name, _Shares()).add(judgment, prompt)
        found = count_matches(link_quotes(judgment))
        quotes.update(found)
        with_quotes += sum(found.values()) > 0
        with_invented += found["none"] > 0
        drawn = float(seed_for(seed, "report", key))
        if has_flipped(judgment):
            flips.offer(key, judgment, drawn)
        elif judgment.correct is False:
            worst.offer(key, judgment, -(winner_confidence(judgment) or 0.0), drawn)
        sample.offer(key, judgment, drawn)
    summary = tally.summary()
    order = tally.orders
    position = PositionFigures(
        pairs=order.decided,
        consistent=order.consistent,
        first=order.first,
        second=order.second,
        bias=(order.first - order.second) / order.decided,
        interval=difference_interval(order.first, order.second, order.decided),
    ) if order.decided else None  # fmt: skip
    overview = Overview(
        items=tally.items,
        labelled=tally.labelled,
        right=tally.correct,
        unparsed=tally.unparsed,
        failed=tally.failed,
        accuracy=everything.describe("all") if tally.labelled else None,
        subsets=()
        if set(subsets) <= {""}
        else tuple(one.describe(name or "no subset") for name, one in sorted(subsets.items())),
        position=position,
        reliability=summary.get("reliability"),
        winners=summary["winners"],
        problems=summary["problems"],
        quotes={name: quotes[name] for name in ("exact", "levelled", "none")},
        judgments_with_quotes=with_quotes,
        judgments_with_invented=with_invented,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        is_estimated=tally.is_estimated,
        seconds=seconds / tally.items if tally.items else 0.0,
        people_labels=people,
        disputed=disputed,
    )
    shown: set[str] = set()
    return ReportData(
        folder=selection.folder.resolve().name,
        model=selection.model_name,
        created=str(selection.description.get("created") or ""),
        conditions=selection.wanted.describe(),
        overview=overview,
        worst=_take(worst, most, shown),
        flips=_take(flips, most, shown),
        sample=_take(sample, most, shown),
    )


def _take(best: _Best, most: int, shown: set[str]) -> tuple[Entry, ...]:
    entries = [entry for entry in best if entry[0] not in shown][:most]
    shown.update(key for key, _ in entries)
    return tuple(entries)
