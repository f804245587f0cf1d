"""Trainings in several processes of one group, for the tests: a group runs many, because starting one takes seconds.

`run_group` starts it; each job is a verb, a recipe and a folder, and its outcome the summary or the error's lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from rmr1.errors import RMR1Error

Job = tuple[str, dict[str, Any], Path]
"""Verb, recipe, folder."""


def run_group(folder: Path, jobs: Sequence[Job], *, processes: int) -> list[dict[str, Any]]:
    """What each job gave: the main process's summary, or {"error": ...}; with what each process held."""
    plan = folder / f"jobs-{len(list(folder.glob('jobs-*.json')))}-{processes}.json"
    plan.write_text(json.dumps([[verb, recipe, str(place)] for verb, recipe, place in jobs]))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    env = {
        **os.environ,
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    group = []
    for rank in range(processes):
        with (folder / f"stderr-{processes}-{rank}.txt").open("w") as file:
            own = {**env, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, "-m", "tests.sharded", str(plan)]
            group.append(subprocess.Popen(command, env=own, stderr=file))
    try:
        codes = [one.wait(timeout=280) for one in group]
    finally:
        for one in group:
            one.kill()
            one.wait()
    told = "\n".join((folder / f"stderr-{processes}-{rank}.txt").read_text() for rank in range(processes))
    assert codes == [0] * processes, told[-4000:]
    found: list[dict[str, Any]] = json.loads(plan.with_suffix(".out").read_text())
    return found


def run_job(verb: str, recipe: dict[str, Any], place: Path) -> dict[str, Any]:
    """One training in this process, or in this one of a group."""
    from rmr1.train.grpo.recipe import GrpoRecipe
    from rmr1.train.grpo.run import run_grpo
    from rmr1.train.recipe import Recipe
    from rmr1.train.scalar.recipe import ScalarRecipe
    from rmr1.train.scalar.run import run_scalar
    from rmr1.train.sft import run_sft

    try:
        with watching_steps(recipe.pop("stop_at", None)), failing(recipe.pop("fails", None), recipe):
            if verb == "sft":
                return run_sft(Recipe.from_values(recipe, "recipe.toml"), place, quiet=True)
            if verb == "grpo":
                return run_grpo(GrpoRecipe.from_values(recipe, "recipe.toml"), place, quiet=True)
            return run_scalar(ScalarRecipe.from_values(recipe, "recipe.toml"), place, quiet=True)
    except RMR1Error as error:
        return {"error": list(error.lines)}
    except Stopped:
        return {"stopped": True}


@contextlib.contextmanager
def failing(kind: str | None, recipe: dict[str, Any]) -> Iterator[None]:
    """Let process 1 fail: its disk is full at the second checkpoint, or it reads other data."""
    from torch.distributed.checkpoint import FileSystemWriter

    original, calls = FileSystemWriter.write_data, []

    def write(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return original(*arguments, **options)

    if os.environ.get("RANK") == "1":
        if kind == "data":
            recipe["data"]["train"] = recipe["data"]["held_out"]
        if kind == "disk":
            FileSystemWriter.write_data = write  # type: ignore[method-assign]
    try:
        yield
    finally:
        FileSystemWriter.write_data = original  # type: ignore[method-assign]


class Stopped(Exception):
    """A process that ends between two steps."""


@contextlib.contextmanager
def watching_steps(stop_at: int | None) -> Iterator[None]:
    """Note what a process holds of weights and states; stop before the step of this number."""
    from rmr1.train.loop import Training
    from rmr1.train.sharding import local

    before = Training.take_step

    def take_step(self: Any) -> dict[str, Any]:
        if stop_at is not None and self.state["step"] >= stop_at:
            raise Stopped
        values = before(self)
        weights = list(self.updater.module.parameters())
        states = self.updater.optimizers.list_states(_names(weights))
        HELD.update(
            weights=sum(local(one).nbytes for one in weights),
            states=sum(local(one).nbytes for one in states.values()),
            all_weights=sum(one.numel() * one.element_size() for one in weights),
            all_states=sum(one.numel() * one.element_size() for one in states.values()),
        )
        return values

    Training.take_step = take_step  # type: ignore[method-assign]
    try:
        yield
    finally:
        Training.take_step = before  # type: ignore[method-assign]


def _names(weights: Sequence[torch.nn.Parameter]) -> dict[torch.nn.Parameter, str]:
    return {one: str(number) for number, one in enumerate(weights)}


HELD: dict[str, int] = {}
"""Bytes that this process held after its last step, and those of the whole."""


def main() -> None:
    plan = Path(sys.argv[1])
    outcomes = []
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=120))
    for verb, recipe, place in json.loads(plan.read_text()):
        HELD.clear()
        found = run_job(verb, recipe, Path(place))
        part = Path(place).with_name(f"{Path(place).name}-held-{os.environ['RANK']}.json")
        part.write_text(json.dumps(HELD))
        outcomes.append(found)
    if os.environ["RANK"] == "0":
        plan.with_suffix(".out").write_text(json.dumps(outcomes))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
