"""Distil the synthetic world from two teachers behind a real server, killed twice on the way, and verify the result.

    .venv/bin/python benchmarks/distill_world.py run        both passes over --items pairs
    .venv/bin/python benchmarks/distill_world.py arms       pass 1 alone for as many tokens as both passes took
    .venv/bin/python benchmarks/distill_world.py tune       a judge from nothing on each (about half an hour of CPU time)
    .venv/bin/python benchmarks/distill_world.py report     yields, tokens and accuracy of what is there

Everything lies in `--folder` (default runs/distill_world) and goes on where it stopped: `both` of `run`, `one` of `arms`.
`run` sends SIGKILL to `rmr1 distill` when a third of the first pass is stored, and again at half of the second; the server
counts what it answered, so what was asked twice is known: at most the requests in flight at a kill. Both folders are
then checked by `distill_verify.py`. `tune` trains by recipes/tiny-judge.toml from random weights, the same steps of as many
tokens on either; accuracy is of new pairs of the test split, balanced in style, and differences are paired over them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from distill_teachers import TeacherServer, WorldTeachers
from world_judging import Outcome, compare, judge_test

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("one", "both")
RMR1 = [sys.executable, "-m", "rmr1"]


def write_recipe(folder: Path, name: str, base_url: str, *, items: int, seed: int, is_alone: bool) -> Path:
    engine = "[{name}.engine]\nprice_in = 1.0\nprice_out = 4.0\nbackoff_seconds = 0.05\nconcurrency = 16\n"
    text = f"seed = {seed}\n[data.world]\nitems = {items}\nseed = {seed}\n"
    text += f'[pass1]\nteacher = "openai:fallible@{base_url}"\nmax_new_tokens = 1024\n' + engine.format(
        name="pass1"
    )
    if not is_alone:
        text += f'[pass2]\nteacher = "openai:told@{base_url}"\nmax_new_tokens = 1024\n' + engine.format(
            name="pass2"
        )
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def distill(recipe: Path, folder: Path, *options: str, kill_at: tuple[str, int] | None = None) -> bool:
    """Run it, or kill it when a file has so many lines; whether it was killed."""
    command = [*RMR1, "distill", "run", str(recipe), "-o", str(folder), *options]
    process = subprocess.Popen(command)
    while process.poll() is None:
        if kill_at is not None and count_lines(folder / kill_at[0]) >= kill_at[1]:
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"killed at {count_lines(folder / kill_at[0]):,} lines of {kill_at[0]}", flush=True)
            return True
        time.sleep(0.05)
    if process.returncode not in (0, 1):
        sys.exit(f"rmr1 distill failed with exit code {process.returncode}")
    return False


def run_both(arguments: argparse.Namespace) -> None:
    folder = arguments.folder / "both"
    teachers = WorldTeachers(items=arguments.items, seed=arguments.seed)
    with TeacherServer(teachers) as server:
        recipe = write_recipe(
            arguments.folder,
            "both",
            server.base_url,
            items=arguments.items,
            seed=arguments.seed,
            is_alone=False,
        )
        started = time.perf_counter()
        kills = distill(recipe, folder, kill_at=("pass1.jsonl", arguments.items // 3))
        kills += distill(recipe, folder, kill_at=("pass2.jsonl", arguments.items // 8))
        distill(recipe, folder)
        repeated = sum(count - 1 for count in server.asked.values())
        answered = sum(server.asked.values())
    print(
        f"{time.perf_counter() - started:.0f} s, killed {kills} times; {answered:,} answers given, {repeated:,} of them twice"
    )
    verify(folder)


def run_arms(arguments: argparse.Namespace) -> None:
    """The first teacher alone on more pairs, until it has used what both used."""
    both = read_summary(arguments.folder / "both")
    tokens = sum(one["prompt_tokens"] + one["completion_tokens"] for one in both["passes"])
    items = 2 * arguments.items
    with TeacherServer(WorldTeachers(items=items, seed=arguments.seed)) as server:
        recipe = write_recipe(
            arguments.folder, "one", server.base_url, items=items, seed=arguments.seed, is_alone=True
        )
        distill(recipe, arguments.folder / "one", "--budget", str(tokens))
    verify(arguments.folder / "one")


def tune(arguments: argparse.Namespace) -> None:
    """A judge from random weights on each arm's rows."""
    for arm in arguments.arm or ARMS:
        recipe = tomllib.loads((ROOT / "recipes/tiny-judge.toml").read_text())
        recipe["data"] = {
            "train": str(arguments.folder / arm / "train.jsonl"),
            "max_tokens": 1024,
            "held_out_share": 0.015,
        }
        recipe["optim"].update(steps=arguments.steps, epochs=100)
        recipe["evaluation"].update(every=200, verdicts=128)
        path = arguments.folder / f"{arm}-sft.toml"
        path.write_text(tomli_w.dumps(recipe))
        subprocess.run([*RMR1, "sft", str(path), "-o", str(arguments.folder / f"{arm}-model")], check=True)


