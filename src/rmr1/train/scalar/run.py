"""A scalar training from recipe to folder: one training for each rate, and the best of them stored.

    DIR/
      training.json, summary.json, config.json, model.safetensors, tokenizer.json, ...
      metrics.jsonl         of the rate that was kept
      tries/lr-0.002/       a training of its own: training.json, metrics.jsonl, summary.json, checkpoints/
      full/                 with short tries (optim.try_tokens), the full training at the best rate

The same command goes on: finished tries are kept, the one that was stopped goes on at its last checkpoint.

Shapes: `B` pairs.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from rmr1.errors import CheckpointError, TrainingError, reason_of
from rmr1.store.kinds import CHECKPOINTS, FULL, METRICS, TRIES
from rmr1.store.replace import remove, write_json, write_text
from rmr1.store.runs import SUMMARY_FILE as SUMMARY
from rmr1.train.checkpoints import (
    BEST,
    find_checkpoint,
    restore_best,
    restore_plain,
    write_best,
    write_checkpoint,
)
from rmr1.train.examples import Position
from rmr1.train.export import export_model
from rmr1.train.fit import check_room, estimate_scalar
from rmr1.train.folder import read_beginning
from rmr1.train.group import add_up, call_on_main, count_processes, gather, is_main, share
from rmr1.train.loop import Training, run_once
from rmr1.train.processes import accelerated
from rmr1.train.recipe import ReportRecipe
from rmr1.train.scalar.model import (
    check_batches,
    compute_pair_losses,
    divide_pairs,
    load_model,
    score_held_out,
    score_pairs,
)
from rmr1.train.scalar.plan import Rate, ScalarPlan, build_scalar_plan, list_rates
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.update import Updater


def run_scalar(recipe: ScalarRecipe, output: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Train as the recipe says, into the folder `output`; the summary's values.

    A run that was stopped goes on, a finished one is left as it is.

    Raises:
        ConfigError, CheckpointError, DataError, RunError, TrainingError: see the modules that are called.
    """
    output = Path(output)
    is_mixed = recipe.model.precision == "bf16"
    timeout = recipe.sharding.timeout_seconds
    with accelerated(
        device=recipe.device, is_mixed=is_mixed, report=ReportRecipe(), timeout_seconds=timeout
    ) as accelerator:
        plan = build_scalar_plan(recipe, stored=share(read_beginning(output)))
        device = accelerator.device
        check_room(recipe, estimate_scalar(plan))
        return run_once(output, plan.describe(), lambda _: _compare_rates(plan, output, device, quiet=quiet))


def _compare_rates(plan: ScalarPlan, output: Path, device: torch.device, *, quiet: bool) -> dict[str, Any]:
    rates, folder = list_rates(plan.recipe), output / TRIES
    course = plan.try_course
    first = plan if course is None else replace(plan, course=course, try_course=None)
    tries = [_train(first, rate, folder / rate.name, quiet=quiet) for rate in rates]
    kept = choose(tries)
    place, figures = folder / rates[kept].name, tries[kept]
    if first is not plan:
        place = output / FULL
        figures = _train(plan, rates[kept], place, quiet=quiet)
        choose([figures])
    summary = summarize(plan, figures, tries)
    trainee = load_model(plan, device)
    restore_best(place, trainee.model, figures["steps"])
    call_on_main(lambda: write_text(output / METRICS, (place / METRICS).read_text(encoding="utf-8")))
    export_model(
        trainee,
        output,
        recipe=plan.recipe.model,
        tokenizer=plan.base.tokenizer,
        summary=summary,
    )
    if is_main():
        for training in (place, *(folder / rate.name for rate in rates)):
            remove(training / BEST)
            remove(training / CHECKPOINTS)
    return summary


def choose(tries: Sequence[Mapping[str, Any]]) -> int:
    """Place of the try with the highest held-out accuracy; among equals the one with the lower held-out loss.

    Raises:
        TrainingError: every try has diverged.
    """
    usable = {place: one for place, one in enumerate(tries) if not one.get("diverged")}
    if not usable:
        others = f"; so did {len(tries) - 1} others" if len(tries) > 1 else ""
        raise TrainingError(f"{tries[-1]['told']}{others}")
    return max(
        usable,
        key=lambda place: (
            usable[place].get("held_out_accuracy", 0.0),
            -usable[place].get("held_out_loss", 0.0),
        ),
    )


