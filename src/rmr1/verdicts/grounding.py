"""The place of a quotation in the response that it is taken from.

A quotation is looked for as it is written first. If it is not there, white space, case, quotation marks and
typographic variants are levelled in both, and an ellipsis splits a quotation into pieces that must all occur, in
order: judges shorten, and shortening is not inventing. Double and single marks are one, because writers change them
inside a quotation, and so are a space and a dash between letters ("city-hall"). A stop at the end of a quotation is
the judge's own if the answer goes on without it: writers put it inside the quotation marks. Backslashes are levelled
too: the prompt shows a response with one in each of its control tokens (`rmr1.prompts.escape`), and a judge copies
them all, some or none. Brackets and primes stay, because they carry meaning: f'(x) is not f(x).
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from rmr1.verdicts.mentions import Span

_UNSEEN = "\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
"""Joiners, marks of direction and of presentation."""
_LEVELLED = (
    dict.fromkeys('"“”„‟«»″＂‘’‚‛‹›′＇', "'")
    | dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
    | {"\u00a0": " "}
    | dict.fromkeys(f"\\＼﹨{_UNSEEN}", "")
)
"""Forms of one character -> the plainest of them."""
_ELLIPSIS = re.compile(r"\.{3,}|…|\[\.\.\.\]|\[…\]")
_SPACES = re.compile(r"\s+")
_ASCII_DASHES = re.compile(r"(?<=[A-Za-z])-(?=[A-Za-z])")
_EDGES = "' "
_STOPS = ".,;:!?-"
"""What a quotation may end with though the answer does not; a dash between letters if it ends at one."""

Match = Literal["exact", "levelled", "none"]
"""How a quotation was found: character by character, after levelling, or not at all."""


class Place(NamedTuple):
    """The place of a quotation in a response."""

    match: Match
    spans: tuple[Span, ...] = ()
    """(start, end) in the response's characters, one for each piece of a quotation that was shortened; empty if it was
    not found."""


NOWHERE = Place("none")


def find_quote(quote: str, response: str) -> Place:
    """The first place of `quote` in `response`. An empty quotation is found nowhere, nor one of quotation
    marks and backslashes alone.

    >>> find_quote("Wash the “car”", 'First wash the "car".')
    Place(match='levelled', spans=((6, 19),))
    """
    words = quote.strip()
    pieces = [text for piece in _ELLIPSIS.split(words) if (text := _level_text(piece).strip(_EDGES))]
    if not pieces:
        return NOWHERE
    if (start := response.find(words)) >= 0:
        return Place("exact", ((start, start + len(words)),))
    bare = [text for piece in pieces if (text := piece.rstrip(_STOPS + _EDGES))]
    found = _find_pieces(pieces, response) or _find_pieces(bare, response)
    if not found:
        return NOWHERE
    levelled = _level(response)
    spans = tuple((levelled.starts[start], levelled.ends[end - 1]) for start, end in found)
    return Place("levelled", spans)


def is_grounded(quote: str, response: str) -> bool:
    """Whether `quote` is taken from `response`; an empty quotation is not."""
    return find_quote(quote, response).match != "none"


def _find_pieces(pieces: Sequence[str], response: str) -> tuple[Span, ...]:
    """The first place in the levelled response of each piece behind the one before; none if one is missing."""
    text = _level_text(response)
    spans: list[Span] = []
    after = 0
    for piece in pieces:
        start = text.find(piece, after)
        if start < 0:
            return ()
        after = start + len(piece)
        spans.append((start, after))
    return tuple(spans)


class _Levelled(NamedTuple):
    """A levelled text; each of its characters stands for those from its start to its end in the original."""

    text: str
    starts: array[int]
    ends: array[int]


@lru_cache(maxsize=8)
def _level_text(text: str) -> str:
    """`_level(text).text`, for most texts without walking over their characters."""
    if not text.isascii():
        return _level(text).text
    plain = _ASCII_DASHES.sub(" ", text.replace("\\", "").replace('"', "'"))
    return _SPACES.sub(" ", plain).lower().lstrip(" ")


@lru_cache(maxsize=8)
def _level(text: str) -> _Levelled:
    """Characters that Unicode composes are levelled together; the result is that of levelling the text as a whole."""
    parts: list[str] = []
    starts, ends = array("q"), array("q")
    for start, end, piece in _iterate_clusters(text):
        for char in unicodedata.normalize("NFKC", piece).casefold():
            if not char.isspace():
                parts.append(char)
            elif parts and parts[-1] != " ":
                parts.append(" ")
            else:
                continue
            starts.append(start)
            ends.append(end)
    return _Levelled("".join(parts), starts, ends)


def _iterate_clusters(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, characters) of every run that normalises by itself, without what is levelled away."""
    kept = [(place, plain) for place, char in enumerate(text) if (plain := _LEVELLED.get(char, char))]
    first = last = 0
    held = ""
    for number, (place, plain) in enumerate(kept):
        if plain == "-" and _is_between_letters(kept, number):
            plain = " "
        if held and not plain.isascii() and _is_joined(held, plain):
            held += plain
        else:
            if held:
                yield first, last, held
            first, held = place, plain
        last = place + 1
    if held:
        yield first, last, held


def _is_between_letters(kept: Sequence[tuple[int, str]], number: int) -> bool:
    around = [kept[place][1] for place in (number - 1, number + 1) if 0 <= place < len(kept)]
    return len(around) == 2 and all(one.isalpha() for one in around)


def _is_joined(held: str, char: str) -> bool:
    """Whether normalisation makes something else of both together than of each alone."""
    if unicodedata.combining(char):
        return True
    apart = unicodedata.normalize("NFKC", held) + unicodedata.normalize("NFKC", char)
    return unicodedata.normalize("NFKC", held + char) != apart
