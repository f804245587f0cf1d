"""Supervised fine-tuning: the loop.

A step packs the next examples of the source into rows, of which each process takes its share. Losses are summed over
the judge's tokens and divided by the number of those tokens in the whole step, so neither packing nor accumulation nor
the number of processes changes what is computed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import ConfigError
from rmr1.train.evaluate import judge_examples, sum_held_out
from rmr1.train.examples import take_batch
from rmr1.train.fit import check_libraries, check_room, estimate_sft
from rmr1.train.folder import read_beginning
from rmr1.train.group import add_up, count_processes, divide, share, take_share
from rmr1.train.loop import Training, run_once
from rmr1.train.plan import Plan, build_plan
from rmr1.train.processes import accelerated
from rmr1.train.recipe import Recipe
from rmr1.train.row import Example, RowLoss, agree, build_row, fill_in, pack_rows, prove_packing
from rmr1.train.start import load_trainee
from rmr1.train.update import Updater

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
        timeout_seconds=recipe.sharding.timeout_seconds,
    ) as accelerator:
        place = Path(output)
        plan = build_plan(recipe, stored=share(read_beginning(place)))
        check_libraries(recipe)
        check_room(recipe, estimate_sft(plan))
        return run_once(
            place,
            plan.describe(),
            lambda folder: FineTuning(plan, accelerator, place, folder, quiet=quiet).run(),
        )


class FineTuning(Training):
    """A causal language model on judgments."""

    plan: Plan
    counters = ("tokens", "judged_tokens", "examples")

    def build(self) -> Updater:
        recipe, plan = self.recipe, self.plan
        self.trainee = load_trainee(recipe, plan.base.tokenizer, self.device)
        self.end_token = plan.renderer.end_token
        table: Any = self.model.get_input_embeddings()
        num_embeddings = table.weight.shape[0]
        if plan.counts.largest_token >= num_embeddings:
            raise ConfigError(
                f"the data hold token {plan.counts.largest_token}, and the model knows {num_embeddings}: "
                "tokenizer and model do not fit together"
            )
        with self.held.gathered(), self.accelerator.autocast():
            paths = prove_packing(self.model, packs=recipe.batch.packing)
        self.loss = RowLoss(self.model, agree(self.model, paths))
        self.notes = [*plan.notes, *self.loss.paths.notes]
        return Updater(self.loss, recipe, self.output)

    def step(self) -> dict[str, Any]:
        began = time.perf_counter()
        state, epoch = self.state, self.position.epoch
        examples, self.position = take_batch(self.plan.source, self.recipe.batch, self.position)
        judged = sum(example.num_judged for example in examples)
        tokens = sum(len(example.tokens) for example in examples)
        factor = self.compute_factor()
        loss = norm = 0.0
        if judged:
            loss = self.backward(examples, judged)
            norm = self.updater.step(f"{self.unit} {state['step'] + 1}", loss, factor)
        for name, number in zip(self.counters, (tokens, judged, len(examples)), strict=True):
            state[name] += number
        state["recent"] = [*state.get("recent", ()), loss][-_RECENT:]
        return {
            "epoch": epoch,
            "loss": loss,
            "lr": factor * self.recipe.optim.lr,
            "grad_norm": norm,
            **{name: state[name] for name in self.counters},
            "tokens_per_second": tokens / max(time.perf_counter() - began, 1e-9),
        }

    def backward(self, examples: list[Example], judged: int) -> float:
        """Gradients of the mean loss of the step's tokens on every process; that loss."""
        ranks = count_processes()
        rows = pack_rows(examples, self.loss.paths, self.recipe.batch.row_tokens)
        costs = [float(sum(len(examples[place].tokens) for place in row)) for row in rows]
        total = torch.zeros((), device=self.device)
        with self.loss.attention():
            for place in take_share(costs):
                self.seed_pass(-1 if place is None else place)
                chosen = [fill_in(examples)] if place is None else [examples[one] for one in rows[place]]
                with self.accelerator.autocast():
                    found = self.held(self.loss, build_row(chosen, self.device))
                weight = 0.0 if place is None else 1.0
                # Processes' gradients are averaged, so each one's part counts `ranks` times.
                (found * (weight * ranks / judged)).backward()
                total += found.detach() * weight
        return float(add_up(total)) / judged

    def evaluate(self) -> dict[str, Any]:
        """The loss, and how many judgments that are written end in the right verdict."""
        recipe, held_out = self.recipe, self.plan.held_out
        self.model.eval()
        try:
            with self.loss.attention(), self.accelerator.autocast():
                loss, tokens = sum_held_out(
                    self.held, self.loss, held_out, row_tokens=recipe.batch.row_tokens, device=self.device
                )
            judged = [example for example in held_out if example.label is not None]
            judged = judged[: recipe.evaluation.verdicts]
            found: list[tuple[str | None, int]] = []
            if judged:
                with self.held.gathered(), self.accelerator.autocast():
                    found = divide(judged, self.judge, costs=[float(one.num_prompt) for one in judged])
        finally:
            self.model.train()
        values: dict[str, Any] = {"held_out_loss": loss / tokens}
        if judged:
            correct = sum(winner == one.label for (winner, _), one in zip(found, judged, strict=True))
            values |= {
                "held_out_verdicts": len(judged),
                "held_out_accuracy": correct / len(judged),
                "held_out_unparsed": sum(winner is None for winner, _ in found),
                "held_out_mean_tokens": sum(number for _, number in found) / len(judged),
            }
        return values

    def judge(self, examples: list[Example]) -> list[tuple[str | None, int]]:
        """See `judge_examples`."""
        tokenizer, settings = self.plan.base.tokenizer, self.recipe.evaluation
        ends = read_end_tokens(self.model.generation_config, self.model.config, tokenizer)
        return judge_examples(
            self.model,
            tokenizer,
            examples,
            end_tokens={self.plan.renderer.end_token, *ends},
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            context=self.plan.base.context,
        )

    def format_look(self, values: Mapping[str, Any]) -> str:
        text = f"held-out loss {values['held_out_loss']:.4f}"
        if "held_out_accuracy" in values:
            text += (
                f", {100 * values['held_out_accuracy']:.1f}% of {values['held_out_verdicts']} verdicts right, "
                f"{values['held_out_unparsed']} without verdict"
            )
        return text

    def summarize(self, looked: Mapping[str, Any]) -> dict[str, Any]:
        recent = self.state.get("recent", ())
        return {
            **super().summarize(looked),
            "loss": sum(recent) / len(recent) if recent else None,
            "overlong": self.plan.counts.overlong,
            "self_check": self.loss.paths.describe(),
        }
