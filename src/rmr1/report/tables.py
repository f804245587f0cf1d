"""Tables without a frame, on rich: coloured on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rmr1.console import Console
from rmr1.screen import one_line

WIDTH = 100
"""Columns that the tables of benchmarks are laid out for."""
MOST_LETTERS, _FEWEST_LETTERS = 48, 12
"""Most and fewest letters of a name in a table."""

Cell = RenderableType | int
"""What a table shows; a `str` is one line."""


def make_table(
    header: Sequence[str | Text],
    rows: Iterable[Sequence[Cell]] = (),
    *,
    texts: int = 1,
    has_notes: bool = False,
    **options: Any,
) -> Table:
    """The first `texts` columns are text, with `has_notes` the last one too; the others are numbers and never
    give way."""
    table = Table(box=None, pad_edge=False, header_style="bold", **options)
    for number, name in enumerate(header):
        is_text = number < texts or (has_notes and number == len(header) - 1)
        table.add_column(
            name,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold" if is_text else "ellipsis",
        )
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
    return table


def print_table(table: Table) -> None:
    """Print a table in the width of the terminal, and wider if a figure or a word would be cut."""
    console = Console()
    least = console.measure(table, options=console.options.update(width=10_000)).minimum
    console.width = max(WIDTH, console.width, least)
    console.print(table)


class Name:
    """A cell of one line, which loses its middle if the column is too narrow: both family and size matter."""

    def __init__(self, text: str, *, most: int = WIDTH):
        self._text = shorten(one_line(text), most)

    def __rich_measure__(self, console: RichConsole, options: ConsoleOptions) -> Measurement:
        return Measurement(min(len(self._text), _FEWEST_LETTERS), len(self._text))

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        yield Text(shorten(self._text, options.max_width), no_wrap=True)


def shorten(text: str, most: int) -> str:
    """The text in at most `most` letters; a longer one loses its middle."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 2
    return f"{text[: most - 3 - tail]}...{text[-tail:]}"
