"""Does reinforcement teach a judge anything? GRPO beside two controls of the same CPU time, on the synthetic world.

    .venv/bin/python benchmarks/grpo_learning.py start             the distilled judge that all arms begin with
    .venv/bin/python benchmarks/grpo_learning.py train [ARM ...]   arms, by seeds; grpo first, it sets the time
    .venv/bin/python benchmarks/grpo_learning.py report            evaluates what is trained, prints the table

Everything lies in `--folder` (default runs/grpo_learning/TEACHER) and goes on where it stopped. Arms:

    grpo          reinforcement on new labelled pairs, the paper's +1/-1 for the verdict
    own           fine-tuning on the start's own right samples of the same pairs
    more          more fine-tuning on the traces that the start was trained on
    random        as grpo, but each sample is paid +1 or -1 by the hash of its text
    both          as grpo, each pair in both orders (half as many pairs)
    consistency   as both, but a pair pays only if both orders are right

`own` samples as many judgments of as many pairs as `grpo` and fine-tunes for the rest of its CPU time. The start
is the bundled judge distilled further from a `--teacher` that errs (rmr1/world/teacher.py): `anchored` has one habit,
which the judge takes over, greedily too; of `fallible` one verdict of four is wrong for scattered reasons, and a judge
that samples errs likewise while one that takes the likeliest token does not. It begins with the bundled one because it
must copy names and compute well already: the samples of a judge that does not differ mostly in slips of the pen that
no verdict depends on, and what reinforcement could learn drowns in their noise. With `oracle` the start is the bundled
judge as it is.

Figures are of pairs of the test split, balanced in style: each judged greedily in both orders, and sampled.
Differences are paired over items and pooled over seeds; p and intervals by a bootstrap clustered on items.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import random
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from world_judging import Outcome, compare, judge_test, open_sampler

from rmr1.models import find_bundled
from rmr1.train.examples import Position
from rmr1.train.grpo.plan import build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.tasks import take_tasks

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("grpo", "own", "more", "random", "both", "consistency")
TRACES = 24_000
START_STEPS = 300
FIRST_PAIR, PAIRS_OF_A_SEED = 200_000, 20_000
"""Beyond the pairs that the start was distilled on; each seed has its own."""

COIN = """
import hashlib

def coin(sample):
    return 1.0 if hashlib.sha256(sample.text.encode()).digest()[0] < 128 else -1.0
"""


def start_recipe(folder: Path) -> dict[str, Any]:
    """The bundled judge, fine-tuned on the erring teacher's traces: its own optimizer at a third of the rate."""
    recipe = tomllib.loads((ROOT / "recipes/tiny-judge.toml").read_text())
    recipe["data"] = {"train": str(folder / "traces.jsonl"), "max_tokens": 1024}
    recipe["model"] = {"precision": "fp32", "base": "tiny"}
    recipe["optim"].update(lr=1e-3, muon_lr=4e-3 / 3, warmup=10, steps=START_STEPS)
    del recipe["evaluation"]
    return recipe


def grpo_recipe(folder: Path, arm: str, seed: int, steps: int) -> dict[str, Any]:
    """The recipe for judges of this size that ships, on this seed's pairs."""
    recipe = tomllib.loads((ROOT / "recipes/tiny-grpo.toml").read_text())
    recipe["seed"] = seed
    recipe["model"] = {"precision": "fp32", "base": str(folder / "start")}
    world = recipe["data"]["world"]
    world.update(items=PAIRS_OF_A_SEED, start=FIRST_PAIR + seed * PAIRS_OF_A_SEED, held_out=0)
    recipe["optim"].update(steps=steps, warmup=2)
    recipe["evaluation"] = {"keep": "last"}
    if arm == "random":
        recipe["rewards"] = {f"{folder / 'coin.py'}:coin": 1.0}
    if arm in ("both", "consistency"):
        recipe["data"]["order"] = "both"
    if arm == "consistency":
        recipe["rewards"] = {"consistency": 1.0}
    return recipe


def tuning_recipe(folder: Path, rows: Path, seed: int, steps: int) -> dict[str, Any]:
    """Fine-tuning of the start as the start itself was tuned."""
    recipe = start_recipe(folder)
    recipe["seed"] = seed
    recipe["model"] = {"precision": "fp32", "base": str(folder / "start")}
    recipe["data"]["train"] = str(rows)
    recipe["optim"].update(steps=steps, epochs=100)
    return recipe


