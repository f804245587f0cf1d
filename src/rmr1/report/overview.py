"""A run's judgments -> the figures of its report, and the judgments to be read; one pass, little memory.

The judgments to be read are the worst (wrong, and not for a flip; the surest first), flips (the two orders
name different winners) and a sample of the rest. Which flips and which sample are drawn from the seed and the
items' keys, so the sequence in the file counts for nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from rmr1.audit.agreement import compare_people
from rmr1.audit.audits import AuditGathering, audit_evidence
from rmr1.audit.facts import tell_facts
from rmr1.audit.figures import FIGURE_COLUMNS, Figures, measure
from rmr1.audit.finding import Finding
from rmr1.records import Judgment
from rmr1.report.selection import Selection
from rmr1.store.keys import seed_for

Entry = tuple[str, Judgment]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that a report is made of."""

    folder: str
    """The run's name."""
    model: str
    created: str
    conditions: tuple[str, ...]
    """The filters that were set, as text."""
    overview: Figures
    findings: tuple[Finding, ...]
    """What the audits find."""
    worst: tuple[Entry, ...]
    flips: tuple[Entry, ...]
    sample: tuple[Entry, ...]

    def describe(self) -> dict[str, Any]:
        """The figures as JSON, and the keys of the judgments to be read."""
        lists = {name: [key for key, _ in getattr(self, name)] for name in ("worst", "flips", "sample")}
        head = {name: getattr(self, name) for name in ("folder", "model", "created")}
        audits = [one.describe() for one in self.findings]
        return {**head, "filters": list(self.conditions), **asdict(self.overview), "audits": audits, **lists}


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
    gathering = AuditGathering(*FIGURE_COLUMNS)
    people = disputed = 0
    # A judgment of the sample may be in another list too: three times as many are held.
    worst, flips, sample = _Best(most), _Best(most), _Best(3 * most)
    for key, judgment in selection:
        facts = tell_facts(key, judgment)
        gathering.add(facts)
        people += selection.has_people_label(key)
        disputed += key in selection.settled.disputed
        drawn = float(seed_for(seed, "report", key))
        if facts.has_flipped:
            flips.offer(key, judgment, drawn)
        elif facts.is_right is False:
            worst.offer(key, judgment, -(facts.confidence or 0.0), drawn)
        sample.offer(key, judgment, drawn)
    figures = replace(measure(gathering.columns()), people_labels=people, disputed=disputed)
    evidence = gathering.evidence()
    people_agree = compare_people(evidence, selection.people)
    shown: set[str] = set()
    return ReportData(
        folder=selection.folder.resolve().name,
        model=selection.model_name,
        created=str(selection.description.get("created") or ""),
        conditions=selection.wanted.describe(),
        overview=figures,
        findings=audit_evidence(evidence, more=[people_agree]),
        worst=_take(worst, most, shown),
        flips=_take(flips, most, shown),
        sample=_take(sample, most, shown),
    )


def _take(best: _Best, most: int, shown: set[str]) -> tuple[Entry, ...]:
    entries = [entry for entry in best if entry[0] not in shown][:most]
    shown.update(key for key, _ in entries)
    return tuple(entries)
