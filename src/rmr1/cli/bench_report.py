"""The results of `rmr1 bench` for people and programs: one table of at most 100 columns, Markdown, JSON."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmr1.bench.base import OFFICIAL_RULE, BenchmarkScores, Figure, Interval, Overall
from rmr1.bench.compare import HEADER as COMPARED
from rmr1.bench.compare import Comparison, comparison_remarks, comparison_rows
from rmr1.bench.gates import Gate
from rmr1.cli.bench_jobs import OWN_PAIRS
from rmr1.report.leaderboard_plot import shorten
from rmr1.screen import markdown_text, one_line, print, print_text

WIDTH = 100
_HEADER = ("", "%", "95%", "right", "of", "no verdict", "ties")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark came to."""

    title: str
    scores: BenchmarkScores
    lines: tuple[str, ...] = ()
    """More to be said, as the place among the published."""
    baseline: str = ""
    """What it was compared with."""
    comparison: Comparison | None = None
    gate: Gate | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs: plain JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """RM-R1's average over three benchmarks."""

    value: float | None
    """None unless all three are complete."""
    interval: Interval | None = None
    lines: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    title = "Average of RewardBench, RM-Bench and RMB"


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[str, ...]
    """One for each column; a heading has the first alone."""
    is_heading: bool = False
    is_overall: bool = False


def build_rows(
    results: Sequence[Result], average: Average | None = None, *, categories: bool = False
) -> list[Row]:
    """A heading for each benchmark and group, a line for each figure, overall scores in bold; with `categories`
    the finest division below."""
    rows: list[Row] = []
    for result in results:
        wholes = {one.group: one for one in result.scores.overall}
        group = ""
        places = {one.group: place for place, one in reversed(list(enumerate(result.scores.figures)))}
        for figure in sorted(result.scores.figures, key=lambda one: places[one.group]):
            if figure.group != group:
                if group in wholes:
                    rows.append(_row("  overall", wholes.pop(group), is_overall=True))
                group = figure.group
                rows.append(Row((one_line(f"{result.title}: {group}"),), is_heading=True))
            rows.append(_row(f"  {figure.name}", figure))
        if group in wholes:
            rows.append(_row("  overall", wholes.pop(group), is_overall=True))
        for whole in wholes.values():
            named = result.title if len(result.scores.overall) == 1 else f"{result.title} {whole.group}"
            rows.append(_row(f"{named}: overall", whole, is_overall=True))
        group = ""
        for figure in result.scores.categories if categories else ():
            if figure.group != group:
                group = figure.group
                rows.append(Row((one_line(f"{result.title}, categories: {group}"),), is_heading=True))
            rows.append(_row(f"  {figure.name}", figure))
    if average is not None:
        cells = (average.title, _percent(average.value), _range(average.interval), "", "", "", "")
        rows.append(Row(cells, is_overall=True))
    return rows


def print_results(
    results: Sequence[Result], average: Average | None = None, *, categories: bool = False
) -> None:
    """A table on a terminal, aligned plain lines elsewhere; then what was counted and how."""
    table = [Row(_HEADER, is_heading=True), *build_rows(results, average, categories=categories)]
    widths = _fit_widths([row.cells for row in table])
    if sys.stdout.isatty():
        from rich.text import Text

        from rmr1.console import Console

        console = Console(width=max(WIDTH, Console().width))
        for row in table:
            style = "bold" if row.is_heading or row.is_overall else ""
            console.print(Text(_align(row.cells, widths), style=style))
    else:
        for row in table:
            print(_align(row.cells, widths))
    for line in remarks(results, average):
        print_text(_wrap(one_line(line)))
    for result in results:
        if result.comparison is not None:
            print()
            for line in format_comparison(result):
                print(line)


def format_comparison(result: Result) -> Iterator[str]:
    """Heading, aligned table and what stands below it, in lines of at most 100 columns.

    Raises:
        ValueError: nothing was compared.
    """
    if result.comparison is None:
        raise ValueError("nothing was compared")
    heading = _compared(result, WIDTH - 1)
    yield f"{heading}:"
    rows = comparison_rows(result.comparison)
    places = {row[0]: place for place, row in reversed(list(enumerate(rows)))}
    table: list[tuple[str, ...]] = [COMPARED[1:]]
    group = ""
    for row in sorted(rows, key=lambda one: places[one[0]]):
        if row[0] != group:
            group = row[0]
            table.append((group,))
        table.append((f"  {row[1]}", *row[2:]))
    widths = _fit_widths(table)
    for cells in table:
        yield _align(cells, widths)
    for line in comparison_remarks(result.comparison):
        yield from _wrap(one_line(line)).splitlines()


def _compared(result: Result, most: int | None = None) -> str:
    """`RM-Bench against runs/old`; a long path loses its middle, for `most` letters in all."""
    words = f"{result.title} against "
    return words + (result.baseline if most is None else shorten(result.baseline, most - len(words)))


