"""Records <-> plain JSON values, for run folders and every other file of ours.

Writing leaves out what is at its default; reading refuses an unknown key, which means a newer format or a damaged
file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson

from rmr1.errors import DataError
from rmr1.messages import ToolCall
from rmr1.records import Judgment, Kind

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Record = TypeVar("Record")

RATED_RULES = ("rated", "rated-published")
"""Rules of ratings (`rmr1.verdicts.kinds`)."""


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    ToolCall.__get_pydantic_core_schema__ = classmethod(_describe_call)  # type: ignore[attr-defined]
    return TypeAdapter(kind)


def _describe_call(_: type, source: Any, handler: Any) -> Any:
    from pydantic_core.core_schema import (
        no_info_before_validator_function,
        plain_serializer_function_ser_schema,
    )

    return no_info_before_validator_function(
        _read_call, handler(source), serialization=plain_serializer_function_ser_schema(ToolCall.to_openai)
    )


def _read_call(value: Any) -> dict[str, Any]:
    try:
        return {"id": value.get("id"), **value["function"]}
    except (KeyError, TypeError, AttributeError):
        raise ValueError("expected a function with a name") from None


def dump_record(record: Any) -> dict[str, Any]:
    """A record as a dictionary of JSON values, without the fields that stand at their default."""
    adapter = _adapter(type(record))  # type: ignore[arg-type]
    values: dict[str, Any] = adapter.dump_python(record, exclude_defaults=True, warnings=False)
    return values


def load_record(kind: type[Record], values: Any) -> Record:
    """The record of class `kind` that `dump_record` wrote.

    Raises:
        DataError: a key is unknown or missing, or a value has the wrong type.
    """
    try:
        record: Record = _adapter(kind).validate_python(values, extra="forbid")  # type: ignore[arg-type]
        return record
    except ValueError as errors:
        first = errors.errors(include_url=False)[0]  # type: ignore[attr-defined]
        place = [kind.__name__, *map(str, first["loc"])]
        if first["type"] == "unexpected_keyword_argument":
            raise DataError(f"unknown key {place[-1]!r} in {'.'.join(place[:-1])}") from None
        if first["type"] == "missing":
            raise DataError(f"{'.'.join(place[:-1])} has no {place[-1]!r}") from None
        raise DataError(f"{'.'.join(place)}: {first['msg']}, not {shorten(first['input'])}") from None


def shorten(value: Any) -> str:
    """A value as a message shows it, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def load_judgment(values: Mapping[str, Any]) -> Judgment:
    """The judgment of a stored line. Earlier versions did not store the kind, and told the answer that a vote rated
    alone by its order."""
    judgment, kind = load_record(Judgment, values), kind_of(values)
    if judgment.kind == kind:
        return judgment
    votes = judgment.votes
    if kind == "rating":
        votes = tuple(
            replace(vote, order="given", side="B" if vote.order == "swapped" else "A") for vote in votes
        )
    return replace(judgment, kind=kind, votes=votes)


def kind_of(line: Mapping[str, Any]) -> Kind:
    """The kind of a stored judgment, also of a line that does not name it."""
    if (kind := line.get("kind")) is not None:
        return cast(Kind, kind)
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
