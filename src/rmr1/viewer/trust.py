"""Whether a judge is to be trusted: the findings of all audits, each with the judgments behind it."""

from __future__ import annotations

from typing import Any

from rmr1.audit.agreement import compare_people
from rmr1.audit.audits import AUDIT_COLUMNS, audit_evidence, sort_evidence
from rmr1.audit.finding import Finding
from rmr1.report.sentences import format_finding
from rmr1.screen import one_line
from rmr1.store.labels import read_labels, settle_labels
from rmr1.viewer.address import Address
from rmr1.viewer.runs import OpenRun

_MOST_LINKS = 12
"""Judgments behind a finding that are linked."""


def audit_index(run: OpenRun, address: Address) -> tuple[Finding, ...]:
    """The findings of every audit of the judgments that are asked for, from the index's columns alone."""
    query = address.query
    columns = run.judgments.columns(*AUDIT_COLUMNS, query=query, with_labels=query.by_people)
    evidence = sort_evidence(columns, run.judgments.keys(query))
    people = settle_labels(read_labels(run.folder))
    return audit_evidence(evidence, more=[compare_people(evidence, people)])


def describe_trust(run: OpenRun, address: Address) -> dict[str, Any]:
    """What the template of the page needs."""
    findings = run.audited(address.query, lambda: audit_index(run, address))
    return {
        "alarms": [one.name for one in findings if one.alarm],
        "rows": [_describe(run, one) for one in findings if one.size is not None],
        "lacking": [
            (one.name, one.question, one_line(one.lacks or "")) for one in findings if one.size is None
        ],
    }


def _describe(run: OpenRun, finding: Finding) -> dict[str, Any]:
    _, size, span, used, says = format_finding(finding)
    links = [
        (key[:8], f"items/{number}")
        for key in finding.judgments[:_MOST_LINKS]
        if (number := run.judgments.find(key)) is not None
    ]
    return {
        "name": finding.name,
        "question": finding.question,
        "alarm": finding.alarm,
        "size": size,
        "interval": span,
        "used": used,
        "says": one_line(says.removeprefix("ALARM: ")),
        "links": links,
        "more": finding.num_judgments - len(links),
    }
