"""Judge fresh pairs of the synthetic world with the bundled judge, and show what it found.

  rmr1 demo             120 pairs: two judgments in full, then how often the judge is right
  rmr1 demo --seed 7    other pairs

The bundled judge writes its reasons; the bundled scalar model of the same backbone gives two numbers. Both are
tiny and know this world only. Without torch, hand-written examples are replayed instead. Offline either way.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path

from rmr1.bench.tasks.world import FAMILY_ROWS, OVERALL, STYLE_ROWS, WorldFigures, judge_items, measure
from rmr1.cli import main
from rmr1.cli.options import add
from rmr1.console import Console, Progress
from rmr1.errors import CheckpointError, ConfigError
from rmr1.judge import JudgeSettings, load_judge
from rmr1.judge.load import default_settings
from rmr1.models import JUDGE, SCALAR, resolve_model
from rmr1.records import Judgment
from rmr1.report.tables import make_table
from rmr1.report.terminal import print_judgment
from rmr1.screen import format_percent, print, print_text
from rmr1.world import WorldItem, sample_pairs

REPLAY_SEED = 162
"""The placement that the hand-written examples were written for."""

_NEXT = """\
Your own pairs, with a released judge of 7B parameters on a GPU (extras vllm and datasets):
  rmr1 prompts import gaotang/RM-R1-Entire-RLVR-Train --name rm-r1-rubric
  rmr1 judge pairs.jsonl -m vllm:gaotang/RM-R1-Qwen2.5-Instruct-7B -o runs/mine"""


def add_arguments(parser: ArgumentParser) -> None:
    output = "folder for the runs of judge and scalar model (default runs/demo-SEED)"
    add(parser, "-o --output RUN", output)
    add(parser, "-n --number N", "pairs (default 120)", default=120)
    add(parser, "--seed N", "draws the pairs (default 1)", default=1)
    add(parser, "--quiet", "no progress")


def run(arguments: Namespace) -> int:
    if arguments.number < 1:
        raise ConfigError(f"--number {arguments.number}: expected 1 or more")
    try:
        for name in (JUDGE, SCALAR):
            resolve_model(name)
    except (CheckpointError, ConfigError) as error:
        return _replay(arguments.output or "runs/demo", str(error))
    # Two threads gain nothing on models this small, and wait for each other. Torch reads this once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder, number = Path(arguments.output or f"runs/demo-{arguments.seed}"), arguments.number
    items = list(sample_pairs(arguments.seed, number, split="test", distribution="balanced"))
    print(
        f"{number} fresh pairs of the synthetic world (seed {arguments.seed}), none of them in the training data. The "
        "judge knows nothing but this world.\n",
        flush=True,
    )
    found: dict[str, list[tuple[WorldItem, Judgment]]] = {}
    both = replace(default_settings(JUDGE), order="both")
    for name, settings in ((JUDGE, both), (SCALAR, JudgeSettings())):
        with (
            closing(load_judge(name, settings=settings)) as judge,
            Progress(number, label=f"{judge.name}: judged", quiet=arguments.quiet) as progress,
        ):
            judged = judge_items(judge, items, folder=folder / name, on_judgment=progress.update)
            found[name] = list(judged)
    console = Console()
    for family in ("Reasoning", "Chat"):
        # The family's first judgment, right or wrong, as it was given in the first order.
        judgment = next((one for item, one in found[JUDGE] if item.facts.family == family), None)
        if judgment is not None:
            vote, problem = judgment.votes[0], judgment.votes[0].verdict.problem
            first = replace(judgment, votes=(vote,), winner=vote.winner, problem=problem, confidence=None)
            print_judgment(console, "", first)
    _print_table(console, measure(found[JUDGE]), measure(found[SCALAR]))
    print(f"\nread more: rmr1 show {folder / JUDGE} --wrong\n")
    print_text(_NEXT)
    return 0


def _print_table(console: Console, judge: WorldFigures, scalar: WorldFigures) -> None:
    table = make_table(("right, in %", "pairs", "judge", "scalar model"))
    for name in (OVERALL, *FAMILY_ROWS, *STYLE_ROWS):
        row, other = judge.rows[name], scalar.rows[name]
        shares = (format_percent(one.accuracy, 1) for one in (row, other))
        table.add_row(name, str(row.pairs), *shares)
    consistency = format_percent(judge.consistency, 1)
    table.add_row("same verdict in both orders", str(judge.both_orders), consistency, "")
    table.add_row("no verdict", "", format_percent(judge.unparsed_share, 1), "")
    console.print(table)
    print("hard style: only the worse answer is dressed up; easy style: only the better one")


def _replay(folder: str, reason: str) -> int:
    print(
        f"No model here ({reason}). So these are hand-written examples, not a model's output: they show what a "
        "judgment holds.\n",
        flush=True,
    )
    with resources.as_file(resources.files("rmr1.demo")) as examples:
        asked = ["judge", str(examples / "pairs.jsonl"), "--model", f"replay:{examples / 'outputs.jsonl'}"]
        code = main.main([*asked, "--seed", str(REPLAY_SEED), "--output", folder, "--quiet"])
    if code:
        return code
    print(flush=True)
    sys.stdout.flush()
    return main.main(["show", folder])
