"""Sheets: JSON objects with fields of text, which a model fills instead of writing a text, and how they are read.

What a model wrote may be cut by a token limit; the fields before that are read all the same.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_FIELD = re.compile(r'"(?P<name>[^"\\]{1,64})"\s*:\s*"(?P<value>(?:[^"\\]|\\.)*)"?', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a `Sheet`: a text, or one of its choices."""

    name: str
    about: str
    """A sentence for the model."""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A JSON object to be filled instead of a text; for engines that cannot go on with one (`Guidable`)."""

    fields: tuple[Field, ...]
    """Fields in their sequence. If the last one has choices, `verdict_logprobs` are those of its value."""


def find_value(text: str, name: str) -> tuple[int, int] | None:
    """The span of a field's value as it was written, without its quotation marks; None if it has none that is text.

    >>> find_value('{"answer": "A"}', "answer")
    (12, 13)
    """
    # A text may hold what looks like a field: those before it are passed over, value and all.
    for found in _FIELD.finditer(text):
        if found["name"] == name:
            return found.span("value")
    return None


def read_value(text: str, name: str) -> str | None:
    """A field's text; None if it has none."""
    if (span := find_value(text, name)) is None:
        return None
    raw = re.sub(r"\\u[0-9a-fA-F]{0,3}\Z", "", text[slice(*span)])
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw
