"""The judgments that a person means by an id, a key or the beginning of a key."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rmr1.audit.filters import SHORTEST_KEY
from rmr1.errors import DataError
from rmr1.screen import one_line
from rmr1.store.runs import JUDGMENTS_FILE, iterate_keys, read_description

_SHOWN = 3


def find_named(folder: str | Path, names: Collection[str]) -> dict[str, list[str]]:
    """Each name -> the keys of a run that it can mean, in the order they finished. A whole key means that item alone.
    The run is read once, and memory does not grow with it."""
    read_description(folder)
    wanted = set(names)
    lengths = sorted({len(name) for name in wanted if len(name) >= SHORTEST_KEY})
    found: dict[str, list[str]] = {name: [] for name in wanted}
    whole = set()
    for _, key, line in iterate_keys(Path(folder) / JUDGMENTS_FILE):
        starts = {key[:length] for length in lengths}
        for name in wanted & (starts | {line["pair"]["id"]}):
            found[name].append(key)
        if key in wanted:
            whole.add(key)
    return found | {key: [key] for key in whole}


def choose_named(folder: str | Path, name: str, keys: Collection[str]) -> str:
    """The one key that a name means.

    Raises:
        DataError: there is none, or there are several.
    """
    if len(keys) == 1:
        return next(iter(keys))
    shown = one_line(name)
    if not keys:
        raise DataError(
            f"no judgment has the id {shown!r}, or a key that begins so"
            + ("" if len(name) >= SHORTEST_KEY else f" (of a key at least {SHORTEST_KEY} characters)"),
            path=folder,
        )
    told = ", ".join(sorted(keys)[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    raise DataError(f"{shown!r} means {len(keys)} judgments ({told}); give more of the key", path=folder)


def tell_ids(folder: str | Path, keys: Collection[str]) -> dict[str, str]:
    """The pair's id of each of these keys that the run holds."""
    path = Path(folder) / JUDGMENTS_FILE
    return {key: line["pair"]["id"] for _, key, line in iterate_keys(path) if key in keys}
