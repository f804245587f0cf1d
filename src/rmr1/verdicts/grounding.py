"""Does a quotation stand in the response it is taken from?

White space, case, quotation marks and typographic variants are levelled first, and an ellipsis splits a quotation
into pieces that must all occur, in order: judges shorten, and shortening is not inventing. Backslashes are levelled too: the
prompt shows a response with one in each of its control tokens (`rmr1.prompts.escape`), and a judge copies them all, some or
none.
"""

from __future__ import annotations

import re
import unicodedata

from rmr1.records import PreferencePair, SideText, Vote

_UNSEEN = "\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
"""Joiners, marks of direction and of presentation."""
_LEVELLED = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "\u00a0": " "}
    | dict.fromkeys(f"\\＼﹨{_UNSEEN}", "")
)
_ELLIPSIS = re.compile(r"\.{3,}|…|\[\.\.\.\]|\[…\]")


def is_grounded(quote: str, response: str) -> bool:
    """Whether `quote` is taken from `response`; an empty quotation is not, nor one of backslashes alone."""
    pieces = [piece for piece in map(_level, _ELLIPSIS.split(quote)) if piece]
    rest = _level(response)
    for piece in pieces:
        _, found, rest = rest.partition(piece)
        if not found:
            return False
    return bool(pieces)


def ground_quotes(pair: PreferencePair, vote: Vote) -> tuple[tuple[SideText, bool], ...]:
    """Every quotation of a vote and whether it is grounded; a swapped prompt exchanges the responses."""
    texts = ["\n".join(message.text for message in response) for response in pair.responses]
    by_name = dict(zip("ABCD", texts, strict=False))
    return tuple(
        (quote, is_grounded(quote.text, by_name.get(vote.name_in_pair(quote.side), "")))
        for quote in vote.verdict.trace.quotes
    )


def _level(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_LEVELLED)).casefold()
    return " ".join(text.split()).strip("\"' ")
