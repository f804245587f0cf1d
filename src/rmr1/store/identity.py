"""What a folder was made from and how, and what of it differs from how it is to be gone on with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from rmr1.errors import RunError
from rmr1.store.codec import dumps, loads, shorten

_MOST = 4


def list_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for library in libraries:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found


def refuse_differences(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on in a folder if they are not the same JSON."""
    if (difference := describe_differences(stored, wanted)) is not None:
        raise RunError(
            f"{folder}: was made in another way: {difference}; choose another folder, or repeat the old settings"
        )


def describe_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """`settings.seed was 0, now 1; and 3 more`; None if both are the same JSON.

    >>> describe_differences({"settings": {"seed": 0, "rule": "tagged"}}, {"settings": {"seed": 1, "rule": "tagged"}})
    'settings.seed was 0, now 1'
    """
    found = [
        f"{name} was {shorten(before)}, now {shorten(now)}"
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
