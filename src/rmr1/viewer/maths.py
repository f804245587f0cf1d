"""TeX in Markdown: which stretches of a text are formulas, and a formula as MathML.

A formula stands between `$ $`, `$$ $$`, `\\( \\)` or `\\[ \\]`. One dollar sign is an amount of money if a space is inside of
it or a digit outside. What the converter writes is not trusted: it goes through the page's list of allowed elements.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape, unescape
from typing import TYPE_CHECKING

from rmr1.screen import spell
from rmr1.viewer.allowance import Allowance

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

MOST_CHARS = 1000
"""Characters of a formula that is converted."""
_MOST_DEPTH = 50
_NUM_PARTS = {
    "mfrac": 2,
    "mroot": 2,
    "msub": 2,
    "msup": 2,
    "munder": 2,
    "mover": 2,
    "msubsup": 3,
    "munderover": 3,
}
"""Children of an element, without which it is an error."""
_UNREAD = "<mi>&amp;"
"""A mark of alignment that is left over from an environment the converter does not know."""
_CLOSERS = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
_ALIGNED = re.compile(r"(?<=\\begin)\{(?:aligned|split)\}|(?<=\\end)\{(?:aligned|split)\}")
"""Environments within a formula that look like one the converter knows."""


class _NoMacros(dict[str, "tuple[list[str], int]"]):
    """A formula that defines commands may grow without bound when they are filled in."""

    def __setitem__(self, name: str, value: tuple[list[str], int]) -> None:
        raise ValueError(f"{name} is defined")


def add_maths(md: MarkdownIt) -> None:
    """Give a parser the tokens `math_inline`, `math_inline_double` and `math_block`, whose content is the formula."""
    from mdit_py_plugins.dollarmath.index import math_inline_dollar

    dollar = math_inline_dollar(allow_space=False, allow_digits=False, allow_double=True)

    def dollar_rule(state: StateInline, silent: bool) -> bool:
        start = state.pos
        if not dollar(state, True):
            return False
        end, state.pos = state.pos, start
        if state.src[end : end + 1].isalnum():  # $HOME/$USER
            return False
        return bool(dollar(state, silent))

    md.inline.ruler.before("escape", "math_dollar", dollar_rule)
    md.inline.ruler.before("escape", "math_bracket", _bracket_rule)
    md.block.ruler.before("fence", "math_block", _block_rule, {"alt": ["paragraph", "blockquote", "list"]})


def convert_formula(source: str, allowance: Allowance, is_block: bool = False) -> str | None:
    """A formula as a `math` element; None if it cannot be read, is too long or too deep, defines commands or the
    allowance is spent."""
    if not source.strip() or len(source) > MOST_CHARS or allowance.is_spent:
        return None
    with allowance:
        return _convert(_ALIGNED.sub(r"{align*}", source.strip()), is_block)


@lru_cache(maxsize=4096)
def _convert(source: str, is_block: bool) -> str | None:
    from latex2mathml.converter import Converter

    display = "block" if is_block else "inline"
    converter = Converter(display=display)
    converter.macros = _NoMacros()
    try:
        element = converter.convert_to_element(source)
    except Exception:  # it raises whatever a malformed formula leads to, RecursionError too
        return None
    element.attrib.clear()
    element.set("display", display)
    parts: list[str] = []
    if not _write(element, parts, _MOST_DEPTH) or _UNREAD in parts:
        return None
    return "".join(parts)


def _write(element: Element, parts: list[str], depth: int) -> bool:
    """Its own writer leaves what it takes for entities unescaped."""
    if not depth or not element.tag.isalpha() or len(element) != _NUM_PARTS.get(element.tag, len(element)):
        return False
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in element.items() if name.isalpha())
    parts.append(f"<{element.tag}{attributes}>{_clean(element.text)}")
    for child in element:
        if not _write(child, parts, depth - 1):
            return False
        parts.append(_clean(child.tail))
    parts.append(f"</{element.tag}>")
    return True


def _clean(text: str | None) -> str:
    """Escaped text without what is not seen: the converter's own invisible signs, and what it decodes of the formula."""
    shown = unescape(text or "")
    if spell(shown) != shown:
        shown = "".join(one for one in shown if spell(one) == one)
    return escape(shown)


def _bracket_rule(state: StateInline, silent: bool) -> bool:
    opener = state.src[state.pos : state.pos + 2]
    if opener not in (r"\(", r"\["):
        return False
    unclosed = state.env.setdefault("unclosed", {})
    if unclosed.get(opener) is state.src:
        return False
    end = state.src.find(_CLOSERS[opener], state.pos + 2)
    if end < 0:
        unclosed[opener] = state.src
        return False
    content = state.src[state.pos + 2 : end]
    if not content.strip() or opener in content:
        return False
    if not silent:
        token = state.push("math_inline" if opener == r"\(" else "math_inline_double", "math", 0)
        token.content, token.markup = content, opener
    state.pos = end + 2
    return True


def _block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    r"""A formula that begins its line with `$$` or `\[` and ends a line, without a blank line or another beginning inside."""
    if state.is_code_block(start):
        return False
    opener = state.src[state.bMarks[start] + state.tShift[start] :][:2]
    if opener not in ("$$", r"\["):
        return False
    for line in range(start, end):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
        if line > start and state.sCount[line] < state.blkIndent:
            return False
        inner = text[2:] if line == start else text
        if not text or (line > start and opener != "$$" and opener in text):
            return False
        if (place := inner.find(_CLOSERS[opener])) >= 0:
            if place != len(inner) - 2:
                return False
            break
    else:
        return False
    content = state.getLines(start, line + 1, state.blkIndent, False).strip()[2:-2]
    if not content.strip():
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.block, token.content, token.markup = True, content, opener
        token.map = [start, line + 1]
        state.line = line + 1
    return True
