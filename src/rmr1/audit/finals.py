"""A text -> the answer that it ends in, by its form alone: a number, an option's letter, or words that are set apart.

    \\boxed{17}, #### 17               marked as the answer
    EEEEE                             an option's letter, repeated
    (E) in the last line with one     an option's letter, if the question lists options
    **yes, no, yes**                  what the last line with bold words has in bold
    17                                the last number of the text, unless the question lists options

What a text says in other forms is not read. An answer that goes on after its result may be read wrongly; whoever compares
answers should ask for equality, which a wrong number seldom has.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Literal

Form = Literal["letter", "number", "words"]
FORMS: tuple[Form, ...] = ("letter", "number", "words")

_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,2}\{((?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,200}\}){1,400})\}")
_HASHES = re.compile(r"^####\s{1,4}(\S[^\n]{0,200})$", re.M)
_RUN = re.compile(r"(?<![A-Za-z])([A-Z])\1{2,}(?![A-Za-z])")
_OPTION = re.compile(r"\(([A-Z])\)|\*\*\s?\(?([A-Z])\)?[.:]?\s?\*\*")
_LISTED = re.compile(r"^[ \t]{0,8}\(?([A-Z])[).:][ \t]", re.M)
_BOLD = re.compile(r"\*\*(?=\S)([^*\n]{1,200})(?<=\S)\*\*")
_NUMBER = re.compile(
    r"(?<![\w.])[-−]?\$?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.])[-−]?\$?\d+(?:\.\d+)?(?!\w)", re.ASCII
)
_SET = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s{0,2}\{([^{}]*)\}")
_EDGES = " \t\n.,;:!?$\"'`*\\()[]"
_MOST_WORDS = 60
"""Characters of words that are compared."""


def has_options(question: str) -> bool:
    """Whether the question lists options: lines that begin with (A) and (B), or A. and B.

    >>> has_options("Which?\\n(A) One\\n(B) Two")
    True
    """
    return {"A", "B"} <= set(_LISTED.findall(question))


def read_finals(text: str, *, with_options: bool = False, is_loose: bool = True) -> Mapping[Form, str]:
    """The answer that a text ends in, in every form that it has.

    Args:
        with_options: whether the question lists options, so that a bare number is none of them.
        is_loose: whether an option in brackets, bold words inside of a line and the last number count too, which nothing
            marks as the answer.

    >>> dict(read_finals("So it is **14**."))
    {'number': '14', 'words': '14'}
    """
    found: dict[Form, str] = {}
    marked = _last(_BOXED, text) or _last(_HASHES, text)
    if marked is not None:
        marked = _SET.sub(r"\1", marked).strip(_EDGES)
        if len(marked) == 1 and "A" <= marked <= "Z":
            return {"letter": marked}
        _take(found, marked)
        return found
    if (run := _last(_RUN, text)) is not None:
        return {"letter": run}
    if with_options:
        letter = _read_option(text) if is_loose else None
        return {} if letter is None else {"letter": letter}
    if (bold := _read_bold(text, is_loose=is_loose)) is not None:
        _take(found, bold)
    if is_loose and "number" not in found and (number := _last(_NUMBER, text)) is not None:
        found["number"] = _level_number(number)
    return found


def _take(found: dict[Form, str], words: str) -> None:
    numbers = _NUMBER.findall(words)
    if len(numbers) == 1:
        found["number"] = _level_number(numbers[0])
    level = " ".join(words.casefold().split()).strip(_EDGES)
    if 0 < len(level) <= _MOST_WORDS:
        found["words"] = level


def _last(form: re.Pattern[str], text: str) -> str | None:
    found = deque(form.finditer(text), maxlen=1)
    return str(found[0][found[0].lastindex or 0]) if found else None


def _read_option(text: str) -> str | None:
    """The one letter in brackets or bold of the last line that has any."""
    for line in reversed(text.splitlines()):
        if letters := {one or other for one, other in _OPTION.findall(line)}:
            return letters.pop() if len(letters) == 1 else None
    return None


def _read_bold(text: str, *, is_loose: bool) -> str | None:
    """What the last line with bold words has in bold, if it is the last line but one at most; if it is to be strict, a line
    that is bold as a whole."""
    lines = [line.strip() for line in text.splitlines() if line.strip()][-2:]
    for line in reversed(lines):
        words = _BOLD.findall(line)
        if words and (is_loose or line.strip("*") == words[-1].strip("*")):
            return str(words[-1])
    return None


def _level_number(number: str) -> str:
    """The number loses its separators of thousands, a currency, and zeros that mean nothing."""
    plain = number.replace(",", "").replace("$", "").replace("−", "-")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    return sign + (digits.lstrip("0") or "0" if "." not in digits else digits)
