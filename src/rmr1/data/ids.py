"""Ids of pairs: a row's own, or the row's place in its file, which is no part of what the pair is."""

from __future__ import annotations

import re

_PLACE = re.compile(r".*:[0-9]+(/.*)?", re.DOTALL)
"""The id of a row without one of its own, `<file stem>:<line>`; what follows tells the pairs of a row apart."""
_REPEATED = re.compile(r" \([0-9]+\)\Z")
"""The ending by which ids of own pairs that repeat are told apart, in the sequence of their rows."""


class OwnId(str):
    """An id that looks like a place, such as `gsm8k:12`, and is a row's own: it was read from a column of ids."""

    __slots__ = ()


def mark_own(id: str) -> str:
    """The id of a row's own field, marked if it could be taken for a place."""
    return id if own_id(id) else OwnId(id)


def own_id(id: str) -> str:
    """The id without what it owes to the place of its row; empty for a row without an id of its own."""
    id = strip_repeat(id)
    return "" if _PLACE.fullmatch(id) else id


def strip_repeat(id: str) -> str:
    """The id without the number that tells pairs of one id apart."""
    return _REPEATED.sub("", id)
