"""Reinforcement learning: the loop.

A rollout samples judgments for the next prompts and scores them, each process its share; all processes then know all.
It is cut into mini-batches of whole groups, from which the policy learns (`rmr1.train.grpo.learn`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmr1.attention.proof.judging import judging_paths
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import GenerationError
from rmr1.rewards import Judged, Reward, compute_rewards, needs_both_orders
from rmr1.train.checkpoints import place_best, restore_best, write_best
from rmr1.train.fit import check_fit
from rmr1.train.folder import read_beginning
from rmr1.train.group import count_processes, divide, gather, gather_calls, get_rank, share, wait_for_group
from rmr1.train.grpo.batches import ScoredGroup, build_minibatches
from rmr1.train.grpo.learn import Learner
from rmr1.train.grpo.metrics import (
    describe_step,
    evaluate,
    format_look,
    summarize_rollout,
    summarize_update,
)
from rmr1.train.grpo.plan import GrpoPlan, build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.rollout import Sample, Sampler, list_costs
from rmr1.train.grpo.tasks import Task, take_tasks
from rmr1.train.loop import Training, run_once
from rmr1.train.processes import accelerated
from rmr1.train.start import load_trainee
from rmr1.train.update import Updater

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
        device=recipe.device,
        is_mixed=is_mixed,
        report=recipe.report,
        folder=output,
        timeout_seconds=recipe.sharding.timeout_seconds,
    ) as accelerator:
        place = Path(output)
        plan = build_grpo_plan(recipe, stored=share(read_beginning(place)))
        check_fit(plan)
        return run_once(
            place,
            plan.describe(),
            lambda folder: _train(Reinforcement(plan, accelerator, place, folder, quiet=quiet)),
        )


def _train(training: Reinforcement) -> dict[str, Any]:
    try:
        summary = training.run()
        wait_for_group()  # closing vLLM ends the group
        return summary
    finally:
        training.close()


class Reinforcement(Training):
    """A judge that samples judgments and learns from those that are right; a step is a rollout and its updates."""

    plan: GrpoPlan
    unit = "rollout"
    doing = "reinforced"
    looks_first = True
    counters = ("updates", "prompts", "samples", "tokens")

    def build(self) -> Updater:
        recipe, plan = self.recipe, self.plan
        tokenizer = plan.base.tokenizer
        self.trainee = load_trainee(recipe, tokenizer, self.device)
        self.end_token = plan.reader.chat.end_token
        self.learner = Learner(self.trainee, recipe, plan.objective, self.accelerator, self.output)
        self.notes = self.learner.notes
        with self.held.gathered(), self.accelerator.autocast():
            notes = judging_paths(self.model).notes
        self.notes += gather(list(notes))
        ends = plan.reader.end_tokens | read_end_tokens(self.model.generation_config, self.model.config)
        self.vllm = self._start_vllm(ends) if recipe.rollout.engine == "vllm" else None
        self.vllm_updates = 0
        """The updates that vLLM's weights have seen."""
        self.sampler = self.vllm or Sampler(self.model, tokenizer, end_tokens=ends, rows=recipe.rollout.rows)
        self.looker = Sampler(self.model, tokenizer, end_tokens=ends, rows=recipe.evaluation.rows)
        self.stored_best: int | None = None
        """The step of the best weights that the newest checkpoint knows of."""
        return self.learner.updater

    def close(self) -> None:
        if self.vllm is not None:
            self.vllm.close()

    def step(self) -> dict[str, Any]:
        began = time.perf_counter()
        recipe, state = self.recipe, self.state
        tasks, self.position = take_tasks(self.plan.source, recipe.rollout.prompts, self.position)
        scored = self.score(tasks, self.sample(tasks))
        sampled = time.perf_counter()
        values = summarize_rollout(scored)
        batches = build_minibatches(scored, self.plan.objective, prompts=recipe.update_prompts)
        factor = self.compute_factor()
        sums, norms = self.learner.update(batches, factor, rollout=state["step"] + 1, seed=self.seed_pass)
        ended = time.perf_counter()
        tokens = sum(len(sample.tokens) for group in scored for sample in group.samples)
        state["updates"] += len(norms)
        state["prompts"] += len(tasks)
        state["samples"] += sum(len(group.samples) for group in scored)
        state["tokens"] += tokens
        return {
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
        }

    def sample(self, tasks: Sequence[Task]) -> list[list[Sample]]:
        """The samples of all tasks, in their order; each process draws its share."""
        rollout, seed = self.recipe.rollout, f"{self.recipe.seed}/{self.state['step']}"
        if self.vllm is not None and self.vllm_updates != self.state["updates"]:
            self.vllm.update_weights(self.model)
            self.vllm_updates = self.state["updates"]

        def draw(own: list[Task]) -> list[list[Sample]]:
            with self.accelerator.autocast(), self._diverging():
                return self.sampler.sample(
                    own, samples=rollout.samples, temperature=rollout.temperature, seed=seed
                )

        whole = contextlib.nullcontext() if self.vllm is not None else self.held.gathered()
        with whole:
            return divide(tasks, draw, costs=list_costs(tasks))

    def score(self, tasks: Sequence[Task], samples: Sequence[Sequence[Sample]]) -> list[ScoredGroup]:
        rank, ranks = get_rank(), count_processes()
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
        scored = sorted(gather_calls(score_own), key=lambda one: one[0])
        return [
            ScoredGroup(task=tasks[place], samples=samples[place], judged=judged, rewards=rewards)
            for place, judged, rewards in scored
        ]

    def _start_vllm(self, end_tokens: Collection[int]) -> VllmSampler:
        """Start vLLM with the base's weights, which are the policy's before its first update."""
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

    def look(self) -> dict[str, Any]:
        values = super().look()
        step, best = self.state["step"], self.state.get("best")
        if self.recipe.evaluation.keep == "best" and (
            best is None or values["held_out_accuracy"] > best["held_out_accuracy"]
        ):
            self.state["best"] = {
                "step": step,
                "updates": self.state["updates"],
                "held_out_accuracy": values["held_out_accuracy"],
            }
            write_best(self.output, self.learner.loss, step, spared=self.stored_best)
        return values

    def describe_step(self, values: Mapping[str, Any]) -> list[str]:
        return describe_step(values)

    def format_look(self, values: Mapping[str, Any]) -> str:
        return format_look(values)

    @contextlib.contextmanager
    def _diverging(self) -> Iterator[None]:
        """Log-probabilities that are no numbers are the training's fault; of vLLM's errors that is not known."""
        try:
            yield
        except GenerationError as error:
            if self.vllm is not None:
                raise
            raise self.updater.diverged(self.after, str(error)) from error

    def evaluate(self) -> dict[str, Any]:
        with self.held.gathered(), self.accelerator.autocast(), self._diverging():
            return evaluate(
                self.looker,
                self.plan.held_out,
                temperature=self.recipe.rollout.temperature if self.recipe.evaluation.sampled else None,
                seed=f"{self.recipe.seed}/held-out",
            )

    def save(self) -> None:
        super().save()
        self.stored_best = self.state.get("best", {}).get("step")

    def resume(self) -> None:
        super().resume()
        best = self.state.get("best")
        # A checkpoint older than the newest may name weights that have been dropped since.
        if best is not None and not (self.output / place_best(best["step"])).exists():
            del self.state["best"]
        self.stored_best = self.state.get("best", {}).get("step")

    def summarize(self, looked: Mapping[str, Any]) -> dict[str, Any]:
        """Summarize, with the best weights in the model if they are those to be kept."""
        best = self.state.get("best")
        kept = best or self.state
        if kept["step"] != self.state["step"]:
            restore_best(self.output, self.learner.loss, kept["step"])
        return {
            **super().summarize(looked),
            "undecided": self.plan.counts.undecided,
            "overlong": self.plan.counts.overlong,
            "kept_step": kept["step"],
            "kept_updates": kept.get("updates", kept["step"]),
            "self_check": {**self.learner.paths.describe(), "notes": self.told},
            **({"best_held_out_accuracy": best["held_out_accuracy"]} if best else {}),
        }
