"""Records <-> plain JSON values, for run folders and every other file of ours.

Writing leaves out what is at its default, so that a million stored judgments stay small; reading is
strict: an unknown key is an error, because it means a newer format or a damaged file.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from rmr1.errors import DataError
from rmr1.records import ImagePart, Judgment, Kind, Message, TextPart, ToolCall

Record = TypeVar("Record")


RATED_RULES = ("rated", "rated-published")
"""Rules of ratings (`rmr1.verdicts.kinds`)."""
_PLAIN = frozenset({str, int, float, bool, type(None)})


def dump_record(record: Any) -> dict[str, Any]:
    """A record as a dictionary of JSON values, without the fields that stand at their default."""
    found: dict[str, Any] = {}
    for name, default in _defaults(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        if value is default or value == default:
            continue
        found[name] = value if type(value) in _PLAIN else _dump(value)
    return found


def load_record(kind: type[Record], values: Any) -> Record:
    """The record of class `kind` that `dump_record` wrote.

    Raises:
        DataError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{kind.__name__} is {type(values).__name__}, expected an object")
    loaders = _field_loaders(kind)  # type: ignore[arg-type]
    try:
        return kind(**{name: loaders[name](value) for name, value in values.items()})
    except KeyError:
        unknown = sorted(set(values) - set(loaders))
        raise DataError(
            f"unknown key {unknown[0]!r} in {kind.__name__}; it has {', '.join(loaders)}"
        ) from None
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{kind.__name__}: {error}") from None


def load_judgment(values: Mapping[str, Any]) -> Judgment:
    """The judgment of a stored line. Earlier versions did not store the kind, and told the answer that a vote rated
    alone by its order.

    Raises:
        DataError: as `load_record`.
    """
    judgment, kind = load_record(Judgment, values), kind_of(values)
    if judgment.kind == kind:
        return judgment
    votes = judgment.votes
    if kind == "rating":
        votes = tuple(
            dataclasses.replace(vote, order="given", side="B" if vote.order == "swapped" else "A")
            for vote in votes
        )
    return dataclasses.replace(judgment, kind=kind, votes=votes)


def kind_of(line: Mapping[str, Any]) -> Kind:
    """The kind of a stored judgment, also of a line that does not name it."""
    if (kind := line.get("kind")) is not None:
        return typing.cast(Kind, kind)
    if (rule := line["rule"]) in RATED_RULES:
        return "rating"
    return "score" if rule == "scores" else "choice" if "others" in line["pair"] else "pair"


def dumps(values: Any) -> bytes:
    """One line of JSON, without its line break. Lone surrogates are written as `\\ud800` escapes."""
    try:
        return orjson.dumps(values)
    except (TypeError, ValueError, orjson.JSONEncodeError):
        import json

        return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def loads(line: bytes | str) -> Any:
    """The value of one line of JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        import json

        return json.loads(line)


_Loader = Callable[[Any], Any]
_MISSING = object()


@lru_cache(maxsize=64)
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """Every field's name and default; a field without one has a default that nothing equals."""
    pairs = []
    for one in dataclasses.fields(kind):
        default = one.default
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        pairs.append((one.name, _MISSING if default is dataclasses.MISSING else default))
    return tuple(pairs)


@lru_cache(maxsize=64)
def _field_loaders(kind: type) -> dict[str, _Loader]:
    hints = typing.get_type_hints(kind)
    return {one.name: _loader(hints[one.name]) for one in dataclasses.fields(kind)}


def _dump(value: Any) -> Any:
    if isinstance(value, ToolCall):
        return value.to_openai()
    if isinstance(value, tuple):
        return [one if type(one) in _PLAIN else _dump(one) for one in value]
    if dataclasses.is_dataclass(value):
        return dump_record(value)
    return value


def _loader(hint: Any) -> _Loader:
    """The function that turns a JSON value into a field of this type; made once per field."""
    if hint is Message:
        return _load_message
    if dataclasses.is_dataclass(hint):
        return functools.partial(load_record, typing.cast(type, hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _tuple_loader(arguments)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        load = _loader(inner[0]) if len(inner) == 1 else _same
        return load if load is _same else lambda value: None if value is None else load(value)
    if origin is typing.Literal:
        return functools.partial(_load_literal, arguments)
    return _load_float if hint is float else _same


def _same(value: Any) -> Any:
    return value


def _load_float(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _load_literal(choices: tuple[Any, ...], value: Any) -> Any:
    if value not in choices:
        raise TypeError(f"{value!r} is not one of {', '.join(map(repr, choices))}")
    return value


def _tuple_loader(arguments: tuple[Any, ...]) -> _Loader:
    is_open = len(arguments) == 2 and arguments[1] is Ellipsis
    loaders = [_loader(argument) for argument in (arguments[:1] if is_open else arguments)]

    def load(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is not a list")
        if is_open:
            return tuple(map(loaders[0], value))
        return tuple(one(part) for one, part in zip(loaders, value, strict=True))

    return load


_TOOL_KEYS = {"tool_calls", "tool_call_id", "name"}


def _load_message(value: Any) -> Message:
    if not isinstance(value, Mapping) or set(value) - _TOOL_KEYS != {"role", "content"}:
        raise TypeError(f"a message is {value!r}, expected role and content")
    content = value["content"]
    if isinstance(content, list):
        content = tuple(load_record(TextPart if "text" in part else ImagePart, part) for part in content)
    if len(value) == 2:
        return Message(role=value["role"], content=content)
    return Message(
        role=value["role"],
        content=content,
        tool_calls=tuple(map(_load_call, value.get("tool_calls", ()))),
        tool_call_id=value.get("tool_call_id"),
        name=value.get("name"),
    )


def _load_call(value: Any) -> ToolCall:
    try:
        function = value["function"]
        return ToolCall(name=function["name"], arguments=function.get("arguments"), id=value.get("id"))
    except (KeyError, TypeError, AttributeError):
        raise TypeError(f"a tool call is {value!r}, expected a function with a name") from None
