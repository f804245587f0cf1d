"""Supervised fine-tuning: the loop.

A step takes the next examples of the source, packs them into rows, and gives each process its share of the
rows. Losses are summed over the judge's tokens and divided by the number of those tokens in the whole step,
so neither packing nor accumulation nor the number of processes changes what is computed.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import torch

from rmr1.attention.packed import pack, share_rows
from rmr1.console import Display
from rmr1.engines.hf.loading import blaming
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import ConfigError
from rmr1.train.checkpoints import trained_weights
from rmr1.train.evaluate import count_verdicts, sum_held_out
from rmr1.train.examples import Position, take_batch
from rmr1.train.export import export_model
from rmr1.train.folder import RunFolder, read_beginning
from rmr1.train.memory import peak_memory_gb
from rmr1.train.numbers import check_finite, check_finite_weights, check_moving_share
from rmr1.train.optim import build_optimizers, compute_rate
from rmr1.train.plan import Plan, build_plan
from rmr1.train.processes import accelerated, call_on_main, flatten_settings, share
from rmr1.train.progress import load_progress, run_once, save_progress
from rmr1.train.recipe import Recipe
from rmr1.train.row import Example, RowLoss, agree, build_row, prove_packing
from rmr1.train.start import load_trainee

_RECENT = 20
"""Steps whose mean loss the summary gives."""


def run_sft(recipe: Recipe, output: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Train as the recipe says, into the folder `output`; the summary's values.

    A run that was stopped goes on at its last checkpoint, a finished one is left as it is.

    Raises:
        ConfigError, CheckpointError, DataError, RunError, TrainingError: see the modules that are called.
    """
    with accelerated(
        device=recipe.device,
        is_mixed=recipe.model.precision == "bf16",
        report=recipe.report,
        folder=output,
    ) as accelerator:
        place = Path(output)
        plan = build_plan(recipe, stored=share(accelerator, read_beginning(place)))
        return run_once(
            accelerator,
            place,
            plan.describe(),
            lambda folder: Training(plan, accelerator, place, folder, quiet=quiet).run(),
        )


