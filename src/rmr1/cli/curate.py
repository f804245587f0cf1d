"""Build training data: filter, decontaminate, mix, balance and split pairs of named sources.

  rmr1 curate recipe.toml --dry-run                 what would be read and written; hub data are not read
  rmr1 curate recipe.toml -o data/mix               write the splits, the card and what was dropped
  rmr1 curate recipe.toml -o data/mix --set seed=1 --set root=~/datasets

A recipe is a TOML file; recipes/ holds the paper's mix and one on local files. The folder appears whole or not at
all; the same command goes on after a stop, and afterwards says that it is done. rmr1 judge, distill, grpo and
scalar read the splits.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rmr1.cli.options import add_recipe_arguments
from rmr1.console import PairProgress
from rmr1.curate.card import source_rows
from rmr1.curate.plan import plan_curation
from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.run import run_curation
from rmr1.errors import ConfigError
from rmr1.report.tables import Name, make_table, print_table
from rmr1.screen import format_bytes, print, print_json


def add_arguments(parser: ArgumentParser) -> None:
    dry_run = "count local sources, say what would be done, and stop"
    add_recipe_arguments(parser, output="folder to write", dry_run=dry_run)


def run(arguments: Namespace) -> int:
    recipe = CurateRecipe.from_file(arguments.recipe, arguments.set)
    if arguments.output is None and not arguments.dry_run:
        raise ConfigError("no folder to write into; pass -o DIR")
    with PairProgress(quiet=arguments.quiet) as progress:
        if arguments.dry_run:
            plan = plan_curation(recipe, progress.report).describe()
        else:
            found = run_curation(recipe, arguments.output, report=progress.report)
    if arguments.dry_run:
        print_json(plan) if arguments.json else _print_plan(plan)
    else:
        print_json(found["counts"]) if arguments.json else print_result(arguments.output, found)
    return 0


def print_result(folder: str, found: Mapping[str, Any]) -> None:
    """The figures of a finished curation."""
    counts = found["counts"]
    if found.get("was_finished"):
        print(f"{folder}: this curation is finished; its figures:")
    header = ["source", "read", "bad rows", "dropped", "kept", *counts["splits"]]
    print_table(make_table(header, source_rows(counts, "all")))
    reasons: Counter[str] = Counter()
    for one in counts["sources"].values():
        reasons.update(one["dropped"])
    ordered = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    if ordered:
        print(f"gone: {', '.join(f'{name} {number:,}' for name, number in ordered)}")
    for name, one in counts["sources"].items():
        for row in one.get("first_bad_rows", ()):
            print(f"bad row of {name}: {' '.join(row.split())}")
    removed = {name: one["removed"] for name, one in counts["benchmarks"].items()}
    told = [f"{name} {one['prompts']:,} prompts ({one['pairs']:,} pairs)" for name, one in removed.items()]
    if told:
        print(f"overlap with benchmarks, taken out: {', '.join(told)}")
    for name, one in counts["splits"].items():
        preferred = ", ".join(f"{side} {one['labels'][side]:,}" for side in "AB")
        print(f"{name}: {one['pairs']:,} pairs of {one['prompts']:,} prompts, preferred {preferred}")
    for note in counts["notes"]:
        print(f"note: {note}")
    print(f"card: {folder}/card.md")


def _print_plan(plan: Mapping[str, Any]) -> None:
    rows = []
    for one in plan["sources"]:
        numbers = ["?" if one[key] is None else one[key] for key in ("read", "unreadable", "left", "size")]
        more = f" and {len(one['data']) - 1} more" if len(one["data"]) > 1 else ""
        rows.append([one["name"], *numbers, Name(one["data"][0] + more)])
    header = ["source", "read", "bad rows", "left", "taken", "data"]
    print_table(make_table(header, rows, has_notes=True))
    if any(one["read"] is None for one in plan["sources"]):
        print("datasets of the hub are not read; what is left of them is what the recipe expects")
    if plan["not_looked_at"]:
        print(f"at most: not looked at yet are {', '.join(plan['not_looked_at'])}")
    for name, number in plan["splits"].items():
        print(f"{name}: about {number:,} pairs" if number is not None else f"{name}: not known yet")
    if plan["benchmarks"]:
        print(f"compared with: {', '.join(plan['benchmarks'])}")
    if plan["output_bytes"] is not None:
        print(f"disk: about {format_bytes(plan['output_bytes'])}, twice that while it is written")
    if plan["memory_bytes"] is not None:
        print(f"memory: about {format_bytes(plan['memory_bytes'])} beside the libraries")
    for library in plan["missing_libraries"]:
        print(f"not installed: {library}; pip install 'rmr1[data]' (datasets: 'rmr1[datasets]')")
    for note in plan["notes"]:
        print(f"note: {note}")
