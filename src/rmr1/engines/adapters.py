"""Adapters: a user's own function between a model and its scores, for models with another head.

    def score(model, inputs):
        return model(**inputs).logits[:, 0, 3]

It is given the model as its configuration names it and a padded batch (`input_ids` and `attention_mask`,
both B x T, padding on the right), runs inside `torch.inference_mode()`, and returns B scores, higher being
better. It is named as "module:function" or "path/file.py:function"; naming it runs the file.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from rmr1.engines.devices import is_out_of_memory
from rmr1.errors import ConfigError, GenerationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A function that turns a model and its inputs into scores."""

    name: str
    function: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor]
    digest: str
    """A digest of the function's name and its file's content."""

    def __call__(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scores of a batch.

        Raises:
            GenerationError: the function raised something.
        """
        try:
            return self.function(model, inputs)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = (str(error).strip().splitlines() or [""])[0]
            raise GenerationError(
                f"adapter {self.name!r} failed: {type(error).__name__}: {reason}"
            ) from error


def load_adapter(name: str) -> Adapter:
    """The adapter of that name.

    Raises:
        ConfigError: there is none, or its file cannot be run.
    """
    place, _, function_name = name.rpartition(":")
    if not place or not function_name:
        raise ConfigError(f"adapter {name!r}: expected 'module:function' or 'path/file.py:function'")
    try:
        module = _import(place)
    except Exception as error:  # the file is a program of its own and may raise anything
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(f"adapter {name!r} cannot be imported: {type(error).__name__}: {reason}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"adapter {name!r}: {place} has no function {function_name!r}")
    file = getattr(module, "__file__", None)
    content = Path(file).read_bytes() if file else place.encode()
    digest = hashlib.sha256(function_name.encode() + b"\0" + content).hexdigest()[:32]
    return Adapter(name=name, function=function, digest=digest)


def _import(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).expanduser()
    spec = importlib.util.spec_from_file_location(f"rmr1_adapter_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
