"""A scalar training from recipe to folder: one training for each rate, and the best of them stored.

    DIR/
      training.json, summary.json, config.json, model.safetensors, tokenizer.json, ...
      metrics.jsonl         of the rate that was kept
      tries/lr-0.002/       a training of its own: training.json, metrics.jsonl, summary.json, checkpoints/
      full/                 where tries are short (optim.try_tokens), the full training at the best rate

The same command goes on where it was: finished tries are kept, the one that was stopped goes on at its last
checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rmr1.console import Display
from rmr1.devices import check_device
from rmr1.errors import CheckpointError, ConfigError, TrainingError
from rmr1.store.kinds import CHECKPOINTS, FULL, METRICS, TRIES
from rmr1.store.replace import write_text
from rmr1.store.runs import SUMMARY_FILE as SUMMARY
from rmr1.train.checkpoints import restore_weights
from rmr1.train.export import write_aside
from rmr1.train.folder import open_folder, read_beginning
from rmr1.train.scalar.plan import ScalarPlan, build_scalar_plan
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.scalar.trainer import Rate, check_batches, import_trl, train

_WEIGHTS = "weights.safetensors"


def run_scalar(recipe: ScalarRecipe, output: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Train as the recipe says, into the folder `output`; the summary's values.

    A run that was stopped goes on, a finished one is left as it is.

    Raises:
        ConfigError, CheckpointError, DataError, RunError, TrainingError: see the modules that are called.
    """
    import_trl()  # what is missing is said before the data are read
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("rmr1 scalar trains in one process; start it without torchrun")
    check_device(recipe.device)
    output = Path(output)
    plan = build_scalar_plan(recipe, stored=read_beginning(output))
    folder = open_folder(output, plan.describe())
    try:
        if folder.is_finished:
            return {**folder.read_summary(), "was_finished": True}
        rates, places = list_rates(recipe), output / TRIES
        first = plan if plan.try_course is None else plan.as_try()
        tries = [_train(first, rate, places / rate.name, quiet=quiet) for rate in rates]
        kept = choose(tries)
        place, figures = places / rates[kept].name, tries[kept]
        if first is not plan:
            place = output / FULL
            figures = _train(plan, rates[kept], place, quiet=quiet)
            choose([figures])
        summary = summarize(plan, figures, tries)
        _export(plan, output, place, summary)
        return summary
    finally:
        folder.close()


def list_rates(recipe: ScalarRecipe) -> list[Rate]:
    optim = recipe.optim
    matrices = optim.muon_lr if optim.name == "muon" and optim.muon_lr is not None else optim.lr
    return [Rate(lr=lr, muon_lr=muon_lr) for lr, muon_lr in zip(optim.lr, matrices, strict=True)]


def choose(tries: Sequence[Mapping[str, Any]]) -> int:
    """Place of the try with the highest held-out accuracy; among equals the one with the lower held-out loss.

    Raises:
        TrainingError: every try has diverged.
    """
    usable = [place for place, one in enumerate(tries) if not one.get("diverged")]
    if not usable:
        others = f"; so did {len(tries) - 1} others" if len(tries) > 1 else ""
        raise TrainingError(f"{tries[-1]['told']}{others}")
    return max(
        usable,
        key=lambda place: (
            tries[place].get("held_out_accuracy", 0.0),
            -tries[place].get("held_out_loss", 0.0),
        ),
    )


def summarize(
    plan: ScalarPlan, kept: Mapping[str, Any], tries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Figures of the training that is kept, of all tries, and of the data; `seconds` are those of all trainings."""
    counts = plan.train.counts
    trainings = [*tries, kept] if plan.try_course is not None else tries
    return {
        **kept,
        "training_seconds": kept.get("seconds"),
        "seconds": round(sum(one.get("seconds", 0.0) for one in trainings), 3),
        "train_pairs": len(plan.train),
        "held_out_pairs": len(plan.held_out),
        "undecided": counts.undecided,
        "overlong": counts.overlong,
        "tries": [dict(one) for one in tries],
    }


def _train(plan: ScalarPlan, rate: Rate, place: Path, *, quiet: bool) -> dict[str, Any]:
    """One training in a folder of its own, done or found done."""
    folder = open_folder(place, plan.describe())
    try:
        if folder.is_finished:
            return folder.read_summary()
        model = plan.base.load()
        # Where there is none, or one that ends conversations, the library would read the score elsewhere.
        model.config.get_text_config().pad_token_id = plan.pad
        notes = check_batches(model, pad=plan.pad, max_tokens=plan.recipe.data.max_tokens)
        with Display(plan.course.num_steps, quiet=quiet) as display:
            for note in notes:
                display.say(f"rmr1: {note}")
            try:
                figures = train(plan, rate, model, folder, display)
            except TrainingError as error:
                display.say(f"rmr1: rate {rate.lr:g}: diverged; this try ends")
                figures = {"lr": rate.lr, "diverged": True, "told": str(error)}
            else:
                figures["parameters"] = sum(one.numel() for one in model.parameters())
                _store_weights(model, place)
        write_text(place / SUMMARY, json.dumps(figures, indent=2) + "\n")
        if not figures.get("diverged"):
            shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        return figures
    finally:
        folder.close()


def _store_weights(model: torch.nn.Module, place: Path) -> None:
    part = place / f".{_WEIGHTS}.part"
    try:
        save_file({name: one.detach().cpu().contiguous() for name, one in model.named_parameters()}, part)
        os.replace(part, place / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointError(
            f"{place / _WEIGHTS}: cannot be written ({reason}); checkpoints stay: free space, then run the same "
            "command again"
        ) from None


def _export(plan: ScalarPlan, output: Path, place: Path, summary: Mapping[str, Any]) -> None:
    """The kept training as a Hugging Face folder, the summary last; then the tries' weights may go."""
    recipe = plan.recipe
    kind = recipe.model.save_dtype or ("fp32" if recipe.model.precision == "fp32" else "bf16")
    model = plan.base.load()
    model.config.get_text_config().pad_token_id = plan.pad
    restore_weights(model, load_file(place / _WEIGHTS), place)
    model.to(dtype=torch.bfloat16 if kind == "bf16" else torch.float32)  # type: ignore[call-arg]

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        plan.base.tokenizer.save_pretrained(folder)
        if (place / METRICS).exists():
            shutil.copyfile(place / METRICS, folder / METRICS)

    write_aside(output, save)
    write_text(output / SUMMARY, json.dumps(summary, indent=2) + "\n")
    for training in (place, *(output / TRIES / rate.name for rate in list_rates(recipe))):
        (training / _WEIGHTS).unlink(missing_ok=True)
        shutil.rmtree(training / CHECKPOINTS, ignore_errors=True)
