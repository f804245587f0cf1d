"""Records <-> plain JSON values, for run folders and every other file of ours.

Writing leaves out what is at its default, so that a million stored judgments stay small; reading is
strict: an unknown key is an error, because it means a newer format or a damaged file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from rmr1.errors import DataError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Record = TypeVar("Record")

_MOST_LETTERS = 60


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump_record(record: Any) -> dict[str, Any]:
    """A record as a dictionary of JSON values, without the fields that stand at their default."""
    adapter = _adapter(type(record))  # type: ignore[arg-type]
    return adapter.dump_python(record, exclude_defaults=True, warnings=False)


def load_record(kind: type[Record], values: Any) -> Record:
    """The record of class `kind` that `dump_record` wrote.

    Raises:
        DataError: a key is unknown or missing, or a value has the wrong type.
    """
    try:
        return _adapter(kind).validate_python(values, extra="forbid")  # type: ignore[arg-type]
    except ValueError as errors:
        first = errors.errors(include_url=False)[0]  # type: ignore[attr-defined]
        place = [kind.__name__, *map(str, first["loc"])]
        if first["type"] == "unexpected_keyword_argument":
            raise DataError(f"unknown key {place[-1]!r} in {'.'.join(place[:-1])}") from None
        if first["type"] == "missing":
            raise DataError(f"{'.'.join(place[:-1])} has no {place[-1]!r}") from None
        seen = repr(first["input"])
        seen = seen if len(seen) <= _MOST_LETTERS else seen[: _MOST_LETTERS - 3] + "..."
        raise DataError(f"{'.'.join(place)}: {first['msg']}, not {seen}") from None


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
