"""What a reader is, and the fields of a row that every reader takes apart the same way."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmr1.data.files import Row, stem_of
from rmr1.errors import DataError
from rmr1.records import (
    Candidates,
    ImagePart,
    Label,
    Message,
    Messages,
    PreferencePair,
    Role,
    TextPart,
)

ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "developer": "system",
    "function": "tool",
}
"""The roles of chat messages; the last two are other names that chat APIs use."""

SHAREGPT_ROLES: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One form of dataset row, and how it becomes records.

    Where the data know a better and a worse answer but no sides, the better one is `response_a` with
    label "A": the pair as it was read. Whoever judges it places the answers with a seed.
    """

    name: str
    source: str
    """Whose form it is, or which dataset it was made for."""
    columns: tuple[str, ...]
    """The columns that a row must have."""
    pairs: Callable[[Row], list[PreferencePair]]
    """Raises DataError without a place; the caller adds it."""
    candidates: Callable[[Row], Candidates] | None = None
    """For forms that hold best-of-N lists."""
    prompt: Callable[[Row], Messages] | None = None
    """The prompt alone, for rows whose answers cannot be used; raises as `pairs` does."""
    fits: Callable[[Mapping[str, Any]], bool] | None = None
    """Tells forms with the same columns apart by a row's values."""
    allowed: tuple[str, ...] | None = None
    """All columns that may occur; None: others are passed over."""
    verified: bool = True
    """Whether it was tried on the real files, or only on rows made from their documentation."""


def build_pair(
    row: Row,
    prompt: Messages,
    response_a: Messages,
    response_b: Messages,
    label: Label | None,
    *,
    names: tuple[str, str, str] = ("prompt", "chosen", "rejected"),
    id: str | None = None,
    source: str | None = None,
    subset: str | None = None,
) -> PreferencePair:
    """A pair whose three texts are there; `names` are the columns that an error speaks of.

    Equal answers are a pair like any other: whether they are wanted is for curation to say.
    """
    for messages, name in zip((prompt, response_a, response_b), names, strict=True):
        require_text(messages, name)
    return PreferencePair(
        id=row_id(row) if id is None else id,
        prompt=prompt,
        response_a=response_a,
        response_b=response_b,
        label=label,
        source=source,
        subset=subset,
    )


def require_text(messages: Messages, name: str) -> None:
    """
    Raises:
        DataError: all of it is white space.
    """
    if is_blank(messages):
        raise DataError(f"{name!r} is empty")


def is_blank(messages: Messages) -> bool:
    return not any(message.text.strip() for message in messages)


def row_id(row: Row, column: str | None = None) -> str:
    """The row's own identifier in `column`, else `<file stem>:<line>`."""
    value = None if column is None else row.data.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise DataError(f"{column!r} is {describe(value)}, expected a text or a number")
    return f"{stem_of(row.path)}:{row.line}" if value is None or value == "" else str(value)


def text(row: Row, column: str) -> str:
    """The text of a column."""
    return as_text(row.data.get(column), column)


def as_text(value: Any, name: str) -> str:
    if value is None:
        raise DataError(f"{name!r} is empty")
    if not isinstance(value, str):
        raise DataError(f"{name!r} is {describe(value)}, expected a text")
    return value


def optional_text(row: Row, column: str) -> str | None:
    """A short text about the row, such as its subset; numbers count as texts."""
    value = row.data.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{column!r} is {describe(value)}, expected a text")
    return str(value)


def texts(row: Row, column: str) -> list[str]:
    """A column that holds one text or a list of texts."""
    value = row.data.get(column)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise DataError(f"{column!r} is {describe(value)}, expected a list of texts")
    return [as_text(one, f"{column}[{index}]") for index, one in enumerate(value)]


def prompt_in(column: str) -> Callable[[Row], Messages]:
    """For `Reader.prompt`: the whole prompt stands in one column."""
    return lambda row: turns(row, column, "user")


def turns(row: Row, column: str, role: Role) -> Messages:
    """A column as messages: a text (it gets `role`), one message, or a list of messages."""
    return as_turns(row.data.get(column), column, role)


def as_turns(value: Any, name: str, role: Role) -> Messages:
    if isinstance(value, str):
        return (Message(role=role, content=value),)
    if isinstance(value, dict):
        return (_message(value, name, 1),)
    if isinstance(value, list):
        return tuple(_message(one, name, number) for number, one in enumerate(value, start=1))
    if value is None:
        raise DataError(f"{name!r} is empty")
    raise DataError(f"{name!r} is {describe(value)}, expected a text or a list of messages")


def _message(value: Any, name: str, number: int) -> Message:
    place = f"message {number} of {name!r}"
    if not isinstance(value, dict):
        raise DataError(f"{place} is {describe(value)}, expected an object with role and content")
    is_sharegpt = "role" not in value and "from" in value
    role_key, content_key = ("from", "value") if is_sharegpt else ("role", "content")
    roles = SHAREGPT_ROLES if is_sharegpt else ROLES
    role = value.get(role_key)
    if not isinstance(role, str) or role not in roles:
        expected = quote_all([*roles][:4], last="or")
        raise DataError(f"{place} has the {role_key} {shorten(role)}, expected {expected}")
    content = value.get(content_key)
    if isinstance(content, list):
        content = tuple(_part(part, place) for part in content)
    elif not isinstance(content, str):
        raise DataError(f"{place} has no {content_key}")
    return Message(role=roles[role], content=content)


def _part(value: Any, place: str) -> TextPart | ImagePart:
    """A part of a message: `{"type": "text", "text"}`, `{"type": "image_url", "image_url": {"url"}}`, `{"url"}`."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            return TextPart(text=value["text"])
        image = value.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image or value.get("url")
        if isinstance(url, str):
            return ImagePart(url=url)
    raise DataError(f"{place} has a part that is neither a text nor an image with a URL")


def label_of(
    row: Row, column: str, labels: Mapping[str | float, Label], *, expected: str | None = None
) -> Label:
    """The side that a column names. Numbers may stand as texts, as they do in CSV.

    Raises:
        DataError: the value is none of `labels`.
    """
    value = row.data.get(column)
    found = find_label(value, labels)
    if found is None:
        raise DataError(f"{column} {shorten(value)} is not {expected or quote_all([*labels], last='or')}")
    return found


def find_label(value: Any, labels: Mapping[str | float, Label]) -> Label | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if value in labels:
        return labels[value]
    number = as_number(value)
    return None if number is None else labels.get(number)


def as_number(value: Any) -> float | None:
    """A number, or a text that is one; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def quote_all(values: Sequence[Any], *, last: str = "and") -> str:
    """`'A', 'B' or 'tie'`."""
    quoted = [repr(value) for value in values] or ["nothing"]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def shorten(value: Any) -> str:
    """A value as it is shown in an error: at most about 60 characters."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 60
    return "null" if value is None else shown.repr(value)


def describe(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
