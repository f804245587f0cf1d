"""Chat messages as they stand in a row: texts, lists of messages, and lists that were written into a text.

    [{"role": "user", "content": "Q"}]      also with from and value (ShareGPT), content in parts, tool calls
    "[{'role': 'user', 'content': 'Q'}]"    the same as JSON or as a Python literal: what pandas writes into CSV

What records cannot hold becomes text: a tool call reads `[tool call: get_weather {"city": "Paris"}]`.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmr1.data.files import is_missing
from rmr1.data.sources.values import describe, describe_missing, quote_all, shorten
from rmr1.errors import DataError
from rmr1.records import ImagePart, Message, Messages, Role, TextPart

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

_MOST_LETTERS = 1 << 23
"""Longest text that is read as a literal."""

_NUMPY_BREAK = re.compile(r"\}\n\s*\{")
"""The gap between two objects as numpy prints them, without a comma. Inside a literal's strings a line break is escaped."""

_BEGINS_AS_MESSAGES = re.compile(r"\s*\[\s*\{\s*(['\"])(?:role|content|from|value)\1\s*:")
_SPEAKER = re.compile(r"['\"](?:role|from)['\"]\s*:")
_SAID = re.compile(r"['\"](?:content|value)['\"]\s*:")
_CLOSED = re.compile(r"\}\s*\]")


def read_literal(text: str) -> Any:
    """The list or object that a text spells, as JSON or as a Python literal.

    Raises:
        ValueError: it is neither, or too long.
    """
    body = text.strip()
    if body[:1] + body[-1:] not in ("[]", "{}"):
        raise ValueError("it does not end where it begins")
    if len(body) > _MOST_LETTERS:
        raise ValueError(f"it has {len(body):,} characters, over {_MOST_LETTERS:,}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.literal_eval(_NUMPY_BREAK.sub("},{", body))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError("it is neither JSON nor a Python literal") from None


def decode_messages(data: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every text that spells messages replaced by these messages; other texts stand."""
    return {name: _decode(value) if isinstance(value, str) else value for name, value in data.items()}


def _decode(text: str) -> Any:
    if text.lstrip()[:1] not in ("[", "{") or _SPEAKER.search(text) is None:
        return text
    try:
        value = read_literal(text)
    except ValueError:
        return text  # refused where it is used (`as_turns`)
    return value if any(map(_is_message, value if isinstance(value, list) else [value])) else text


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    is_plain = "role" in value and not value.keys().isdisjoint(("content", "tool_calls", "function_call"))
    return is_plain or ("from" in value and "value" in value)


def as_turns(value: Any, name: str, role: Role) -> Messages:
    """A text (it gets `role`), one message, or a list of messages.

    Raises:
        DataError: it is none of them; `name` is what the error calls it.
    """
    if is_missing(value):
        raise DataError(describe_missing(value, name))
    if isinstance(value, str):
        value = _decode(value)
    if isinstance(value, str):
        if _is_broken(value):
            raise DataError(
                f"{name!r} begins like a list of messages, but is neither JSON nor a Python literal: "
                f"{shorten(value)}; write it as JSON"
            )
        return (Message(role=role, content=value),)
    if isinstance(value, dict):
        return (_message(value, name, 1),)
    if isinstance(value, list):
        return tuple(_message(one, name, number) for number, one in enumerate(value, start=1))
    raise DataError(f"{name!r} is {describe(value)}, expected a text or a list of messages")


def _is_broken(text: str) -> bool:
    """Whether a text was meant as messages and cannot be read as such: cut off, or printed by something else."""
    if _BEGINS_AS_MESSAGES.match(text) is None:
        return False
    is_cut = _CLOSED.search(text) is None
    has_keys = _SPEAKER.search(text) is not None and _SAID.search(text) is not None
    if not (is_cut or text.rstrip().endswith("]")) or not (has_keys or "}" not in text):
        return False  # a list that a text speaks of, or one of something else
    try:
        read_literal(text)
    except ValueError:
        return True
    return False


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
    content, calls = value.get(content_key), [*_calls(value, place)]
    if content is None:
        content = value.get("refusal")
    if isinstance(content, dict) and roles[role] == "tool":
        content = _spell(content, place)
    if calls and not content:
        return Message(role=roles[role], content="\n".join(calls))
    if isinstance(content, list):
        parts = tuple(_part(part, place) for part in content)
        return Message(role=roles[role], content=(*parts, *(TextPart(text=call) for call in calls)))
    if not isinstance(content, str):
        raise DataError(f"{place} has no {content_key}")
    return Message(role=roles[role], content="\n\n".join([content, "\n".join(calls)]) if calls else content)


def _part(value: Any, place: str) -> TextPart | ImagePart:
    """A part of a message: `{"type": "text", "text"}`, `{"type": "image_url", "image_url": {"url"}}`, `{"url"}`;
    also a refusal, a tool's call (`tool_use`) and its result (`tool_result`)."""
    if isinstance(value, dict):
        for key in ("text", "refusal"):
            if isinstance(value.get(key), str):
                return TextPart(text=value[key])
        image = value.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image or value.get("url")
        if isinstance(url, str):
            return ImagePart(url=url)
        if value.get("type") == "tool_use":
            return TextPart(text=_call(value, place))
        if value.get("type") == "tool_result":
            return TextPart(text=_result(value.get("content"), place))
    raise DataError(f"{place} has a part that is neither a text nor an image with a URL")


def _result(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return Message(role="tool", content=tuple(_part(part, place) for part in content)).text
    raise DataError(f"{place} has a tool result that is {describe(content)}, expected a text")


def _calls(value: Mapping[str, Any], place: str) -> Iterator[str]:
    """What the message calls, as text: `tool_calls`, and `function_call` of older APIs."""
    calls, older = value.get("tool_calls"), value.get("function_call")
    if isinstance(calls, str) and calls.strip():
        try:
            calls = read_literal(calls)
        except ValueError as error:
            raise DataError(f"{place} has tool calls that cannot be read: {error}") from None
    if calls and not isinstance(calls, Sequence):
        raise DataError(f"{place} has tool calls that are {describe(calls)}, expected a list")
    for call in [*(calls or ()), *([older] if older else [])]:
        yield _call(call, place)


def _call(value: Any, place: str) -> str:
    function = value.get("function", value) if isinstance(value, dict) else value
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise DataError(f"{place} has a tool call without the name of a function: {shorten(value)}")
    arguments = next((function[key] for key in ("arguments", "input") if key in function), None)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return f"[tool call: {name} {arguments.strip()}]"
    return f"[tool call: {name}{'' if arguments is None else ' ' + _spell(arguments, place)}]"


def _spell(value: Any, place: str) -> str:
    """A value as JSON, in one line."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise DataError(f"{place} holds {describe(value)} that is no JSON") from None
