"""LoRA adapters: what a folder holds, and the weights added to a model's own when it is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rmr1.errors import CheckpointError, reason_of
from rmr1.plugins import require
from rmr1.store.fingerprint import hash_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraAdapter:
    """A LoRA adapter's folder."""

    path: Path
    rank: int

    @property
    def identity(self) -> str:
        return hash_files(
            file for file in self.path.iterdir() if file.name.startswith("adapter_") and file.is_file()
        )


def read_adapter(path: str | Path) -> LoraAdapter:
    """Raises CheckpointError if the folder holds no LoRA adapter."""
    folder = Path(path).expanduser()
    file = folder / "adapter_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(
            f"LoRA adapter {str(folder)!r}: no adapter_config.json there; name a folder written by peft"
        ) from None
    except ValueError:
        raise CheckpointError(f"{file}: not JSON; save the adapter again") from None
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA" or not isinstance(config.get("r"), int):
        raise CheckpointError(f"{file}: peft_type is {kind!r}; expected a LoRA adapter with a rank 'r'")
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return LoraAdapter(path=folder, rank=rank)


def apply_adapter(model: PreTrainedModel, adapter: str | Path) -> PreTrainedModel:
    """The model with a LoRA adapter's weights added to its own, in its own number format."""
    from rmr1.engines.hf.loading import quiet

    folder = read_adapter(adapter).path
    peft = import_peft()
    try:
        with quiet():
            adapted = peft.PeftModel.from_pretrained(model, str(folder))
            return cast("PreTrainedModel", adapted.merge_and_unload(safe_merge=True))
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise CheckpointError(
            f"LoRA adapter {str(folder)!r} does not fit the model: {reason_of(error)}; name the base it was trained on"
        ) from None


def import_peft() -> Any:
    """The library for adapters."""
    with require("an adapter", "train"):
        import peft
    return peft
