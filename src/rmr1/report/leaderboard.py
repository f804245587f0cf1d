"""A judge among the published ones, for the terminal and as a picture.

Comes in: a `Standing` (rmr1.bench.published), which exists only for a complete overall. Goes out: a table of
at most 100 columns, or by `draw_leaderboard` an image with one panel per benchmark. Rows that were scored
another way come last, without a rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from rmr1.bench.published import MARKS, PublishedRow, Standing, marks_of
from rmr1.console import Console
from rmr1.report.leaderboard_plot import draw_leaderboard, shorten
from rmr1.screen import one_line

__all__ = ["draw_leaderboard", "leaderboard_table", "print_leaderboard"]

WIDTH, MOST_LETTERS = 100, 48
"""Columns of the terminal that a table is laid out for, and of a name."""

_HEADERS: Mapping[str, str] = {
    "Chat Hard": "Chat\nHard",
    "Help BoN": "Help\nBoN",
    "Help pair": "Help\npair",
    "Harm BoN": "Harm\nBoN",
    "Harm pair": "Harm\npair",
    "rewardbench": "Reward\nBench",
    "rm-bench": "RM-\nBench",
    "rmb": "RMB",
}
"""Two lines for the columns whose name is much wider than their figures."""


def print_leaderboard(
    console: Console,
    standing: Standing,
    name: str,
    *,
    parts: Mapping[str, float] | None = None,
    notes: bool = False,
) -> None:
    """The field with the judge in its place, what the marks mean and where the figures are from.

    `parts` are the judge's own figures by the names of the columns (as in the tables: "Chat Hard", "Easy",
    "Help BoN"), shares; `notes` adds what has to be known about single rows.
    """
    console.print(leaderboard_table(standing, name, parts=parts, width=min(WIDTH, console.width)))
    console.print(Text(standing.sentence()))
    if note := standing.scoring_note:
        console.print(Text(f"{note[0].upper()}{note[1:]}", style="yellow"))
    marked = [(row, False) for row in standing.field] + [(row, True) for row in standing.apart]
    used = {mark for row, is_apart in marked for mark in marks_of(row, is_apart=is_apart)}
    for mark, meaning in MARKS.items():
        if mark in used:
            console.print(Text(f"{mark}  {meaning}", style="dim"))
    for citation in dict.fromkeys(row.citation for row, _ in marked):
        console.print(Text(f"from {citation}", style="dim"))
    if notes:
        for row, _ in marked:
            if row.note:
                console.print(Text.assemble((f"{row.model}: ", "bold"), row.note))


def leaderboard_table(
    standing: Standing, name: str, *, parts: Mapping[str, float] | None = None, width: int = WIDTH
) -> Table:
    """Every figure in full; names give way where `width` is not enough."""
    own, columns = parts or {}, _columns((*standing.field, *standing.apart))
    num_above = len(standing.above)
    lines = [_line(row, str(_rank(standing, row)), columns, marks_of(row)) for row in standing.field]
    figures = [f"{100 * own[column]:.1f}" if column in own else "" for column in columns]
    overall = f"{100 * standing.value:.1f}"
    lines.insert(num_above, [str(standing.rank), f"> {one_line(name)}", "", overall, *figures, ""])
    apart = [_line(row, "-", columns, marks_of(row, is_apart=True)) for row in standing.apart]

    headers = ["#", "Judge", "Kind", "Overall", *(_HEADERS.get(column, column) for column in columns), ""]
    widths = [
        max(cell_len(part) for cell in cells for part in cell.split("\n"))
        for cells in zip(headers, *lines, *apart, strict=True)
    ]
    others = sum(widths) - widths[1] + len(widths) - 1
    widths[1] = max(12, min(widths[1], MOST_LETTERS, width - others))

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", collapse_padding=True)
    table.title, table.title_justify, table.title_style = f"{standing.title}, %", "left", "bold underline"
    for number, (header, column_width) in enumerate(zip(headers, widths, strict=True)):
        is_text = number in (1, 2, len(headers) - 1)
        table.add_column(
            Text(header),
            justify="left" if is_text else "right",
            width=column_width,
            no_wrap=True,
            vertical="bottom",
        )

    def add(cells: Sequence[str], style: str) -> None:
        shown = [cells[0], shorten(cells[1], widths[1]), *cells[2:]]
        table.add_row(*(Text(cell) for cell in shown), style=style)

    for number, cells in enumerate(lines):
        add(cells, "bold cyan" if number == num_above else "")
    if apart:
        table.add_row("", Text("scored another way:", style="dim italic"))
    for cells in apart:
        add(cells, "dim")
    return table


def _line(row: PublishedRow, rank: str, columns: Sequence[str], marks: str) -> list[str]:
    figures = {
        one: f"{100 * figure.value:.1f}" for group in row.parts.values() for one, figure in group.items()
    }
    return [
        rank,
        row.model,
        row.kind,
        str(row.overall),
        *(figures.get(column, "") for column in columns),
        marks,
    ]


def _rank(standing: Standing, row: PublishedRow) -> int:
    """Rank of a published row with the judge counted in; equal figures share the better one."""
    better = sum(one.overall.value > row.overall.value for one in standing.field)
    return better + (row in standing.below) + 1


def _columns(rows: Sequence[PublishedRow]) -> list[str]:
    """Part names, in the order of the row that has most of them."""
    ordered = sorted(rows, key=lambda row: -sum(map(len, row.parts.values())))
    return list(dict.fromkeys(name for row in ordered for group in row.parts.values() for name in group))
