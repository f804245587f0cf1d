"""Chat messages as they stand in a row: texts, lists of messages, and lists that were written into a text.

[{"role": "user", "content": "Q"}] also with from and value (ShareGPT), content in parts, tool calls "[{'role':
'user', 'content': 'Q'}]" the same as JSON or as a Python literal: what pandas writes into CSV

Tool calls and tool results become OpenAI's form: calls are kept with the assistant's message, and each result is a
message of the tool's own, however the data spell them (`function_call`, ShareGPT, `tool_use` and `tool_result`
parts).
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from rmr1.data.files import describe, is_missing
from rmr1.data.sources.values import describe_missing, quote_all, shorten
from rmr1.errors import DataError
from rmr1.messages import ImagePart, Message, Messages, Role, TextPart, ToolCall

_OWN_ROLES: Mapping[str, Role] = {role: role for role in get_args(Role)}
_ROLES: Mapping[str, Role] = {**_OWN_ROLES, "developer": "system", "function": "tool"}
"""The roles of chat messages, and other names that chat APIs use."""

_SHAREGPT_ROLES: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "gpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    **_OWN_ROLES,
}

_MOST_LETTERS = 1 << 23

_NUMPY_BREAK = re.compile(r"\}\n\s*\{")
"""The gap between two objects as numpy prints them, without a comma. Inside a literal's strings a line break is
escaped."""

_BEGINS_AS_MESSAGES = re.compile(r"\s*\[\s*\{\s*(['\"])(?:role|content|from|value)\1\s*:")
_SPEAKER = re.compile(r"['\"](?:role|from)['\"]\s*:")
_SAID = re.compile(r"['\"](?:content|value)['\"]\s*:")
_CLOSED = re.compile(r"\}\s*\]")


def read_literal(text: str) -> Any:
    """The list or object that a text spells, as JSON or as a Python literal; a ValueError if it is neither, or too
    long."""
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
    """The row with messages in place of each text that spells them."""
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
    """A text (it gets `role`), one message, or a list of messages; `name` is what an error calls it."""
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
        value = [value]
    if isinstance(value, list):
        return tuple(
            message for number, one in enumerate(value, start=1) for message in _messages(one, name, number)
        )
    raise DataError(f"{name!r} is {describe(value)}, expected a text or a list of messages")


def _is_broken(text: str) -> bool:
    """Whether a text was meant as messages and is cut off, or printed by something else."""
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


def _messages(value: Any, name: str, number: int) -> Iterator[Message]:
    """The messages that one object of a list holds: itself, behind the tool results among its parts."""
    place = f"message {number} of {name!r}"
    if not isinstance(value, dict):
        raise DataError(f"{place} is {describe(value)}, expected an object with role and content")
    is_sharegpt = "role" not in value and "from" in value
    role_key, content_key = ("from", "value") if is_sharegpt else ("role", "content")
    roles = _SHAREGPT_ROLES if is_sharegpt else _ROLES
    spelt = value.get(role_key)
    if not isinstance(spelt, str) or spelt not in roles:
        expected = quote_all([*roles][:4], last="or")
        raise DataError(f"{place} has the {role_key} {shorten(spelt)}, expected {expected}")
    role, content, calls = roles[spelt], value.get(content_key), list(_calls(value, place))
    if content is None:
        content = value.get("refusal")
    if isinstance(content, dict) and role == "tool":
        content = _spell(content, place)
    if isinstance(content, list):
        results = [part for part in content if isinstance(part, dict) and part.get("type") == "tool_result"]
        for part in results:
            answer = part.get("content")
            if isinstance(answer, list):
                answer = tuple(_part(one, place) for one in answer)
            elif not isinstance(answer, str):
                raise DataError(f"{place} has a tool result that is {describe(answer)}, expected a text")
            yield Message(role="tool", content=answer, tool_call_id=_name(part, "tool_use_id"))
        content = [part for part in content if part not in results]
        calls = [*(_call(part, place) for part in content if _is_call(part)), *calls]
        parts = tuple(_part(part, place) for part in content if not _is_call(part))
        if not parts and results:
            return
        content = parts or ("" if calls else ())
    elif calls and not content:
        content = ""
    if not isinstance(content, str | tuple):
        raise DataError(f"{place} has no {content_key}")
    is_result = role == "tool"
    yield Message(
        role=role,
        content=content,
        tool_calls=tuple(calls),
        tool_call_id=_name(value, "tool_call_id") if is_result else None,
        name=_name(value, "name") if is_result else None,
    )


def _name(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def _is_call(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "tool_use"


def _part(value: Any, place: str) -> TextPart | ImagePart:
    """A part of a message: `{"type": "text", "text"}`, `{"type": "image_url", "image_url": {"url"}}`, `{"url"}`;
    also a refusal."""
    if isinstance(value, dict):
        for key in ("text", "refusal"):
            if isinstance(value.get(key), str):
                return TextPart(text=value[key])
        image = value.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image or value.get("url")
        if isinstance(url, str):
            return ImagePart(url=url)
    raise DataError(f"{place} has a part that is neither a text nor an image with a URL")


def _calls(value: Mapping[str, Any], place: str) -> Iterator[ToolCall]:
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


def _call(value: Any, place: str) -> ToolCall:
    function = value.get("function", value) if isinstance(value, dict) else value
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise DataError(f"{place} has a tool call without the name of a function: {shorten(value)}")
    arguments = next((function[key] for key in ("arguments", "input") if key in function), None)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return ToolCall(name=name, arguments=arguments.strip(), id=_name(value, "id"))
    spelt = None if arguments is None else _spell(arguments, place)
    return ToolCall(name=name, arguments=spelt, id=_name(value, "id"))


def _spell(value: Any, place: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise DataError(f"{place} holds {describe(value)} that is no JSON") from None