def spend(command: Sequence[str], ledger: Path) -> float:
    """Run a command; the CPU seconds that it took, those of earlier, stopped runs included."""
    earlier = json.loads(ledger.read_text())["cpu_seconds"] if ledger.exists() else 0.0
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        _, status, usage = os.wait4(process.pid, 0)
    seconds = earlier + usage.ru_utime + usage.ru_stime
    ledger.write_text(json.dumps({"cpu_seconds": seconds}))
    if status:
        raise SystemExit(f"stopped: {' '.join(command)}")
    return seconds


def rmr1(verb: str, recipe: dict[str, Any], output: Path) -> float:
    """Train by the command line; CPU seconds."""
    path = output.with_suffix(".json")
    path.write_text(json.dumps(recipe, indent=1))
    ledger = output.with_suffix(".cpu")
    if (output / "summary.json").exists() and ledger.exists():
        return float(json.loads(ledger.read_text())["cpu_seconds"])
    return spend([sys.executable, __file__, f"--{verb}", str(path), str(output)], ledger)


def train_start(folder: Path, teacher: str) -> None:
    traces = folder / "traces.jsonl"
    if not traces.exists():
        from rmr1.cli.main import main

        main(
            [
                "world",
                "export",
                str(traces),
                "-n",
                str(TRACES),
                "--format",
                "messages",
                "--teacher",
                teacher,
            ]
        )
    if teacher == "oracle":
        shutil.copytree(find_bundled(), folder / "start")
        (folder / "start/summary.json").write_text("{}")
        return
    rmr1("sft", start_recipe(folder), folder / "start")


def train_arm(folder: Path, arm: str, seed: int, steps: int) -> None:
    output = folder / f"{arm}-{seed}"
    if arm not in ("own", "more"):
        (folder / "coin.py").write_text(COIN)
        rmr1("grpo", grpo_recipe(folder, arm, seed, steps), output)
        return
    budget = rmr1("grpo", grpo_recipe(folder, "grpo", seed, steps), folder / f"grpo-{seed}")
    rows = folder / "traces.jsonl"
    if arm == "own":
        rows = folder / f"own-{seed}.jsonl"
        command = [
            sys.executable,
            __file__,
            "--folder",
            str(folder),
            "--steps",
            str(steps),
            "--sample",
            str(seed),
        ]
        ledger = folder / f"own-{seed}.samples.cpu"
        budget -= json.loads(ledger.read_text())["cpu_seconds"] if rows.exists() else spend(command, ledger)
    fixed, each = calibrate(folder)
    rmr1("sft", tuning_recipe(folder, rows, seed, max(1, round((budget - fixed) / each))), output)


def calibrate(folder: Path) -> tuple[float, float]:
    """CPU seconds of a fine-tuning's start and end, and of each step."""
    rows = folder / "traces.jsonl"
    short, long = (
        rmr1("sft", tuning_recipe(folder, rows, 0, steps), folder / f"calibration-{steps}")
        for steps in (2, 32)
    )
    each = (long - short) / 30
    return short - 2 * each, each


def sample_own(folder: Path, seed: int, steps: int) -> None:
    """The start's right judgments of the pairs that `grpo` is given, as rows to fine-tune on."""
    recipe = GrpoRecipe.from_values(grpo_recipe(folder, "grpo", seed, steps), "own samples")
    plan = build_grpo_plan(recipe)
    sampler = open_sampler(folder / "start", recipe.rollout.rows)
    position, rows = Position(), []
    for step in range(steps):
        tasks, position = take_tasks(plan.source, recipe.rollout.prompts, position)
        drawn = sampler.sample(
            tasks,
            samples=recipe.rollout.samples,
            temperature=1.0,
            seed=f"{seed}/own/{step}",
            with_logprobs=False,
        )
        for task, samples in zip(tasks, drawn, strict=True):
            turns = [{"role": one.role, "content": one.text} for one in task.prompt.messages]
            for sample in samples:
                if (judged := sample.judge(task)).verdict.winner == judged.label:
                    rows.append({"messages": [*turns, {"role": "assistant", "content": sample.text}]})
    random.Random(seed).shuffle(rows)
    part = folder / f"own-{seed}.part"
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    part.rename(folder / f"own-{seed}.jsonl")


