"""The loop of every training: steps and their log, looks at held-out data, checkpoints and the way back, the end.

A kind of training derives from `Training` and says what is trained, and what a step, a look and the summary are.
One process writes, all of them read; a run may go on with another number of processes.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from rmr1.console import Display, describe_loss
from rmr1.engines.hf.loading import blaming
from rmr1.train.checkpoints import (
    find_checkpoint,
    restore_checkpoint,
    trained_weights,
    write_checkpoint,
)
from rmr1.train.examples import Position
from rmr1.train.export import export_model
from rmr1.train.folder import RunFolder, open_folder
from rmr1.train.group import call_on_main, check_equal, count_processes, share
from rmr1.train.optim import compute_rate
from rmr1.train.processes import flatten_settings
from rmr1.train.sharding import Held
from rmr1.train.start import Trainee
from rmr1.train.update import Updater


def run_once(
    output: Path,
    description: Mapping[str, Any],
    train: Callable[[RunFolder | None], dict[str, Any]],
) -> dict[str, Any]:
    """Train into a folder, or give the summary of a training that is finished there.

    `train` gets the folder in the main process and None in the others.
    """
    check_equal(description)
    folder = call_on_main(lambda: open_folder(output, dict(description)))
    try:
        finished = share(call_on_main(lambda: None if folder is None else folder.read_summary()))
        return train(folder) if finished is None else {**finished, "was_finished": True}
    finally:
        if folder is not None:
            folder.close()


class Training(ABC):
    """One run, from its start or its last checkpoint to its end."""

    unit: ClassVar[str] = "step"
    """What messages call a step."""
    doing: ClassVar[str] = "trained"
    """What a model that fails cannot be."""
    looks_first: ClassVar[bool] = False
    counters: ClassVar[tuple[str, ...]] = ("tokens",)
    """What is counted over all steps, beside the steps themselves."""

    def __init__(
        self, plan: Any, accelerator: Any, output: Path, folder: RunFolder | None, *, quiet: bool = False
    ):
        """`plan` has a recipe, its base, `steps`, `warmup_steps` and held-out data; `folder` is the main process's."""
        self.plan = plan
        self.recipe: Any = plan.recipe
        self.accelerator = accelerator
        self.device = accelerator.device
        self.output = output
        self.folder = folder
        self.trainee: Trainee
        self.end_token: int | None = None
        """Token that ends a text of the model, beside those it knows of."""
        self.notes: list[str] = []
        """Facts about the model for the user, a line each."""
        self.told: list[str] = []
        """Notes that have been said."""
        self.quiet = quiet or folder is None
        self.updater = self.build()
        self.position = Position()
        self.state: dict[str, Any] = {"step": 0, **dict.fromkeys(self.counters, 0), "seconds": 0.0}
        """Plain values that go into checkpoints."""
        self.resume()

    @abstractmethod
    def build(self) -> Updater:
        """Load the trainee, prove what is done with it, and prepare its steps."""

    @abstractmethod
    def step(self) -> dict[str, Any]:
        """One step; its figures for the log. Counts what `counters` names, but not the step itself."""

    @abstractmethod
    def evaluate(self) -> dict[str, Any]:
        """Figures of the held-out data."""

    def describe_step(self, values: Mapping[str, Any]) -> list[str]:
        """The parts of a step's line on the screen."""
        return describe_loss(values)

    @abstractmethod
    def format_look(self, values: Mapping[str, Any]) -> str:
        """The figures of the held-out data in a line."""

    def store(self, summary: Mapping[str, Any]) -> None:
        """Write what was trained, and the summary last."""
        export_model(
            self.trainee,
            self.output,
            recipe=self.recipe.model,
            tokenizer=self.plan.base.tokenizer,
            end_token=self.end_token,
            summary=summary,
        )

    def run(self) -> dict[str, Any]:
        """Train to the end and store the result; the summary's values."""
        recipe, state, steps = self.recipe, self.state, self.plan.steps
        every, has_held_out = recipe.evaluation.every, len(self.plan.held_out) > 0
        looked: dict[str, Any] = {}
        if recipe.report.report_to != "none":
            settings = flatten_settings(recipe.model_dump(mode="json"))
            self.accelerator.init_trackers(recipe.report.project, config=settings)
        with Display(
            steps, done=state["step"], quiet=self.quiet, describe=self.describe_step
        ) as self.display:
            say, show = self.display.say, self.display.update
            if self.updater.warning is not None:
                say(f"rmr1: {self.updater.warning}")
            self.tell()
            if state["step"]:
                say(f"rmr1: {self.output}: going on after {self.unit} {state['step']}")
            elif self.looks_first and has_held_out:
                self.look()
            while state["step"] < steps:
                values = self.take_step()
                is_last = state["step"] == steps
                self.tell()
                show(values)
                if is_last or state["step"] % recipe.report.every == 0:
                    self.log(values)
                if has_held_out and (is_last or (every and state["step"] % every == 0)):
                    looked = self.look()
                wanted = recipe.checkpoint.every
                if wanted and (is_last or state["step"] % wanted == 0):
                    self.save()
            self.updater.check_weights(self.after)
            if has_held_out and not looked:  # stopped behind the last checkpoint, which follows the last look
                with self.blaming("looked at"):
                    looked = self.evaluate()
        summary = self.summarize(looked)
        self.store(summary)
        return summary

    @property
    def model(self) -> PreTrainedModel:
        return self.trainee.model

    @property
    def held(self) -> Held:
        return self.trainee.held

    @property
    def after(self) -> str:
        """The present place for complaints."""
        return f"after {self.unit} {self.state['step']}"

    def compute_factor(self) -> float:
        """The present share of the peak learning rate."""
        optim = self.recipe.optim
        return compute_rate(
            self.state["step"],
            total=self.plan.steps,
            warmup=self.plan.warmup_steps,
            schedule=optim.schedule,
            min_ratio=optim.min_ratio,
        )

    def take_step(self) -> dict[str, Any]:
        """One step, counted and timed; the line for the log."""
        began, state = time.perf_counter(), self.state
        with self.blaming(self.doing):
            values = self.step()
        state["step"] += 1
        state["seconds"] += time.perf_counter() - began
        memory = peak_memory_gb(self.device)
        return {"step": state["step"], **values, "seconds": state["seconds"], "memory_gb": memory}

    def look(self) -> dict[str, Any]:
        """Held-out figures, logged and said; a weight or loss that is no number is a `TrainingError`."""
        self.updater.check_weights(self.after)
        with self.blaming("looked at"):
            values = self.evaluate()
        if "held_out_loss" in values:
            self.updater.check(self.after, {"held-out loss": values["held_out_loss"]})
        self.log({"step": self.state["step"], **values})
        self.display.say(f"{self.unit} {self.state['step']}: {self.format_look(values)}")
        return values

    def log(self, values: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl, which trackers get too."""
        if self.folder is not None:
            self.folder.log(values)
        if self.recipe.report.report_to != "none":
            kept = {key: value for key, value in values.items() if key != "step"}
            self.accelerator.log(kept, step=values["step"])

    def tell(self) -> None:
        """Say the notes that are new."""
        for note in dict.fromkeys(self.notes):
            if note not in self.told:
                self.display.say(f"rmr1: {note}")
                self.told.append(note)

    def blaming(self, doing: str) -> Any:
        return blaming(self.recipe.model.base or "from scratch", self.model, doing)

    def save(self) -> None:
        """Write a checkpoint, unless a weight is no number."""
        self.updater.check_weights(self.after)
        place = {"epoch": self.position.epoch, "index": self.position.index}
        state = {**self.state, "position": place}
        keep = self.recipe.checkpoint.keep
        write_checkpoint(self.output, self.updater.module, self.updater.optimizers, state, keep=keep)

    def resume(self) -> None:
        """Go on at the newest checkpoint, if there is one; what was logged after it is dropped."""
        place = share(call_on_main(lambda: find_checkpoint(self.output)))
        if place is not None:
            self.state = restore_checkpoint(place, self.updater.module, self.updater.optimizers)
            self.position = Position(**self.state.pop("position"))
        if self.folder is not None:
            # Without a checkpoint a look before the first step is taken anew as well.
            self.folder.rewind(-1 if place is None else self.state["step"])

    def seed_pass(self, *place: int) -> None:
        """Seed what layers draw (dropout) by the step and the place in it, whichever process computes it."""
        name = f"{self.recipe.seed}/{self.state['step']}/{place}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))

    def summarize(self, looked: Mapping[str, Any]) -> dict[str, Any]:
        """Figures of the whole training, those of the last look among them."""
        state = self.state
        return {
            "steps": state["step"],
            **{name: state[name] for name in self.counters},
            "seconds": round(state["seconds"], 3),
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "trained_parameters": sum(one.numel() for one in trained_weights(self.updater.module).values()),
            "processes": count_processes(),
            **looked,
        }


def peak_memory_gb(device: torch.device) -> float:
    """Most memory held at a time so far, in GB: of the GPU, or of the whole process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
