"""Reinforcement learning: the loop.

A rollout samples judgments for the next prompts and scores them, each process its share; all processes then know
all. It is cut into mini-batches of whole groups, from which the policy learns (`rmr1.train.grpo.learn`). Every so
often it is looked at with held-out pairs, and a checkpoint is written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rmr1.attention.proof.judging import judging_paths
from rmr1.console import Display
from rmr1.engines.hf.loading import blaming
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import GenerationError, TrainingError
from rmr1.rewards import Judged, Reward, compute_rewards, needs_both_orders
from rmr1.train.checkpoints import place_best, read_best, restore_weights, trained_weights, write_best
from rmr1.train.examples import Position
from rmr1.train.export import export_model
from rmr1.train.folder import RunFolder, read_beginning
from rmr1.train.grpo.batches import ScoredGroup, build_minibatches
from rmr1.train.grpo.evaluate import evaluate, format_look
from rmr1.train.grpo.fit import check_fit
from rmr1.train.grpo.learn import Learner
from rmr1.train.grpo.metrics import describe_step, summarize_rollout, summarize_update
from rmr1.train.grpo.plan import GrpoPlan, build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.rollout import Sample, Sampler
from rmr1.train.grpo.tasks import Task, take_tasks
from rmr1.train.memory import peak_memory_gb
from rmr1.train.numbers import describe_divergence
from rmr1.train.optim import compute_rate
from rmr1.train.processes import accelerated, call_on_main, flatten_settings, gather, gather_calls, share
from rmr1.train.progress import load_progress, run_once, save_progress
from rmr1.train.start import load_trainee

if TYPE_CHECKING:
    from rmr1.train.grpo.rollout_vllm import VllmSampler


def run_grpo(recipe: GrpoRecipe, output: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Train as the recipe says, into the folder `output`; the summary's values.

    A run that was stopped goes on at its last checkpoint, a finished one is left as it is.

    Raises:
        ConfigError, CheckpointError, DataError, RunError, TrainingError: see the modules that are called.
    """
    is_mixed = recipe.model.precision == "bf16" and recipe.lora is None
    with accelerated(
        device=recipe.device, is_mixed=is_mixed, report=recipe.report, folder=output
    ) as accelerator:
        place = Path(output)
        plan = build_grpo_plan(recipe, stored=share(accelerator, read_beginning(place)))
        check_fit(plan)
        return run_once(
            accelerator,
            place,
            plan.describe(),
            lambda folder: _train(Reinforcement(plan, accelerator, place, folder, quiet=quiet)),
        )


def _train(training: Reinforcement) -> dict[str, Any]:
    try:
        return training.run()
    finally:
        training.close()


