"""Distil the synthetic world from two teachers behind a real server, killed twice on the way, and verify the result.

    .venv/bin/python benchmarks/distill_world.py run        both passes over --items pairs
    .venv/bin/python benchmarks/distill_world.py arms       pass 1 alone for as many tokens as both passes took
    .venv/bin/python benchmarks/distill_world.py report     yields and tokens of what is there

Everything lies in `--folder` (default runs/distill_world) and goes on where it stopped: `both` of `run`, `one` of `arms`.
`run` sends SIGKILL to `rmr1 distill` when a third of the first pass is stored, and again at half of the second; the server
counts what it answered, so what was asked twice is known: at most the requests in flight at a kill. Both folders are
then checked by `distill_verify.py`. To fine-tune from scratch on the two arms:

    rmr1 sft recipes/tiny-judge.toml -o MODEL --set data.train=runs/distill_world/both/train.jsonl ...
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from distill_teachers import TeacherServer, WorldTeachers

ROOT = Path(__file__).resolve().parent.parent
RMR1 = [sys.executable, "-m", "rmr1.cli.main"]


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


def verify(folder: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "benchmarks/distill_verify.py"), str(folder)], check=True)


def read_summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def report(arguments: argparse.Namespace) -> None:
    print("arm   pass  answered  right   kept  tokens read  written  tokens a row")
    for arm in ("one", "both"):
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("run", "arms", "report"))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/distill_world")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    {"run": run_both, "arms": run_arms, "report": report}[arguments.action](arguments)


if __name__ == "__main__":
    main()
