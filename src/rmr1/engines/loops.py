"""Texts that repeat themselves: the rule by which a part of a guided judgment is ended early."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

LOOP_EVERY = 32
"""Tokens after which it is looked again."""
_WINDOW, _COPIES, _TOKENS = 768, 4, 96
_GRAM = 8
_WORD = re.compile(r"\w+|[^\w\s]")


def is_loop(tokens: Sequence[Hashable]) -> bool:
    """Whether the last tokens are one n-gram over and over: four times or more, and 96 tokens or more.

    >>> is_loop([7, 1, 2] + [3, 4, 5] * 32)
    True
    """
    tail = list(tokens[-_WINDOW:])[::-1]
    border = [0] * len(tail)  # of each beginning of the reversed tail (Knuth, Morris and Pratt)
    for end in range(1, len(tail)):
        size = border[end - 1]
        while size and tail[end] != tail[size]:
            size = border[size - 1]
        border[end] = size + (tail[end] == tail[size])
        length = end + 1
        if length >= _TOKENS and length >= _COPIES * (length - border[end]):
            return True
    return False


def cut_loop(text: str) -> str:
    """The text up to where it would have been ended as a loop, its words and marks counted as tokens.

    >>> cut_loop("so " + "no, " * 500) == "so" + " no," * 63 + " no"
    True
    """
    words = list(_WORD.finditer(text))
    tokens = [word[0] for word in words]
    # In a loop at least three quarters of its 8-grams have come before; most texts repeat none.
    grams = list(zip(*(tokens[at:] for at in range(_GRAM)), strict=False))
    if len(grams) - len(set(grams)) < _TOKENS - _TOKENS // _COPIES - _GRAM:
        return text
    for end in range(LOOP_EVERY, len(tokens) + 1, LOOP_EVERY):
        if is_loop(tokens[:end]):
            return text[: words[end - 1].end()]
    return text
