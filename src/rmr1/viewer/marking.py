"""Marks at places of a text -> the same marks in the text's formatted HTML.

Formatting takes white space and ASCII signs out of a text and nothing else. So the n-th other character of the text is
the n-th of the page: a place is found by counting, without anything put into the text that could change what it means or
be forged by it. If the two sequences differ, the page is not used.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape, unescape
from itertools import accumulate, pairwise

_SOLID = re.compile(r"[^\s!-/:-@\[-`{-~]")
_PARTS = re.compile(r"(<math[ >].*?</math>)|(<[^>]*>)", re.DOTALL)
_MOST_SIGNS = 200
"""Signs before the first letter of a mark, or behind its last one, that are looked for in the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stretch of a text that leads to another place of the page, such as a quotation."""

    start: int
    end: int
    id: str | None
    """Its anchor; None if another stretch of the same quotation has it."""
    href: str
    """A fragment of our own: `#j1e0-3`."""
    style: str = "quote"
    """Classes: `quote`, `quote invented`."""
    number: str = ""
    """What is shown behind it."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    """A stretch of the page: a tag without text, text, or a formula with its source as text."""

    text: str
    html: str | None = None
    """None of text."""


def mark_plain(text: str, marks: Sequence[Mark]) -> str:
    """An inert text as escaped HTML with its marks."""
    return "".join(_write([_Item(text)], marks))


def mark_html(
    html: str, sources: Sequence[str], text: str, marks: Sequence[Mark]
) -> tuple[str | None, frozenset[int]]:
    """Clean HTML of an inert text with the text's marks.

    Args:
        sources: The source of each `math` element.

    Returns:
        The page, and the indices of formulas that a mark cuts: with any, there is no page. There is none either if a mark
        has no place of its own there, or the HTML has other letters than the text.
    """
    items = list(_split(html, sources))
    page = _Page(text, items)
    if not page.is_faithful:
        return None, frozenset()
    places = [page.find(mark) for mark in marks]
    if cut := frozenset(one for one in places if isinstance(one, int)):
        return None, cut
    placed = []
    for mark, span in zip(marks, places, strict=True):
        if not isinstance(span, tuple):
            return None, cut
        placed.append(replace(mark, start=span[0], end=span[1]))
    return "".join(_write(items, placed)), cut


class _Page:
    """The places of a text's letters on its page."""

    def __init__(self, text: str, items: Sequence[_Item]):
        self._text, self._shown = text, "".join(one.text for one in items)
        self._there = [match.start() for match in _SOLID.finditer(self._text)]
        self._here = [match.start() for match in _SOLID.finditer(self._shown)]
        ends = list(accumulate(len(one.text) for one in items))
        self._formulas = [
            (end - len(item.text), end)
            for item, end in zip(items, ends, strict=True)
            if item.html is not None and item.text
        ]

    @property
    def is_faithful(self) -> bool:
        """Whether it has the letters of the text, all and in sequence."""
        return [self._text[one] for one in self._there] == [self._shown[one] for one in self._here]

    def find(self, mark: Mark) -> tuple[int, int] | int | None:
        """The place of a mark; the index of a formula that it cuts; None if it has no letter."""
        there, here = self._there, self._here
        first, last = bisect_left(there, mark.start), bisect_left(there, mark.end) - 1
        if first > last:
            return None
        start, end = here[first], here[last] + 1
        before = here[first - 1] + 1 if first else 0
        behind = here[last + 1] if last + 1 < len(here) else len(self._shown)
        number = bisect_left(self._formulas, (start + 1, 0)) - 1
        formula = self._formulas[number] if number >= 0 else (0, 0)
        if start < formula[1]:
            if formula[0] < before:
                return number
            start = formula[0]
        else:
            signs = self._text[mark.start : there[first]]
            start -= _count_signs(signs[::-1], self._shown[max(before, formula[1]) : start][::-1])
        number = bisect_left(self._formulas, (end, 0)) - 1
        if number >= 0 and end <= self._formulas[number][1]:
            end = self._formulas[number][1]
            return number if end > behind else (start, end)
        if number + 1 < len(self._formulas):
            behind = min(behind, self._formulas[number + 1][0])
        return start, end + _count_signs(self._text[there[last] + 1 : mark.end], self._shown[end:behind])


def _split(html: str, sources: Sequence[str]) -> Iterator[_Item]:
    left, place = iter(sources), 0
    for match in _PARTS.finditer(html):
        if match.start() > place:
            yield _Item(unescape(html[place : match.start()]))
        yield _Item("" if match[1] is None else next(left), match[0])
        place = match.end()
    if place < len(html):
        yield _Item(unescape(html[place:]))


def _count_signs(signs: str, shown: str) -> int:
    """How many of the characters shown next belong to a mark that has these signs there; formatting took others away."""
    signs, shown = signs[:_MOST_SIGNS], shown[:_MOST_SIGNS]
    place = count = 0
    for number, sign in enumerate(shown, start=1):
        if sign.isspace():
            continue
        found = signs.find(sign, place)
        if found < 0:
            break
        place, count = found + 1, number
    return count


def _write(items: Sequence[_Item], marks: Sequence[Mark]) -> Iterator[str]:
    upcoming = sorted(marks, key=lambda one: (one.start, -one.end))
    cuts = sorted({place for one in marks for place in (one.start, one.end)})
    begun: list[Mark] = []
    place = next_mark = 0
    for item in items:
        stop = place + len(item.text)
        if not item.text:
            yield item.html or ""
            continue
        inside = [] if item.html is not None else cuts[bisect_left(cuts, place + 1) : bisect_left(cuts, stop)]
        for start, end in pairwise([place, *inside, stop]):
            begun = [one for one in begun if one.end > start]
            begins = []
            while next_mark < len(upcoming) and upcoming[next_mark].start <= start:
                begins.append(upcoming[next_mark])
                next_mark += 1
            begun += begins
            yield "".join(f'<span class="at" id="{escape(one.id)}"></span>' for one in begins if one.id)
            shown = item.html or escape(item.text[start - place : end - place], quote=False)
            yield _link(shown, begun, begins, end, item) if begun else shown
        place = stop


def _link(shown: str, begun: Sequence[Mark], begins: Sequence[Mark], end: int, item: _Item) -> str:
    """A stretch leads to where the first of its marks leads, and names the numbers of all; the keyboard stops at those
    in which a mark begins."""
    first = begun[0]
    title = first.title or ("" if item.html is None else item.text)
    told = f' title="{escape(title)}"' if title else ""
    if numbers := " ".join(dict.fromkeys(one.number for one in begun if one.number)):
        told += f' data-numbers="{escape(numbers)}"'
    if not begins:
        if shown.isspace():
            return f'<span class="{escape(first.style)}"{told}>{shown}</span>'
        told += ' tabindex="-1"'
    numbers_here = dict.fromkeys(one.number for one in begun if one.number and one.end <= end)
    behind = f"<sup>{escape(' '.join(numbers_here))}</sup>" if numbers_here else ""
    return f'<a class="{escape(first.style)}" href="{escape(first.href)}"{told}>{shown}{behind}</a>'
