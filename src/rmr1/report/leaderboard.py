"""A judge among the published ones, on the terminal: a `Standing` in, a table of at most 100 columns out.

Rows that were scored another way come last, without a rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

from rmr1.bench.published import TITLES, PublishedRow, Standing, explain_rows
from rmr1.console import Console
from rmr1.report.tables import MOST_LETTERS, WIDTH, Name, make_table
from rmr1.screen import format_percent


def print_leaderboard(
    console: Console,
    standing: Standing,
    name: str,
    *,
    parts: Mapping[str, float] | None = None,
) -> None:
    """The field with the judge in its place, what the marks mean and where the figures are from.

    `parts` are the judge's own shares by the names of the columns ("Chat Hard", "Easy", "Help BoN").
    """
    console.print(leaderboard_table(standing, name, parts or {}), width=min(WIDTH, console.width))
    console.print(Text(standing.sentence()))
    if note := standing.scoring_note:
        console.print(Text(f"{note[0].upper()}{note[1:]}", style="yellow"))
    marks, sources = explain_rows([standing])
    lines = [f"{mark}  {meaning}" for mark, meaning in marks.items()] + [f"from {one}" for one in sources]
    for line in lines:
        console.print(Text(line, style="dim"))


def leaderboard_table(standing: Standing, name: str, parts: Mapping[str, float]) -> Table:
    """Every figure in full; names give way."""
    # Part names, in the order of the row that has most of them.
    ordered = sorted(standing.rows, key=lambda row: -sum(map(len, row.parts.values())))
    columns = list(dict.fromkeys(name for row in ordered for group in row.parts.values() for name in group))
    names = ["#", "Judge", "Kind", "Overall", *(TITLES.get(one, one) for one in columns), ""]
    # A name much wider than its figures stands in two lines.
    headers = [Text(one.replace(" ", "\n")) for one in names]
    table = make_table(headers, texts=3, has_notes=True, padding=(0, 1, 0, 0))
    for number, column in enumerate(table.columns):
        column.vertical, column.no_wrap = "bottom", number != 1
    table.columns[0].justify = "right"
    table.title, table.title_justify, table.title_style = f"{standing.title}, %", "left", "bold underline"

    def add(
        rank: str, judge: str, kind: str, overall: str, figures: Mapping[str, float], marks: str, style: str
    ) -> None:
        cells = [format_percent(figures[one], 1) if one in figures else "" for one in columns]
        table.add_row(rank, Name(judge, most=MOST_LETTERS), kind, overall, *cells, marks, style=style)

    def add_published(rows: Iterable[PublishedRow], style: str = "") -> None:
        for row in rows:
            figures = {one: part.value for group in row.parts.values() for one, part in group.items()}
            # The judge is counted in, and equal figures share the better rank.
            rank = 1 + sum(one.overall.value > row.overall.value for one in standing.field)
            shown = "-" if row in standing.apart else str(rank + (row in standing.below))
            add(shown, row.model, row.kind, str(row.overall), figures, standing.marks(row), style)

    num_above = len(standing.above)
    add_published(standing.field[:num_above])
    add(str(standing.rank), f"> {name}", "", format_percent(standing.value, 1), parts, "", "bold cyan")
    add_published(standing.field[num_above:])
    if standing.apart:
        table.add_row("", Text("scored another way:", style="dim italic"))
    add_published(standing.apart, "dim")
    return table