def judge_arm(folder: Path, arm: str, items: int) -> Outcome | None:
    """What the arm's judge does on the test split."""
    if not (folder / f"{arm}-model/summary.json").exists():
        return None
    path = folder / f"{arm}-model.test-{items}.json"
    if not path.exists():
        path.write_text(json.dumps(judge_test(folder / f"{arm}-model", items, samples=1)))
    return Outcome(json.loads(path.read_text()))


def verify(folder: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "benchmarks/distill_verify.py"), str(folder)], check=True)


def read_summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def report(arguments: argparse.Namespace) -> None:
    print("arm   pass  answered  right   kept  tokens read  written  tokens a row")
    for arm in ARMS:
        if not (arguments.folder / arm / "summary.json").exists():
            continue
        summary = read_summary(arguments.folder / arm)
        for number, one in enumerate(summary["passes"], start=1):
            kept = summary["rows_by_pass"][f"pass{number}"]
            tokens = one["prompt_tokens"] + one["completion_tokens"]
            print(
                f"{arm:5} {number:4}  {one['asked']:8,}  {summary['right'][f'pass{number}']:5,}  {kept:5,}  "
                f"{one['prompt_tokens']:11,}  {one['completion_tokens']:7,}  {tokens / max(1, kept):12,.0f}"
            )
        print(f"{arm:5}  all  rows {summary['rows']:,}, dropped {summary['dropped']}")
    print(f"\njudges from nothing, {arguments.test_items} test pairs, greedily; 95% interval over pairs")
    outcomes = {arm: judge_arm(arguments.folder, arm, arguments.test_items) for arm in ARMS}
    for arm, outcome in outcomes.items():
        if outcome is not None:
            families = ", ".join(
                f"{family} {outcome.greedy[outcome.family == family].mean():.1f}%"
                for family in sorted(set(outcome.family))
            )
            nothing = np.zeros_like(outcome.greedy)
            right, low, high, _ = compare([outcome.greedy], [nothing])
            print(
                f"{arm:5} {right:.1f}% ({low:.1f} to {high:.1f}), parsed {outcome.parsed:.1f}%; {families}; "
                f"the same answer both ways {outcome.consistent.mean():.1f}%"
            )
    if (both := outcomes["both"]) and (one := outcomes["one"]):
        difference, low, high, p = compare([both.greedy], [one.greedy])
        print(f"both - one {difference:+.1f} ({low:+.1f} to {high:+.1f}), p {p:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("run", "arms", "tune", "report"))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/distill_world")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arm", choices=ARMS, action="append", help="tune: only this one")
    parser.add_argument("--steps", type=int, default=2000, help="tune: steps of 8,192 tokens")
    parser.add_argument("--test-items", type=int, default=2000, help="report: test pairs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    {"run": run_both, "arms": run_arms, "tune": tune, "report": report}[arguments.action](arguments)


if __name__ == "__main__":
    main()
