"""What a setting is called where the user is: a flag of a command, a key of its recipe, or an argument in Python.

    name_option("columns", {"prompt": "question"})     --map prompt=question
                                                       map = {prompt = "question"}
                                                       columns={'prompt': 'question'}
    name_option("model")                               -m, -m, model=

A message names a setting by this function. The command line says at its start that it is the face (`speaking`).
"""

from __future__ import annotations

import json
import re
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
    "verdict_logprobs": "--logprobs",
    "output": "-o",
}
"""Flags that are not called as the argument is."""

_KEYS = {"columns": "map", "labels": "label", "format": "format"}
"""What a recipe says itself; the rest are flags of its command too."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
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
        names = {key: key if _PLAIN.fullmatch(key) else _toml(key) for key in value}
        return "{" + ", ".join(f"{names[key]} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)
