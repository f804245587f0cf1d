"""Checkpoints of a training run: written whole or not at all, and enough to go on exactly.

    checkpoints/step-00000200/
      weights.safetensors   the parameters that are trained, in the precision they are trained in
      optimizer.pt          the optimizers' states
      state.json            step, place in the data, counters
      random.pt             random states of every process

A checkpoint that has its name is complete. Older ones go only after that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rmr1.devices import find_gpu
from rmr1.errors import CheckpointError, reason_of
from rmr1.store.kinds import CHECKPOINTS
from rmr1.store.replace import remove, replacing, writing

BEST = "best"
"""Folder of the weights with the best held-out figures so far, by step, where a training keeps them."""
_PREFIX = "step-"
_AGAIN = "free space, then run the same command again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a checkpoint holds."""

    weights: dict[str, torch.Tensor]
    optimizer: Any
    state: dict[str, Any]
    """Plain values; `step` is the number of finished steps."""
    random: list[dict[str, torch.Tensor]]
    """Random state of each process."""


def trained_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, each once, also where two layers share it."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def write_checkpoint(run: Path, snapshot: Snapshot, *, keep: int) -> Path:
    """Write a checkpoint into a run's folder and drop all but the newest `keep`.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    target = run / CHECKPOINTS / f"{_PREFIX}{snapshot.state['step']:08d}"
    last = find_checkpoint(run)
    stays = f"{last.name} stays" if last else "none was written before"
    with _writing(target, f"{stays}: {_AGAIN}", "the checkpoint") as part:
        _save_weights(snapshot.weights, part)
        torch.save(snapshot.optimizer, part / "optimizer.pt")
        torch.save(snapshot.random, part / "random.pt")
        (part / "state.json").write_text(json.dumps(snapshot.state, indent=2) + "\n", encoding="utf-8")
    for old in _list(run)[:-keep]:
        remove(old)
    return target


def write_best(
    run: Path, weights: Mapping[str, torch.Tensor], step: int, *, spared: int | None = None
) -> None:
    """Keep these weights as the run's best, and drop the others but those of the step that is `spared`.

    The newest checkpoint may name an older step, at which a run goes on that is stopped before its next one.
    """
    target = run / place_best(step)
    with _writing(target, _AGAIN, "the best weights") as part:
        _save_weights(weights, part)
    stay = {target} if spared is None else {target, run / place_best(spared)}
    for old in target.parent.iterdir():
        if old not in stay:
            remove(old)


@contextmanager
def _writing(target: Path, advice: str, what: str) -> Iterator[Path]:
    with writing(target, advice, what=what, kind=CheckpointError, also=(SafetensorError, RuntimeError)):
        target.parent.mkdir(exist_ok=True)
        with replacing(target) as part:
            part.mkdir()
            yield part


def _save_weights(weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    kept = {name: one.detach().cpu().contiguous() for name, one in weights.items()}
    save_file(kept, folder / "weights.safetensors", metadata={"format": "pt"})


def read_best(run: Path, step: int, *, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """The weights of this step, which was the run's best."""
    folder = run / place_best(step)
    try:
        return load_file(folder / "weights.safetensors", device=str(device))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the best weights cannot be read ({error})") from None


def place_best(step: int) -> Path:
    """The place of this step's weights in a run's folder, if they are among its best."""
    return Path(BEST, f"{_PREFIX}{step:08d}")


def find_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run; what a killed process left half-written is none."""
    return next(iter(reversed(_list(run))), None)


def read_checkpoint(folder: Path, *, device: torch.device | str = "cpu") -> Snapshot:
    """What the checkpoint holds; a file that is missing or damaged is a `CheckpointError`."""
    try:
        return Snapshot(
            weights=load_file(folder / "weights.safetensors", device=str(device)),
            optimizer=torch.load(folder / "optimizer.pt", map_location=device, weights_only=True),
            state=json.loads((folder / "state.json").read_text(encoding="utf-8")),
            random=torch.load(folder / "random.pt", map_location="cpu", weights_only=True),
        )
    except Exception as error:  # torch raises anything over a damaged file
        raise CheckpointError(
            f"{folder}: the checkpoint cannot be read ({reason_of(error)}); delete it to go on from an older one"
        ) from None


@torch.no_grad()
def restore_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], place: Path) -> None:
    """Put stored weights into the parameters that are trained; names and shapes must be the model's."""
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


def _list(run: Path) -> list[Path]:
    folder = run / CHECKPOINTS
    return sorted(folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []
