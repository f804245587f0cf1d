"""The columns beside the texts: ids, sources, model names and whatever else a row carries.

A column that speaks of one answer has a partner that speaks of the other (`model_a`, `model_b`;
`chosen.llm_name`, `reject.llm_name`). Columns that hold the texts, or the label itself in another form (scores,
ranks, annotators' choices), are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

ColumnKind = Literal["ids", "models", "other columns"]

CONTENT = frozenset(
    (
        *("prompt", "question", "instruction", "input", "query", "context", "conversation_input"),
        *("conversations", "messages", "context_messages", "initial_reason_steps", "ground_truth", "answer"),
        *("chosen", "rejected", "reject", "accepted", "full_chosen", "full_rejected"),
        *("text", "text_chosen", "text_rejected", "completions", "responses", "bon_best", "loser_list"),
        *("response_a", "response_b", "response_A", "response_B", "response1", "response2"),
        *("response 1", "response 2", "output_1", "output_2"),
        *("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"),
    )
)
"""Columns of the known forms that hold what is asked and answered."""

LABELS = frozenset(
    (
        *("label", "winner", "score", "score_chosen", "score_rejected", "best", "num_correct"),
        *("overall_preference", "preference", "individual_preference", "verdict"),
    )
)
"""Columns of the known forms that hold the label, or what it was made from."""

_DISTILLED = frozenset(("order", "pass", "teacher", "key"))
"""What `rmr1 distill` says of a row beside its verdict, which follows from the label."""

_ANNOTATOR = re.compile(r"annotator\d+")
_TEXT_KEYS = frozenset(("answer", "content", "value", "text", "role", "from"))
_ID = re.compile(r"(?:^|[._\s-])(?:id|ids|uid|uuid|guid|idx|index|key|hash)$|(?<=[a-z])(?:Id|ID)$", re.I)
_MODEL = re.compile(r"model|generator|llm|engine|policy|teacher|author|assistant", re.I)
_PLACED = (("a", "b"), ("A", "B"), ("1", "2"), ("left", "right"), ("first", "second"))
_JUDGED = (
    ("chosen", "rejected"),
    ("chosen", "reject"),
    ("accepted", "rejected"),
    ("bon_best", "rejected"),
    ("winner", "loser"),
    ("better", "worse"),
    ("preferred", "dispreferred"),
)
_WORD = re.compile(r"[A-Za-z]+|\d+")
_OPAQUE = re.compile(r"[0-9a-fA-F-]{16,}|[A-Za-z0-9+/_=-]{28,}")
_PIECE = re.compile(r"([A-Za-z]{1,24})\d{0,4}")

MAX_VALUE = 120
"""Characters of a value; longer ones are texts, not names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one column, or two partners, say."""

    kind: ColumnKind
    column: str
    """`model_a, model_b` for partners."""
    value: str | None
    """The pair's value."""
    sides: tuple[str | None, str | None] | None = None
    """(of A, of B) for partners, else None."""


def read_cells(
    data: Mapping[str, Any], *, label: str, is_named: bool, ignored: frozenset[str]
) -> Iterator[Cell]:
    """The names in a row's columns; long texts, fractions, lists and empty cells are passed over."""
    flat = flatten(data)
    for first, second, is_judged in _plan(tuple(flat), is_named):
        if first in ignored or second in ignored:
            continue
        kind = kind_of(first)
        if second is None:
            value = _name(flat[first])
            if value is not None:
                yield Cell(kind=kind, column=first, value=value)
            continue
        sides = _name(flat[first]), _name(flat[second])
        if sides == (None, None):
            continue
        if is_judged and label == "B":
            sides = sides[1], sides[0]
        yield Cell(kind=kind, column=f"{first}, {second}", value=None, sides=sides)


def kind_of(column: str) -> ColumnKind:
    """What a column is by its name."""
    if _ID.search(column):
        return "ids"
    return "models" if _MODEL.search(column) else "other columns"


def id_features(value: str) -> tuple[str, ...]:
    """The words in an identifier, and how it ends: `17-chosen` has the word `chosen`.

    Random identifiers (hexadecimal, base64) have none.
    """
    if _OPAQUE.fullmatch(value):
        return ()
    pieces = re.split(r"[^A-Za-z0-9]+", value)
    words = {f"word {found[1].lower()!r}" for piece in pieces if (found := _PIECE.fullmatch(piece))}
    if len(pieces) > 1 and pieces[-1].isdecimal() and len(pieces[-1]) <= 2:
        words.add(f"ends with {pieces[-1]!r}")
    return tuple(sorted(words))


def flatten(data: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that may be read, by name; those inside an object as `chosen.llm_name`."""
    flat: dict[str, Any] = {}
    is_distilled = "messages" in data and "verdict" in data and data.keys() >= _DISTILLED
    for column, value in data.items():
        if is_distilled and column in _DISTILLED:
            continue
        if isinstance(value, Mapping):
            flat.update(
                {f"{column}.{key}": inner for key, inner in value.items() if str(key) not in _TEXT_KEYS}
            )
        elif column not in CONTENT and column not in LABELS and not _ANNOTATOR.fullmatch(column):
            flat[column] = value
    return flat


@lru_cache(maxsize=256)
def _plan(columns: tuple[str, ...], is_named: bool) -> tuple[tuple[str, str | None, bool], ...]:
    """(column, its partner, whether they are named by the label)."""
    plan: list[tuple[str, str | None, bool]] = []
    seconds: set[str] = set()
    for column in columns:
        partner, is_judged = _partner(column, columns, is_named)
        if partner is not None:
            seconds.add(partner)
        plan.append((column, partner, is_judged))
    return tuple(one for one in plan if one[0] not in seconds)


def _partner(column: str, columns: tuple[str, ...], is_named: bool) -> tuple[str | None, bool]:
    # Where the form names no sides, nothing says which answer a column of 1 or 2 means.
    families = ((_JUDGED, True),) if not is_named else ((_JUDGED, True), (_PLACED, False))
    for pairs, is_judged in families:
        for first, second in pairs:
            for found in _WORD.finditer(column):
                if found[0] == first:
                    other = column[: found.start()] + second + column[found.end() :]
                    if other in columns:
                        return other, is_judged
    return None, False


def _name(value: Any) -> str | None:
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, str):
        short = value.strip()
        return short if short and len(short) <= MAX_VALUE else None
    return None
