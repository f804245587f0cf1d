"""Train a judge from raw preferences: curate, distil, fine-tune, reinforce and measure, in one command.

  rmr1 train recipe.toml -o runs/x                      the stages that the recipe has sections for
  rmr1 train pairs.csv --base MODEL -o runs/x           own labelled pairs: reinforce MODEL on most of them, measure
                                                        it before and after on the rest
  rmr1 train pairs.csv --base MODEL --teacher TEACHER -o runs/x       with traces of a teacher first
  rmr1 train recipe.toml --preset rm-r1-qwen-7b-lora -o runs/x        one of RM-R1's models, here by adapters
  rmr1 train recipe.toml --dry-run                      stages, items, tokens, cost, disk and memory

Each stage is an ordinary command with a folder of its own in DIR, and is printed. One that was stopped goes on when
the same command is given again; one whose inputs and results are as they were is skipped; what other inputs had
made is moved to DIR/replaced. Trainings start on all GPUs of the machine. A preset trains whole weights if they fit, and
adapters if not; DIR keeps what was chosen. The exit code is 1 where the trained model is significantly worse than the base.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmr1.cli.options import add, add_estimate_arguments, add_form_arguments, read_form
from rmr1.cli.session import tell
from rmr1.cli.training import describe_unchanged, describe_use
from rmr1.errors import ConfigError
from rmr1.forecast.machine import find_gpus, find_machine
from rmr1.models import LIMITS, is_bundled
from rmr1.pipeline.stages import HERE, Interrupted, run_stages
from rmr1.plugins import require
from rmr1.report.tables import make_table, print_table
from rmr1.screen import format_bytes, format_count, format_usd, print, print_json
from rmr1.settings import assign_settings, read_toml
from rmr1.store.runs import read_summary

if TYPE_CHECKING:
    from rmr1.pipeline.fitting import Choice

_COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "stage": ("name", str),
    "items": ("items", "{:,}".format),
    "tokens read": ("prompt_tokens", format_count),
    "written": ("completion_tokens", format_count),
    "cost": ("cost_usd", format_usd),
    "disk": ("disk_bytes", format_bytes),
    "memory": ("memory_bytes", format_bytes),
    "hours": ("hours", "{:.2g}".format),
}
"""Columns of the table of --dry-run: header -> the figure of a stage and its form."""


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RECIPE_OR_PAIRS", "a TOML file, or labelled pairs in any known form", dest="source")
    add(parser, "-o --output DIR", "folder of all stages")
    add(parser, "--base MODEL", "with pairs: the model to train")
    add(parser, "--teacher MODEL", "with pairs: a model that writes judgments to learn from")
    add(
        parser,
        "--preset NAME",
        "with a recipe: one of RM-R1's models, as rm-r1-qwen-7b or rm-r1-qwen-7b-lora",
    )
    add_form_arguments(parser, about="with pairs: ")
    add(parser, "--processes N", "processes of each training (default: one for each GPU, or one)", type=int)
    add(parser, "--seed N", "of every stage that names none (default 0)")
    add(parser, "--set A.B=C", "one setting, as grpo.optim.lr=1e-6; repeatable", action="append")
    add(parser, "--dry-run", "what would be done and taken; no model is loaded")
    add_estimate_arguments(parser)
    add(parser, "--json", "with --dry-run: JSON on standard output")


def run(arguments: Namespace) -> int:
    if not arguments.dry_run and arguments.output is None:
        raise ConfigError("no folder to train into; pass -o DIR")
    with require("training", "train"):
        from rmr1.pipeline.card import write_chain_card
        from rmr1.pipeline.own import choose_own
        from rmr1.pipeline.recipe import build_pipeline

        output = None if arguments.output is None else Path(arguments.output)
        values, choice = _read_values(arguments), None
        look: dict[str, Any] = {"look": True, "look_at_benchmarks": not arguments.dry_run}
        # Mistakes are told before this machine is looked at, which takes a library.
        build_pipeline(assign_settings(values, arguments.set), arguments.source, **look)
        machine = find_machine(arguments.machine, processes=_count_processes(arguments, "auto"))
        if arguments.base is not None:
            values, choice = choose_own(values, arguments.base, machine, output)
        pipeline = build_pipeline(
            assign_settings(values, arguments.set),
            arguments.source,
            **look,
            machine=machine,
            folder=output,
            processes=lambda device: _count_processes(arguments, device),
        )
        choice = pipeline.choice or choice
        if arguments.dry_run:
            return _print_forecast(arguments, pipeline, choice)

    if any(is_bundled(word) for stage in pipeline.stages for word in stage.command):
        tell(LIMITS)
    if choice is not None:
        tell(choice.told)
    try:
        kept = None if choice is None else asdict(choice)
        code = run_stages(pipeline.stages, Path(arguments.output), say=tell, choice=kept)
    except Interrupted:
        return 130
    trained = next((name for name in ("grpo", "sft") if name in pipeline.recipes), None)
    if trained is not None:
        folder, note = Path(arguments.output), None
        if trained == "grpo":
            base = str(pipeline.recipes[trained].model.base).replace(HERE, str(folder))
            note = describe_unchanged(read_summary(folder / trained), base)
        write_chain_card(folder, pipeline.stages, pipeline.recipes, describe_use(f"{folder}/{trained}"))
        print(describe_use(f"{folder}/{trained}", note=note))
    return code


def _count_processes(arguments: Namespace, device: str) -> int:
    """Processes of a training on this machine: those that were asked for, or one for each GPU."""
    if arguments.processes is not None:
        if arguments.processes < 1:
            raise ConfigError(f"--processes {arguments.processes}: expected at least 1")
        return int(arguments.processes)
    return max(1, len(find_gpus())) if device in ("auto", "cuda") else 1


def _read_values(arguments: Namespace) -> dict[str, Any]:
    from rmr1.pipeline.own import plan_own
    from rmr1.pipeline.recipe import read_parts

    if arguments.source.endswith(".toml"):
        for name in ("base", "teacher", "format", "map", "label"):
            if getattr(arguments, name) is not None:
                raise ConfigError(f"--{name} is for a file of pairs; a recipe says it itself, or by --set")
        values = read_parts(read_toml(arguments.source), arguments.source)
        if arguments.preset is not None:
            values["preset"] = arguments.preset
        return values if arguments.seed is None else {**values, "seed": arguments.seed}
    if arguments.preset is not None:
        raise ConfigError("--preset is for a recipe; a file of pairs is trained on with --base MODEL")
    if arguments.base is None:
        raise ConfigError(
            f"{arguments.source}: pairs need --base MODEL, the model to train; a recipe ends with .toml"
        )
    form, seed = read_form(arguments), arguments.seed or 0
    return plan_own(arguments.source, arguments.base, teacher=arguments.teacher, seed=seed, **form)


def _print_forecast(arguments: Namespace, pipeline: Any, choice: Choice | None) -> int:
    from rmr1.pipeline.forecast import forecast_pipeline, iterate_totals

    found, assumptions = forecast_pipeline(
        pipeline,
        folder=Path(arguments.output or "."),
        machine=arguments.machine,
        processes=lambda device: _count_processes(arguments, device),
    )
    totals = dict(iterate_totals(found))
    code = 1 if any(one.obstacle for one in found) else 0
    if arguments.json:
        told = {"choice": None if choice is None else choice.told}
        print_json(
            {**told, "stages": [asdict(one) for one in found], "total": totals, "assumptions": assumptions}
        )
        return code
    if choice is not None:
        print(choice.told)
    rows = [_row(asdict(one)) for one in found]
    print_table(make_table(list(_COLUMNS), [*rows, _row({"name": "all", **totals})]))
    place = "here" if arguments.machine is None else f"on {arguments.machine}"
    for one in found:
        for note in one.notes:
            print(f"{one.name}: {note}")
        if one.obstacle is not None:
            print(f"{one.name}: cannot run {place}: {one.obstacle}")
    for assumption in assumptions:
        print(f"assumed: {assumption}")
    return code


def _row(one: Mapping[str, Any]) -> list[str]:
    return ["-" if one.get(key) is None else form(one[key]) for key, form in _COLUMNS.values()]
