"""Checkpoints of a training run: written whole or not at all, and enough to go on exactly, in any number of processes.

    checkpoints/step-00000200/
      .metadata, *.distcp   the parameters that are trained, in the precision they are trained in, and the optimizer's
                            states, by name: torch.distributed.checkpoint, of which each process writes its own part
      state.json            step, place in the data, counters

A checkpoint that has its name is complete. Older ones go only after that. Those of earlier versions, which hold
weights.safetensors and optimizer.pt, can be gone on from.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from rmr1.errors import CheckpointError, RMR1Error, reason_of
from rmr1.store.kinds import CHECKPOINTS
from rmr1.store.replace import PART, remove, replacing, writing
from rmr1.train.group import call_on_main, count_processes, is_main, share
from rmr1.train.optim import Optimizers
from rmr1.train.sharding import local, take_rows

BEST = "best"
"""Folder of the weights with the best held-out figures so far, by step, if a training keeps them."""
_PREFIX = "step-"
_AGAIN = "free space, then run the same command again"
_WEIGHTS, _STATES = "weights.", "optimizer."
"""What the names of weights and of the optimizer's states begin with."""


def trained_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, each once, also if two layers share it."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def write_checkpoint(
    run: Path, model: torch.nn.Module, optimizers: Optimizers, state: Mapping[str, Any], *, keep: int
) -> Path:
    """Write a checkpoint into a run's folder and drop all but the newest `keep`; all processes call it.

    `state` are plain values, among them `step`, the number of finished steps.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    target = run / CHECKPOINTS / f"{_PREFIX}{state['step']:08d}"
    weights = trained_weights(model)
    names: dict[torch.Tensor, str] = {weight: name for name, weight in weights.items()}
    tensors = {
        **{f"{_WEIGHTS}{name}": one.detach() for name, one in weights.items()},
        **{f"{_STATES}{name}": one for name, one in optimizers.list_states(names).items()},
    }

    def finish(part: Path) -> None:
        (part / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    last = share(find_checkpoint(run))
    stays = f"{last.name} stays" if last else "none was written before"
    _write(target, tensors, f"{stays}: {_AGAIN}", "the checkpoint", finish)
    call_on_main(lambda: _remove(_list(run)[:-keep]))
    return target


def write_best(run: Path, model: torch.nn.Module, step: int, *, spared: int | None = None) -> None:
    """Keep these weights as the run's best, and drop the others but those of the step that is `spared`.

    The newest checkpoint may name an older step, at which a run goes on that is stopped before its next one.
    """
    target = run / place_best(step)
    tensors = {f"{_WEIGHTS}{name}": one.detach() for name, one in trained_weights(model).items()}
    _write(target, tensors, _AGAIN, "the best weights", lambda _: None)
    stay = {target} if spared is None else {target, run / place_best(spared)}
    call_on_main(lambda: _remove(old for old in target.parent.iterdir() if old not in stay))


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        remove(folder)


def _write(
    target: Path,
    tensors: Mapping[str, torch.Tensor],
    advice: str,
    what: str,
    finish: Callable[[Path], None],
) -> None:
    """Write tensors into a folder, each process its own part; the main one makes it and gives it its name."""
    part = target.with_name(f"{PART}{target.name}")

    def begin() -> None:
        with writing(target, advice, what=what, kind=CheckpointError):
            target.parent.mkdir(exist_ok=True)
            remove(part)
            part.mkdir()

    def end() -> None:
        with writing(target, advice, what=what, kind=CheckpointError), replacing(target, part) as place:
            finish(place)

    try:
        call_on_main(begin)
        try:
            with _alone_too():
                save(dict(tensors), storage_writer=FileSystemWriter(part))
        except CheckpointException as error:
            raise CheckpointError(f"{target}: {what} cannot be written ({_blame(error)}); {advice}") from None
        call_on_main(end)
    finally:
        if is_main():
            remove(part)


@contextmanager
def _alone_too() -> Iterator[None]:
    """A block without the warning that there is one process only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _blame(error: CheckpointException) -> str:
    """The reason of the first process that failed, and which one that is if there are several."""
    rank, (cause, _) = min(error.failures.items(), key=lambda one: one[0])
    number = count_processes()
    told = reason_of(cause) if isinstance(cause, Exception) else type(cause).__name__
    return told if number == 1 else f"process {rank} of {number}: {told}"


def place_best(step: int) -> Path:
    """The place of this step's weights in a run's folder, if they are among its best."""
    return Path(BEST, f"{_PREFIX}{step:08d}")


def find_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run; what a killed process left half-written is none."""
    return next(iter(reversed(_list(run))), None)


def restore_best(run: Path, model: torch.nn.Module, step: int) -> None:
    """Put the weights of this step, which was the run's best, into the model; all processes call it."""
    folder = run / place_best(step)
    with _reading(folder, "the best weights cannot be read", ""):
        stored = _read_plain(folder)
        if stored is not None:
            restore_weights(model, stored, folder)
        else:
            _load(folder, model)


