"""Engines: what turns judge prompts into texts. `load_engine` finds the one a model name asks for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from rmr1.engines.base import Decider, Engine, Request, SamplingParams, Scorer, is_scalar
from rmr1.engines.folders import find_folder
from rmr1.engines.hf.lora import read_adapter
from rmr1.engines.names import SCHEMES, ModelName, parse_model_name
from rmr1.engines.options import EngineKind, check_options, list_faults
from rmr1.errors import ConfigError, RMR1Error
from rmr1.models import resolve_model

__all__ = [
    "SCHEMES",
    "Engine",
    "ModelName",
    "Request",
    "SamplingParams",
    "Scorer",
    "is_scorer",
    "list_option_faults",
    "load_decider",
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
    options = options or {}
    scheme, rest = (parsed := parse_model_name(model)).scheme, parsed.rest
    if scheme in ("scripted", "replay"):
        for _, fault in list_option_faults(model, options):
            raise ConfigError(fault)
    if scheme == "scripted":
        from rmr1.engines.scripted import load_scripted

        return load_scripted(rest)
    if scheme == "replay":
        from rmr1.engines.replay import ReplayEngine

        return ReplayEngine(rest)
    if scheme == "decisions":
        raise ConfigError(f"model {model!r} is asked at a decision endpoint: it chooses, and writes no text")
    if scheme == "openai":
        checked = check_options("openai", options)
        from rmr1.engines.openai import OpenAIEngine, parse_openai_name

        name, url = parse_openai_name(rest)
        return OpenAIEngine(name, url, **checked)
    # Faults of options, model and adapter are told before the libraries are imported, which takes seconds.
    checked = check_options("vllm" if scheme == "vllm" else "transformers", options)
    find_folder(rest)
    if (adapter := checked.get("lora_adapter")) is not None:
        read_adapter(adapter)
    if scheme == "vllm":
        from rmr1.engines.vllm import VLLMEngine

        return VLLMEngine(rest, **checked)
    from rmr1.engines.hf.engine import TransformersEngine

    return TransformersEngine(model, **checked)


def list_option_faults(model: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name of each option that a model's engine does not take as it is, and what is wrong; nothing is loaded.

    Whether a model of the hub writes or scores is not known: it takes what either engine does.
    """
    try:
        scheme = parse_model_name(model).scheme
        name = resolve_model(model)
    except RMR1Error:
        return  # which loading the model says
    if scheme in ("scripted", "replay"):
        fault = f"model {model!r} takes no engine options, but {', '.join(options)} were given"
        yield from ((one, fault) for one in list(options)[:1])
        return
    kinds: list[EngineKind] = [cast(EngineKind, scheme or "transformers")]
    is_folder = Path(name).expanduser().is_dir()
    if (is_folder or options.get("head") is not None) and is_scorer(name, options):
        kinds = ["scalar"]
    elif scheme is None and not is_folder:
        kinds.append("scalar")
    faults = [dict(list_faults(kind, options)) for kind in kinds]
    yield from ((one, text) for one, text in faults[0].items() if all(one in others for others in faults))


def is_scorer(model: str, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a model name asks for a scalar reward model: by its configuration, or because a head is named.

    No weights are read, and no library is imported for a folder or a name with a scheme.
    """
    if parse_model_name(model).scheme is not None:
        return False
    options = options or {}
    if options.get("head") is not None:
        return True
    config = Path(resolve_model(model)).expanduser() / "config.json"
    if config.is_file():
        with contextlib.suppress(OSError, ValueError, AttributeError):  # loading the model says what is wrong
            return is_scalar(json.loads(config.read_bytes()).get("architectures") or ())
        return False
    find_folder(model)
    try:
        from rmr1.engines.hf.loading import read_architectures
    except ImportError:
        return False  # which the engine says
    return is_scalar(read_architectures(model, revision=options.get("revision")))


def load_decider(model: str, options: Mapping[str, Any] | None = None) -> Decider:
    """The model behind a name `decisions:NAME@URL`, with `options` for its constructor; nothing is sent yet."""
    checked = check_options("decisions", options or {})
    from rmr1.engines.openai import DecisionModel, parse_openai_name

    return DecisionModel(*parse_openai_name(parse_model_name(model).rest, "decisions"), **checked)


def load_scorer(model: str, options: Mapping[str, Any] | None = None) -> Scorer:
    """The scalar reward model of a Hugging Face name or folder, with `options` for its constructor."""
    checked = check_options("scalar", options or {})
    from rmr1.engines.hf.scorer import ScalarModel

    return ScalarModel(model, **checked)
