"""Code of a fenced block -> HTML in which keywords, texts, numbers and comments have classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from rmr1.viewer.allowance import Allowance

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MOST_CHARS = 20_000
"""Characters of one block that are coloured."""
_GAP = re.compile(r"\s{200}")
"""White space that no program has and in which lexers of C look for a function from every place anew."""
CLASSES = frozenset(
    {"code-word", "code-text", "code-number", "code-note", "code-name", "code-out", "code-in"}
)
"""What `highlight` writes; static/rich.css has their colours."""
_LANGUAGES = frozenset({
    "Python", "JavaScript", "TypeScript", "Java", "C", "C++", "C#", "Go", "Rust", "Ruby", "PHP",
    "Swift", "Kotlin", "S", "Julia", "Matlab", "SQL", "Bash", "HTML", "XML", "CSS", "JSON",
    "TOML", "Diff", "Lua", "Docker", "Makefile", "TeX",
})  # fmt: skip
"""Languages of answers whose lexers were tried with hostile code: no single step of them takes long."""


def highlight(code: str, language: str, allowance: Allowance) -> str:
    """Escaped code with a `span` around each word of a kind; without any if the language is not known, the code too long
    or the allowance spent.

    >>> highlight("x = 1 # <b>", "python", Allowance(1))
    'x = <span class="code-number">1</span> <span class="code-note"># &lt;b&gt;</span>'
    """
    is_fit = len(code) <= MOST_CHARS and not _GAP.search(code) and not allowance.is_spent
    lexer = _load_lexer(language.lower()) if is_fit else None
    if lexer is None:
        return escape(code, quote=False)
    with allowance:
        return "".join(_paint(lexer, code, allowance))


def _paint(lexer: Lexer, code: str, allowance: Allowance) -> Iterator[str]:
    kinds = _list_kinds()

    def classify(kind: object) -> str | None:
        while kind is not None and kind not in kinds:
            kind = getattr(kind, "parent", None)
        return kinds.get(kind)

    def read() -> Iterator[tuple[str | None, str]]:
        for start, kind, text in lexer.get_tokens_unprocessed(
            code + "\n"
        ):  # comments of C end with their line
            if allowance.is_spent:  # many lexers look ahead to the end at every word
                yield None, code[start:]
                return
            yield classify(kind), text[: len(code) - start]

    for name, group in groupby(read(), key=lambda one: one[0]):
        text = escape("".join(text for _, text in group), quote=False)
        yield text if name is None or not text else f'<span class="{name}">{text}</span>'


@lru_cache(maxsize=1)
def _list_kinds() -> dict[object, str | None]:
    from pygments import token

    return {
        token.Comment: "code-note",
        token.Keyword: "code-word",
        token.Operator.Word: "code-word",
        token.String: "code-text",
        token.Number: "code-number",
        token.Name.Function: "code-name",
        token.Name.Class: "code-name",
        token.Name.Tag: "code-name",
        token.Name.Decorator: "code-name",
        token.Name.Builtin: "code-name",
        token.Generic.Deleted: "code-out",
        token.Generic.Inserted: "code-in",
        token.Generic.Prompt: "code-note",
        token.Token: None,
    }


@lru_cache(maxsize=256)
def _load_lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return None
    return lexer if lexer.name in _LANGUAGES else None
