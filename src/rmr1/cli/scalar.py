"""Train a scalar reward model (Bradley-Terry) on labelled pairs: the baseline that gives no reasons.

  rmr1 scalar recipe.toml -o models/x                 train as the recipe says
  rmr1 scalar recipe.toml -o models/x --set 'optim.lr=[1e-5, 2e-5]'
  rmr1 scalar recipe.toml --dry-run                   what would be done; no weights are read
  rmr1 scalar recipe.toml -o models/x --processes 8     on 8 GPUs of this machine (torchrun does, too)

A recipe is a TOML file; recipes/tiny-scalar.toml is the bundled one's. Of several rates in optim.lr the best by
held-out accuracy is kept. A run that was stopped goes on when the same command is given again. The result
judges like any other model: rmr1 judge -m models/x, rmr1 bench -m models/x.
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
        from rmr1.train.scalar.recipe import ScalarRecipe

        recipe = training.read_recipe(ScalarRecipe, arguments)
        if (code := training.train_in_processes(arguments)) is not None:
            return code
        from rmr1.train.scalar.plan import build_scalar_plan
        from rmr1.train.scalar.run import run_scalar
    if arguments.dry_run:
        from rmr1.train.fit import estimate_scalar

        plan = build_scalar_plan(recipe)
        return training.print_plan(
            arguments,
            _describe_plan(plan),
            estimate_scalar(plan, arguments.machine, processes=arguments.processes),
        )
    summary = run_scalar(recipe, arguments.output, quiet=arguments.quiet)
    return training.print_figures(arguments, summary, _list_figures(arguments.output, summary))


def _describe_plan(plan: Any) -> dict[str, Any]:
    counts = plan.train.counts
    return {
        "pairs": len(plan.train),
        "left out, no preferred answer": counts.undecided,
        "left out, too long": counts.overlong,
        "held out": len(plan.held_out),
        "tokens of a pair": round(counts.tokens / len(plan.train)),
        "vocabulary": len(plan.base.tokenizer),
        "steps": plan.steps,
        "steps of warm-up": plan.warmup_steps,
        "tokens of a training": plan.course.tokens[-1],
        "rates": len(plan.recipe.optim.lr),
        **({} if plan.try_course is None else {"tokens of a try": plan.try_course.tokens[-1]}),
    }


def _list_figures(folder: str, summary: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{summary['train_pairs']:,} pairs; a training has {summary['steps']:,} steps, {summary['examples']:,} examples, "
        f"{summary['tokens']:,} tokens; {summary['seconds']:.0f} s in all"
    )
    for one in summary["tries"]:
        is_kept = one["lr"] == summary["lr"] and len(summary["tries"]) > 1
        yield f"rate {one['lr']:g}: {_format_try(one)}{' (kept)' if is_kept else ''}"
    usable = [one for one in summary["tries"] if not one.get("diverged")]
    if all(one["lr"] != summary["lr"] or one["tokens"] != summary["tokens"] for one in usable):
        yield f"in full, rate {summary['lr']:g}: {_format_try(summary)}"
    if summary["undecided"]:
        yield f"left out, no preferred answer: {summary['undecided']}"
    if summary["overlong"]:
        yield f"left out, longer than data.max_tokens: {summary['overlong']}"
    yield f"judge with it: rmr1 judge pairs.jsonl -m {folder}"


def _format_try(values: dict[str, Any]) -> str:
    if values.get("diverged"):
        return "the loss became infinite or not a number"
    text = f"training loss {values['loss']:.4f}" if values["loss"] is not None else "no steps"
    if "held_out_accuracy" in values:
        text += (
            f", held-out loss {values['held_out_loss']:.4f}, {100 * values['held_out_accuracy']:.1f}% of the held-out "
            "pairs right"
        )
    return text
