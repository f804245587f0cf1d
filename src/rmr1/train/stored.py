"""Weights as they lie in safetensors files, read by rows, and models without storage that are filled from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from rmr1.engines.hf.loading import choose_class, load_checkpoint, quiet
from rmr1.plugins import require
from rmr1.train.recipe import ModelRecipe
from rmr1.train.sharding import Rows

_BASE = ".base_layer"
"""What peft puts into the names of the weights that it adapts."""
_M = TypeVar("_M", bound=PreTrainedModel)


def stored_name(name: str) -> str:
    """A weight's name in its checkpoint, adapted or not."""
    return name.replace(_BASE, "")


def load_skeleton(recipe: ModelRecipe, dtype: torch.dtype) -> PreTrainedModel:
    """The model that the recipe goes on from, with buffers and without weights, which are on torch's "meta" device."""
    assert recipe.base is not None
    place: dict[str, Any] = {"revision": recipe.revision, "trust_remote_code": recipe.trust_remote_code}
    found = load_checkpoint(recipe.base, device=torch.device("meta"), dtype=dtype, **place)
    return fill_buffers(found.model, choose_class(found.config, "writes"), recipe)


def fill_buffers(model: PreTrainedModel, kind: Any, recipe: ModelRecipe) -> PreTrainedModel:
    """Give the buffers of a skeleton the values that a new model of this class has."""
    own = {"trust_remote_code": True} if recipe.trust_remote_code else {}
    twin = build_skeleton(lambda: kind.from_config(model.config, dtype=model.dtype, **own))
    for name, buffer in twin.named_buffers():
        owner, _, last = name.rpartition(".")
        model.get_submodule(owner)._buffers[last] = buffer
    return model


def build_skeleton(build: Callable[[], _M]) -> _M:
    """What `build` gives, but its weights take no room."""
    with require("training", "train"):
        from accelerate import init_empty_weights
    with quiet(), init_empty_weights(include_buffers=False):
        model = build()
    model.tie_weights()
    return model


def open_rows(model: PreTrainedModel, source: str, revision: str | None) -> Rows | None:
    """Rows of the weights that are stored for a skeleton; None if they are not there by its own names and shapes.

    Older formats, and checkpoints whose weights transformers changes on the way, are such.
    """
    files = _find_files(source, revision)
    wanted = {stored_name(name): tuple(one.shape) for name, one in model.named_parameters() if one.is_meta}
    kept = {name for name, _ in model.named_buffers()} & model.state_dict().keys()
    if kept or not files or not wanted.keys() <= files.keys():
        return None
    opened: dict[Path, Any] = {}

    def find(name: str) -> Any:
        path = files[stored_name(name)]
        if path not in opened:
            opened[path] = safe_open(path, framework="pt")
        return opened[path].get_slice(stored_name(name))

    if any(tuple(find(name).get_shape()) != shape for name, shape in wanted.items()):
        return None

    def read(name: str, start: int, stop: int) -> torch.Tensor:
        rows: torch.Tensor = find(name)[start:stop]
        return rows

    return read


def _find_files(source: str, revision: str | None) -> Mapping[str, Path]:
    """The file of each weight."""

    def find(name: str) -> Path | None:
        with quiet():
            path = cached_file(source, name, revision=revision, _raise_exceptions_for_missing_entries=False)
        return None if path is None else Path(path)

    single = find("model.safetensors")
    if single is not None:
        with safe_open(single, framework="pt") as file:
            return dict.fromkeys(file.keys(), single)
    index = find("model.safetensors.index.json")
    if index is None:
        return {}
    names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    places = {file: find(file) for file in set(names.values())}
    return {name: place for name, file in names.items() if (place := places[file]) is not None}
