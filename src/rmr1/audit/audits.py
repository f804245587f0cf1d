"""All audits of one judge: what they read, and their findings, from columns of facts alone.

None needs the judgments themselves: what has to be read in texts is counted when a judgment's facts are told
(`rmr1.audit.facts`), once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rmr1.audit.calibration import CALIBRATION
from rmr1.audit.columns import Array, Columns, Gathering
from rmr1.audit.counted import GROUNDING, HINGE, LEVEL, SOLUTION, TWINS, VOTES, WEIGHTS
from rmr1.audit.facts import Facts
from rmr1.audit.finding import Evidence, Finding, raise_alarms
from rmr1.audit.measures import number_groups
from rmr1.audit.position import POSITION
from rmr1.audit.style import LENGTH, MARKDOWN, REFUSAL

AUDITS = (
    *(POSITION, LENGTH, MARKDOWN, REFUSAL, GROUNDING, CALIBRATION, VOTES, SOLUTION, WEIGHTS),
    *(TWINS, LEVEL, HINGE),
)
"""All audits, in the sequence in which they are shown."""
AUDIT_COLUMNS = tuple(dict.fromkeys(name for audit in AUDITS for name in audit.columns))
"""The fields of `Facts` that `audit_columns` reads."""


def audit_columns(
    columns: Columns, keys: Sequence[Any] | Array, *, more: Iterable[Finding] = ()
) -> tuple[Finding, ...]:
    """The findings of every audit, alarms raised over all of them together.

    Args:
        columns: `AUDIT_COLUMNS` of the judgments.
        keys: the judgments' keys, in the same sequence, as text or bytes.
        more: findings of the same judge by other means, which share in the chance of a false alarm.
    """
    return audit_evidence(sort_evidence(columns, keys), more=more)


def audit_evidence(evidence: Evidence, *, more: Iterable[Finding] = ()) -> tuple[Finding, ...]:
    """`audit_columns` of what `sort_evidence` gives."""
    return raise_alarms([*(audit.examine(audit, evidence) for audit in AUDITS), *more])


def sort_evidence(columns: Columns, keys: Sequence[Any] | Array) -> Evidence:
    """The judgments by their keys: the sequence in which they finished counts for nothing, to the last digit."""
    named = np.asarray(keys, dtype=None if len(keys) else "U1")
    order = np.argsort(named, kind="stable")
    taken = columns.take(order)
    numbers = {**taken.numbers, "prompt": number_groups(taken.numbers["prompt"])}
    return Evidence(columns=Columns(numbers=numbers, names=taken.names), keys=named[order])


class AuditGathering:
    """Facts come in one by one, findings come out."""

    def __init__(self, *fields: str) -> None:
        """`fields` are gathered beside those that audits read."""
        self._gathering = Gathering(dict.fromkeys((*AUDIT_COLUMNS, *fields)))
        self.keys: list[str] = []

    def add(self, facts: Facts) -> None:
        """Take in one judgment's facts."""
        self._gathering.add(facts)
        self.keys.append(facts.key)

    def columns(self) -> Columns:
        """What has come in so far."""
        return self._gathering.columns()

    def evidence(self) -> Evidence:
        """The same with the judgments' keys, sorted by them."""
        return sort_evidence(self.columns(), self.keys)

    def findings(self, more: Iterable[Finding] = ()) -> tuple[Finding, ...]:
        """`audit_columns` of what has come in."""
        return audit_columns(self.columns(), self.keys, more=more)
