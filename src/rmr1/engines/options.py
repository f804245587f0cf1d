"""The options of each engine, read from its constructor's source: checked without the libraries it needs.

    list_faults("transformers", {"devise": "cpu"})      [("devise", "unknown key 'engine.devise' for ...")]

An option's type stands at the constructor's parameter, which is the only place that names it.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, create_model

from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.settings import Mistakes, Section

P = ParamSpec("P")
R = TypeVar("R")
EngineKind = Literal["transformers", "vllm", "openai", "decisions", "scalar"]

_PLACES: Mapping[EngineKind, tuple[str, str]] = {
    "transformers": ("hf/engine.py", "TransformersEngine"),
    "vllm": ("vllm/engine.py", "VLLMEngine"),
    "openai": ("openai/engine.py", "OpenAIEngine"),
    "decisions": ("openai/decider.py", "DecisionModel"),
    "scalar": ("hf/scorer.py", "ScalarModel"),
}
_OPENAI_TEXTS = ("use_max_completion_tokens",)
"""Options of the openai engine that are about texts."""

_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:\d+)?")


def _check_device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise ValueError(f"{value!r} is not known; expected 'auto', 'cpu', 'cuda' or 'mps'")
    return value


Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Pause = Annotated[float, Ge(0)]
Size = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]
Mass = Annotated[float, Ge(0), Le(1)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""The number format of a model's weights."""
DTYPE_NAMES = get_args(Dtype)
Device = Annotated[str, AfterValidator(_check_device)]
"""A device by name; whether this machine has it is another matter."""


@functools.cache
def read_options(kind: EngineKind) -> type[Section]:
    """The parameters of an engine's constructor that have to be named, as a section of settings."""
    file, name = _PLACES[kind]
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    (engine,) = (one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name)
    (constructor,) = (
        one for one in engine.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"
    )
    parameters = constructor.args
    fields: dict[str, Any] = {
        one.arg: (
            eval(ast.unparse(one.annotation), dict(globals())) if one.annotation else Any,
            None if default is None else ast.literal_eval(default),
        )
        for one, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
    }
    if kind == "decisions":  # which takes the others to the openai engine
        shared = read_options("openai").model_fields.items()
        fields |= {key: (one.annotation, one) for key, one in shared if key not in _OPENAI_TEXTS}
    section = create_model(name, __base__=Section, **fields)
    section.whose = f" for {name}"
    return section


def list_faults(kind: EngineKind, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name of each option that is unknown to the engine or does not fit, and what is wrong."""
    for name, value in options.items():
        mistakes = Mistakes("")
        if name == "lora_adapter" and kind == "scalar":
            mistakes.add(
                f"{name_option('lora_adapter')} is for models that write; a scalar model is a folder of whole weights"
            )
        else:
            mistakes.read(read_options(kind), {name: value}, ("engine",))
        yield from ((name, text) for text in mistakes.texts())


def check_options(kind: EngineKind, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the types that the engine's constructor names; `ConfigError` if one is unknown or does not fit."""
    for _, fault in list_faults(kind, options):
        raise ConfigError(fault)
    checked = read_options(kind)(**options)
    return {name: getattr(checked, name) for name in options}


def checking(kind: EngineKind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes an engine's constructor refuse what `check_options` does."""

    def wrap(constructor: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(constructor)
        def run(*args: P.args, **options: P.kwargs) -> R:
            return constructor(*args, **check_options(kind, options))

        return run

    return wrap
