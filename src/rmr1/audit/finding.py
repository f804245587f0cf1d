"""What an audit finds, and which findings are alarms: all audits of a judge together raise a false one with a chance of 5%."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rmr1.audit.columns import Array, Columns
from rmr1.audit.measures import Interval, Measured

CHANCE = 0.05
"""The chance of any alarm about a judge without any of the faults."""
MOST_KEYS = 50
"""Judgments behind a finding that are named."""
FEWEST = 10
"""Judgments that a figure is computed from, at the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one audit says of a judge."""

    name: str
    question: str
    used: int
    """Judgments that the figure is of."""
    items: int
    """All judgments that were looked at."""
    size: float | None = None
    """How large the fault is; each audit says of what. None if it cannot be told."""
    interval: Interval | None = None
    """95%, by prompt."""
    limit: float
    """A fault of this size or less (of agreement: agreement of this size or more) is no alarm."""
    p: float | None = None
    """The chance of such a size if the fault were no larger than the limit; None if no alarm can be raised."""
    alarm: bool = False
    says: str = ""
    """The figure as a sentence."""
    judgments: tuple[str, ...] = ()
    """Keys of judgments behind it, `MOST_KEYS` at most."""
    num_judgments: int = 0
    """How many there are behind it."""
    lacks: str | None = None
    """What the run lacks for this audit, or for an alarm of it."""
    is_coefficient: bool = False
    """Whether the size is a coefficient of agreement, of which less is worse, and not a share or a difference of shares."""

    def is_beyond(self, limit: float) -> bool:
        """Whether the size is a worse one than this; a size that cannot be told is."""
        if self.size is None:
            return True
        return self.size < limit if self.is_coefficient else abs(self.size) > limit

    @property
    def coverage(self) -> float:
        """The share of the judgments that the figure is of, in [0, 1]."""
        return self.used / self.items if self.items else 0.0

    def describe(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "name": self.name,
            "question": self.question,
            "used": self.used,
            "items": self.items,
            "coverage": round(self.coverage, 6),
            "size": self.size,
            "interval": None if self.interval is None else list(self.interval),
            "limit": self.limit,
            "p": self.p,
            "alarm": self.alarm,
            "says": self.says,
            "lacks": self.lacks,
            "num_judgments": self.num_judgments,
            "judgments": list(self.judgments),
        }


def raise_alarms(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Mark the findings that are alarms, by Holm's step-down procedure over those with a p-value (Holm 1979): however they
    depend on each other, the chance of any false one is `CHANCE` at most."""
    found = list(findings)
    ranked = sorted((one.p, place) for place, one in enumerate(found) if one.p is not None)
    for rank, (p, place) in enumerate(ranked):
        if p > CHANCE / (len(ranked) - rank):
            break
        found[place] = replace(found[place], alarm=True)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What every audit reads: columns of facts, and the judgments' keys."""

    columns: Columns
    keys: Sequence[Any] | Array
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What several audits need and one of them has computed."""

    def __len__(self) -> int:
        return len(self.keys)

    def column(self, name: str) -> Array:
        """The entries of a column."""
        return self.columns.numbers[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One question that is asked of a judge's judgments."""

    name: str
    question: str
    columns: tuple[str, ...]
    """The fields of `Facts` that it reads."""
    limit: float
    """`Finding.limit`."""
    examine: Callable[[Audit, Evidence], Finding]
    is_coefficient: bool = False
    """`Finding.is_coefficient`."""

    def lack(self, evidence: Evidence, lacks: str) -> Finding:
        """The finding of a run that lacks what the audit needs."""
        return Finding(
            name=self.name,
            question=self.question,
            used=0,
            items=len(evidence),
            limit=self.limit,
            lacks=lacks,
            is_coefficient=self.is_coefficient,
        )

    def find(
        self,
        evidence: Evidence,
        measured: Measured,
        *,
        used: int,
        says: str,
        behind: Array,
        lacks: str | None = None,
    ) -> Finding:
        """The finding of what was measured; `behind` are the places of the judgments behind it, those to be read first
        before others. One that lacks something raises no alarm."""
        if lacks is None and measured.p is None:
            lacks = "variation or prompts: every verdict is alike, or there are too few for an interval"
        return Finding(
            name=self.name,
            question=self.question,
            used=used,
            items=len(evidence),
            size=measured.size,
            interval=measured.interval,
            limit=self.limit,
            p=None if lacks is not None else measured.p,
            says=says,
            judgments=name_judgments(evidence.keys, behind),
            num_judgments=len(behind),
            lacks=lacks,
            is_coefficient=self.is_coefficient,
        )


def name_judgments(keys: Sequence[Any] | Array, places: Array) -> tuple[str, ...]:
    """The keys at the first of these places; keys may be bytes."""
    chosen = [keys[int(place)] for place in places[:MOST_KEYS]]
    return tuple(one.decode() if isinstance(one, bytes) else str(one) for one in chosen)


def percent(value: float, *, signed: bool = False) -> str:
    """A share in percent, with one digit.

    >>> percent(-0.0001, signed=True)
    '+0.0%'
    """
    rounded = round(100 * value, 1) + 0.0  # -0.0 is 0.0
    return f"{rounded:+.1f}%" if signed else f"{rounded:.1f}%"