def _wrap(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def remarks(results: Sequence[Result], average: Average | None = None) -> Iterator[str]:
    """What the numbers stand on, a paragraph for each benchmark."""
    for result in results:
        yield ""
        if len(results) > 1:
            yield f"{result.title}:"
        yield from _remarks(result.scores)
        yield from result.lines
    if average is not None:
        yield ""
        if average.value is None:
            yield f"{average.title}: none, because not all three are complete"
        yield from average.lines


def format_markdown(
    results: Sequence[Result], average: Average | None = None, *, categories: bool = False
) -> str:
    """The same table as Markdown, with the remarks below it."""
    lines = [*_markdown_head(("score", *_HEADER[1:]), 1)]
    for row in build_rows(results, average, categories=categories):
        name, *cells = (*row.cells, *[""] * (len(_HEADER) - len(row.cells)))
        mark = "**" if row.is_heading or row.is_overall else ""
        lines.append(f"| {mark}{markdown_text(name.strip())}{mark} | {' | '.join(cells)} |")
    said = [markdown_text(line) for line in remarks(results, average) if line]
    lines += ["", *(f"- {line.strip()}" for line in said)]
    for result in results:
        if result.comparison is not None:
            lines += ["", f"**{markdown_text(_compared(result))}**", "", *_markdown_head(COMPARED, 2)]
            lines += [
                f"| {' | '.join(map(markdown_text, cells))} |" for cells in comparison_rows(result.comparison)
            ]
            lines += ["", *(f"- {markdown_text(line)}" for line in comparison_remarks(result.comparison))]
    gates = [result.gate.sentence() for result in results if result.gate is not None]
    lines += ["", *(f"- {markdown_text(one)}" for one in gates)] if gates else []
    return "\n".join([*lines, ""])


def _markdown_head(names: Sequence[str], num_texts: int) -> tuple[str, str]:
    """Header and rule of a table whose columns after the first `num_texts` are numbers."""
    rule = ["---" if index < num_texts else "---:" for index in range(len(names))]
    return f"| {' | '.join(names)} |", f"|{'|'.join(rule)}|"


def describe_results(results: Sequence[Result], average: Average | None = None) -> dict[str, Any]:
    """One benchmark as its scores; several by name, with the average."""
    described = {one.scores.benchmark: {**one.scores.describe(), **one.extra} for one in results}
    if len(results) == 1 and average is None:
        return described[results[0].scores.benchmark]
    whole: dict[str, Any] = {"benchmarks": described}
    if average is not None:
        whole["average"] = {"value": average.value, "interval": average.interval, **average.extra}
    return whole


def _row(name: str, one: Figure | Overall, *, is_overall: bool = False) -> Row:
    total = str(one.total) if one.official in (None, one.total) else f"{one.total} of {one.official}"
    right = "" if one.correct is None else f"{one.correct:g}" if one.correct % 1 else str(int(one.correct))
    lacking = (str(one.no_verdict), str(one.ties))
    cells = (one_line(name), _percent(one.value), _range(one.interval), right, total, *lacking)
    return Row(cells, is_overall=is_overall)


def _fit_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column, headings aside; names, which are in the first, give way if the whole is too wide."""
    first, *others = (
        max(map(len, column)) for column in zip(*(one for one in rows if len(one) > 1), strict=True)
    )
    return [min(first, WIDTH - sum(others) - 2 * len(others)), *others]


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line; a heading, which has one cell, as it is."""
    if len(cells) == 1:
        return shorten(cells[0], WIDTH)
    first, *numbers = cells
    shown = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([shorten(first, widths[0]).ljust(widths[0]), *shown]).rstrip()


def _remarks(scores: BenchmarkScores) -> Iterator[str]:
    is_own = scores.benchmark == OWN_PAIRS
    for one in scores.overall:
        if one.value is None:
            items = "items" if is_own else "official items"
            yield (
                f"{one.group}: no overall score, {one.status} {items}"
                if one.official
                else f"{one.group}: {one.status}"
            )
            if one.missing and not is_own:
                more = f" and {len(one.missing) - 3} more" if len(one.missing) > 3 else ""
                yield f"  incomplete parts: {', '.join(one.missing[:3])}{more}"
    if scores.failed:
        yield (
            f"{scores.failed} of {scores.judgments} judgments failed, for which the engine gave no answer, and "
            "are left out; --retry-failed asks again"
        )
    if scores.unfinished:
        yield (
            f"{scores.unfinished} pairs of the data are not judged"
            if is_own
            else f"{scores.unfinished} items left out: some of their judgments are missing"
        )
    orders = ", ".join(f"{name} {count}" for name, count in scores.orders)
    yield f"{scores.judgments} judgments (order: {orders})"
    if scores.problems:
        yield "without verdict: " + ", ".join(f"{name} {count}" for name, count in scores.problems)
    if scores.variant != OFFICIAL_RULE:
        yield f"scoring: {scores.variant}"
    yield from scores.notes
    for deviation in scores.deviations:
        yield f"not placed among published judges: {deviation}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _range(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = (f"{100 * bound:.1f}" for bound in interval)
    return f"{low}..{high}" if low.startswith("-") else f"{low}-{high}"
