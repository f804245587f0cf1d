"""The figures of a report as sections of sentences and tables: what HTML and Markdown both print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rmr1.audit.figures import Figures, GroupFigures, Interval
from rmr1.audit.finding import Finding
from rmr1.judge.reliability import format_reliability
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import format_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with sentences, and a table below them if there is one. Names of subsets are foreign text."""

    title: str
    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


STYLES = {
    "length": {"longer": "is longer", "alike": "is as long, within 10%", "shorter": "is shorter"},
    "markdown": {
        "more": "has more Markdown",
        "as much": "has as much Markdown",
        "less": "has less Markdown",
    },
}
"""Groups by style -> what their names say of the preferred answer."""


def list_sections(figures: Figures) -> tuple[Section, ...]:
    """What there is to say, the most important first."""
    return tuple(_iterate_sections(figures))


AUDIT_HEADER = ("Audit", "Size", "95%", "judgments", "What it says")


def list_audits(findings: Sequence[Finding]) -> Section:
    """The audits as a table, those with an alarm first and those that cannot be told last."""
    alarms = [one.name for one in findings if one.alarm]
    told = f"Alarms: {', '.join(alarms)}." if alarms else "No alarm."
    line = f"{told} All audits together raise a false one with a chance of 5% at most."
    ranked = sorted(findings, key=lambda one: (not one.alarm, one.size is None))
    return Section(
        title="Audits", lines=(line,), header=AUDIT_HEADER, rows=tuple(map(format_finding, ranked))
    )


def format_finding(one: Finding) -> tuple[str, ...]:
    """A row under `AUDIT_HEADER`; sizes are in percent, but those of agreement, which are coefficients."""
    scale, digits = (1, 3) if one.is_coefficient else (100, 1)

    def write(value: float) -> str:
        return f"{round(scale * value, digits) + 0.0:+.{digits}f}"  # -0.0 is 0.0

    size = "-" if one.size is None else write(one.size)
    span = "-" if one.interval is None else " to ".join(map(write, one.interval))
    said = [one.says] if one.says else []
    said += [] if one.lacks is None else [f"lacks {one.lacks}"]
    alarm = "ALARM: " if one.alarm else ""
    return one.name, size, span, f"{one.used:,} of {one.items:,}", alarm + "; ".join(said)


def _iterate_sections(one: Figures) -> Iterator[Section]:
    yield Section(title="Verdicts", lines=tuple(_list_verdicts(one)))
    if one.subsets:
        figures = [*one.subsets, *([] if one.accuracy is None else [one.accuracy])]
        header = ("Subset", "% right", "95%", "right", "of", "no verdict")
        yield Section(title="By subset", header=header, rows=tuple(map(_row, figures)))
    if styles := [(name, group) for name in STYLES for group in one.groups.get(name, ())]:
        header = ("The answer that the label prefers", "% right", "95%", "right", "of", "no verdict")
        rows = tuple((STYLES[name].get(each.name, each.name), *_row(each)[1:]) for name, each in styles)
        yield Section(title="By style", header=header, rows=rows)
    if (position := one.position) is not None:
        low, high = position.interval
        lines = (
            f"Of {position.pairs:,} pairs with a verdict in both orders, {position.consistent:,} "
            f"({format_percent(position.consistent / position.pairs, 1)}%) have the same one in both.",
            f"Position bias {100 * position.bias:+.1f}% (95% {100 * low:+.1f} to {100 * high:+.1f}): the answer shown first "
            f"wins both times in {position.first:,}, the second in {position.second:,}.",
        )
        yield Section(title="Position", lines=lines)
    if one.reliability is not None:
        said = format_reliability(one.reliability)
        bins = tuple(
            (f"{100 * each['confidence']:.1f}", format_percent(each["accuracy"], 1), f"{each['items']:,}")
            for each in one.reliability["bins"]
        )
        columns = ("Mean confidence %", "% right", "pairs")
        yield Section(
            title="Reliability", lines=(f"{said[0].upper()}{said[1:]}.",), header=columns, rows=bins
        )
    if (risk := one.risk) is not None:
        half = next(point for point in risk.points if point.coverage >= 0.5)
        line = (
            f"By the confidence in the winner, of {risk.items:,} labelled judgments that have one: of the surest "
            f"{format_percent(half.coverage, 0)}% {format_percent(half.risk, 1)}% are wrong, of all "
            f"{format_percent(risk.points[-1].risk, 1)}%; mean over all coverages (AURC) {risk.area:.3f}."
        )
        yield Section(title="Risk and coverage", lines=(line,))
    if one.problems:
        counted = sorted(one.problems.items(), key=lambda item: (-item[1], item[0]))
        reasons = tuple((PROBLEM_TEXTS.get(name, name), f"{count:,}") for name, count in counted)
        yield Section(title="No verdict", header=("Reason", "judgments"), rows=reasons)
    if total := sum(one.quotes.values()):
        names = {
            "exact": "as written",
            "levelled": "but for white space, case, marks or omissions",
            "none": "not found",
        }
        rows = tuple(
            (names[name], f"{count:,}", format_percent(count / total, 1))
            for name, count in one.quotes.items()
        )
        line = (
            f"{one.judgments_with_invented:,} of {one.judgments_with_quotes:,} judgments with quotations quote what does not "
            "stand in the answer."
        )
        yield Section(
            title="Quotations", lines=(line,), header=("In the answer", "quotations", "%"), rows=rows
        )
    estimated = " (estimated)" if one.is_estimated else ""
    cost = (
        f"{one.prompt_tokens:,} tokens read, {one.completion_tokens:,} written{estimated}; "
        f"{one.seconds:.1f} s from asking to verdict on average, waiting in batches included."
    )
    yield Section(title="Cost", lines=(cost,))


def _list_verdicts(one: Figures) -> Iterator[str]:
    failed = f", {one.failed:,} in which the engine gave an error" if one.failed else ""
    yield f"{one.items:,} judgments, {one.unparsed:,} without a verdict{failed}."
    if (whole := one.accuracy) is not None:
        yield (
            f"{format_percent(whole.accuracy, 1)}% of {whole.labelled:,} labelled pairs are right"
            f"{_range(whole.interval)}; no verdict counts as wrong."
        )
    else:
        yield "No pair is labelled, so nothing can be called right or wrong."
    if one.people_labels or one.disputed:
        disputed = (
            f"; they disagree about {one.disputed:,}, which count as not labelled" if one.disputed else ""
        )
        yield f"The labels of {one.people_labels:,} are those of people{disputed}."
    names = {"none": "no verdict"}
    winners = ", ".join(f"{names.get(name, name)} {count:,}" for name, count in one.winners.items())
    yield f"Winners: {winners or 'none'}."


def _row(one: GroupFigures) -> tuple[str, ...]:
    span = "-" if one.interval is None else f"{100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f}"
    accuracy = format_percent(one.accuracy, 1)
    return one.name, accuracy, span, f"{one.right:,}", f"{one.labelled:,}", f"{one.unparsed:,}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f" (95% {100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