class Reinforcement:
    """One run, from its start or its last checkpoint to its end."""

    def __init__(
        self,
        plan: GrpoPlan,
        accelerator: Any,
        output: Path,
        folder: RunFolder | None,
        *,
        quiet: bool = False,
    ):
        self.plan = plan
        self.recipe = recipe = plan.recipe
        self.accelerator = accelerator
        self.output = output
        self.folder = folder
        self.device = accelerator.device
        self.quiet = quiet or folder is None
        tokenizer = plan.base.tokenizer
        self.trainee = load_trainee(recipe, tokenizer, self.device)
        self.model = self.trainee.model
        self.learner = Learner(self.trainee, recipe, plan.objective, accelerator, output)
        self.notes = self.learner.notes
        self.told: list[str] = []
        ends = plan.reader.end_tokens | read_end_tokens(self.model.generation_config, self.model.config)
        self.vllm = self._start_vllm(ends) if recipe.rollout.engine == "vllm" else None
        self.vllm_updates = 0
        """The updates that vLLM's weights have seen."""
        self.sampler = self.vllm or Sampler(self.model, tokenizer, end_tokens=ends, rows=recipe.rollout.rows)
        self.looker = Sampler(self.model, tokenizer, end_tokens=ends, rows=recipe.evaluation.rows)
        torch.manual_seed(recipe.seed * 1009 + accelerator.process_index)
        self.position = Position()
        self.state: dict[str, Any] = {
            "step": 0,
            "updates": 0,
            "prompts": 0,
            "samples": 0,
            "tokens": 0,
            "seconds": 0.0,
        }
        self.stored_best: int | None = None
        """The step of the best weights that the newest checkpoint knows of."""
        self._resume()

    def run(self) -> dict[str, Any]:
        """Train to the end and export; the summary's values."""
        recipe, state, steps = self.recipe, self.state, self.plan.steps
        has_trackers = recipe.report.report_to != "none"
        if has_trackers:
            settings = flatten_settings(recipe.model_dump(mode="json"))
            self.accelerator.init_trackers(recipe.report.project, config=settings)
        every = recipe.evaluation.every
        looked: dict[str, Any] = {}
        with Display(steps, done=state["step"], quiet=self.quiet, describe=describe_step) as display:
            with self.accelerator.autocast():
                self.notes += judging_paths(self.model).notes
            self._tell(display)
            if state["step"]:
                display.say(f"rmr1: {self.output}: going on after rollout {state['step']}")
            else:
                if self.learner.warning is not None:
                    display.say(f"rmr1: {self.learner.warning}")
                if self.plan.held_out:
                    self._look(display)
            while state["step"] < steps:
                with blaming(str(recipe.model.base), self.model, "reinforced"):
                    values = self._step()
                step = state["step"]
                self._tell(display)
                display.update(values)
                if step % recipe.report.every == 0 or step == steps:
                    self._log(values)
                if self.plan.held_out and ((every and step % every == 0) or step == steps):
                    looked = self._look(display)
                if recipe.checkpoint.every and (step % recipe.checkpoint.every == 0 or step == steps):
                    self._save()
        if self.plan.held_out and not looked:
            looked = self._evaluate()
        if has_trackers:
            self.accelerator.end_training()
        return self._finish(looked)

    def close(self) -> None:
        """Stop vLLM where it samples. The processes have nothing in common after it."""
        if self.vllm is not None:
            self.vllm.close()

    def _step(self) -> dict[str, Any]:
        """One rollout and its updates; figures for the log."""
        began = time.perf_counter()
        recipe, state = self.recipe, self.state
        tasks, self.position = take_tasks(self.plan.source, recipe.rollout.prompts, self.position)
        scored = self.score(tasks, self.sample(tasks))
        sampled = time.perf_counter()
        values = summarize_rollout(scored)
        batches = build_minibatches(scored, self.plan.objective, prompts=recipe.update_prompts)
        factor = compute_rate(
            state["step"],
            total=self.plan.steps,
            warmup=self.plan.warmup_steps,
            schedule=recipe.optim.schedule,
            min_ratio=recipe.optim.min_ratio,
        )
        sums, norms = self.learner.update(batches, factor, rollout=state["step"] + 1)
        ended = time.perf_counter()
        tokens = sum(len(sample.tokens) for group in scored for sample in group.samples)
        state["step"] += 1
        state["updates"] += len(norms)
        state["prompts"] += len(tasks)
        state["samples"] += sum(len(group.samples) for group in scored)
        state["tokens"] += tokens
        state["seconds"] += ended - began
        return {
            "step": state["step"],
            **values,
            **summarize_update(batches, sums, norms),
            "lr": factor * recipe.optim.lr,
            "updates": state["updates"],
            "tokens": state["tokens"],
            "rollout_tokens_per_second": tokens / max(sampled - began, 1e-9),
            "update_tokens_per_second": sum(group.group.num_tokens for one in batches for group in one.groups)
            / max(ended - sampled, 1e-9),
            "rollout_seconds": sampled - began,
            "update_seconds": ended - sampled,
            "seconds": state["seconds"],
            "memory_gb": peak_memory_gb(self.device),
        }

    def _tell(self, display: Display) -> None:
        """Say what was found out about the model, each once."""
        for note in dict.fromkeys(self.notes):
            if note not in self.told:
                display.say(f"rmr1: {note}")
        self.told = list(dict.fromkeys(self.notes))

    def sample(self, tasks: Sequence[Task]) -> list[list[Sample]]:
        """The samples of all tasks, in their order; each process draws its share."""
        recipe = self.recipe
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        own = range(rank, len(tasks), ranks)
        if self.vllm is not None and self.vllm_updates != self.state["updates"]:
            self.vllm.update_weights(self.model)
            self.vllm_updates = self.state["updates"]
        with self.accelerator.autocast(), self._diverging():
            drawn = self.sampler.sample(
                [tasks[place] for place in own],
                samples=recipe.rollout.samples,
                temperature=recipe.rollout.temperature,
                seed=f"{recipe.seed}/{self.state['step']}",
            )
        found = dict(gather(self.accelerator, list(zip(own, drawn, strict=True))))
        return [found[place] for place in range(len(tasks))]

    def score(self, tasks: Sequence[Task], samples: Sequence[Sequence[Sample]]) -> list[ScoredGroup]:
        """Every task's samples with what they earned."""
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        is_paired = needs_both_orders(self.plan.terms)

        def score_own() -> list[tuple[int, list[Judged], Sequence[Reward]]]:
            # The two orders of a pair follow each other, and are scored by one process.
            own = [place for place in range(len(tasks)) if place // 2 % ranks == rank]
            judged = {place: [sample.judge(tasks[place]) for sample in samples[place]] for place in own}
            found: list[tuple[int, list[Judged], Sequence[Reward]]] = []
            for place in own:
                partners = judged[place ^ 1] if is_paired else None
                rewards = compute_rewards(self.plan.terms, judged[place], partners)
                found.append((place, judged[place], rewards))
            return found

        # A function of the user's is called once for a sample, and all processes go on with what it said.
        scored = sorted(gather_calls(self.accelerator, score_own), key=lambda one: one[0])
        return [
            ScoredGroup(task=tasks[place], samples=samples[place], judged=judged, rewards=rewards)
            for place, judged, rewards in scored
        ]

    def _start_vllm(self, end_tokens: Collection[int]) -> VllmSampler:
        """With the base's weights, which are the policy's before its first update."""
        from rmr1.train.grpo.rollout_vllm import VllmSampler

        recipe, base = self.recipe, self.plan.base
        most = recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens
        return VllmSampler(
            base.source,
            base.tokenizer,
            end_tokens=end_tokens,
            max_model_len=most if base.context is None else min(most, base.context),
            gpu_memory=recipe.rollout.gpu_memory,
            dtype="float32" if recipe.model.precision == "fp32" else "bfloat16",
            seed=recipe.seed,
            revision=recipe.model.revision,
            trust_remote_code=recipe.model.trust_remote_code,
        )

    def _look(self, display: Display) -> dict[str, Any]:
        """Held-out figures, logged; the best weights are kept."""
        values = self._evaluate()
        step = self.state["step"]
        if self.folder is not None:
            self.folder.log({"step": step, **values})
        if self.recipe.report.report_to != "none":
            self.accelerator.log(values, step=step)
        display.say(f"rollout {step}: {format_look(values)}")
        best = self.state.get("best")
        if self.recipe.evaluation.keep == "best" and (
            best is None or values["held_out_accuracy"] > best["held_out_accuracy"]
        ):
            self.state["best"] = {
                "step": step,
                "updates": self.state["updates"],
                "held_out_accuracy": values["held_out_accuracy"],
            }
            call_on_main(
                self.accelerator,
                lambda: write_best(
                    self.output, trained_weights(self.learner.loss), step, spared=self.stored_best
                ),
            )
        return values

    @contextlib.contextmanager
    def _diverging(self) -> Iterator[None]:
        """Log-probabilities that are no numbers are the training's fault; of vLLM's errors that is not known."""
        try:
            yield
        except GenerationError as error:
            if self.vllm is not None:
                raise
            place, last = f"after rollout {self.state['step']}", self.learner.last
            told = describe_divergence(place, str(error), last=last, folder=self.output)
            raise TrainingError(told) from error

    def _evaluate(self) -> dict[str, Any]:
        blame = blaming(str(self.recipe.model.base), self.model, "looked at")
        with self.accelerator.autocast(), self._diverging(), blame:
            return evaluate(
                self.looker,
                self.plan.held_out,
                self.accelerator,
                temperature=self.recipe.rollout.temperature if self.recipe.evaluation.sampled else None,
                seed=f"{self.recipe.seed}/held-out",
            )

    def _log(self, values: dict[str, Any]) -> None:
        if self.folder is not None:
            self.folder.log(values)
        if self.recipe.report.report_to != "none":
            kept = {key: value for key, value in values.items() if key != "step"}
            self.accelerator.log(kept, step=values["step"])

    def _save(self) -> None:
        save_progress(
            self.accelerator,
            self.output,
            module=self.learner.loss,
            optimizers=self.learner.optimizers,
            state=self.state,
            position=self.position,
            keep=self.recipe.checkpoint.keep,
        )
        self.stored_best = self.state.get("best", {}).get("step")

    def _resume(self) -> None:
        found = load_progress(
            self.accelerator, self.output, module=self.learner.loss, optimizers=self.learner.optimizers
        )
        if found is not None:
            self.state, self.position = found
            best = self.state.get("best")
            # A checkpoint older than the newest may name weights that have been dropped since.
            if best is not None and not (self.output / place_best(best["step"])).exists():
                del self.state["best"]
            self.stored_best = self.state.get("best", {}).get("step")
        if self.folder is not None:
            # Without a checkpoint the first look, before step 1, is taken anew as well.
            self.folder.rewind(self.state["step"] if found is not None else -1)

    def _finish(self, looked: dict[str, Any]) -> dict[str, Any]:
        """Store the weights that are kept, and the summary."""
        state, recipe = self.state, self.recipe
        best = state.get("best")
        kept_step, kept_updates = state["step"], state["updates"]
        if best is not None and best["step"] != state["step"]:
            restore_weights(
                self.learner.loss, read_best(self.output, best["step"], device=self.device), self.output
            )
            kept_step, kept_updates = best["step"], best.get("updates", best["step"])
        summary = {
            "steps": state["step"],
            "updates": state["updates"],
            "prompts": state["prompts"],
            "samples": state["samples"],
            "tokens": state["tokens"],
            "seconds": round(state["seconds"], 3),
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "trained_parameters": sum(one.numel() for one in trained_weights(self.learner.loss).values()),
            "undecided": self.plan.counts.undecided,
            "overlong": self.plan.counts.overlong,
            "processes": self.accelerator.num_processes,
            "kept_step": kept_step,
            "kept_updates": kept_updates,
            "self_check": {**self.learner.paths.describe(), "notes": self.told},
            **({"best_held_out_accuracy": best["held_out_accuracy"]} if best else {}),
            **looked,
        }
        call_on_main(
            self.accelerator,
            lambda: export_model(
                self.trainee,
                self.output,
                recipe=recipe.model,
                tokenizer=self.plan.base.tokenizer,
                end_token=self.plan.reader.chat.end_token,
                summary=summary,
            ),
        )
        return summary
