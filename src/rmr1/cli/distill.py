"""Distil judgments from two teachers: ask, check, and write rows to fine-tune a judge on.

  rmr1 distill run recipe.toml -o data/distilled                ask both teachers and write train.jsonl
  rmr1 distill run recipe.toml -o data/distilled --budget 5usd  stop before it costs more
  rmr1 distill run recipe.toml --dry-run                        requests, tokens and cost; nothing is sent
  rmr1 distill export recipe.toml -o data/distilled --pass 1 requests.jsonl
                                                                what is still to ask, as an OpenAI batch
  rmr1 distill import recipe.toml -o data/distilled output.jsonl errors.jsonl
                                                                a batch's answers; what failed stays open

The first teacher judges every pair; what it judges wrongly goes to the second, which is told the verdict. Each text is
checked, and no row holds the verdict in its prompt. A run that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from rmr1.cli.distill_report import (
    is_done,
    list_next_steps,
    print_export,
    print_forecast,
    print_import,
    print_summary,
)
from rmr1.cli.dry_run_parts import check_expected
from rmr1.cli.options import add, add_estimate_arguments, add_recipe_arguments
from rmr1.console import Progress
from rmr1.distill.batch import export_requests, import_results
from rmr1.distill.budget import parse_budget
from rmr1.distill.folder import require_folder
from rmr1.distill.forecast import forecast_distill
from rmr1.distill.items import count_data
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.run import finish, run_distill
from rmr1.errors import ConfigError
from rmr1.forecast.machine import parse_machine
from rmr1.screen import print, print_json


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    output = "folder of the distillation"
    run_ = actions.add_parser("run", help="ask both teachers and write the rows")
    add_recipe_arguments(run_, output=output, dry_run="requests, tokens and cost; nothing is sent or written")
    budget = "most that both teachers may use in this folder: tokens (2M, 500000) or money (5usd)"
    add(run_, "--budget AMOUNT", budget)
    add(run_, "--retry-failed", "ask again what failed; what a server refused stays refused")
    add_estimate_arguments(run_, expected="as stored")
    export = actions.add_parser("export", help="write what is still to ask in the OpenAI batch format")
    add_recipe_arguments(export, output=output)
    file = "JSONL file to write; numbered ones if it grows too large"
    add(export, "FILE", file, dest="requests")
    add(export, "--pass", "which pass (default 1)", dest="number", type=int, choices=(1, 2), default=1)
    add(export, "--force", "replace FILE if it exists")
    import_ = actions.add_parser("import", help="read the output and error files of a batch")
    add_recipe_arguments(import_, output=output)
    add(import_, "FILE", "JSONL files, of either pass", dest="results", nargs="+")
    give_up = "store errors as failures, which drops their pairs, instead of leaving them open"
    add(import_, "--give-up", give_up)


def run(arguments: Namespace) -> int:
    recipe = DistillRecipe.from_file(arguments.recipe, arguments.set)
    if arguments.output is None and not getattr(arguments, "dry_run", False):
        raise ConfigError("no folder to distil into; pass -o DIR")
    stage = {"run": _run, "export": _export, "import": _import}[arguments.action]
    return stage(arguments, recipe, Path(arguments.output or ""))


def _run(arguments: Namespace, recipe: DistillRecipe, folder: Path) -> int:
    text = arguments.budget or recipe.budget
    budget = None if text is None else parse_budget(text)
    if arguments.dry_run:
        figures = forecast_distill(
            recipe,
            folder if arguments.output else None,
            expect_tokens=check_expected(arguments),
            budget=budget,
            machine=None if arguments.machine is None else parse_machine(arguments.machine),
        )
        print_json(figures) if arguments.json else print_forecast(figures)
        return 0

    def watch(number: int, total: int, done: int) -> Progress:
        return Progress(total, done=done, label=f"pass {number}", quiet=arguments.quiet)

    summary = run_distill(recipe, folder, budget=budget, retry_failed=arguments.retry_failed, watch=watch)
    return _report(arguments, recipe, folder, summary)


def _export(arguments: Namespace, recipe: DistillRecipe, folder: Path) -> int:
    if arguments.number > len(recipe.passes):
        raise ConfigError(f"{arguments.recipe}: the recipe has no [pass2]")
    count_data(recipe)
    found = export_requests(recipe, folder, arguments.number, Path(arguments.requests), force=arguments.force)
    print_json(found) if arguments.json else print_export(found)
    return 0 if found["requests"] else 1


def _import(arguments: Namespace, recipe: DistillRecipe, folder: Path) -> int:
    require_folder(folder)
    count_data(recipe)
    counts = import_results(
        recipe, folder, [Path(path) for path in arguments.results], give_up=arguments.give_up
    )
    for kind, lines in counts.shown.items():
        for line in lines:
            print(f"rmr1: {kind}: {line}", file=sys.stderr)
    summary = finish(recipe, folder)
    if not arguments.json:
        print_import(counts.describe())
    return _report(arguments, recipe, folder, {**summary, "imported": counts.describe()})


def _report(arguments: Namespace, recipe: DistillRecipe, folder: Path, summary: dict[str, Any]) -> int:
    steps = list_next_steps(recipe, summary, recipe_path=arguments.recipe, folder=str(folder))
    if arguments.json:
        print_json({**summary, "next": steps})
    else:
        print_summary(summary, folder=str(folder), steps=steps)
    return 0 if is_done(recipe, summary) else 1