def restore_checkpoint(folder: Path, model: torch.nn.Module, optimizers: Optimizers) -> dict[str, Any]:
    """Put the checkpoint's weights and states into model and optimizers; the plain values it was written with.

    All processes call it, in whatever number it was written by.

    Raises:
        CheckpointError: a file is missing or damaged, or it is of another model.
    """
    with _reading(folder, "the checkpoint cannot be read", "; delete it to go on from an older one"):
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        stored = _read_plain(folder)
        if stored is None:
            _load(folder, model, optimizers)
            return state
        states = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        restore_plain(folder, model, optimizers, stored, states)
        return state


def restore_plain(
    place: Path,
    model: torch.nn.Module,
    optimizers: Optimizers,
    weights: Mapping[str, torch.Tensor],
    states: Sequence[Mapping[str, Any]],
) -> None:
    """Put whole weights and the optimizers' own states, as one process has stored them, into model and optimizers."""
    restore_weights(model, weights, place)
    for own, part in zip(optimizers.list_weights(), states, strict=True):
        for number, values in part["state"].items():
            optimizers.put_state(own[number], _divide(values, own[number]))


@contextmanager
def _reading(folder: Path, told: str, advice: str) -> Iterator[None]:
    try:
        yield
    except RMR1Error:
        raise
    except CheckpointException as error:
        raise CheckpointError(f"{folder}: {told} ({_blame(error)}){advice}") from None
    except Exception as error:  # torch raises anything over a damaged file
        raise CheckpointError(f"{folder}: {told} ({reason_of(error)}){advice}") from None


def _read_plain(folder: Path) -> dict[str, torch.Tensor] | None:
    """The weights of a folder that an earlier version wrote, by one process; None if it is none."""
    path = folder / "weights.safetensors"
    return load_file(path) if path.exists() else None


def _divide(values: Mapping[str, Any], weight: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    """The states of a whole weight, divided as it is."""
    found: dict[str, torch.Tensor] = {}
    for key, value in values.items():
        if tuple(value.shape) == tuple(weight.shape) and value.ndim:
            found[key] = torch.zeros_like(weight.detach(), dtype=value.dtype)
            local(found[key]).copy_(take_rows(value, weight))
        else:
            found[key] = value
    return found


def _load(folder: Path, model: torch.nn.Module, optimizers: Optimizers | None = None) -> None:
    reader = FileSystemReader(folder)
    stored = reader.read_metadata().state_dict_metadata
    shapes = {name: tuple(one.size) for name, one in stored.items() if isinstance(one, TensorStorageMetadata)}
    weights = trained_weights(model)
    begun = {name.removeprefix(_WEIGHTS): one for name, one in shapes.items() if name.startswith(_WEIGHTS)}
    _check_same(weights, begun, folder)
    target = {f"{_WEIGHTS}{name}": one.detach() for name, one in weights.items()}
    states: dict[str, dict[str, torch.Tensor]] = {}
    for full, shape in shapes.items() if optimizers is not None else ():
        name, _, key = full.removeprefix(_STATES).rpartition(".")
        if not full.startswith(_STATES) or name not in weights:
            continue
        kind, weight = stored[full].properties.dtype, weights[name].detach()  # type: ignore[union-attr]
        is_divided = shape == tuple(weight.shape) and len(shape) > 0
        value = torch.zeros_like(weight, dtype=kind) if is_divided else torch.zeros(shape, dtype=kind)
        states.setdefault(name, {})[key] = target[full] = value
    with _alone_too():
        load(dict(target), storage_reader=reader)
    for name, own in states.items():
        assert optimizers is not None
        optimizers.put_state(weights[name], own)


def _check_same(
    wanted: Mapping[str, torch.Tensor], stored: Mapping[str, tuple[int, ...]], place: Path
) -> None:
    if different := wanted.keys() ^ stored.keys():
        raise CheckpointError(f"{place}: not a checkpoint of this model: it differs in {min(different)!r}")
    for name, weight in wanted.items():
        if tuple(weight.shape) != stored[name]:
            raise CheckpointError(f"{place}: {name!r} is {stored[name]}, the model has {tuple(weight.shape)}")


@torch.no_grad()
def restore_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], place: Path) -> None:
    """Put whole weights into the parameters that are trained; names and shapes must be the model's."""
    wanted = trained_weights(model)
    _check_same(wanted, {name: tuple(one.shape) for name, one in weights.items()}, place)
    for name, parameter in wanted.items():
        local(parameter).copy_(take_rows(weights[name], parameter))


def _list(run: Path) -> list[Path]:
    folder = run / CHECKPOINTS
    return sorted(folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []
