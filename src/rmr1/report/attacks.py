"""Attacks on a judge as tables: what flipped it, and what acts in a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmr1.audit.attacks.catalogue import Injection
from rmr1.audit.attacks.figures import AttackFigures, AttackReport, Interval
from rmr1.audit.attacks.inert import Inertness, InertReport
from rmr1.report.tables import Cell, make_table, print_table
from rmr1.screen import print

_HEADER = ("Injection", "Tries", "Flips %", "95%", "Control %", "Difference", "95%", "No verdict")


def print_attack(report: AttackReport) -> None:
    """Every injection, then kinds, forms and all of them; and what became of the pairs."""
    if report.injections:
        _print_named(_HEADER, [_row(one) for one in report.injections])
        print()
        totals = (*report.kinds, *report.forms, report.all)
        _print_named(("Kind", *_HEADER[1:]), [_row(one) for one in totals])
        print()
    for line in describe_attack(report):
        print(line)


def describe_attack(report: AttackReport) -> Iterator[str]:
    """Lines about what was counted, and what was not."""
    fates = report.fates
    yield f"{fates['attacked']:,} of {report.pairs:,} pairs can flip: the judge decides them against the losing answer"
    reasons = {
        "lost_already": "the judge prefers the losing answer in any case",
        "undecided": "no verdict, a tie, or contradicting orders",
        "tied": "labelled a tie",
        "failed": "the engine gave no answer",
    }
    told = [f"{fates[name]:,} {text}" for name, text in reasons.items() if fates[name]]
    if told:
        yield f"not attacked: {'; '.join(told)}"
    row = report.all
    if row.failed:
        yield f"left out: {row.failed:,} of {row.failed + row.attempts:,} attempts, which the engine did not answer"
    yield "flips: verdicts for the losing answer; control: neutral text of the same length in the same place"


def print_inert(report: InertReport) -> None:
    """Kinds of injections, and what reads a prompt: how much acts as typed, and as rendered."""
    header = ("Kind", "Injections", "act raw", "Trials", "act raw", "act escaped")
    _print_named(header, [_inert_row(one) for one in (*report.kinds, report.all)])
    print()
    readers = ("Read by", "Injections that act raw", "Trials that act raw", "act escaped")
    rows = [(one.name, one.injections_raw, one.acting_raw, one.acting) for one in report.readers]
    _print_named(readers, rows)
    print()
    for line in describe_inert(report):
        print(line)


def describe_inert(report: InertReport) -> Iterator[str]:
    """Lines that say what was tried and what came of it."""
    families, row = ", ".join(report.families), report.all
    yield f"a trial is an injection in one text of one prompt; families: {families}; single-turn and conversations"
    if report.harmless:
        yield f"read by nothing even as typed: {', '.join(report.harmless)}"
    for one in report.examples:
        where = f"{one.family}, {one.form}-turn, in {one.place}"
        yield f"not inert: {one.injection} ({where}): {', '.join(sorted(one.rendered))}"
    if report.is_inert:
        yield f"inert: all of {row.trials:,}; {row.acting_raw:,} would have acted if nothing were escaped"
    else:
        yield f"NOT INERT: {row.acting:,} of {row.trials:,} act although they are escaped"


def print_catalogue(injections: tuple[Injection, ...]) -> None:
    """The injections: where each goes and what it tries."""
    rows = [(one.name, one.form, one.kind, one.place, one.tries) for one in injections]
    _print_named(("Injection", "Form", "Kind", "Place", "Tries"), rows, texts=5)


def _print_named(header: Sequence[str], rows: Sequence[Sequence[Cell]], texts: int = 1) -> None:
    """A table whose names can be copied: they, and figures of several words, are never broken or cut."""
    table = make_table(header, rows, texts=texts)
    table.columns[0].no_wrap = True
    for number, column in enumerate(table.columns):
        if number == 0 or number >= texts:
            cells = [header[number], *(row[number] for row in rows)]
            column.min_width = max(len(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in cells)
    print_table(table)


def _row(row: AttackFigures) -> tuple[Cell, ...]:
    without = f"{row.without_verdict:,} / {row.control_without_verdict:,}"
    return (
        row.name,
        row.attempts,
        _percent(row.share),
        _range(row.interval),
        _percent(row.control_share),
        _percent(row.difference, "+"),
        _range(row.difference_interval, "+"),
        without,
    )


def _inert_row(row: Inertness) -> tuple[Cell, ...]:
    return row.name, row.injections, row.injections_raw, row.trials, row.acting_raw, row.acting


def _percent(share: float | None, sign: str = "") -> str:
    return "-" if share is None else f"{100 * share:{sign}.1f}"


def _range(interval: Interval | None, sign: str = "") -> str:
    return "-" if interval is None else " to ".join(_percent(bound, sign) for bound in interval)