class Training:
    """One run, from its start or its last checkpoint to its end."""

    def __init__(
        self, plan: Plan, accelerator: Any, output: Path, folder: RunFolder | None, *, quiet: bool = False
    ):
        self.plan = plan
        self.recipe = recipe = plan.recipe
        self.accelerator = accelerator
        self.output = output
        self.folder = folder
        self.device = accelerator.device
        self.quiet = quiet or folder is None
        self.trainee = load_trainee(recipe, plan.base.tokenizer, self.device)
        self.model = self.trainee.model
        table: Any = self.model.get_input_embeddings()
        if plan.counts.largest_token >= table.weight.shape[0]:
            raise ConfigError(
                f"the data hold token {plan.counts.largest_token}, and the model knows {table.weight.shape[0]}: "
                "tokenizer and model do not fit together"
            )
        with accelerator.autocast():
            paths = prove_packing(self.model, packs=recipe.batch.packing)
        self.loss = RowLoss(self.model, agree(accelerator, self.model, paths))
        self.wrapped = accelerator.prepare(self.loss)
        optim = recipe.optim
        self.optimizers = build_optimizers(
            self.loss,
            name=optim.name,
            lr=optim.lr,
            muon_lr=optim.muon_lr,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
        )
        warning = check_moving_share(
            self.optimizers.parts, rate=optim.lr, most_stuck=recipe.model.max_stuck_share
        )
        self.notes = (*plan.base.notes, *(() if warning is None else (warning,)))
        self.last: dict[str, float] = {}
        """Figures of the last step, if it was done here."""
        torch.manual_seed(recipe.seed * 1009 + accelerator.process_index)
        self.position = Position()
        self.state: dict[str, Any] = {
            "step": 0,
            "tokens": 0,
            "judged_tokens": 0,
            "examples": 0,
            "seconds": 0.0,
            "recent": [],
        }
        self._resume()

    def run(self) -> dict[str, Any]:
        """Train to the end and export; the summary's values."""
        recipe, state, steps = self.recipe, self.state, self.plan.steps
        trackers = recipe.report.report_to != "none"
        if trackers:
            self.accelerator.init_trackers(
                recipe.report.project, config=flatten_settings(recipe.model_dump(mode="json"))
            )
        with Display(steps, done=state["step"], quiet=self.quiet) as display:
            for note in (*self.notes, *self.loss.paths.notes) if not state["step"] else ():
                display.say(f"rmr1: {note}")
            if state["step"]:
                display.say(f"rmr1: {self.output}: going on after step {state['step']}")
            while state["step"] < steps:
                with blaming(self.recipe.model.base or "from scratch", self.model, "trained"):
                    values = self._step()
                step = state["step"]
                display.update(values)
                if step % recipe.report.every == 0 or step == steps:
                    self._log(values)
                every = recipe.evaluation.every
                if every and step % every == 0 and step < steps:
                    self._look(display)
                if recipe.checkpoint.every and (step % recipe.checkpoint.every == 0 or step == steps):
                    self._save()
            self._check_weights()
            held_out = self._look(display) if self.plan.held_out else {}
        if trackers:
            self.accelerator.end_training()
        summary = self._summarize(held_out)
        call_on_main(
            self.accelerator,
            lambda: export_model(
                self.trainee,
                self.output,
                recipe=recipe.model,
                tokenizer=self.plan.base.tokenizer,
                end_token=self.plan.renderer.end_token,
                summary=summary,
            ),
        )
        return summary

    def _step(self) -> dict[str, Any]:
        began = time.perf_counter()
        recipe, state = self.recipe, self.state
        epoch = self.position.epoch
        examples, self.position = take_batch(self.plan.source, recipe.batch, self.position)
        judged = sum(example.num_judged for example in examples)
        tokens = sum(len(example.tokens) for example in examples)
        factor = compute_rate(
            state["step"],
            total=self.plan.steps,
            warmup=self.plan.warmup_steps,
            schedule=recipe.optim.schedule,
            min_ratio=recipe.optim.min_ratio,
        )
        loss = norm = 0.0
        if judged:
            loss = self._backward(examples, judged)
            trained = [one for one in self.loss.parameters() if one.requires_grad]
            clip = recipe.optim.clip or math.inf
            norm = float(torch.nn.utils.clip_grad_norm_(trained, clip))
            figures = {"loss": loss, "gradient": norm}
            check_finite(f"step {state['step'] + 1}", figures, last=self.last, folder=self.output)
            self.optimizers.step(factor)
            self.optimizers.zero_grad()
            self.last = figures
        seconds = time.perf_counter() - began
        state["step"] += 1
        state["tokens"] += tokens
        state["judged_tokens"] += judged
        state["examples"] += len(examples)
        state["seconds"] += seconds
        state["recent"] = [*state["recent"], loss][-_RECENT:]
        return {
            "step": state["step"],
            "epoch": epoch,
            "loss": loss,
            "lr": factor * recipe.optim.lr,
            "grad_norm": norm,
            "examples": state["examples"],
            "tokens": state["tokens"],
            "judged_tokens": state["judged_tokens"],
            "tokens_per_second": tokens / max(seconds, 1e-9),
            "seconds": state["seconds"],
            "memory_gb": peak_memory_gb(self.device),
        }

    def _backward(self, examples: list[Example], judged: int) -> float:
        """Gradients of the mean loss of the step's tokens on every process; that loss."""
        batch, ranks = self.recipe.batch, self.accelerator.num_processes
        rows = (
            pack([len(example.tokens) for example in examples], batch.row_tokens)
            if self.loss.paths.joins
            else [[place] for place in range(len(examples))]
        )
        costs = [float(sum(len(examples[place].tokens) for place in row)) for row in rows]
        own = share_rows(costs, ranks)[self.accelerator.process_index]
        # A process without a row takes part with one that counts for nothing: all must meet at the end.
        work = [(rows[place], 1.0) for place in own] or [(rows[0], 0.0)]
        total = torch.zeros((), device=self.device)
        with self.loss.attention():
            for number, (row, weight) in enumerate(work):
                is_last = number == len(work) - 1
                with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.wrapped):
                    found = self.wrapped(build_row([examples[place] for place in row], self.device))
                    # Processes' gradients are averaged, so each one's part counts `ranks` times.
                    self.accelerator.backward(found * (weight * ranks / judged))
                total += found.detach() * weight
        if ranks > 1:
            total = self.accelerator.reduce(total, "sum")
        return float(total) / judged

    def _check_weights(self) -> None:
        """A step may break the weights although its own loss was a number."""
        place = f"after step {self.state['step']}"
        check_finite_weights(place, self.loss, last=self.last, folder=self.output)

    def _look(self, display: Display) -> dict[str, Any]:
        """Held-out figures, logged."""
        self._check_weights()
        with blaming(self.recipe.model.base or "from scratch", self.model, "looked at"):
            values = self._evaluate()
        figures = {"held-out loss": values["held_out_loss"]}
        check_finite(f"after step {self.state['step']}", figures, last=self.last, folder=self.output)
        if self.folder is not None:
            self.folder.log({"step": self.state["step"], **values})
        if self.recipe.report.report_to != "none":
            self.accelerator.log(values, step=self.state["step"])
        text = f"held-out loss {values['held_out_loss']:.4f}"
        if "held_out_accuracy" in values:
            text += (
                f", {100 * values['held_out_accuracy']:.1f}% of {values['held_out_verdicts']} verdicts right, "
                f"{values['held_out_unparsed']} without verdict"
            )
        display.say(f"step {self.state['step']}: {text}")
        return values

    def _evaluate(self) -> dict[str, Any]:
        recipe, rank, ranks = self.recipe, self.accelerator.process_index, self.accelerator.num_processes
        held_out = self.plan.held_out
        self.model.eval()
        try:
            with self.loss.attention():
                loss, tokens = sum_held_out(
                    self.loss, held_out[rank::ranks], row_tokens=recipe.batch.row_tokens, device=self.device
                )
            judged = [example for example in held_out if example.label is not None]
            judged = judged[: recipe.evaluation.verdicts]
            counts = [0, 0, 0]
            if judged:
                with self.accelerator.autocast():
                    found = count_verdicts(
                        self.model,
                        self.plan.base.tokenizer,
                        judged[rank::ranks],
                        end_tokens={
                            self.plan.renderer.end_token,
                            *read_end_tokens(
                                self.model.generation_config, self.model.config, self.plan.base.tokenizer
                            ),
                        },
                        max_new_tokens=recipe.evaluation.max_new_tokens,
                        batch_size=recipe.evaluation.batch_size,
                        context=self.plan.base.context,
                    )
                counts = [found.correct, found.unparsed, found.tokens]
        finally:
            self.model.train()
        sums = torch.tensor([loss, tokens, *counts], dtype=torch.float64)
        if ranks > 1:
            sums = self.accelerator.reduce(sums.float().to(self.device), "sum").cpu().double()
        values: dict[str, Any] = {"held_out_loss": float(sums[0] / sums[1])}
        if judged:
            values |= {
                "held_out_verdicts": len(judged),
                "held_out_accuracy": float(sums[2]) / len(judged),
                "held_out_unparsed": int(sums[3]),
                "held_out_mean_tokens": float(sums[4]) / len(judged),
            }
        return values

    def _log(self, values: dict[str, Any]) -> None:
        if self.folder is not None:
            folder = self.folder
            folder.log(values)
        if self.recipe.report.report_to != "none":
            self.accelerator.log(
                {key: value for key, value in values.items() if key != "step"}, step=values["step"]
            )

    def _save(self) -> None:
        self._check_weights()
        save_progress(
            self.accelerator,
            self.output,
            module=self.loss,
            optimizers=self.optimizers,
            state=self.state,
            position=self.position,
            keep=self.recipe.checkpoint.keep,
        )

    def _resume(self) -> None:
        found = load_progress(self.accelerator, self.output, module=self.loss, optimizers=self.optimizers)
        if found is not None:
            self.state, self.position = found
        if self.folder is not None:
            self.folder.rewind(self.state["step"])

    def _summarize(self, held_out: dict[str, Any]) -> dict[str, Any]:
        state = self.state
        recent = state["recent"]
        return {
            "steps": state["step"],
            "examples": state["examples"],
            "tokens": state["tokens"],
            "judged_tokens": state["judged_tokens"],
            "seconds": round(state["seconds"], 3),
            "loss": sum(recent) / len(recent) if recent else None,
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "trained_parameters": sum(one.numel() for one in trained_weights(self.loss).values()),
            "overlong": self.plan.counts.overlong,
            "processes": self.accelerator.num_processes,
            "self_check": self.loss.paths.describe(),
            **held_out,
        }
