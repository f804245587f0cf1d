"""Quotations of a judgment, numbered: the same number before the words of the judge and at their place in the answer.

    in the judge's text     [1 A]«The change is 34», [2 not in B]«the river is 9 miles long»
    in answer A             [1]«The change is 34» is what is left.

So one sees without colours what leads where, and what was invented.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from rmr1.audit.quotes import LinkedQuote
from rmr1.report.pieces import Piece, Turn
from rmr1.screen import one_line

FOUND, INVENTED = "black on yellow", "white on red"


class Numbers:
    """The number of each quotation, from 1. The same words of the same answer have one number in all votes."""

    def __init__(self, quotes: Iterable[LinkedQuote]):
        self._by_words: dict[tuple[str, str], int] = {}
        for one in quotes:
            self._by_words.setdefault((one.side, one.text), len(self._by_words) + 1)

    def of(self, quote: LinkedQuote) -> int:
        """The number of one of the quotations."""
        return self._by_words[quote.side, quote.text]


def format_turns(turns: Sequence[Turn], numbers: Numbers, *, has_sides: bool = False) -> Text:
    """The turns below each other; with `has_sides`, of a judge's text, each number comes with the answer that is quoted."""
    body = Text()
    for number, turn in enumerate(turns):
        if number:
            body.append("\n")
        if turn.role is not None:
            body.append(f"{one_line(turn.role)}: ", style="bold")
        body.append(_format_pieces(turn.pieces, numbers, has_sides=has_sides))
    return body


def _format_pieces(pieces: Sequence[Piece], numbers: Numbers, *, has_sides: bool) -> Text:
    body = Text()
    told: set[int] = set()  # numbers since the last text that belongs to no quotation
    for piece in pieces:
        quote = piece.quote
        starting = list(dict.fromkeys(map(numbers.of, piece.begins)))
        if quote is not None and not starting and numbers.of(quote) not in told:
            starting = [numbers.of(quote)]  # a further piece of one that was shortened
        if told and (quote is None or starting):
            body.append("»", style="dim")
        if quote is None:
            body.append(piece.text)
            told = set()
            continue
        for number in starting:
            body.append(f"[{number}{_tell_side(quote) if has_sides else ''}]", style="bold")
        if starting:
            body.append("«", style="dim")
        body.append(piece.text, style=FOUND if quote.is_found else INVENTED)
        told.update(starting)
    if told:
        body.append("»", style="dim")
    return body


def _tell_side(quote: LinkedQuote) -> str:
    return f" {quote.side}" if quote.is_found else f" not in {quote.side}"
