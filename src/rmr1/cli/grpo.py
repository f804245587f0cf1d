"""Reinforce a judge on labelled pairs: it samples judgments and learns from those that are right.

  rmr1 grpo recipe.toml -o models/x                   train as the recipe says
  rmr1 grpo recipe.toml -o models/x --set model.base=models/sft --set data.train=pairs.jsonl
  rmr1 grpo recipe.toml --dry-run                     what would be done; no weights are read
  rmr1 grpo recipe.toml -o models/x --processes 8        on 8 GPUs of this machine (torchrun does, too)

A recipe is a TOML file; recipes/tiny-grpo.toml trains on the synthetic world. A run that was stopped goes on
when the same command is given again. The weights with the best accuracy at a look at held-out pairs are kept:
there is one before the first rollout, one after the last, and one every evaluation.every. The result is a
Hugging Face folder: rmr1 judge -m models/x. With [lora] it holds the adapters: rmr1 judge -m BASE --adapter models/x.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from rmr1.cli import training
from rmr1.errors import CheckpointError, ConfigError
from rmr1.forecast.shape import PUBLISHED
from rmr1.plugins import require

add_arguments = training.add_arguments


def run(arguments: Namespace) -> int:
    with require("training", "train"):
        from rmr1.train.grpo.recipe import GrpoRecipe

        recipe = training.read_recipe(GrpoRecipe, arguments)
        if (code := training.train_in_processes(arguments)) is not None:
            return code
        from rmr1.train.grpo.run import run_grpo
    if arguments.dry_run:
        return _print_forecast(arguments, recipe)
    summary = run_grpo(recipe, arguments.output, quiet=arguments.quiet)
    lines = _list_figures(arguments.output, summary, base=str(recipe.model.base))
    return training.print_figures(arguments, summary, lines)


def _print_forecast(arguments: Namespace, recipe: Any) -> int:
    from rmr1.train.fit import check_libraries, estimate_grpo
    from rmr1.train.grpo.plan import build_grpo_plan

    plan = lacks = None
    try:
        plan = build_grpo_plan(recipe)
        values = _describe_plan(plan)
    except CheckpointError as error:
        if recipe.model.base not in PUBLISHED:
            raise
        values = {"not read": f"{error}; what follows is from the model's published shape"}
    estimate = estimate_grpo(recipe, plan, arguments.machine, processes=arguments.processes)
    try:
        if arguments.machine is None:
            check_libraries(recipe)
    except ConfigError as error:
        lacks = str(error)
    return training.print_plan(arguments, values, estimate, lacks=lacks)


def _describe_plan(plan: Any) -> dict[str, Any]:
    recipe, counts = plan.recipe, plan.counts
    return {
        "pairs of an epoch": plan.source.num_pairs,
        "left out, no preferred answer": counts.undecided,
        "left out, too long": counts.overlong,
        "held out": len(plan.held_out),
        "tokens of a prompt": round(counts.prompt_tokens / max(1, counts.tasks)),
        "rollouts": plan.steps,
        "prompts of a rollout": recipe.rollout.prompts,
        "samples of a prompt": recipe.rollout.samples,
        "steps of the optimizer to a rollout": recipe.rollout.prompts // recipe.update_prompts,
    }


def _list_figures(folder: str, summary: dict[str, Any], *, base: str) -> Iterator[str]:
    from rmr1.train.grpo.metrics import format_look

    yield (
        f"{summary['steps']} rollouts, {summary['samples']:,} judgments of {summary['prompts']:,} prompts, "
        f"{summary['tokens']:,} tokens sampled, {summary['updates']} steps of the optimizer in "
        f"{summary['seconds']:.0f} s"
    )
    if "held_out_accuracy" in summary:
        yield f"after the last rollout: {format_look(summary)}"
    unchanged = training.describe_unchanged(summary, base)
    if "best_held_out_accuracy" in summary and unchanged is None:
        share = 100 * summary["best_held_out_accuracy"]
        yield f"kept: the weights after rollout {summary['kept_step']}, {share:.1f}% right greedily"
    if summary["undecided"]:
        yield f"left out, no preferred answer: {summary['undecided']}"
    if summary["overlong"]:
        yield f"left out, longer than data.max_prompt_tokens: {summary['overlong']}"
    yield training.describe_use(folder, note=unchanged)
