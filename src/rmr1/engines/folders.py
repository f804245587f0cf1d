"""The place that a model's name leads to, and whether what lies there can be a model: told before a library is imported."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from rmr1.errors import CheckpointError, RMR1Error
from rmr1.models import resolve_model

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
)
WEIGHT_SUFFIXES = (".safetensors", ".bin")

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


def find_folder(name: str) -> Path | None:
    """The folder that `name` means, or None for a name on the hub; `CheckpointError` if it is neither."""
    folder = Path(resolve_model(name)).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(
            f"model {name!r} is a file; name the folder that holds config.json and the weights"
        )
    if not HUB_NAME.fullmatch(name):
        raise CheckpointError(
            f"model {name!r}: no such folder, and not a Hugging Face name (expected 'owner/name')"
        )
    return None


def has_tokenizer_files(folder: Path) -> bool:
    """Whether a tokenizer lies there; transformers makes an empty one where none does."""
    return any((folder / file).is_file() for file in TOKENIZER_FILES)


def check_folder(folder: Path) -> None:
    """Refuse a folder that lacks its configuration, tokenizer or weights."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"model folder {str(folder)!r} holds no config.json, so it is not a model folder"
        )
    if not has_tokenizer_files(folder):
        raise CheckpointError(
            f"model folder {str(folder)!r} holds no tokenizer; copy tokenizer.json and tokenizer_config.json from "
            "the model it was trained from"
        )
    if not any(file.suffix in WEIGHT_SUFFIXES for file in folder.iterdir()):
        raise CheckpointError(f"model folder {str(folder)!r} holds no weights (*.safetensors)")


def read_stated_context(name: str | None) -> int | None:
    """The context that the configuration in a model's folder states; None if that takes more than reading it."""
    config: Any = {}
    with contextlib.suppress(RMR1Error, OSError, ValueError):  # loading the model says what is wrong
        folder = None if name is None else find_folder(name)
        config = {} if folder is None else json.loads((folder / "config.json").read_bytes())
    text = config.get("text_config") if isinstance(config, dict) and "text_config" in config else config
    if not isinstance(text, dict):
        return None
    context = text.get("max_position_embeddings")
    scaling = text.get("rope_parameters") or text.get("rope_scaling") or {}
    is_stretched = isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) == "yarn"
    return context if isinstance(context, int) and context > 0 and not is_stretched else None