def report(folder: Path, seeds: int, items: int, samples: int) -> None:
    names = ["start", *(f"{arm}-{seed}" for arm in ARMS for seed in range(seeds))]
    outcomes = {}
    for name in names:
        if not (folder / name / "summary.json").exists():
            continue
        path = folder / f"{name}.test-{items}x{samples}.json"
        if not path.exists():
            path.write_text(json.dumps(judge_test(folder / name, items, samples)))
        outcomes[name] = Outcome(json.loads(path.read_text()))
    families = sorted(set(outcomes["start"].family))
    head = (
        "greedy",
        "parsed",
        "of parsed",
        "sampled",
        "parsed",
        "of parsed",
        "same",
        *families,
        "length",
        "CPU s",
    )
    print(f"{'':15}" + "".join(f"{one[:9]:>10}" for one in head))
    for name, one in outcomes.items():
        ledger = folder / f"{name}.cpu"
        seconds = json.loads(ledger.read_text())["cpu_seconds"] if ledger.exists() else float("nan")
        extra = folder / f"{name}.samples.cpu"
        seconds += json.loads(extra.read_text())["cpu_seconds"] if extra.exists() else 0.0
        values = (
            *(one.greedy.mean(), one.parsed, one.greedy_parsed),
            *(one.sampled.mean(), one.sampled_share, one.sampled_parsed, one.consistent.mean()),
            *(one.greedy[one.family == family].mean() for family in families),
        )
        print(
            f"{name:15}" + "".join(f"{value:10.2f}" for value in (*values, one.length)) + f"{seconds:10.0f}"
        )
    print(
        f"\n{items} items; same: the same answer both ways, greedily; differences in points, 95% interval, p"
    )
    for ours, theirs in (
        *(("grpo", other) for other in ("start", "more", "own", "random")),
        *(("own", "start"), ("more", "start"), ("random", "start")),
        *(("both", "start"), ("consistency", "both"), ("consistency", "start")),
    ):
        shared = [
            seed
            for seed in range(seeds)
            if f"{ours}-{seed}" in outcomes and (theirs == "start" or f"{theirs}-{seed}" in outcomes)
        ]
        if not shared:
            continue
        for figure in ("greedy", "sampled", "consistent", "both_right"):
            difference, low, high, p = compare(
                [getattr(outcomes[f"{ours}-{seed}"], figure) for seed in shared],
                [
                    getattr(outcomes[theirs if theirs == "start" else f"{theirs}-{seed}"], figure)
                    for seed in shared
                ],
            )
            print(
                f"{ours:>12} - {theirs:<8} {figure:<11}{difference:+7.2f}  {low:+6.2f} to {high:+6.2f}  "
                f"p {p:.4f}  {len(shared)} seeds"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="start, train [ARM ...] or report")
    parser.add_argument("--teacher", choices=("anchored", "fallible", "oracle"), default="anchored")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--steps", type=int, default=16, help="rollouts of an arm")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2, help="sampled judgments of each test item")
    parser.add_argument("--sft", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--grpo", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--sample", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder or ROOT / "runs/grpo_learning" / arguments.teacher
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.sft or arguments.grpo:
        _train(arguments)
    elif arguments.sample is not None:
        sample_own(folder, arguments.sample, arguments.steps)
    elif arguments.what[:1] == ["start"]:
        train_start(folder, arguments.teacher)
    elif arguments.what[:1] == ["train"]:
        arms = arguments.what[1:] or ARMS
        seeds = range(arguments.seeds) if arguments.seed is None else (arguments.seed,)
        if unknown := [arm for arm in arms if arm not in ARMS]:
            parser.error(f"no arm {unknown[0]!r}; there are {', '.join(ARMS)}")
        for seed in seeds:
            for arm in arms:
                train_arm(folder, arm, seed, arguments.steps)
    elif arguments.what == ["report"]:
        report(folder, arguments.seeds, arguments.items, arguments.samples)
    else:
        parser.error("expected start, train or report")


def _train(arguments: argparse.Namespace) -> None:
    from rmr1.train.grpo.run import run_grpo
    from rmr1.train.recipe import Recipe
    from rmr1.train.sft import run_sft

    path, output = arguments.sft or arguments.grpo
    values = json.loads(Path(path).read_text())
    if arguments.sft:
        run_sft(Recipe.from_values(values, path), output)
    else:
        run_grpo(GrpoRecipe.from_values(values, path), output)


if __name__ == "__main__":
    main()
