"""What the training verbs share: their flags, a recipe's values, and how figures are printed."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rmr1.cli.failing import REPORT
from rmr1.cli.options import add, add_estimate_arguments, add_recipe_arguments
from rmr1.errors import ConfigError
from rmr1.forecast.training import Estimate, find_obstacle, find_risk
from rmr1.screen import print, print_json
from rmr1.settings import S, read_values


def add_arguments(parser: ArgumentParser) -> None:
    """A recipe, where to train into, and how to say it."""
    dry_run = "read tokenizer and data, say what would be done, estimate memory and time, and stop"
    add_recipe_arguments(parser, output="folder of the trained model", dry_run=dry_run)
    processes = "train in N processes of this machine, a GPU each if there are GPUs; weights and optimizer are divided"
    add(parser, "--processes N", processes)
    add_estimate_arguments(parser)


def read_recipe(kind: type[S], arguments: Namespace) -> S:
    """The recipe that a command line names."""
    values = read_values(arguments.recipe, arguments.set)
    if not arguments.dry_run and arguments.output is None:
        raise ConfigError("no folder to train into; pass -o DIR")
    if arguments.machine is not None and isinstance(values.get("report"), dict):
        del values["report"]  # trackers that are installed here say nothing of another machine
    return kind.from_values(values, arguments.recipe, look=True)


def train_in_processes(arguments: Namespace) -> int | None:
    """Run the command in as many processes as it asks for; None if this process is to train."""
    if arguments.processes is None:
        return None
    from rmr1.cli.launch import check_number, launch

    check_number(arguments.processes)
    if arguments.dry_run or arguments.processes == 1 or REPORT in os.environ:
        return None
    return launch(arguments.processes, arguments.words)


def print_plan(
    arguments: Namespace, values: Mapping[str, Any], estimate: Estimate | str, *, lacks: str | None = None
) -> int:
    """Figures of a training that has not begun, and what it takes or why that is not known; 1 if it cannot run."""
    if isinstance(estimate, str):
        if arguments.json:
            print_json({**values, "estimate": estimate})
        else:
            _print_lines({**values, "memory": estimate})
        return 0
    obstacle, risk, machine = find_obstacle(estimate), find_risk(estimate), estimate.machine
    if lacks is not None:
        obstacle = lacks if obstacle is None else f"{lacks}; and {obstacle}"
    if arguments.json:
        told = {**estimate.describe(), "machine": machine.name, "obstacle": obstacle, "risk": risk}
        print_json({**values, "estimate": told})
        return 1 if obstacle else 0
    parts = [part for part in estimate.parts if part.phase in ("always", estimate.peak_phase)]
    parts.sort(key=lambda part: -part.num_bytes)
    listed = ", ".join(f"{part.name} {part.num_bytes / 1e9:.1f}" for part in parts)
    stages = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in estimate.stages.items())
    _print_lines(
        {
            **values,
            "parameters": f"{estimate.shape.parameters():,}, {estimate.trained_parameters:,} of them trained",
            "machine": f"{machine.num_devices} x {machine.name}, {machine.memory_bytes / 1e9:.0f} GB each",
            "memory": f"about {estimate.peak_bytes / 1e9:.1f} GB of a device in the {estimate.peak_phase}: {listed}",
            f"time of a {estimate.unit}": f"about {estimate.unit_seconds:.3g} s: {stages}",
            "time of the run": f"about {estimate.seconds / 3600:.2g} hours",
        }
    )
    if estimate.saving is not None:
        print(f"one prompt for a group: saves {estimate.saving:.2f} times the arithmetic of the update")
    for text in estimate.assumptions:
        print(f"assumed: {text}")
    if risk:
        print(f"may fail: {risk}")
    if obstacle:
        print(f"cannot run here: {obstacle}")
    return 1 if obstacle else 0


def _print_lines(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")


def describe_unchanged(summary: Mapping[str, Any], base: str) -> str | None:
    """Why a reinforcement ends with the weights of its base; None if it does not."""
    if summary.get("kept_updates", summary.get("kept_step")) != 0:
        return None
    if not summary["updates"]:
        return f"NOTHING LEARNT: no group of judgments had a better and a worse one, so the weights are those of {base}"
    return (
        f"NO GAIN: the weights are those of {base}, because after no rollout more of the held-out pairs were right than "
        f"before the first ({100 * summary['best_held_out_accuracy']:.1f}%)"
    )


def print_figures(arguments: Namespace, summary: Mapping[str, Any], lines: Iterable[str]) -> int:
    """A finished training: its summary as JSON or in `lines`; of several processes one speaks."""
    if os.environ.get("RANK", "0") != "0":
        return 0
    if arguments.json:
        print_json(summary)
        return 0
    if summary.get("was_finished"):
        print(f"{arguments.output}: this training is finished; its figures:")
    for line in lines:
        print(line)
    return 0


def describe_use(folder: str, *, note: str | None = None) -> str:
    """How the result is used: a model, or adapters of one; `note` is what should be known of it before."""
    adapters = Path(folder) / "adapter_config.json"
    model = f"-m {folder}"
    if adapters.exists():
        base = json.loads(adapters.read_text(encoding="utf-8"))["base_model_name_or_path"]
        model = f"-m {base} --adapter {folder}"
    how = f"judge with it: rmr1 judge pairs.jsonl {model}"
    return how if note is None else f"{note}; {how}"
