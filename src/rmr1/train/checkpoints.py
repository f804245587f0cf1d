"""Checkpoints of a training run: written whole or not at all, and enough to go on exactly.

    checkpoints/step-00000200/
      weights.safetensors   the parameters that are trained, in the precision they are trained in
      optimizer.pt          the optimizers' states
      state.json            step, place in the data, counters
      random.pt             random states of every process

A checkpoint is written into a folder of another name, forced onto the disk and then renamed, so one that has
its name is complete. Older ones go only after that.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rmr1.devices import find_gpu
from rmr1.errors import CheckpointError

FOLDER = "checkpoints"
BEST = "best"
"""Folder of the weights with the best held-out figures so far, by step, where a training keeps them."""
_PREFIX = "step-"
PART = ".part-"
"""What the name of a half-written folder begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a checkpoint holds."""

    weights: dict[str, torch.Tensor]
    optimizer: Any
    state: dict[str, Any]
    """Plain values; `step` is the number of finished steps."""
    random: list[dict[str, torch.Tensor]]
    """Of each process."""


def trained_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, each once, also where two layers share it."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def write_checkpoint(run: Path, snapshot: Snapshot, *, keep: int) -> Path:
    """Write a checkpoint into a run's folder and drop all but the newest `keep`.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    target = run / FOLDER / f"{_PREFIX}{snapshot.state['step']:08d}"

    def save(part: Path) -> None:
        _save_weights(snapshot.weights, part)
        torch.save(snapshot.optimizer, part / "optimizer.pt")
        torch.save(snapshot.random, part / "random.pt")
        (part / "state.json").write_text(json.dumps(snapshot.state, indent=2) + "\n", encoding="utf-8")

    _write_whole(run, target, "the checkpoint", save, part=target.with_name(f"{PART}{target.name}"))
    for old in _list(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def write_best(
    run: Path, weights: Mapping[str, torch.Tensor], step: int, *, spared: int | None = None
) -> None:
    """Keep these weights as the run's best, and drop the others but those of the step that is `spared`.

    The newest checkpoint may name an older step, at which a run goes on that is stopped before its next one.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the ones before stay.
    """
    target = run / place_best(step)
    _write_whole(
        run, target, "the best weights", lambda part: _save_weights(weights, part), part=run / f"{PART}{BEST}"
    )
    stay = {target} if spared is None else {target, run / place_best(spared)}
    for old in target.parent.iterdir():
        if old not in stay:
            shutil.rmtree(old, ignore_errors=True)


def read_best(run: Path, step: int, *, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """The weights of this step, which was the run's best.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    folder = run / place_best(step)
    try:
        return load_file(folder / "weights.safetensors", device=str(device))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the best weights cannot be read ({error})") from None


def place_best(step: int) -> Path:
    """Where a run's folder has the weights of this step, if they are among its best."""
    return Path(BEST, f"{_PREFIX}{step:08d}")


def find_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run; what a killed process left half-written is none."""
    return next(iter(reversed(_list(run))), None)


def read_checkpoint(folder: Path, *, device: torch.device | str = "cpu") -> Snapshot:
    """
    Raises:
        CheckpointError: a file is missing or damaged.
    """
    try:
        return Snapshot(
            weights=load_file(folder / "weights.safetensors", device=str(device)),
            optimizer=torch.load(folder / "optimizer.pt", map_location=device, weights_only=True),
            state=json.loads((folder / "state.json").read_text(encoding="utf-8")),
            random=torch.load(folder / "random.pt", map_location="cpu", weights_only=True),
        )
    except Exception as error:  # torch raises anything over a damaged file
        lines = str(error).splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{folder}: the checkpoint cannot be read ({lines[0]}); delete it to go on from an older one"
        ) from None


@torch.no_grad()
def restore_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], place: Path) -> None:
    """Put stored weights into the parameters that are trained.

    Raises:
        CheckpointError: names or shapes are not the model's.
    """
    wanted = trained_weights(model)
    if different := wanted.keys() ^ weights.keys():
        raise CheckpointError(f"{place}: not a checkpoint of this model: it differs in {min(different)!r}")
    for name, parameter in wanted.items():
        if parameter.shape != weights[name].shape:
            raise CheckpointError(
                f"{place}: {name!r} is {tuple(weights[name].shape)}, the model has {tuple(parameter.shape)}"
            )
        parameter.copy_(weights[name])


def get_random_state() -> dict[str, torch.Tensor]:
    """The random state of this process, which dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if (kind := find_gpu()) is not None:
        state[kind] = getattr(torch, kind).get_rng_state()
    return state


def set_random_state(state: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    kind = find_gpu()
    if kind is not None and kind in state:
        getattr(torch, kind).set_rng_state(state[kind])


def _save_weights(weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    kept = {name: one.detach().cpu().contiguous() for name, one in weights.items()}
    save_file(kept, folder / "weights.safetensors", metadata={"format": "pt"})


def _write_whole(run: Path, target: Path, what: str, save: Callable[[Path], None], *, part: Path) -> None:
    """Let `save` fill the folder `part`, and give it the name of `target` once it is on the disk.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; what was there stays.
    """
    try:
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        save(part)
        for file in part.iterdir():
            _flush(file)
        _flush(part)
        if target.exists():
            shutil.rmtree(target)
        os.replace(part, target)
        _flush(target.parent)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(part, ignore_errors=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        last = find_checkpoint(run)
        stays = f"{last.name} stays" if last else "none was written before"
        raise CheckpointError(
            f"{target}: {what} cannot be written ({reason}); {stays}: free space, then run the same command again"
        ) from None


def _list(run: Path) -> list[Path]:
    folder = run / FOLDER
    return sorted(folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
