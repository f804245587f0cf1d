"""The settings of a judging command: its flags over --set, --set over its config file."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from rmr1.data.read import check_labels
from rmr1.errors import ConfigError
from rmr1.judge.config import JudgeConfig
from rmr1.records import Label
from rmr1.settings import assign_settings, read_toml, split_assignment


def build_config(arguments: Namespace, stored: Mapping[str, Any] | None = None) -> JudgeConfig:
    """The settings that a command line asks for, over those that are `stored` of a run that goes on.

    Raises:
        ConfigError: a key is unknown or a value does not fit; the message names key and file.
    """
    given = vars(arguments)
    path = given.get("config")
    values = deepcopy(dict(stored or {})) if path is None else read_toml(path)
    assign_settings(values, given.get("set"))
    sections = {"data", "sampling", "engine"}
    for name, value in given.items():
        section, _, key = name.rpartition(".")
        if value is not None and (section or key in JudgeConfig.model_fields.keys() - sections):
            target = values.setdefault(section, {}) if section else values
            target[key] = _PARSERS[key](value) if key in _PARSERS else value
    return JudgeConfig.from_values(values, path or "command line")


def parse_columns(values: Sequence[str] | None) -> dict[str, str]:
    """`chosen=better` as a mapping, of each value."""
    return dict(split_assignment(one, "--map", "OURS=THEIRS") for one in values or ())


def parse_labels(values: Sequence[str] | None) -> dict[str, Label] | None:
    """`1=A,2=B` as a mapping; a value may hold an equals sign: `A=B=tie`."""
    if values is None:
        return None
    found: dict[str, str] = {}
    for part in ",".join(values).split(","):
        value, equals, label = (one.strip() for one in part.rpartition("="))
        if not equals or not value:
            raise ConfigError(f"--label {part!r}: expected VALUE=LABEL, as in --label 1=A,2=B,0=tie")
        if found.setdefault(value, label) != label:
            raise ConfigError(f"--label: {value!r} is to mean {found[value]!r} and {label!r}")
    return dict(check_labels(found) or {})


def read_form(arguments: Namespace) -> dict[str, Any]:
    """How `--format`, `--map` and `--label` say that pairs are read, as arguments of the functions that read."""
    columns, labels = parse_columns(arguments.map), parse_labels(arguments.label)
    return {"format": arguments.format, "columns": columns, "labels": labels}


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--chat-template-kwargs: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ConfigError("--chat-template-kwargs: expected a JSON object")
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "map": parse_columns,
    "label": parse_labels,
    "chat_template_kwargs": _parse_json,
}
"""Key to how its flag is read."""
