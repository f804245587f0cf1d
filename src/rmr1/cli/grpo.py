"""Reinforce a judge on labelled pairs: it samples judgments and learns from those that are right.

  rmr1 grpo recipe.toml -o models/x                   train as the recipe says
  rmr1 grpo recipe.toml -o models/x --set model.base=models/sft --set data.train=pairs.jsonl
  rmr1 grpo recipe.toml --dry-run                     what would be done; no weights are read
  torchrun --nproc-per-node 8 --no-python rmr1 grpo recipe.toml -o models/x

A recipe is a TOML file; recipes/tiny-grpo.toml trains on the synthetic world. A run that was stopped goes on
when the same command is given again. The weights with the best accuracy at a look at held-out pairs are kept:
there is one before the first rollout, one after the last, and one every evaluation.every. The result is a
Hugging Face folder: rmr1 judge -m models/x. With [lora] it holds the adapters: rmr1 judge -m BASE --adapter models/x.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from rmr1.cli.training import (
    add_training_arguments,
    describe_unchanged,
    is_main_process,
    print_json,
    print_plan,
    print_use,
    read_recipe,
)
from rmr1.errors import CheckpointError, ConfigError
from rmr1.forecast.shape import PUBLISHED
from rmr1.plugins import require
from rmr1.screen import print


def add_arguments(parser: ArgumentParser) -> None:
    add_training_arguments(parser)


def run(arguments: Namespace) -> int:
    with require("training", "train"):
        from rmr1.train.grpo.recipe import GrpoRecipe

        recipe = read_recipe(GrpoRecipe, arguments)
        from rmr1.train.grpo.run import run_grpo
    if arguments.dry_run:
        return _print_forecast(recipe, arguments.machine, as_json=arguments.json)
    summary = run_grpo(recipe, arguments.output, quiet=arguments.quiet)
    if is_main_process():
        _print_summary(arguments.output, summary, base=str(recipe.model.base), as_json=arguments.json)
    return 0


def _print_forecast(recipe: Any, machine: str | None, *, as_json: bool) -> int:
    """What the run would do and take; 1 if it cannot run on the machine."""
    from rmr1.train.fit import check_libraries, estimate_grpo
    from rmr1.train.grpo.plan import build_grpo_plan

    plan = lacks = None
    values: dict[str, Any] = {}
    try:
        plan = build_grpo_plan(recipe)
        values = _describe_plan(plan)
    except CheckpointError as error:
        if recipe.model.base not in PUBLISHED:
            raise
        values = {"not read": f"{error}; what follows is from the model's published shape"}
    estimate = estimate_grpo(recipe, plan, machine)
    try:
        if machine is None:
            check_libraries(recipe)
    except ConfigError as error:
        lacks = str(error)
    return print_plan(values, estimate, lacks=lacks, as_json=as_json)


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


def _print_summary(folder: str, summary: dict[str, Any], *, base: str, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    if summary.get("was_finished"):
        print(f"{folder}: this training is finished; its figures:")
    print(
        f"{summary['steps']} rollouts, {summary['samples']:,} judgments of {summary['prompts']:,} prompts, "
        f"{summary['tokens']:,} tokens sampled, {summary['updates']} steps of the optimizer in "
        f"{summary['seconds']:.0f} s"
    )
    if "held_out_accuracy" in summary:
        print(f"after the last rollout: {_format_look(summary)}")
    unchanged = describe_unchanged(summary, base)
    if "best_held_out_accuracy" in summary and unchanged is None:
        print(
            f"kept: the weights after rollout {summary['kept_step']}, "
            f"{100 * summary['best_held_out_accuracy']:.1f}% right greedily"
        )
    for name, what in (
        ("undecided", "no preferred answer"),
        ("overlong", "longer than data.max_prompt_tokens"),
    ):
        if summary[name]:
            print(f"left out, {what}: {summary[name]}")
    print_use(folder, note=unchanged)


def _format_look(summary: dict[str, Any]) -> str:
    from rmr1.train.grpo.evaluate import format_look

    return format_look(summary)
