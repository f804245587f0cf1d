"""What differs between how a folder was made and how it is to be gone on with, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rmr1.store.codec import dumps, loads

_MOST, _MOST_LETTERS = 4, 60


def describe_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """`settings.seed was 0, now 1; and 3 more`; None where both are the same JSON."""
    found = [
        f"{name} was {_shorten(before)}, now {_shorten(now)}"
        for name, before, now in _list_differences("", loads(dumps(stored)), loads(dumps(wanted)))
    ]
    if not found:
        return None
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _list_differences(name: str, stored: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(stored, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*stored, *wanted]):
            yield from _list_differences(f"{name}.{key}" if name else key, stored.get(key), wanted.get(key))
    elif stored != wanted:
        yield name, stored, wanted


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "..."
