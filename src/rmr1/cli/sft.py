"""Fine-tune a judge on judgments, or train one from nothing.

  rmr1 sft recipe.toml -o models/x                    train as the recipe says
  rmr1 sft recipe.toml -o models/x --set optim.lr=1e-5
  rmr1 sft recipe.toml --dry-run                      what would be done; no weights are read
  rmr1 sft recipe.toml -o models/x --processes 8        on 8 GPUs of this machine (torchrun does, too)

A recipe is a TOML file; recipes/ holds the paper's for three sizes. A run that was stopped goes on
when the same command is given again. The result is a Hugging Face folder: rmr1 judge -m models/x. With [lora] it
holds the adapters: rmr1 judge -m BASE --adapter models/x.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from rmr1.cli import training
from rmr1.plugins import require

add_arguments = training.add_arguments


def run(arguments: Namespace) -> int:
    with require("training", "train"):
        from rmr1.train.recipe import Recipe

        recipe = training.read_recipe(Recipe, arguments)
        if (code := training.train_in_processes(arguments)) is not None:
            return code
        from rmr1.train.plan import build_plan
        from rmr1.train.sft import run_sft
    if arguments.dry_run:
        from rmr1.train.fit import estimate_sft

        plan = build_plan(recipe)
        return training.print_plan(
            arguments,
            _describe_plan(plan),
            estimate_sft(plan, arguments.machine, processes=arguments.processes),
        )
    summary = run_sft(recipe, arguments.output, quiet=arguments.quiet)
    return training.print_figures(arguments, summary, _list_figures(arguments.output, summary))


def _describe_plan(plan: Any) -> dict[str, Any]:
    counts = plan.counts
    number = max(1, counts.rows - counts.overlong)
    return {
        "examples of an epoch": plan.source.num_examples,
        "left out, too long": counts.overlong,
        "held out": len(plan.held_out),
        "tokens of an example": round(counts.tokens / number),
        "of them the judge's": round(counts.judged_tokens / number),
        "vocabulary": len(plan.base.tokenizer),
        "steps": plan.steps,
        "steps of warm-up": plan.warmup_steps,
    }


def _list_figures(folder: str, summary: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{summary['steps']} steps, {summary['examples']:,} examples, {summary['tokens']:,} tokens "
        f"({summary['judged_tokens']:,} the judge's) in {summary['seconds']:.0f} s"
    )
    if summary["loss"] is not None:
        yield f"training loss: {summary['loss']:.4f} (mean of the last steps)"
    if "held_out_loss" in summary:
        yield f"held-out loss: {summary['held_out_loss']:.4f}"
    if "held_out_accuracy" in summary:
        yield (
            f"held-out verdicts: {100 * summary['held_out_accuracy']:.1f}% of {summary['held_out_verdicts']} right, "
            f"{summary['held_out_unparsed']} without verdict"
        )
    if summary["overlong"]:
        yield f"left out, longer than data.max_tokens: {summary['overlong']}"
    yield training.describe_use(folder)
