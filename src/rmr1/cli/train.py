"""Train a judge from raw preferences: curate, distil, fine-tune, reinforce and measure, in one command.

  rmr1 train recipe.toml -o runs/x                      the stages that the recipe has sections for
  rmr1 train pairs.csv --base MODEL -o runs/x           own labelled pairs: reinforce MODEL on most of them, measure
                                                        it before and after on the rest
  rmr1 train pairs.csv --base MODEL --teacher TEACHER -o runs/x       with traces of a teacher first
  rmr1 train recipe.toml --dry-run                      stages, items, tokens, cost, disk and memory

Each stage is an ordinary command with a folder of its own in DIR, and is printed. One that was stopped goes on when
the same command is given again; one whose inputs and results are as they were is skipped; what other inputs had
made is moved to DIR/replaced. The exit code is 1 where the trained model is significantly worse than the base.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rmr1.cli.options import add_label_argument
from rmr1.screen import print

if TYPE_CHECKING:
    from pathlib import Path

HELP = "all stages, from raw preferences to a measured judge"

_HEADER = ("stage", "items", "tokens read", "written", "cost", "disk", "memory", "hours")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="RECIPE_OR_PAIRS", help="a TOML file, or labelled pairs in any known form"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="folder of all stages")
    parser.add_argument("--base", metavar="MODEL", help="with pairs: the model to train")
    parser.add_argument(
        "--teacher", metavar="MODEL", help="with pairs: a model that writes judgments to learn from"
    )
    parser.add_argument(
        "--format", metavar="NAME", help="with pairs: the file's form, where its columns do not tell"
    )
    parser.add_argument(
        "--map",
        action="append",
        metavar="OURS=THEIRS",
        help="with pairs: a column's name in the file; repeatable",
    )
    add_label_argument(parser, about="with pairs: ")
    parser.add_argument("--seed", type=int, metavar="N", help="of every stage that names none (default 0)")
    parser.add_argument(
        "--set", action="append", metavar="A.B=C", help="one setting, as grpo.optim.lr=1e-6; repeatable"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="what would be done and taken; no model is loaded"
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: JSON on standard output")


def run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from rmr1.cli.config import assign_setting, check_config
    from rmr1.cli.training import needing_training_libraries
    from rmr1.errors import ConfigError
    from rmr1.settings import Mistakes

    if not arguments.dry_run and arguments.output is None:
        raise ConfigError("no folder to train into; pass -o DIR")
    with needing_training_libraries():
        from rmr1.pipeline.recipe import build_pipeline

        values = _read_values(arguments)
        for assignment in arguments.set or ():
            assign_setting(values, assignment)
        mistakes = Mistakes(arguments.source)
        with mistakes.catch():
            pipeline = build_pipeline(
                values, arguments.source, look=True, look_at_benchmarks=not arguments.dry_run
            )
        with mistakes.catch():
            if isinstance(bench := values.get("bench"), dict) and isinstance(
                judge := bench.get("judge"), dict
            ):
                # The options are those of the models that are measured, and were checked with them.
                own = {key: one for key, one in judge.items() if key != "engine" or not isinstance(one, dict)}
                check_config(own, arguments.source, section=("bench", "judge"))
        mistakes.tell()
        if arguments.dry_run:
            return _print_forecast(pipeline, Path(arguments.output or "."), as_json=arguments.json)
    from rmr1.models import LIMITS, is_bundled
    from rmr1.pipeline.stages import Interrupted, run_stages

    if any(is_bundled(word) for stage in pipeline.stages for word in stage.command):
        _say(LIMITS)
    try:
        code = run_stages(pipeline.stages, Path(arguments.output), say=_say)
    except Interrupted:
        return 130
    trained = next((name for name in ("grpo", "sft") if name in pipeline.recipes), None)
    if trained is not None:
        _print_end(Path(arguments.output), trained, str(pipeline.recipes[trained].model.base))
    return code


def _print_end(folder: Path, trained: str, base: str) -> None:
    """How to use what the last training made, and whether it is anything but its base."""
    import json

    from rmr1.cli.training import describe_unchanged, print_use
    from rmr1.pipeline.stages import HERE

    note = None
    if trained == "grpo":
        summary = json.loads((folder / trained / "summary.json").read_bytes())
        note = describe_unchanged(summary, base.replace(HERE, str(folder)))
    print_use(f"{folder}/{trained}", note=note)


def _read_values(arguments: argparse.Namespace) -> dict[str, Any]:
    from pathlib import Path

    from rmr1.cli.config import parse_labels, read_toml, split_assignment
    from rmr1.errors import ConfigError
    from rmr1.pipeline.own import plan_own
    from rmr1.pipeline.recipe import read_parts

    own = {
        "--base": arguments.base,
        "--teacher": arguments.teacher,
        "--format": arguments.format,
        "--map": arguments.map,
        "--label": arguments.label,
    }
    if arguments.source.endswith(".toml"):
        given = next((flag for flag, value in own.items() if value is not None), None)
        if given is not None:
            raise ConfigError(f"{given} is for a file of pairs; a recipe says it itself, or by --set")
        values = read_parts(read_toml(Path(arguments.source)), arguments.source)
        return values if arguments.seed is None else {**values, "seed": arguments.seed}
    if arguments.base is None:
        raise ConfigError(
            f"{arguments.source}: pairs need --base MODEL, the model to train; a recipe ends with .toml"
        )
    return plan_own(
        arguments.source,
        arguments.base,
        teacher=arguments.teacher,
        columns=dict(split_assignment(one, "--map", "OURS=THEIRS") for one in arguments.map or ()),
        format=arguments.format,
        labels=parse_labels(arguments.label),
        seed=arguments.seed or 0,
    )


def _say(line: str) -> None:
    import sys

    print(f"rmr1: {line}", file=sys.stderr, flush=True)


def _print_forecast(pipeline: Any, folder: Path, *, as_json: bool) -> int:
    from rmr1.cli.training import print_json
    from rmr1.pipeline.forecast import forecast_pipeline, iterate_totals

    found, assumptions = forecast_pipeline(pipeline, folder=folder)
    totals = dict(iterate_totals(found))
    code = 1 if any(one.obstacle for one in found) else 0
    if as_json:
        print_json({"stages": [one.describe() for one in found], "total": totals, "assumptions": assumptions})
        return code
    rows = [_row(one.describe()) for one in found]
    _print_table([*rows, _row({"name": "all", **totals})])
    for one in found:
        for note in one.notes:
            print(f"{one.name}: {note}")
        if one.obstacle is not None:
            print(f"{one.name}: cannot run here: {one.obstacle}")
    for assumption in assumptions:
        print(f"assumed: {assumption}")
    return code


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    from rmr1.cli.usage import format_usd
    from rmr1.doctor import format_bytes

    def show(name: str, form: Any) -> str:
        value = one.get(name)
        return "-" if value is None else form(value)

    return (
        one["name"],
        show("items", "{:,}".format),
        show("prompt_tokens", _tokens),
        show("completion_tokens", _tokens),
        show("cost_usd", format_usd),
        show("disk_bytes", format_bytes),
        show("memory_bytes", format_bytes),
        show("hours", "{:.2g}".format),
    )


def _tokens(number: int) -> str:
    return f"{number / 1e6:,.1f}M" if number >= 1e5 else f"{number:,}"


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    table = [_HEADER, *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(_HEADER))]
    for row in table:
        first, *rest = row
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())