def summarize(
    plan: ScalarPlan, kept: Mapping[str, Any], tries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Figures of the training that is kept, of all tries, and of the data; `seconds` are those of all trainings."""
    trainings = [*tries, kept] if plan.try_course is not None else tries
    return {
        **kept,
        "training_seconds": kept.get("seconds"),
        "seconds": round(sum(one.get("seconds", 0.0) for one in trainings), 3),
        "train_pairs": len(plan.train),
        "held_out_pairs": len(plan.held_out),
        "undecided": plan.train.counts.undecided,
        "overlong": plan.train.counts.overlong,
        "tries": [dict(one) for one in tries],
    }


def _train(plan: ScalarPlan, rate: Rate, place: Path, *, quiet: bool) -> dict[str, Any]:
    recipe = plan.recipe
    is_mixed = recipe.model.precision == "bf16"
    with accelerated(
        device=recipe.device, is_mixed=is_mixed, report=recipe.report, folder=place
    ) as accelerator:
        figures = run_once(
            place,
            plan.describe(),
            lambda folder: ScalarTraining(
                replace(plan, rate=rate), accelerator, place, folder, quiet=quiet
            ).run(),
        )
    return {name: value for name, value in figures.items() if name != "was_finished"}


class ScalarTraining(Training):
    """A model that gives one number for a conversation, on pairs, at one rate."""

    plan: ScalarPlan

    def build(self) -> Updater:
        plan = self.plan
        self.rate = plan.rate or list_rates(plan.recipe)[0]
        self.trainee = load_model(plan, self.device)
        with self.held.gathered():
            notes = check_batches(self.model, pad=plan.pad, max_tokens=self.recipe.data.max_tokens)
        self.notes = gather(list(notes))
        rates = {"lr": self.rate.lr, "muon_lr": self.rate.muon_lr}
        updater = Updater(self.model.train(), self.recipe, self.output, **rates)
        adopt_trl_checkpoint(self.output, plan, updater)
        return updater

    def run(self) -> dict[str, Any]:
        """Train to the end; a training that diverges ends with figures that say so."""
        try:
            return super().run()
        except TrainingError as error:
            self.display.say(f"rmr1: rate {self.rate.lr:g}: diverged; this try ends")
            figures = {"lr": self.rate.lr, "diverged": True, "told": f"rate {self.rate.lr:g}, {error}"}
            call_on_main(lambda: write_json(self.output / SUMMARY, figures))
            return figures

    def step(self) -> dict[str, Any]:
        began = time.perf_counter()
        plan, state, batch = self.plan, self.state, self.recipe.batch
        start = self.position.index
        places = plan.course.order[start : start + batch.examples]
        self.position = Position(index=start + len(places))
        factor, at_once = self.compute_factor(), batch.examples_at_once or batch.examples
        sums, ranks = torch.zeros(3, device=self.device), count_processes()
        for pairs, weight in divide_pairs(plan.train, places, at_once):
            with self.accelerator.autocast():
                better_B, worse_B = self.held(partial(score_pairs, pad=plan.pad), self.model, pairs)
            losses_B = compute_pair_losses(better_B, worse_B)
            # Processes' gradients are averaged, so each one's part counts `ranks` times.
            (losses_B.sum() * (weight * ranks / len(places))).backward()
            margins_B = (better_B - worse_B).detach()
            sums += weight * torch.stack([losses_B.detach().sum(), (margins_B > 0).sum(), margins_B.sum()])
        loss, accuracy, margin = (add_up(sums) / len(places)).tolist()
        norm = self.updater.step(f"{self.unit} {state['step'] + 1}", loss, factor)
        before, state["tokens"] = state["tokens"], plan.course.tokens[state["step"]]
        state["loss"] = loss
        return {
            "loss": loss,
            "accuracy": accuracy,
            "margin": margin,
            "lr": factor * self.rate.lr,
            "grad_norm": norm,
            "tokens": state["tokens"],
            "tokens_per_second": (state["tokens"] - before) / max(time.perf_counter() - began, 1e-9),
        }

    def evaluate(self) -> dict[str, Any]:
        with self.accelerator.autocast():
            return score_held_out(
                self.held,
                self.plan.held_out,
                pad=self.plan.pad,
                batch_size=self.recipe.evaluation.batch_size,
            )

    def format_look(self, values: Mapping[str, Any]) -> str:
        return (
            f"rate {self.rate.lr:g}: held-out loss {values['held_out_loss']:.4f}, "
            f"{100 * values['held_out_accuracy']:.1f}% of {len(self.plan.held_out)} pairs right"
        )

    def summarize(self, looked: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "lr": self.rate.lr,
            **({"muon_lr": self.rate.muon_lr} if self.recipe.optim.name == "muon" else {}),
            "examples": len(self.plan.course.order),
            "loss": self.state.get("loss"),
            **super().summarize(looked),
        }

    def store(self, summary: Mapping[str, Any]) -> None:
        """The weights in the precision they are trained in, until the best are known."""
        write_best(self.output, self.model, self.state["step"])
        call_on_main(lambda: write_json(self.output / SUMMARY, summary))
        if is_main():
            remove(self.output / CHECKPOINTS)


def adopt_trl_checkpoint(run: Path, plan: ScalarPlan, updater: Updater) -> None:
    """Turn the newest checkpoint of a run that TRL's trainer began into one to go on from, if there is none yet.

    It holds `trainer_state.json`, written last, `model.safetensors` and the states of the optimizer's parts.
    """
    if find_checkpoint(run) is not None:
        return
    steps = []
    for file in (run / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"):
        with contextlib.suppress(ValueError):  # a kill has cut it short
            steps.append(int(json.loads(file.read_text(encoding="utf-8"))["global_step"]))
    if not steps:
        return
    step = max(steps)
    folder = run / CHECKPOINTS / f"checkpoint-{step}"
    try:
        weights = load_file(folder / "model.safetensors")
        optimizer = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)["parts"]
    except Exception as error:  # torch raises anything over a damaged file
        raise CheckpointError(f"{folder}: the checkpoint cannot be read ({reason_of(error)})") from None
    logged = run / METRICS
    text = logged.read_text(encoding="utf-8") if logged.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    done = [line for line in lines if "loss" in line and line["step"] <= step] or [{}]
    state = {
        "step": step,
        "tokens": plan.course.tokens[step - 1],
        "seconds": done[-1].get("seconds", 0.0),
        "loss": done[-1].get("loss"),
        "position": {"epoch": 0, "index": min(step * plan.recipe.batch.examples, len(plan.course.order))},
    }
    restore_plain(folder, updater.module, updater.optimizers, weights, optimizer)
    write_checkpoint(run, updater.module, updater.optimizers, state, keep=plan.recipe.checkpoint.keep)
