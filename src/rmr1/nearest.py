"""The word that was probably meant: one way to find it, for options, verbs, keys, models and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` is most like, dashes at its beginning and its case aside; None if none is near.

    >>> find_nearest("--modle", ["--model", "--rule"])
    '--model'
    """
    bare = {one.lower().lstrip("-"): one for one in known}
    near = get_close_matches(word.lower().lstrip("-"), bare, n=1)
    return bare[near[0]] if near else None


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean --model?`, or nothing if no known word is near."""
    near = find_nearest(word, known)
    return f"; did you mean {near}?" if near else ""
