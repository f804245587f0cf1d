"""How a judge does beside people who saw no verdict, as lines and a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from rmr1.active.people import SAID, Figure, PeopleReport
from rmr1.report.tables import Cell, make_table
from rmr1.screen import one_line


def make_confusion(report: PeopleReport) -> Table:
    """What the judge says, column by column, of the items of which people say the same."""
    rows: list[list[Cell]] = [
        [f"people say {said}", *(counts[name] for name in SAID)] for said, counts in report.confusion.items()
    ]
    return make_table(
        (f"{report.items:,} items", *(f"judge {name}" if name in "AB" else name for name in SAID)), rows
    )


def format_people(report: PeopleReport) -> Iterator[str]:
    """The figures, a line each."""
    said = f"{report.labels:,} blind labels by {report.annotators:,}"
    yield f"{said}: {report.items:,} items settled, {report.disputed:,} disputed, {report.skipped:,} skipped"
    left = [f"{count:,} {why}" for count, why in ((report.not_blind, "that are not blind"), (report.unknown, "of items that the run does not hold")) if count]  # fmt: skip
    if left:
        yield f"labels left out: {', '.join(left)}"
    yield f"judge and people agree: {_percent(report.agreement)}"
    yield (
        "kappa: cannot be told, as chance explains all"
        if report.kappa is None
        else f"kappa: {_number(report.kappa)}"
    )
    if report.ece is None or report.brier is None or report.ece_by_chance is None:
        yield "the judge tells no probability: judge with log-probabilities or several votes for ECE, Brier and a calibration"
    else:
        mean, most = report.ece_by_chance
        chance = f"were its probabilities right it would be {mean:.3f} by chance, and 95% of the time below {most:.3f}"
        yield f"ECE: {report.ece:.3f} of {report.with_probability:,} items; {chance}"
        yield f"Brier: {_number(report.brier)}"
    if report.shared:
        alpha = (
            "cannot be told, as all labels are the same"
            if report.among_people is None
            else _number(report.among_people)
        )
        yield f"people among themselves (alpha): {alpha}; {report.shared:,} items with several labels"

    if report.skills:
        told = ", ".join(
            f"{one_line(who)} {100 * skill:.0f}%" for who, skill in sorted(report.skills.items())
        )
        yield f"settled by skill (Dawid and Skene); likely to be right: {told}"


def _percent(figure: Figure) -> str:
    bounds = (
        ""
        if figure.interval is None
        else f" (95% {100 * figure.interval[0]:.1f} to {100 * figure.interval[1]:.1f})"
    )
    return f"{100 * figure.size:.1f}%{bounds}"


def _number(figure: Figure) -> str:
    bounds = "" if figure.interval is None else f" (95% {figure.interval[0]:.3f} to {figure.interval[1]:.3f})"
    return f"{figure.size:.3f}{bounds}"
