"""Engines: what turns judge prompts into texts. `load_engine` finds the one a model name asks for."""

from __future__ import annotations

import contextlib
import inspect
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.engines.base import Engine, Request, SamplingParams, Scorer, is_scalar
from rmr1.engines.names import SCHEMES, ModelName, parse_model_name
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.models import resolve_model
from rmr1.nearest import find_nearest

__all__ = [
    "SCHEMES",
    "Engine",
    "ModelName",
    "Request",
    "SamplingParams",
    "Scorer",
    "is_scorer",
    "load_engine",
    "load_scorer",
    "parse_model_name",
]


def load_engine(model: str, options: Mapping[str, Any] | None = None) -> Engine:
    """The engine for a model name (`rmr1.engines.names`), with `options` for its constructor.

    Raises:
        ConfigError: the name or an option is unknown, or a library is missing.
        CheckpointError: the model cannot be loaded.
    """
    options = dict(options or {})
    parsed = parse_model_name(model)
    scheme, rest = parsed.scheme, parsed.rest
    if scheme == "scripted":
        from rmr1.engines.scripted import load_scripted

        _refuse_options(model, options)
        return load_scripted(rest)
    if scheme == "replay":
        from rmr1.engines.replay import ReplayEngine

        _refuse_options(model, options)
        return ReplayEngine(rest)
    if scheme == "openai":
        from rmr1.engines.openai import OpenAIEngine, parse_openai_name

        name, url = parse_openai_name(rest)
        return OpenAIEngine(name, url, **check_options(OpenAIEngine, options))
    if scheme == "vllm":
        from rmr1.engines.vllm import VLLMEngine

        return VLLMEngine(rest, **check_options(VLLMEngine, options))
    from rmr1.engines.transformers import TransformersEngine

    return TransformersEngine(model, **check_options(TransformersEngine, options))


def is_scorer(model: str, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a model name asks for a scalar reward model: by its configuration, or because an adapter is named.

    No weights are read, and no library is imported for a folder or a name with a scheme.

    Raises:
        ConfigError: no engine has the name's scheme.
    """
    if parse_model_name(model).scheme is not None:
        return False
    options = options or {}
    if options.get("adapter") is not None:
        return True
    config = Path(resolve_model(model)).expanduser() / "config.json"
    if config.is_file():
        with contextlib.suppress(OSError, ValueError, AttributeError):  # loading the model says what is wrong
            return is_scalar(json.loads(config.read_bytes()).get("architectures") or ())
        return False
    try:
        from rmr1.engines.loading import read_architectures
    except ImportError:
        return False  # which the engine says
    return is_scalar(read_architectures(model, revision=options.get("revision")))


def load_scorer(model: str, options: Mapping[str, Any] | None = None) -> Scorer:
    """The scalar reward model of a Hugging Face name or folder, with `options` for its constructor.

    Raises:
        ConfigError: an option is unknown, or a library is missing.
        CheckpointError: the model cannot be loaded, or does not score.
    """
    from rmr1.engines.scorer import ScalarModel

    if "lora_adapter" in (options or {}):
        raise ConfigError(
            f"{name_option('lora_adapter')} is for models that write; a scalar model is a folder of whole weights"
        )
    return ScalarModel(model, **check_options(ScalarModel, options or {}))


def check_options(engine: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the types that the engine's constructor names."""
    from pydantic import TypeAdapter, ValidationError

    hints = typing.get_type_hints(engine.__init__)  # type: ignore[misc]
    known = [
        name
        for name, parameter in inspect.signature(engine).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    checked = {}
    for name, value in options.items():
        if name not in known:
            near = find_nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
            raise ConfigError(f"unknown key 'engine.{name}' for {engine.__name__}; {hint}")
        try:
            checked[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"].lower()
            raise ConfigError(f"engine.{name}: {message}, got {value!r}") from None
    return checked


def _refuse_options(model: str, options: Mapping[str, Any]) -> None:
    if options:
        raise ConfigError(f"model {model!r} takes no engine options, but {', '.join(options)} were given")
