"""A trained model as a Hugging Face folder, and adapters merged into their base.

Files are written aside and moved in when all of them are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from rmr1.engines.hf.loading import DTYPES, describe_checkpoint, load_checkpoint, quiet
from rmr1.engines.hf.lora import apply_adapter
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import CheckpointError
from rmr1.store.replace import PART, remove, write_json, writing
from rmr1.store.runs import SUMMARY_FILE
from rmr1.train.card import CARD, format_merged, write_card
from rmr1.train.start import Trainee

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from rmr1.train.recipe import ModelRecipe


def export_model(
    trainee: Trainee,
    output: Path,
    *,
    recipe: ModelRecipe,
    tokenizer: PreTrainedTokenizerBase,
    end_token: int | None = None,
    summary: Mapping[str, Any],
) -> None:
    """Write the trained model, or its adapters alone, and the summary last.

    The model is left in the precision that it is stored in. `end_token` joins the tokens that end a text.
    """
    kind = recipe.save_dtype or ("fp32" if recipe.precision == "fp32" else "bf16")
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32

    def save(folder: Path) -> None:
        if trainee.adapted is not None:
            trainee.adapted.save_pretrained(folder, save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)  # an empty model card
        else:
            trainee.model.to(dtype)  # type: ignore[arg-type]
            save_model(trainee.model, folder, end_token=end_token)
        tokenizer.save_pretrained(folder)

    write_aside(output, save)
    write_json(output / SUMMARY_FILE, summary)
    write_card(output)


def save_model(model: PreTrainedModel, folder: Path, *, end_token: int | None = None) -> None:
    """Weights, configuration and generation settings; `end_token` joins the tokens that end a text."""
    settings: Any = getattr(model, "generation_config", None)  # a scalar model has none
    if settings is not None and end_token is not None:
        ends = read_end_tokens(settings, model.config)
        if end_token not in ends:
            settings.eos_token_id = [end_token, *sorted(ends)]
    model.save_pretrained(folder)


def merge_adapter(base: str, adapter: str | Path, output: str | Path, *, dtype: str = "auto") -> None:
    """Add a LoRA adapter's weights to its base and store the whole model.

    Args:
        dtype: number format of the stored weights; "auto" is the base's own.

    Raises:
        CheckpointError: base or adapter cannot be read, do not fit, or the folder cannot be written.
        ConfigError: peft is missing.
    """
    output = Path(output)
    if output.exists() and any(output.iterdir()):
        raise CheckpointError(f"{output}: the folder is not empty; choose another")
    description = describe_checkpoint(base, revision=None, trust_remote_code=False)
    own = getattr(description.config, "dtype", None) or torch.float32
    wanted = DTYPES[dtype] if dtype != "auto" else own if isinstance(own, torch.dtype) else torch.float32
    # Added in float32 and rounded once.
    checkpoint = load_checkpoint(base, device=torch.device("cpu"), dtype=torch.float32)
    model = apply_adapter(checkpoint.model, adapter).to(wanted)  # type: ignore[arg-type]

    def save(folder: Path) -> None:
        save_model(model, folder)
        checkpoint.tokenizer.save_pretrained(folder)
        (folder / CARD).write_text(format_merged(base, Path(adapter)), encoding="utf-8")

    write_aside(output, save)


def write_aside(output: Path, save: Callable[[Path], None]) -> None:
    """Let `save` fill a folder, then move its files into `output`."""
    part = output / f"{PART}export"
    advice = "checkpoints stay: free space, then run the same command again"
    with writing(output, advice, what="the model", kind=CheckpointError, also=(SafetensorError,)):
        remove(part)
        part.mkdir(parents=True)
        try:
            with quiet():
                save(part)
            mask = os.umask(0)
            os.umask(mask)
            for file in part.iterdir():
                # safetensors makes files for their owner only; a model is as readable as other new files are.
                file.chmod(0o666 & ~mask)
                target = output / file.name
                if target.is_dir():
                    remove(target)
                os.replace(file, target)
        finally:
            remove(part)
