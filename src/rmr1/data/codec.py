"""Records <-> plain JSON values, for run folders and every other file of ours.

Writing leaves out what is at its default, so that a million stored judgments stay small; reading is
strict: an unknown key is an error, because it means a newer format or a damaged file.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from rmr1.errors import DataError
from rmr1.records import Message, TextPart

Record = TypeVar("Record")


def dump_record(record: Any) -> dict[str, Any]:
    """A record as a dictionary of JSON values, without the fields that stand at their default."""
    found: dict[str, Any] = {}
    for name, default in _defaults(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        if default is dataclasses.MISSING or value != default:
            found[name] = _dump(value)
    return found


def load_record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """The record of class `kind` that `dump_record` wrote.

    Raises:
        DataError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{kind.__name__} is {type(values).__name__}, expected an object")
    hints = _hints(kind)  # type: ignore[arg-type]
    if unknown := set(values) - set(hints):
        raise DataError(f"unknown key {sorted(unknown)[0]!r} in {kind.__name__}; it has {', '.join(hints)}")
    try:
        return kind(**{name: _load(hints[name], value) for name, value in values.items()})
    except TypeError as error:
        raise DataError(f"{kind.__name__}: {error}") from None


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


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@lru_cache(maxsize=64)
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    pairs = []
    for one in dataclasses.fields(kind):
        default = one.default
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        pairs.append((one.name, default))
    return tuple(pairs)


def _dump(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_dump(one) for one in value]
    if dataclasses.is_dataclass(value):
        return dump_record(value)
    return value


def _load(hint: Any, value: Any) -> Any:
    if value is None or hint is Any:
        return value
    if hint is Message:
        return _load_message(value)
    if dataclasses.is_dataclass(hint):
        return load_record(typing.cast(type, hint), value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is not a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_load(arguments[0], one) for one in value)
        return tuple(_load(argument, one) for argument, one in zip(arguments, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return _load(inner[0], value) if len(inner) == 1 else value
    if origin is typing.Literal:
        if value not in arguments and hint is not None:
            raise TypeError(f"{value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if hint is float and isinstance(value, int):
        return float(value)
    return value


def _load_message(value: Any) -> Message:
    from rmr1.records import ImagePart

    if not isinstance(value, Mapping) or set(value) != {"role", "content"}:
        raise TypeError(f"a message is {value!r}, expected role and content")
    content = value["content"]
    if isinstance(content, list):
        content = tuple(load_record(TextPart if "text" in part else ImagePart, part) for part in content)
    return Message(role=value["role"], content=content)
