"""Engines: what turns judge prompts into texts. `load_engine` finds the one a model name asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.errors import ConfigError

__all__ = ["Engine", "Request", "SamplingParams", "load_engine"]


def load_engine(model: str, options: Mapping[str, Any] | None = None) -> Engine:
    """The engine for a model name.

    `scripted:NAME` is the shipped fake, `replay:PATH` plays recorded outputs back, everything else is
    a Hugging Face name or folder for the embedded transformers engine, which takes `options`
    (`device`, `dtype`, `batch_size`, ...).

    Raises:
        ConfigError: the name or an option is unknown, or a library is missing.
        CheckpointError: the model cannot be loaded.
    """
    options = dict(options or {})
    scheme, _, rest = model.partition(":")
    if scheme == "scripted":
        from rmr1.engines.scripted import load_scripted

        _refuse_options(model, options)
        return load_scripted(rest)
    if scheme == "replay":
        from rmr1.engines.replay import ReplayEngine

        _refuse_options(model, options)
        return ReplayEngine(rest)
    from rmr1.engines.transformers import TransformersEngine

    try:
        return TransformersEngine(model, **options)
    except TypeError as error:
        raise ConfigError(f"engine option: {error}") from None


def _refuse_options(model: str, options: Mapping[str, Any]) -> None:
    if options:
        raise ConfigError(f"model {model!r} takes no engine options, but {', '.join(options)} were given")
