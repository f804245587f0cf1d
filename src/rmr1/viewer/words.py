"""Text -> what the index holds of it; what a user types -> an expression of SQLite's full-text search that cannot fail.

The index knows words: letters and digits between anything else, in any case and without accents. Scripts without
spaces between words are held character by character, so that any run of them is found. Nothing that a user types is
an operator: every term is a quoted phrase, and all of them have to be there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from rmr1.errors import ConfigError
from rmr1.store.codec import shorten

TOKENIZER = "unicode61 remove_diacritics 2"
MOST_TERMS = 64
"""Words and phrases of one search, at most."""
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f])"
)
"""Thai, Lao, Burmese, Khmer, kana and Han; Korean has spaces."""
_BORDER = "\ue000"
"""A word between texts that nobody looks for."""
_TERM = re.compile(r'"([^"]*)"?|(\S+?)(\*?)(?=["\s]|$)')


def spell(text: str) -> str:
    """The text as the index takes it: UTF-8, with every character of a script without spaces apart."""
    if text.isascii():
        return text
    clean = text.encode("utf-8", "replace").decode("utf-8").replace(_BORDER, " ")
    return _UNSPACED.sub(r" \1 ", clean)


def join_texts(texts: Iterable[str]) -> str:
    """All texts as one, spelt; no phrase goes from one to the next."""
    return f" {_BORDER} ".join(map(spell, texts))


def write_match(text: str, *, column: str | None = None, what: str = "words") -> str:
    """The expression that finds what `text` says: words, "a phrase", begin*; in one column or in any.

    >>> write_match('wash "the car" NEAR( pol*')
    '"wash" AND "the car" AND "NEAR" AND "pol" *'

    Raises:
        ConfigError: it holds no word.
    """
    terms = [f'"{words}"{" *" if is_start else ""}' for words, is_start in _split(text)]
    if not terms:
        raise ConfigError(
            f"{what} {shorten(text)}: no word in it; words of letters or digits can be looked for"
        )
    if len(terms) > MOST_TERMS:
        raise ConfigError(f"{what}: {len(terms)} words and phrases; expected at most {MOST_TERMS}")
    found = " AND ".join(terms)
    return found if column is None else f"{column} : ({found})"


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """The words of each term, and whether it is the beginning of one."""
    for match in _TERM.finditer(text):
        phrase, word, star = match.groups()
        words = " ".join(
            "".join(char if _is_told(char) else " " for char in spell(phrase or word or "")).split()
        )
        if any(unicodedata.category(char)[0] in "LNC" for char in words):
            yield words, bool(star)


def _is_told(char: str) -> bool:
    """Whether the tokenizer may take the character for a part of a word: letters, numbers, marks on them, private ones."""
    return unicodedata.category(char)[0] in "LNM" or unicodedata.category(char) == "Co"
