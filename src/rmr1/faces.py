"""What a setting is called where the user is: a flag of a command, a key of its recipe, or an argument in Python.

    name_option("columns", {"prompt": "question"})     --map prompt=question
                                                       map = {prompt = "question"}
                                                       columns={'prompt': 'question'}
    name_option("model")                               -m, -m, model=

A message that tells of a setting is written once, wherever the mistake shows, and names it by this function. The command
line says at its start that it is the face (`speaking`); elsewhere Python is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

Face = Literal["python", "command", "recipe"]

_FLAGS = {
    "columns": "--map",
    "labels": "--label",
    "model": "-m",
    "lora_adapter": "--adapter",
    "overwrite": "--force",
}
"""Flags that are not called as the argument is."""

_KEYS = {"columns": "map", "labels": "label", "format": "format"}
"""What a recipe says itself; the rest are flags of its command too."""

_face: Face = "python"


@contextmanager
def speaking(face: Face) -> Iterator[None]:
    """Settings are named as that face has them until the block ends; of the whole process, threads included."""
    global _face
    before, _face = _face, face
    try:
        yield
    finally:
        _face = before


def name_option(name: str, value: Any = None) -> str:
    """An argument of ours, as the user would write it, with its value if one is given.

    >>> name_option("columns", {"prompt": "question"})
    "columns={'prompt': 'question'}"
    """
    if _face == "python":
        return f"{name}=" if value is None else f"{name}={value!r}"
    if _face == "recipe" and name in _KEYS:
        return _KEYS[name] if value is None else f"{_KEYS[name]} = {_toml(value)}"
    flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    if value is None or value is True:
        return flag
    if isinstance(value, Mapping):
        return " ".join(f"{flag} {shlex.quote(f'{ours}={theirs}')}" for ours, theirs in value.items())
    return f"{flag} {shlex.quote(str(value))}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_bare(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bare(key: str) -> str:
    is_plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_plain else _toml(key)
