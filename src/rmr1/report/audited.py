"""A run's folder, or recorded outputs of another judge -> its findings, and its columns for comparisons with others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.audit.agreement import Run, compare_people, compare_runs
from rmr1.audit.audits import AuditGathering, audit_evidence
from rmr1.audit.facts import tell_facts
from rmr1.audit.filters import Filter
from rmr1.audit.finding import Finding, raise_alarms
from rmr1.audit.wrong_labels import WRONG_LABEL_COLUMNS
from rmr1.bench.recorded import read_recorded
from rmr1.bench.run import number_judgments
from rmr1.records import Judgment
from rmr1.report.selection import Selection
from rmr1.store.labels import SettledLabels
from rmr1.store.runs import RUN_FILE

_FORM = re.compile(r"\.jsonl?(?:\.gz)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRun:
    """One judge."""

    name: str
    """The name of the folder, or of the file without its form."""
    findings: tuple[Finding, ...]
    run: Run
    ids: Mapping[str, str]
    """The pairs' ids by the judgments' keys."""

    def describe(self) -> dict[str, Any]:
        """The findings as JSON values."""
        return {"run": self.name, "items": len(self.ids), "audits": [one.describe() for one in self.findings]}


def audit_run(source: str | Path, wanted: Filter | None = None) -> AuditedRun:
    """Audit the judgments of a run that are wanted, or of recorded outputs as `rmr1 bench --from` reads them.

    Raises:
        DataError: there are none such. ConfigError, RunError: the folder holds something else.
    """
    source = Path(source)
    selection = Selection(source, wanted) if is_folder_of_ours(source) else None
    people = SettledLabels(labels={}) if selection is None else selection.people
    gathering, ids = AuditGathering(*WRONG_LABEL_COLUMNS), dict[str, str]()
    for key, judgment in _read_recorded(source, wanted or Filter()) if selection is None else selection:
        gathering.add(tell_facts(key, judgment))
        ids[key] = judgment.pair.id
    evidence = gathering.evidence()
    agreement = compare_people(evidence, people)
    name = _FORM.sub("", source.resolve().name)
    return AuditedRun(
        name=name,
        findings=audit_evidence(evidence, more=[agreement]),
        run=Run(name=name, evidence=evidence),
        ids=ids,
    )


def is_folder_of_ours(source: Path) -> bool:
    """Whether a path is to be read as a run's folder: any folder but one of recorded logs, and what does not exist."""
    if (source / RUN_FILE).is_file() or not source.exists():
        return True
    return source.is_dir() and not any(source.rglob("log_result/*.json"))


def audit_between(runs: Sequence[AuditedRun]) -> tuple[Finding, ...]:
    """How far the runs agree on the items that they share, alarms raised over these together."""
    return raise_alarms(compare_runs([one.run for one in runs]))


def _read_recorded(source: Path, wanted: Filter) -> Iterator[tuple[str, Judgment]]:
    for key, judgment in number_judgments(one.judgment for one in read_recorded(source)):
        if wanted.matches(key, judgment):
            yield key, judgment
