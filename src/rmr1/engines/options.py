"""The options of each engine, read from its constructor's source: checked without the libraries it needs.

    list_faults("transformers", {"devise": "cpu"})      [("devise", "unknown key 'engine.devise' for ...")]

An option's type stands at the constructor's parameter, which is the only place that names it.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, TypeAdapter, ValidationError

from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.nearest import find_nearest

Kind = Literal["transformers", "vllm", "openai", "scalar"]

_PLACES: Mapping[Kind, tuple[str, str]] = {
    "transformers": ("transformers.py", "TransformersEngine"),
    "vllm": ("vllm/engine.py", "VLLMEngine"),
    "openai": ("openai/engine.py", "OpenAIEngine"),
    "scalar": ("scorer.py", "ScalarModel"),
}
"""File and class."""

DTYPE_NAMES = ("auto", "float32", "bfloat16", "float16")

_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:\d+)?")


def _check_positive(value: int) -> int:
    if value < 1:
        raise ValueError(f"is {value}; expected a positive number")
    return value


def _check_dtype(value: str) -> str:
    if value not in DTYPE_NAMES:
        raise ValueError(f"{value!r} is not known; expected {', '.join(map(repr, DTYPE_NAMES))}")
    return value


def _check_device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise ValueError(f"{value!r} is not known; expected 'auto', 'cpu', 'cuda' or 'mps'")
    return value


Positive = Annotated[int, AfterValidator(_check_positive)]
Dtype = Annotated[str, AfterValidator(_check_dtype)]
"""The number format of a model's weights."""
Device = Annotated[str, AfterValidator(_check_device)]
"""A device by name; whether this machine has it is another matter."""


class Option(NamedTuple):
    annotation: Any
    default: Any


@functools.cache
def read_options(kind: Kind) -> Mapping[str, Option]:
    """The options of an engine's constructor by name: its parameters that have to be named."""
    file, name = _PLACES[kind]
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    (engine,) = (one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name)
    (constructor,) = (
        one for one in engine.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"
    )
    parameters = constructor.args
    return {
        one.arg: Option(
            eval(ast.unparse(one.annotation), dict(globals())) if one.annotation else Any,
            None if default is None else ast.literal_eval(default),
        )
        for one, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
    }


def list_faults(kind: Kind, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name of each option that is unknown to the engine or does not fit, and what is wrong."""
    known = read_options(kind)
    for name, value in options.items():
        if name == "lora_adapter" and kind == "scalar":
            yield (
                name,
                f"{name_option('lora_adapter')} is for models that write; a scalar model is a folder of whole weights",
            )
        elif name not in known:
            near = find_nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
            yield name, f"unknown key 'engine.{name}' for {_PLACES[kind][1]}; {hint}"
        else:
            try:
                TypeAdapter(known[name].annotation).validate_python(value)
            except ValidationError as error:
                yield name, f"engine.{name}{_describe(error, value)}"


def check_options(kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the types that the engine's constructor names.

    Raises:
        ConfigError: one is unknown or does not fit.
    """
    for _, fault in list_faults(kind, options):
        raise ConfigError(fault)
    known = read_options(kind)
    return {
        name: TypeAdapter(known[name].annotation).validate_python(value) for name, value in options.items()
    }


def _describe(error: ValidationError, value: Any) -> str:
    first = error.errors()[0]
    if first["type"] == "value_error":
        return f" {first['msg'].removeprefix('Value error, ')}"
    return f": {first['msg'].lower()}, got {value!r}"
