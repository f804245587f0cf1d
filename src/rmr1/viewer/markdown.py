"""Markdown of a foreign text -> HTML that hides nothing and leads nowhere.

All that Markdown leaves out of a page is written beside what it belongs to: the address of a link or picture, the number of
a list's item, the language of a code block. So the letters of the HTML are those of the text, in the same sequence;
`rmr1.viewer.marking` relies on it and checks it. HTML in the text, entities and definitions of links are shown as written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

from rmr1.plugins import require
from rmr1.viewer.allowance import Allowance
from rmr1.viewer.code import highlight
from rmr1.viewer.maths import add_maths, convert_formula

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_PLAIN = frozenset({"paragraph_open", "paragraph_close", "inline", "text", "softbreak", "hardbreak"})
_TAGS = {
    "em": "em",
    "strong": "strong",
    "s": "s",
    "thead": "thead",
    "tbody": "tbody",
    "tr": "tr",
    "bullet_list": "ul",
}


def format_markdown(
    text: str, allowance: Allowance, as_written: Collection[int] = ()
) -> tuple[str, dict[int, str]] | None:
    """The HTML, and the source of each of its `math` elements by the index of the formula; None if the text has no Markdown.

    The formulas of the indices `as_written` are shown as TeX.
    """
    tokens = _load_parser().parse(text)
    kinds = {one.type for one in tokens} | {inner.type for one in tokens for inner in one.children or ()}
    if kinds <= _PLAIN:
        return None
    writer = _Writer(allowance, as_written)
    return "".join(writer.write(tokens)), writer.sources


@lru_cache(maxsize=1)
def _load_parser() -> MarkdownIt:
    with require("formatted text", "view"):
        import latex2mathml  # noqa: F401
        import mdit_py_plugins  # noqa: F401
        import pygments  # noqa: F401
        from markdown_it import MarkdownIt

    class Parser(MarkdownIt):
        """Nothing is left of a link but its words, so every address is taken, and shown as written."""

        def validateLink(self, url: str) -> bool:
            return True

        def normalizeLink(self, url: str) -> str:
            return url

        def normalizeLinkText(self, link: str) -> str:
            return link

    parser = Parser("commonmark", {"html": False, "linkify": False, "maxNesting": 40})
    parser.enable(["table", "strikethrough"])
    parser.disable(["reference", "entity", "html_inline", "html_block"])
    add_maths(parser)
    return parser


class _Writer:
    """Tokens to HTML, without white space between blocks."""

    def __init__(self, allowance: Allowance, as_written: Collection[int]):
        self.sources: dict[int, str] = {}
        self._allowance = allowance
        self._as_written = as_written
        self._num_formulas = 0

    def write(self, tokens: Sequence[Token]) -> Iterator[str]:
        links: list[str] = []
        for token in tokens:
            name, _, end = token.type.rpartition("_")
            if token.type == "inline" or token.type == "image":
                inner = self.write(token.children or ())
                if token.type == "image":
                    yield f'<span class="image">{"".join(inner)}{_tell_address(token, "src")}</span>'
                else:
                    yield from inner
            elif name in _TAGS:
                yield f"<{'/' * (end == 'close')}{_TAGS[name]}>"
            elif name == "link":
                if end == "open":
                    links.append("" if token.info == "auto" else _tell_address(token, "href"))
                else:
                    yield links.pop()
            else:
                yield self._write_one(token)

    def _write_one(self, token: Token) -> str:
        match token.type:
            case "text" | "text_special":
                return escape(token.content)
            case "softbreak" | "hardbreak":
                return "<br>"
            case "paragraph_open":
                return "" if token.hidden else '<p dir="auto">'
            case "paragraph_close":
                return "" if token.hidden else "</p>"
            case "heading_open":
                return f'<p dir="auto" class="heading {token.tag}">'
            case "heading_close":
                return "</p>"
            case "ordered_list_open":
                return '<ul class="numbered">'
            case "ordered_list_close":
                return "</ul>"
            case "list_item_open":
                number = (
                    f'<span class="number">{escape(token.info + token.markup)}</span> ' if token.info else ""
                )
                return f'<li dir="auto">{number}'
            case "list_item_close":
                return "</li>"
            case "blockquote_open":
                return "<blockquote>"
            case "blockquote_close":
                return "</blockquote>"
            case "hr":
                return "<hr>"
            case "table_open":
                return '<div class="scroll" tabindex="0"><table>'
            case "table_close":
                return "</table></div>"
            case "th_open" | "td_open":
                side = str(token.attrGet("style") or "").rpartition(":")[2]
                place = f' class="{side}"' if side in ("right", "center") else ""
                return f'<{token.tag} dir="auto"{place}>'
            case "th_close" | "td_close":
                return f"</{token.tag}>"
            case "code_inline":
                return f"<code>{escape(token.content)}</code>"
            case "code_block" | "fence":
                return self._write_code(token)
            case "math_inline" | "math_inline_double" | "math_block":
                return self._write_maths(token)
        raise AssertionError(f"token {token.type} has no form")

    def _write_code(self, token: Token) -> str:
        language = token.info.strip()
        title = f'<p class="language">{escape(language)}</p>' if language else ""
        code = highlight(token.content.removesuffix("\n"), language.partition(" ")[0], self._allowance)
        return f'<div class="code" dir="ltr">{title}<pre tabindex="0"><code>{code}</code></pre></div>'

    def _write_maths(self, token: Token) -> str:
        is_block = token.type != "math_inline"
        number, html = self._num_formulas, None
        self._num_formulas += 1
        if number not in self._as_written:
            html = convert_formula(token.content, self._allowance, is_block)
        if html is None:
            closer = {"\\(": "\\)", "\\[": "\\]"}.get(token.markup, token.markup)
            html = f'<code class="tex">{escape(token.markup + token.content + closer)}</code>'
        else:
            self.sources[number] = token.content
        return f'<div class="formula" tabindex="0">{html}</div>' if token.type == "math_block" else html


def _tell_address(token: Token, name: str) -> str:
    told = str(token.attrGet(name) or "")
    if title := token.attrGet("title"):
        told += f' "{title}"'
    return f' <span class="address">({escape(told)})</span>'
