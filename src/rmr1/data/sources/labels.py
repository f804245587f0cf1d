"""Labels: what a column says, what the user says that it means, and whether scores say the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from rmr1.data.files import Row, is_missing
from rmr1.data.sources.values import as_number, quote_all, shorten
from rmr1.errors import DataError
from rmr1.faces import name_option
from rmr1.messages import Messages
from rmr1.records import Label

SIDES: Mapping[str | float, Label] = {"A": "A", "B": "B", "tie": "tie"}
WINNERS: Mapping[str | float, Label] = {
    **SIDES,
    "model_a": "A",
    "model_b": "B",
    "tie (bothbad)": "tie",
    "both_bad": "tie",
}
"""What arenas write into a column `winner`."""

_SCORED = re.compile(r"chosen[-_. ](?:score|rating)|(?:score|rating)[-_. ]chosen", re.I)


def label_of(
    row: Row, column: str, labels: Mapping[str | float, Label], *, expected: str | None = None
) -> Label | None:
    """The side that a column names, as the user maps its values, else by `labels`. Numbers may stand as texts, as
    they do in CSV."""
    return read_label(
        row, column, lambda value: find_label(value, labels), expected or quote_all([*labels], last="or")
    )


def read_label(
    row: Row, column: str, read: Callable[[Any], Label | None], expected: str, *, hint: str = ""
) -> Label | None:
    """The label of a column by the user's mapping, else by `read`, which gives None for what is no label.

    With a mapping an empty cell is not labelled; without one that is for `read` to say.
    """
    value = row.data.get(column)
    if row.labels is not None:
        label = _find_mapped(value, row.labels)
        if label is None and not (is_missing(value) or value == ""):
            raise DataError(
                f"{column} {shorten(value)} is not among the values of {name_option('labels')}: "
                f"{quote_all([*row.labels], last='or')}"
            )
        return label
    label = read(value)
    if label is None:
        raise DataError(f"{column} {shorten(value)} is not {expected}{hint}")
    return label


def label_column(data: Mapping[str, Any], column: str | None) -> str | None:
    """The form's own column, or `winner` in its place; None where the row has neither."""
    if column is None or column in data:
        return column
    return "winner" if "winner" in data else None


def find_label(value: Any, labels: Mapping[str | float, Label]) -> Label | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if value in labels:
        return labels[value]
    number = as_number(value)
    return None if number is None else labels.get(number)


def _find_mapped(value: Any, labels: Mapping[str, Label]) -> Label | None:
    """What `find_label` finds, of a mapping whose keys are texts: 1, 1.0, "1" and "1.0" are one value."""
    if not isinstance(value, str) and is_missing(value):
        return None
    shown = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if shown in labels:
        return labels[shown]
    number = as_number(value)
    if number is None:
        return None
    return next((label for key, label in labels.items() if as_number(key) == number), None)


def label_preferred(row: Row) -> Label:
    """The label of a row of chosen and rejected: "A", or a tie if all scores of the two are equal. A higher score of
    the rejected answer is refused."""
    is_equal = []
    for chosen, rejected in _score_columns(tuple(row.data)):
        higher, lower = as_number(row.data[chosen]), as_number(row.data[rejected])
        if higher is None or lower is None:
            continue
        if higher < lower:
            raise DataError(
                f"{chosen} {row.data[chosen]} is below {rejected} {row.data[rejected]}, so the scores contradict the "
                "names of the answers"
            )
        is_equal.append(higher == lower)
    return "tie" if is_equal and all(is_equal) else "A"


@lru_cache(maxsize=256)
def _score_columns(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    by_lower = {name.lower(): name for name in names}
    found = []
    for name in names:
        if _SCORED.fullmatch(name) and (other := by_lower.get(name.lower().replace("chosen", "rejected"))):
            found.append((name, other))
    return tuple(found)


def is_same(first: Messages, second: Messages) -> bool:
    """Whether two answers say the same, so that nobody can prefer one."""
    return len(first) == len(second) and all(
        one.role == other.role and one.text == other.text for one, other in zip(first, second, strict=True)
    )
