"""A user's own criteria: a text or a file to what the judge is to go by, with weights that add up to 1.

    Truth (60%): is what the response says true?         a text, or a file of plain text: a criterion a line, with its
    Tone (40%): would a customer like to read it?        weight in percent in brackets behind its name or at its end

    [[criteria]]                                         TOML, or JSON: {"criteria": [{"text": ...}, ...]} or the list
    name = "Truth"                                       alone, in which a text is a criterion too
    text = "is what the response says true?"
    weight = 3

Weights are of all criteria or of none; without any all count alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmr1.errors import ConfigError
from rmr1.records import RubricItem
from rmr1.settings import Section, read_toml

_MARKER = re.compile(r"(?:[-*+•]|\(?\d{1,3}[.):])\s+")
_WEIGHT = r"\((?:weight:?\s+)?(\d{1,4}(?:\.\d{1,6})?)\s?%\)"
_NAMED = re.compile(rf"([^:]{{1,80}}?)\s*{_WEIGHT}\s*:\s*(.+)")
_ENDED = re.compile(rf"(.+?)\s*{_WEIGHT}\s*\.?")
_FILE_LIKE = re.compile(r"\S+\.(?:txt|md|toml|json|ya?ml)|\S*/\S+\.\w{1,5}")
_YAML = (".yaml", ".yml")
MOST_CRITERIA = 100


class CriterionConfig(Section):
    """One entry of a file of criteria."""

    text: str
    name: str | None = None
    weight: float | None = None


def read_criteria(source: Any) -> tuple[RubricItem, ...]:
    """The criteria of a text, a file, or a sequence of texts, mappings and `RubricItem`s.

    Raises:
        ConfigError: there are none, one has no text, two are called the same, or a weight is not above 0 or missing
            where others have one; or a file cannot be read.
    """
    origin = "criteria"
    if isinstance(source, str | Path):
        path = find_file(source)
        origin = "criteria" if path is None else str(path)
        items = _read_text(str(source), origin) if path is None else _read_file(path)
    elif isinstance(source, Iterable):
        items = _read_values(source if isinstance(source, Mapping) else list(source), origin)
    else:
        raise ConfigError(
            f"criteria: {type(source).__name__} is none; expected a text, a file or a list of them"
        )
    return weigh_criteria(items, origin)


def find_file(source: str | Path) -> Path | None:
    """The file that is named; None of a text.

    Raises:
        ConfigError: what is named looks like a file, and there is none.
    """
    path = Path(source).expanduser()
    try:
        is_there = path.exists()
    except (OSError, ValueError):  # a text that no name of a file could be
        is_there = False
    if is_there and path.is_file():
        return path
    if is_there and str(source).strip():
        raise ConfigError(f"{source}: is a folder; expected a file of criteria, or their text")
    if isinstance(source, Path) or _FILE_LIKE.fullmatch(source):
        raise ConfigError(f"{source}: no such file; expected a file of criteria, or their text")
    return None


def weigh_criteria(items: Sequence[RubricItem], origin: str = "criteria") -> tuple[RubricItem, ...]:
    """The criteria, checked, with weights that add up to 1, or none.

    Raises:
        ConfigError: as for `read_criteria`.
    """
    if not items:
        raise ConfigError(f"{origin}: holds no criterion; expected one or more")
    if len(items) > MOST_CRITERIA:
        raise ConfigError(f"{origin}: holds {len(items)} criteria; expected {MOST_CRITERIA} at most")
    seen: dict[str, int] = {}
    for number, item in enumerate(items, start=1):
        if not item.text.strip():
            raise ConfigError(f"{origin}: criterion {number} has no text")
        called = " ".join((item.name or item.text).split())
        first = seen.setdefault(called.casefold(), number)
        if first != number:
            raise ConfigError(
                f"{origin}: criteria {first} and {number} are both called {called!r}; name each once"
            )
        if item.weight is not None and not 0 < item.weight < float("inf"):
            raise ConfigError(
                f"{origin}: criterion {number} has weight {item.weight:g}; expected more than 0"
            )
    without = [number for number, item in enumerate(items, start=1) if item.weight is None]
    if len(without) == len(items):
        return tuple(items)
    if without:
        raise ConfigError(
            f"{origin}: criterion {without[0]} has no weight, and others have; give one to all, or to none"
        )
    total = sum(item.weight or 0.0 for item in items)
    return tuple(replace(item, weight=round((item.weight or 0.0) / total, 9)) for item in items)


def _read_file(path: Path) -> list[RubricItem]:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _read_values(read_toml(path), str(path))
    if suffix in _YAML:
        raise ConfigError(f"{path}: YAML is not read; expected plain text, .toml or .json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    return _read_json(text, str(path)) if suffix == ".json" else _read_text(text, str(path))


def _read_text(text: str, origin: str) -> list[RubricItem]:
    if text.lstrip().startswith(("[{", '["', '{"')):
        return _read_json(text, origin)
    lines = (line.strip() for line in text.splitlines())
    return [
        _read_line(_MARKER.sub("", line, count=1) if _MARKER.match(line) else line) for line in lines if line
    ]


def _read_line(line: str) -> RubricItem:
    if found := _NAMED.fullmatch(line):
        name, weight, text = found.groups()
        return RubricItem(name=name, text=text, weight=float(weight) / 100)
    if found := _ENDED.fullmatch(line):
        return RubricItem(text=found[1], weight=float(found[2]) / 100)
    return RubricItem(text=line)


def _read_json(text: str, origin: str) -> list[RubricItem]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{origin}: not valid JSON ({error})") from None
    return _read_values(values, origin)


def _read_values(values: Any, origin: str) -> list[RubricItem]:
    if isinstance(values, Mapping):
        if set(values) != {"criteria"} or not isinstance(values["criteria"], list):
            raise ConfigError(f"{origin}: expected a list of criteria, or an object with the list 'criteria'")
        values = values["criteria"]
    if not isinstance(values, list):
        raise ConfigError(f"{origin}: expected a list of criteria, got {values!r}")
    return _read_entries(values, origin)


def _read_entries(entries: Sequence[Any], origin: str) -> list[RubricItem]:
    items = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, RubricItem):
            items.append(entry)
        elif isinstance(entry, str):
            items.append(_read_line(" ".join(entry.split())))
        elif isinstance(entry, Mapping):
            items.append(_to_item(CriterionConfig.from_values(dict(entry), f"{origin}, criterion {number}")))
        else:
            raise ConfigError(
                f"{origin}: criterion {number} is {entry!r}; expected a text, or its text, name and weight"
            )
    return items


def _to_item(config: CriterionConfig) -> RubricItem:
    return RubricItem(
        text=config.text.strip(), name=(config.name or "").strip() or None, weight=config.weight
    )
