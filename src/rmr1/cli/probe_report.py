"""The probes' reports on a terminal, in a pipe and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.text import Text

from rmr1.console import Console
from rmr1.probe.bias import BiasReport
from rmr1.probe.leak import FieldReport, LeakReport
from rmr1.report.tables import make_table, print_table
from rmr1.screen import format_percent, one_line
from rmr1.store.codec import dumps

_EXCERPT = 100


def print_json(report: LeakReport | BiasReport, **more: Any) -> None:
    sys.stdout.buffer.write(dumps({**asdict(report), **more}) + b"\n")
    sys.stdout.buffer.flush()


def print_leak(report: LeakReport) -> None:
    """Fields, findings, verdict."""
    console = Console()
    _print_head(console, report)
    rows = [
        (
            field.name,
            ", ".join(field.read_from),
            field.num_features,
            "" if field.auc is None else f"{field.auc:.3f}",
            "" if field.p is None else _p(field.p),
            _mark(field),
        )
        for field in report.fields
    ]
    header = ("field", "read from", "features", "AUC", "p", "")
    print_table(make_table(header, rows, texts=2, has_notes=True))
    for field in report.fields:
        if field.name == "order":
            console.print(f"order: {field.note}")
    for title, is_leak, style in (("leak", True, "bold red"), ("told, not condemned", False, "bold")):
        for field in report.fields:
            if field.is_leak == is_leak and field.findings:
                console.print()
                console.print(Text(f"{title}: {field.name}", style=style))
                for one in field.findings if is_leak else field.findings[:3]:
                    name = (one_line(one.feature), "bold" if one.is_leak else "")
                    told = f"{one.occurrences} times, {one.outcome} in {100 * one.share:.1f}%, p {_p(one.p)}"
                    console.print(Text.assemble("  ", name, f": {told}"), soft_wrap=True)
                    for example in one.examples if is_leak else ():
                        excerpt = " ".join(example.excerpt.split())[:_EXCERPT]
                        place = f"    {example.path.rsplit('/', 1)[-1]}:{example.line}: {example.value}"
                        told = f"{place}{': ' if excerpt else ''}{excerpt}"
                        console.print(told, style="dim", soft_wrap=True)
    console.print()
    for line in leak_lines(report):
        console.print(Text(line, style="bold red" if report.is_leak else "bold green"), soft_wrap=True)


def leak_lines(report: LeakReport) -> Iterable[str]:
    """The verdict in words."""
    guilty = [field.name for field in report.fields if field.is_leak]
    if guilty:
        yield f"leak: the label can be guessed from {', '.join(guilty)}"
        return
    guessed = "no field to guess from"
    if num_guessed := sum(field.is_condemnable and field.auc is not None for field in report.fields):
        guessed = f"{num_guessed} fields held against p {report.auc_limit:.2g}"
    yield f"no leak found: {guessed}, {report.num_features} single features against p {report.feature_limit:.2g}"


def print_bias(report: BiasReport) -> None:
    """One line per measure, and all together."""
    console = Console()
    _print_head(console, report)
    rows = []
    for one in report.features:
        is_position = one.name == "position"
        means = ("", "") if is_position else (_number(one.mean_better), _number(one.mean_worse))
        rows.append(
            (
                "position: A" if is_position else one.name,
                *means,
                one.differing,
                "" if one.share is None else f"{one.share:.1%}",
                _interval(one.interval),
                "" if is_position else f"{one.auc:.3f}",
                f"{one.weight:+.2f}",
            )
        )
    header = ("measure", "better", "worse", "differ", "larger wins", "95%", "AUC", "weight")
    print_table(make_table(header, rows))
    if report.together_auc is not None:
        share = f"{format_percent(report.together_share, 1)}% of {report.pairs} pairs"
        told = f"{share} ({_interval(report.together_interval)}), AUC {report.together_auc:.3f}"
        console.print(f"all together, on prompts left out of the fit: {told}", soft_wrap=True)
    legend = "better, worse: means. larger wins: of the pairs that differ. weight: in the regression, per standard deviation."
    console.print(legend, style="dim", soft_wrap=True)


def _print_head(console: Console, report: LeakReport | BiasReport) -> None:
    forms = ", ".join(report.forms)
    if len(report.forms) > 1:
        forms = ", ".join(f"{name} {count}" for name, count in report.forms.items())
    pairs = f"{report.pairs} decided pairs ({forms}), {report.prompts} prompts"
    console.print(f"{report.source}: {pairs}", soft_wrap=True)
    passed = {"ties": report.ties, "without a label": report.unlabelled}
    passed["rows that cannot be read"] = report.unreadable
    if told := ", ".join(f"{count} {what}" for what, count in passed.items() if count):
        console.print(f"passed over: {told}")
    for problem in report.problems:
        console.print(f"  {problem}", soft_wrap=True, style="dim")
    if report.untaken:
        console.print(f"{report.untaken} prompts could not be taken apart; only their frame was looked at")
    console.print()


def _mark(field: FieldReport) -> Text:
    if field.is_leak:
        return Text("LEAK", style="bold red")
    if field.note and field.name != "order":
        return Text(field.note, style="dim")
    is_told = not field.is_condemnable and field.p is not None and field.p < 0.01
    return Text("told" if is_told else "", style="yellow")


def _p(value: float) -> str:
    if value < 1e-99:
        return "<1e-99"
    return f"{value:.1e}" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
