"""A trained model as a Hugging Face folder, and adapters merged into their base.

Files are written aside and moved in when all of them are there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers.core_model_loading import WeightConverter

from rmr1.engines.hf.loading import DTYPES, describe_checkpoint, load_checkpoint, quiet
from rmr1.engines.hf.lora import apply_adapter
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import CheckpointError
from rmr1.store.replace import PART, remove, write_json, writing
from rmr1.store.runs import SUMMARY_FILE
from rmr1.train.card import CARD, format_merged, write_card
from rmr1.train.group import call_on_main, count_processes, is_main
from rmr1.train.sharding import gather_whole
from rmr1.train.start import Trainee

FILE_BYTES = 4 << 30
"""Most bytes of weights in a file, if it is not a single larger one."""

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
    """Write the trained model, or its adapters alone, and the summary last; all processes call it.

    A model that is whole is left in the precision that it is stored in. Of one that is divided, the main process never
    has more than a file's weights. `end_token` joins the tokens that end a text.
    """
    kind = recipe.save_dtype or ("fp32" if recipe.precision == "fp32" else "bf16")
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    save: Callable[[Path], None]
    if trainee.adapted is not None:
        weights = {
            name: gather_whole(one.detach()).cpu()
            for name, one in trainee.adapted.named_parameters()
            if one.requires_grad
        }

        def save(folder: Path) -> None:
            trainee.adapted.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)  # an empty model card
            tokenizer.save_pretrained(folder)

        call_on_main(lambda: write_aside(output, save))
    elif count_processes() > 1:
        _export_divided(trainee.model, output, dtype, tokenizer, end_token)
    else:

        def save(folder: Path) -> None:
            trainee.model.to(dtype)  # type: ignore[arg-type]
            save_model(trainee.model, folder, end_token=end_token)
            tokenizer.save_pretrained(folder)

        write_aside(output, save)

    def finish() -> None:
        write_json(output / SUMMARY_FILE, summary)
        write_card(output)

    call_on_main(finish)


def _export_divided(
    model: PreTrainedModel,
    output: Path,
    dtype: torch.dtype,
    tokenizer: PreTrainedTokenizerBase,
    end_token: int | None,
) -> None:
    """Gather weight by weight; the main process writes a file whenever there is enough for one."""
    stack = ExitStack()
    part = output / f"{PART}export"
    # What transformers changes on the way from a checkpoint it has to change back all at once.
    is_changed = any(isinstance(one, WeightConverter) for one in getattr(model, "_weight_conversions", ()))
    limit = math.inf if is_changed else FILE_BYTES
    files: list[list[str]] = []
    kept: dict[str, torch.Tensor] = {}
    num_bytes = 0

    def begin() -> None:
        stack.enter_context(_aside(output))
        save_model(model, part, end_token=end_token, state_dict={})
        for old in part.glob("model*.safetensors*"):
            old.unlink()
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        write_json(part / "config.json", {**config, "dtype": str(dtype).removeprefix("torch.")})
        tokenizer.save_pretrained(part)

    def flush() -> None:
        if is_changed:
            save_model(model, part, state_dict=dict(kept))
        else:
            save_file(kept, part / f"model-{len(files):05d}.safetensors", metadata={"format": "pt"})
            files.append(list(kept))
        kept.clear()

    def end() -> None:
        if not is_changed:
            _name_files(part, files)
        stack.pop_all().close()

    def told(function: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            with _telling(output), quiet():
                function()

        return call

    weights = chain(model.named_parameters(), model.named_buffers())
    stored = model.state_dict().keys()
    try:
        call_on_main(told(begin))
        for name, one in weights:
            if name not in stored:
                continue
            whole = gather_whole(one.detach())
            whole = whole.to(dtype) if whole.is_floating_point() else whole
            if num_bytes and num_bytes + whole.nbytes > limit:
                call_on_main(told(flush))
                num_bytes = 0
            num_bytes += whole.nbytes
            if is_main():
                kept[name] = whole.cpu().contiguous()
        call_on_main(told(flush))
        call_on_main(told(end))
    finally:
        with suppress(OSError):
            remove(part) if is_main() else None


def _name_files(part: Path, files: Sequence[Sequence[str]]) -> None:
    """Give the files of weights the names by which transformers finds them."""
    if len(files) == 1:
        (part / "model-00000.safetensors").rename(part / "model.safetensors")
        return
    places: dict[str, str] = {}
    for number, names in enumerate(files):
        final = f"model-{number + 1:05d}-of-{len(files):05d}.safetensors"
        (part / f"model-{number:05d}.safetensors").rename(part / final)
        places |= dict.fromkeys(names, final)
    total = sum(file.stat().st_size for file in part.glob("model-*.safetensors"))
    write_json(
        part / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places}
    )


def save_model(
    model: PreTrainedModel,
    folder: Path,
    *,
    end_token: int | None = None,
    state_dict: dict[str, torch.Tensor] | None = None,
) -> None:
    """Weights, by default the model's own, configuration and generation settings; `end_token` joins the tokens that
    end a text."""
    settings: Any = getattr(model, "generation_config", None)  # a scalar model has none
    if settings is not None and end_token is not None:
        ends = read_end_tokens(settings, model.config)
        if end_token not in ends:
            settings.eos_token_id = [end_token, *sorted(ends)]
    model.save_pretrained(folder, state_dict=state_dict)


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
    with _telling(output), _aside(output) as part, quiet():
        save(part)


def _telling(output: Path) -> AbstractContextManager[None]:
    advice = "checkpoints stay: free space, then run the same command again"
    return writing(output, advice, what="the model", kind=CheckpointError, also=(SafetensorError,))


@contextmanager
def _aside(output: Path) -> Iterator[Path]:
    """A folder whose files are moved into `output` if the block ends well."""
    part = output / f"{PART}export"
    remove(part)
    part.mkdir(parents=True)
    try:
        yield part
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
