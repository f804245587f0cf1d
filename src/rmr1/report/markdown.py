"""A report as Markdown: the figures, and one line for each judgment that is worth reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmr1.audit.filters import winner_confidence
from rmr1.report.overview import Entry, ReportData
from rmr1.report.sentences import Section, list_audits, list_sections
from rmr1.screen import markdown_text

_MOST_CHARS = 80
"""Characters of a question in its line."""


def format_markdown(report: ReportData) -> str:
    """The page; foreign text is plain in it."""
    lines = [f"# {markdown_text(report.folder)}", "", f"Judged by {markdown_text(report.model)}."]
    if report.conditions:
        lines += ["", f"Only judgments that are: {markdown_text(', '.join(report.conditions))}."]
    for section in (*list_sections(report.overview), list_audits(report.findings)):
        lines += ["", f"## {section.title}"]
        lines += ["", *(f"- {markdown_text(line)}" for line in section.lines)] if section.lines else []
        lines += ["", *_list_table(section)] if section.rows else []
    for title, entries in (
        ("Wrong, the surest first", report.worst),
        ("The two orders name different winners", report.flips),
        ("A random sample of the rest", report.sample),
    ):
        lines += ["", f"## {title}", "", *(_list_entries(entries) if entries else ["None."])]
    return "\n".join([*lines, ""])


def _list_table(section: Section) -> Iterator[str]:
    yield f"| {' | '.join(section.header)} |"
    yield f"|---|{'---:|' * (len(section.header) - 1)}"
    for row in section.rows:
        yield f"| {' | '.join(map(markdown_text, row))} |"


def _list_entries(entries: Sequence[Entry]) -> Iterator[str]:
    yield "| Key | Verdict | Label | Confidence | Question |"
    yield "|---|---|---|---:|---|"
    for key, judgment in entries:
        question = " ".join(judgment.pair.prompt[-1].text.split())[:_MOST_CHARS]
        confidence = winner_confidence(judgment)
        cells = (
            key[:12],
            judgment.winner or judgment.problem or "none",
            judgment.pair.label or "-",
            "-" if confidence is None else f"{confidence:.0%}",
            question,
        )
        yield f"| {' | '.join(map(markdown_text, cells))} |"
