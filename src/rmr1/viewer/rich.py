"""Foreign text with quotations -> HTML in which Markdown, code and formulas are read as people read them.

The text is hostile: it is made inert, formatted without anything that hides a letter, leads away or loads, and what comes
out keeps only the elements and attributes below. Quotations are marked afterwards. A text that formatting would
change, or in which a quotation would lose its place, is shown as it is written; so is one that has no Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from rmr1.audit.quotes import LinkedQuote
from rmr1.plugins import require
from rmr1.report.numbered import Numbers
from rmr1.report.pieces import Turn
from rmr1.screen import inert
from rmr1.viewer import code
from rmr1.viewer.allowance import Allowance
from rmr1.viewer.markdown import format_markdown
from rmr1.viewer.marking import Mark, mark_html, mark_plain

if TYPE_CHECKING:
    from markupsafe import Markup
    from nh3 import Cleaner

MOST_CHARS = 250_000
"""Characters of a text that is formatted."""
MOST_SIGNS = 20_000
"""Signs of Markdown in a text that is formatted."""
MOST_LINES = 5_000
MOST_COLUMNS = 100
"""Columns of a table that is formatted."""
SECONDS = 0.4
"""Processor seconds for the formulas and the colours of one text."""
_SIGNS = re.compile(r"[*_`#|$\\\[\]!<>~-]")
_HINT = re.compile(r"[*_`#|$\\~>\[<]|^[ ]*(?:[-+=]|\d{1,9}[.)] )|^ {4}", re.MULTILINE)
_WORDS = frozenset({
    "mi", "mn", "mo", "ms", "mtext", "mrow", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup",
    "munder", "mover", "munderover",
})  # fmt: skip
_MATHS = _WORDS | frozenset({
    "math", "mstyle", "mspace", "mtable", "mtr", "mtd", "menclose",
})  # fmt: skip
_BLOCKS = frozenset({
    "p", "br", "hr", "ul", "li", "blockquote", "div", "pre", "code", "table", "thead", "tbody", "tr",
    "th", "td", "span", "em", "strong", "s",
})  # fmt: skip
_CLASSES = {
    "p": {"heading", "h1", "h2", "h3", "h4", "h5", "h6", "language"},
    "ul": {"numbered"},
    "div": {"scroll", "code", "formula"},
    "code": {"tex"},
    "span": {"number", "address", "image", *code.CLASSES},
    "th": {"right", "center"},
    "td": {"right", "center"},
}
_VALUES: dict[str, dict[str, set[str]]] = {
    "pre": {"tabindex": {"0"}},
    "div": {"tabindex": {"0"}, "dir": {"ltr"}},
    "math": {"display": {"block", "inline"}},
    "menclose": {"notation": {"box"}},
    "mspace": {"width": {"0.167em", "0.222em", "0.278em", "0.333em", "1em", "2em"}},
    "mover": {"accent": {"true"}},
    "mn": {"mathvariant": {"bold"}},
    "mtext": {"mathvariant": {"bold", "italic"}},
    "mtd": {"columnalign": {"left", "right", "center"}},
    "mo": {
        "stretchy": {"true", "false"},
        "fence": {"true", "false"},
        "form": {"prefix", "infix", "postfix"},
        "movablelimits": {"true"},
        "accent": {"true"},
    }
    | {name: {"1.2em", "1.623em", "2.047em", "2.470em"} for name in ("minsize", "maxsize")},
    "mi": {"mathvariant": {"normal", "bold"}},
    "mfrac": {"linethickness": {"0", "0em", "0px"}},
    "mstyle": {"displaystyle": {"true", "false"}, "scriptlevel": {"0"}},
} | {tag: {"dir": {"auto"}} for tag in ("p", "li", "th", "td")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rich:
    """A text for a page."""

    html: Markup
    """One `div`: of class `rich` if it is formatted, else `text`."""
    is_formatted: bool
    """False if the text is shown as it is written."""


def format_rich(text: str, marks: Sequence[Mark] = (), allowance: Allowance | None = None) -> Rich:
    """A foreign text with marks at places of it; marks may overlap.

    Raises:
        ConfigError: A library of the extra `view` is not installed.
    """
    with require("formatted text", "view"):
        from markupsafe import Markup
    shown, placed = _make_inert(text, marks)
    html = _format(shown, placed, allowance or Allowance(SECONDS))
    if html is None:
        plain = f'<div class="text" dir="auto">{mark_plain(shown, placed)}</div>'
        return Rich(html=Markup(plain), is_formatted=False)
    return Rich(html=Markup(f'<div class="rich" dir="auto">{html}</div>'), is_formatted=True)


def format_turn(
    turn: Turn, name: str, aim: str, here: str, numbers: Numbers, allowance: Allowance | None = None
) -> Rich:
    """One turn of `rmr1.report.pieces` with its quotations, anchored as the report does it.

    Args:
        name: The beginning of the judgment's anchors.
        aim: The letter of the place that the quotations lead to: "a" an answer, "e" the evaluation.
        here: That of this text's own anchors.
        numbers: What quotations are called.
        allowance: What the page has left; a text for which nothing is left is shown as it is written.
    """
    found: dict[tuple[int, int], list[Mark]] = {}
    place = 0
    for piece in turn.pieces:
        end = place + len(piece.text)
        for quote in {(one.vote, one.number): one for one in (piece.quote, *piece.begins) if one}.values():
            marks = found.setdefault((quote.vote, quote.number), [])
            if marks and marks[-1].end == place:
                marks[-1] = replace(marks[-1], end=end)
            elif end > place:
                marks.append(
                    _mark(quote, (place, end), name, aim, here, quote in piece.begins, numbers.of(quote))
                )
        place = end
    text = "".join(piece.text for piece in turn.pieces)
    return format_rich(text, [one for marks in found.values() for one in marks], allowance)


def _mark(
    quote: LinkedQuote, span: tuple[int, int], name: str, aim: str, here: str, is_first: bool, number: int
) -> Mark:
    anchor = f"{quote.vote}-{quote.number}"
    return Mark(
        start=span[0],
        end=span[1],
        id=f"{name}{here}{anchor}" if is_first else None,
        href=f"#{name}{aim if quote.is_found else here}{anchor}",
        style="quote" if quote.is_found else "quote invented",
        number=f"{number}{'' if quote.is_found else '?'}",
        title=f"{'' if quote.is_found else 'not found in '}answer {quote.side}",
    )


def _make_inert(text: str, marks: Sequence[Mark]) -> tuple[str, list[Mark]]:
    """The text with what does not show spelled out, and the marks at its places."""
    kept = [
        replace(one, start=start - _is_inside(text, start), end=end + _is_inside(text, end))
        for one in marks
        for start, end in [(max(0, one.start), min(len(text), one.end))]
    ]
    cuts = sorted({0, len(text), *(place for one in kept for place in (one.start, one.end))})
    parts = [inert(text[start:end]) for start, end in pairwise(cuts)]
    places, place = {cuts[0]: 0}, 0
    for cut, part in zip(cuts[1:], parts, strict=True):
        place += len(part)
        places[cut] = place
    return "".join(parts), [replace(one, start=places[one.start], end=places[one.end]) for one in kept]


def _is_inside(text: str, place: int) -> bool:
    """Whether a place divides a line break."""
    return place > 0 and text.startswith("\r\n", place - 1)


def _format(text: str, marks: Sequence[Mark], allowance: Allowance) -> str | None:
    if len(text) > MOST_CHARS or not _HINT.search(text) or len(_SIGNS.findall(text)) > MOST_SIGNS:
        return None
    if _is_large(text) or allowance.is_spent:
        return None
    cut: frozenset[int] = frozenset()
    while True:
        found = format_markdown(text, allowance, cut)
        if found is None:
            return None
        html, sources = found
        page, newly_cut = mark_html(_load_cleaner().clean(html), list(sources.values()), text, marks)
        if not newly_cut:
            return page
        numbers = list(sources)
        cut |= {numbers[one] for one in newly_cut}


def _is_large(text: str) -> bool:
    """Whether the parser of Markdown would take long."""
    lines = text.split("\n")
    return len(lines) > MOST_LINES or max(line.count("|") for line in lines) > MOST_COLUMNS


@lru_cache(maxsize=1)
def _load_cleaner() -> Cleaner:
    with require("formatted text", "view"):
        from nh3 import Cleaner
    return Cleaner(
        tags=set(_BLOCKS | _MATHS),
        clean_content_tags=set(),
        attributes={},
        tag_attribute_values=_VALUES,
        allowed_classes=_CLASSES,
        generic_attribute_prefixes=set(),
        url_schemes=set(),
        link_rel=None,
    )
