"""How far a training is, kept in checkpoints: weights, optimizers, place in the data, counters, random states.

One process writes, all of them read; a run may go on with another number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from rmr1.train.checkpoints import (
    Snapshot,
    find_checkpoint,
    get_random_state,
    read_checkpoint,
    restore_weights,
    set_random_state,
    trained_weights,
    write_checkpoint,
)
from rmr1.train.examples import Position
from rmr1.train.folder import RunFolder, open_folder
from rmr1.train.optim import Optimizers
from rmr1.train.processes import call_on_main, gather, share


def run_once(
    accelerator: Any,
    output: Path,
    description: Mapping[str, Any],
    train: Callable[[RunFolder | None], dict[str, Any]],
) -> dict[str, Any]:
    """Train into a folder, or give the summary of a training that is finished there.

    `train` gets the folder in the main process and None in the others.

    Raises:
        RunError: another process writes there, or the training there was begun in another way.
    """
    folder = call_on_main(accelerator, lambda: open_folder(output, dict(description)))
    try:
        finished = share(accelerator, call_on_main(accelerator, lambda: _read_finished(folder)))
        return train(folder) if finished is None else {**finished, "was_finished": True}
    finally:
        if folder is not None:
            folder.close()


def _read_finished(folder: RunFolder | None) -> dict[str, Any] | None:
    return folder.read_summary() if folder is not None and folder.is_finished else None


def save_progress(
    accelerator: Any,
    output: Path,
    *,
    module: torch.nn.Module,
    optimizers: Optimizers,
    state: dict[str, Any],
    position: Position,
    keep: int,
) -> None:
    """Write a checkpoint; `state` holds plain values, `step` among them, and the newest `keep` stay.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    random = gather(accelerator, [get_random_state()])
    place = {"epoch": position.epoch, "index": position.index}
    snapshot = Snapshot(
        weights=dict(trained_weights(module)),
        optimizer=optimizers.state_dict(),
        state={**state, "position": place},
        random=random,
    )
    call_on_main(accelerator, lambda: write_checkpoint(output, snapshot, keep=keep))


def load_progress(
    accelerator: Any, output: Path, *, module: torch.nn.Module, optimizers: Optimizers
) -> tuple[dict[str, Any], Position] | None:
    """Go on at the newest checkpoint: its state and place in the data; None where there is none.

    Raises:
        CheckpointError: it is damaged, or not of this model.
    """
    place = share(accelerator, call_on_main(accelerator, lambda: find_checkpoint(output)))
    if place is None:
        return None
    snapshot = read_checkpoint(place, device=accelerator.device)
    restore_weights(module, snapshot.weights, place)
    optimizers.load_state_dict(snapshot.optimizer)
    state = dict(snapshot.state)
    position = Position(**state.pop("position"))
    rank = accelerator.process_index
    if rank < len(snapshot.random):
        set_random_state(snapshot.random[rank])
    return state, position
