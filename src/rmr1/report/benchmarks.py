"""The results of `rmr1 bench` for people and programs: one table of at most 100 columns, Markdown, JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, ItemsView, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich.table import Table

from rmr1.bench.base import OFFICIAL_RULE, BenchmarkScores, Figure, Interval
from rmr1.bench.compare import HEADER as COMPARED
from rmr1.bench.compare import comparison_remarks, comparison_rows
from rmr1.bench.results import OWN_PAIRS, Average, Result
from rmr1.console import Console
from rmr1.faces import name_option
from rmr1.report.tables import WIDTH, Name, make_table, shorten
from rmr1.screen import format_percent, markdown_text, one_line, print, print_text

_HEADER = ("", "%", "95%", "right", "of", "no verdict", "ties")

T = TypeVar("T")
Row = tuple[tuple[str, ...], bool]
"""The cells of a line, a heading's first one alone; whether it is bold."""


def build_rows(
    results: Sequence[Result], average: Average | None = None, *, categories: bool = False
) -> list[Row]:
    """A heading for each benchmark and group, a line for each figure, overall scores below their group; with
    `categories` the finest division below.
    """
    rows: list[Row] = []
    for result in results:
        wholes = {one.group: one for one in result.scores.overall}
        for group, figures in _group(result.scores.figures, lambda one: one.group):
            rows += _block(f"{result.title}: {group}" if group else "", figures)
            if group in wholes:
                rows.append((_cells("  overall", wholes.pop(group)), True))
        for whole in wholes.values():
            named = result.title if len(result.scores.overall) == 1 else f"{result.title} {whole.group}"
            rows.append((_cells(f"{named}: overall", whole), True))
        for group, figures in _group(result.scores.categories if categories else (), lambda one: one.group):
            rows += _block(f"{result.title}, categories: {group}" if group else "", figures)
    if average is not None:
        cells = (average.title, format_percent(average.value), _range(average.interval), "", "", "", "")
        rows.append((cells, True))
    return rows


def _group(items: Iterable[T], group_of: Callable[[T], str]) -> ItemsView[str, list[T]]:
    """The items by group, in the order in which groups come first."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(group_of(item), []).append(item)
    return groups.items()


def _block(title: str, figures: Iterable[Figure]) -> Iterator[Row]:
    if title:
        yield (one_line(title),), True
    for figure in figures:
        yield _cells(f"  {figure.name}", figure), False


def print_results(
    results: Sequence[Result], average: Average | None = None, *, categories: bool = False
) -> None:
    """The table, what was counted and how, and comparisons."""
    console = Console(width=WIDTH)
    console.print(_table(_HEADER, build_rows(results, average, categories=categories)))
    for line in remarks(results, average):
        print_text(_wrap(one_line(line)))
    for result in results:
        if (comparison := result.comparison) is not None:
            print(f"\n{_compared(result, WIDTH - 1)}:")
            table: list[Row] = []
            for group, lines in _group(comparison_rows(comparison), lambda one: one[0]):
                table.append(((group,), False))
                table += [((f"  {line[1]}", *line[2:]), False) for line in lines]
            console.print(_table(COMPARED[1:], table))
            for line in comparison_remarks(comparison):
                print_text(_wrap(one_line(line)))


def _table(header: Sequence[str], rows: Iterable[Row]) -> Table:
    table = make_table(header)
    for (name, *figures), is_bold in rows:
        table.add_row(Name(name), *figures, style="bold" if is_bold else "")
    return table


def _compared(result: Result, most: int | None = None) -> str:
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
    lines = _markdown_head(("score", *_HEADER[1:]), 1)
    for row, is_bold in build_rows(results, average, categories=categories):
        name, *cells = (*row, *[""] * (len(_HEADER) - len(row)))
        mark = "**" if is_bold else ""
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


def _markdown_head(names: Sequence[str], num_texts: int) -> list[str]:
    rule = ["---"] * num_texts + ["---:"] * (len(names) - num_texts)
    return [f"| {' | '.join(names)} |", f"|{'|'.join(rule)}|"]


def describe_results(results: Sequence[Result], average: Average | None = None) -> dict[str, Any]:
    """One benchmark as its scores; several by name, with the average."""
    described = {one.scores.benchmark: {**one.scores.describe(), **one.extra} for one in results}
    if len(results) == 1 and average is None:
        return described[results[0].scores.benchmark]
    whole: dict[str, Any] = {"benchmarks": described}
    if average is not None:
        whole["average"] = {"value": average.value, "interval": average.interval, **average.extra}
    return whole


def _cells(name: str, one: Figure) -> tuple[str, ...]:
    total = str(one.total) if one.official in (None, one.total) else f"{one.total} of {one.official}"
    right = "" if one.correct is None else f"{one.correct:g}" if one.correct % 1 else str(int(one.correct))
    figures = (format_percent(one.value), _range(one.interval), right, total)
    return (one_line(name), *figures, str(one.no_verdict), str(one.ties))


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
            f"are left out; {name_option('retry_failed', True)} asks again"
        )
    if scores.unfinished:
        yield (
            f"{scores.unfinished} pairs of the data are not judged"
            if is_own
            else f"{scores.unfinished} items left out: some of their judgments are missing"
        )
    orders = ", ".join(f"{name} {count}" for name, count in scores.orders.items())
    yield f"{scores.judgments} judgments (order: {orders})"
    if scores.problems:
        yield "without verdict: " + ", ".join(f"{name} {count}" for name, count in scores.problems.items())
    if scores.variant != OFFICIAL_RULE:
        yield f"scoring: {scores.variant}"
    yield from scores.notes
    for deviation in scores.deviations:
        yield f"not placed among published judges: {deviation}"


def _range(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = (f"{100 * bound:.1f}" for bound in interval)
    return f"{low}..{high}" if low.startswith("-") else f"{low}-{high}"
