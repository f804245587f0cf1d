"""`rmr1 train` from a CSV of the world's pairs to a measured judge, killed once in each stage.

    .venv/bin/python benchmarks/train_chain.py --base MODEL      about half an hour of CPU time
    .venv/bin/python benchmarks/train_chain.py --base tiny --pairs 300 --steps 2      to see it work

The chain curates the CSV, distils a part of it from two teachers behind a server, fine-tunes the base on that,
reinforces it on the rest and measures it beside the base on pairs that no stage has read. Each time SIGKILL ends the
command once it is some way into the next stage, and the same command is given again. Everything lies in `--folder`
(default runs/train_chain). In the end base and judge are compared on new pairs of the test split as well.

A base that has something to learn is what `grpo_learning.py start` makes (runs/grpo_learning/anchored/start).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import tomli_w
from distill_teachers import TeacherServer, WorldTeachers
from world_judging import Outcome, compare, judge_test

from rmr1.models import resolve_model
from rmr1.world import sample_pairs

ROOT = Path(__file__).resolve().parent.parent
RMR1 = [sys.executable, "-m", "rmr1"]

WATCHED = {
    "curate": ("curate.part/dropped.jsonl", 0),
    "distill": ("distill/pass2.jsonl", 20),
    "sft": ("sft/metrics.jsonl", 20),
    "grpo": ("grpo/metrics.jsonl", 3),
    "baseline": ("baseline/judgments.jsonl", 30),
    "bench": ("bench/judgments.jsonl", 30),
}
"""Of each stage a file, and the number of its lines at which the command is killed."""


def write_csv(path: Path, pairs: int) -> None:
    """Pairs of one question each, because a CSV holds no conversations."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "response_a", "response_b", "label"])
        for item in sample_pairs(0, pairs, split="train", distribution="biased"):
            pair = item.pair
            if len(pair.prompt) == 1:
                texts = (pair.prompt[0].text, pair.response_a[-1].text, pair.response_b[-1].text)
                rows.writerow([*texts, pair.label])


def write_recipe(path: Path, *, table: Path, base: str, base_url: str, steps: int) -> None:
    teacher = {"max_new_tokens": 1024, "engine": {"concurrency": 16, "backoff_seconds": 0.05}}
    grpo = tomllib.loads((ROOT / "recipes/tiny-grpo.toml").read_text())
    del grpo["data"], grpo["model"], grpo["seed"]
    grpo["optim"].update(warmup=2, steps=steps, epochs=100)
    grpo["evaluation"]["every"] = max(1, steps // 2)
    grpo["checkpoint"]["every"] = 2
    recipe = {
        "seed": 0,
        "curate": {
            "sources": {"world": {"data": str(table)}},
            "splits": {"distill": 0.3, "rl": 0.5, "looks": 0.05, "held_out": 0.15},
        },
        "distill": {
            "pass1": {"teacher": f"openai:fallible@{base_url}", **teacher},
            "pass2": {"teacher": f"openai:told@{base_url}", **teacher},
        },
        "sft": {
            "device": "cpu",
            "model": {"base": base, "precision": "fp32"},
            "data": {"max_tokens": 1024},
            "batch": {"tokens": 8192, "row_tokens": 4096},
            "optim": {"name": "muon", "lr": 1e-3, "muon_lr": 1.3e-3, "betas": [0.9, 0.95], "warmup": 10, "epochs": 3},
            "checkpoint": {"every": 20},
        },
        "grpo": grpo,
        "bench": {"baseline": base, "judge": {"sampling": {"max_new_tokens": 320}}},
    }  # fmt: skip
    path.write_text(tomli_w.dumps(recipe))


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else -1


def run_killed(command: list[str], folder: Path, stage: str) -> bool:
    """Run until the stage is some way in, and kill it there; False where the command ended before."""
    name, lines = WATCHED[stage]
    process = subprocess.Popen(command)
    while process.poll() is None:
        if count_lines(folder / name) >= lines:
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"--- killed in {stage}, {count_lines(folder / name):,} lines of {name}", flush=True)
            return True
        time.sleep(0.02)
    print(f"--- {stage} was over before it could be killed", flush=True)
    return False


def judge(model: str, path: Path, items: int) -> Outcome:
    if not path.exists():
        path.write_text(json.dumps(judge_test(Path(resolve_model(model)), items, samples=1)))
    return Outcome(json.loads(path.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/train_chain")
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=12, help="rollouts of 96 prompts")
    parser.add_argument("--test-items", type=int, default=1000)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table, recipe, output = folder / "pairs.csv", folder / "chain.toml", folder / "chain"
    write_csv(table, arguments.pairs)
    began, kills = time.monotonic(), 0
    with TeacherServer(WorldTeachers(items=arguments.pairs)) as server:
        write_recipe(
            recipe, table=table, base=arguments.base, base_url=server.base_url, steps=arguments.steps
        )
        command = [*RMR1, "train", str(recipe), "-o", str(output)]
        for stage in WATCHED:
            kills += run_killed(command, output, stage)
        code = subprocess.run(command, check=False).returncode
    print(f"--- killed {kills} times, exit code {code}, {time.monotonic() - began:.0f} s")
    base = judge(arguments.base, folder / "base.test.json", arguments.test_items)
    trained = judge(str(output / "grpo"), folder / "trained.test.json", arguments.test_items)
    difference, low, high, p = compare([trained.greedy], [base.greedy])
    print(
        f"{arguments.test_items} test pairs, greedily: base {base.greedy.mean():.1f}%, trained "
        f"{trained.greedy.mean():.1f}%, {difference:+.1f} ({low:+.1f} to {high:+.1f}), p {p:.4f}"
    )


if __name__ == "__main__":
    main()
