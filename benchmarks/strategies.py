"""What accuracy the ways of asking one judge buy for how many written tokens: the bundled judge on world pairs.

    python benchmarks/strategies.py --pairs 2000 -o runs/strategies        goes on where it was; figures.json, a plot

The runs: greedy (one order, both), 32 votes, guided, and verdicts forced after a budget. All numbers of votes, and
voting that ends early, come from the run of 32: the votes that would be cast are the first of them. The cascade asks
greedily first and votes 16 times where that is not sure enough; its threshold is fitted on one half of the pairs and
used on the other, both ways. Tokens are those that the model wrote, per pair.

Expected before the first run: votes gain two to three points over greedy up to 16 and little after; ending early at 0.95
costs less than half the tokens of 16 votes; forced budgets below the usual length lose most of the accuracy, because
this judge decides at the end of its evaluation; a cascade saves half of the votes' tokens.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rmr1.judge.selective import find_threshold
from rmr1.records import Judgment
from rmr1.stats import wilson_interval
from rmr1.store.runs import read_judgments
from rmr1.verdicts.probability import read_probability
from rmr1.verdicts.votes import count_next_wave, decide, is_settled

RUNS: dict[str, list[str]] = {
    "greedy": [],
    "both orders": ["--order", "both"],
    "votes": ["--votes", "32", "--batch-size", "128"],
    "guided": ["--guide"],
    **{f"budget {n}": ["--force-verdict", "--max-new-tokens", str(n)] for n in (20, 40, 60, 80, 120)},
}
VOTES = (1, 2, 4, 8, 16, 32)
BARS = (1.0, 0.99, 0.95, 0.9)
RISK, DELTA = 0.1, 0.1


class Row(NamedTuple):
    name: str
    right: float
    pairs: int
    tokens: float
    """Written, per pair."""
    calls: float
    """Texts, per pair."""

    def describe(self) -> dict[str, Any]:
        low, high = wilson_interval(self.right, self.pairs) or (0, 1)
        return {**self._asdict(), "accuracy": self.right / self.pairs, "low": low, "high": high}


def ask(folder: Path, number: int, seed: int) -> None:
    """All runs, each as a command of its own, which goes on where it was."""
    pairs = folder / "pairs.jsonl"
    if not pairs.exists():
        world = ["world", "export", pairs, "-n", number, "--split", "test", "--seed", seed]
        subprocess.run([sys.executable, "-m", "rmr1", *map(str, world)], check=True)
    for name, flags in RUNS.items():
        judge = ["judge", pairs, "-m", "tiny", "--logprobs", "-o", folder / name.replace(" ", "-"), *flags]
        subprocess.run([sys.executable, "-m", "rmr1", *map(str, judge)], check=True)


def read(folder: Path, name: str) -> list[Judgment]:
    found = [one for _, one in read_judgments(folder / name.replace(" ", "-"))]
    return sorted(found, key=lambda one: one.pair.id)


def measure_run(name: str, judgments: Sequence[Judgment]) -> Row:
    return Row(
        name,
        sum(one.correct is True for one in judgments),
        len(judgments),
        sum(vote.generation.completion_tokens for one in judgments for vote in one.votes) / len(judgments),
        sum(len(one.votes) for one in judgments) / len(judgments),
    )


def measure_votes(
    judgments: Sequence[Judgment], most: int, bar: float | None
) -> tuple[Row, dict[str, tuple[int, int, str | None]]]:
    """The first votes, as many as would be cast of `most`; and (tokens, texts, winner) of each pair."""
    right, calls, spent = 0, 0, {}
    for one in judgments:
        cast = most
        if bar is not None:
            cast = 0
            while cast < most and not is_settled(one.votes[:cast], most - cast, bar):
                cast += count_next_wave(one.votes[:cast], most - cast, bar)
        votes = one.votes[:cast]
        winner = decide(votes).winner
        right += winner == one.pair.label
        calls += cast
        spent[one.pair.id] = (sum(vote.generation.completion_tokens for vote in votes), cast, winner)
    name = f"{most} votes" + ("" if bar is None else ", early" if bar == 1 else f", early at {bar:g}")
    return Row(
        name,
        right,
        len(judgments),
        sum(tokens for tokens, _, _ in spent.values()) / len(judgments),
        calls / len(judgments),
    ), spent


def measure_cascade(greedy: Sequence[Judgment], votes: Sequence[Judgment], bar: float, risk: float) -> Row:
    """Greedy first, then 16 votes that end early; each half's threshold is fitted on the other, and what is left is decided by votes."""
    confidence, correct = [], []
    for one in greedy:
        probability = read_probability(one)
        sure = 0.0 if probability is None or one.winner is None else max(probability, 1 - probability)
        confidence.append(sure)
        correct.append(float(one.correct is True))
    sure_I, right_I = np.array(confidence), np.array(correct)
    _, spent = measure_votes(votes, 16, bar)
    half_I = np.arange(len(greedy)) % 2
    right, tokens, calls = 0.0, 0, 0
    for half in (0, 1):
        fitted = find_threshold(sure_I[half_I != half], right_I[half_I != half], risk=risk, delta=DELTA)
        for index in np.flatnonzero(half_I == half):
            first = greedy[index]
            tokens += first.completion_tokens
            calls += 1
            if fitted is not None and sure_I[index] >= fitted.confidence:
                right += right_I[index]
                continue
            more, cast, winner = spent[first.pair.id]
            right += winner == first.pair.label
            tokens += more
            calls += cast
    return Row(
        f"cascade greedy, 16 votes (risk {risk:g})",
        right,
        len(greedy),
        tokens / len(greedy),
        calls / len(greedy),
    )


def measure(folder: Path) -> Iterator[Row]:
    runs = {name: read(folder, name) for name in RUNS}
    for name, judgments in runs.items():
        if name != "votes":
            yield measure_run(name, judgments)
    for most in VOTES:
        yield measure_votes(runs["votes"], most, None)[0]
    for most in (16, 32):
        for bar in BARS:
            yield measure_votes(runs["votes"], most, bar)[0]
    for risk in (0.05, 0.08, RISK):
        yield measure_cascade(runs["greedy"], runs["votes"], 0.95, risk)


def compare_guided(folder: Path) -> dict[str, int]:
    """How many greedy texts with a verdict the guide leaves as they are."""
    greedy = {one.pair.id: one for one in read(folder, "greedy")}
    pairs = [(greedy[one.pair.id], one) for one in read(folder, "guided")]
    kept = [(one, other) for one, other in pairs if one.winner is not None]
    return {
        "with verdict": len(kept),
        "unchanged": sum(one.reasoning == other.reasoning for one, other in kept),
        "guided without verdict": sum(other.winner is None for _, other in pairs),
    }


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.subplots()
    kinds = {
        "votes": ([row for row in rows if row["name"].endswith("votes")], "o-", "#0072B2"),
        "early": ([row for row in rows if ", early" in row["name"]], "s", "#009E73"),
        "budget": ([row for row in rows if row["name"].startswith("budget")], "v-", "#777777"),
        "cascade": ([row for row in rows if row["name"].startswith("cascade")], "D", "#C4006A"),
        "one text": (
            [row for row in rows if row["name"] in ("greedy", "guided", "both orders")],
            "^",
            "#E69F00",
        ),
    }
    for kind, (points, style, colour) in kinds.items():
        axes.plot(
            [one["tokens"] for one in points],
            [100 * one["accuracy"] for one in points],
            style,
            color=colour,
            label=kind,
        )
        for number, one in enumerate(points):
            name = re.sub(r" votes|, early| at|budget |cascade greedy, 16 ?|[()]", "", one["name"]).strip()
            shift = (3, 4 + 9 * (number % 4) if kind == "early" else 4)
            place = (one["tokens"], 100 * one["accuracy"])
            axes.annotate(name, place, fontsize=6, xytext=shift, textcoords="offset points", color=colour)
    axes.set(xscale="log", xlabel="written tokens a pair", ylabel="right, %")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/strategies"))
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    ask(folder, arguments.pairs, arguments.seed)
    rows = [row.describe() for row in measure(folder)]
    for row in rows:
        print(
            f"{row['name']:42} {100 * row['accuracy']:6.2f}%  ({100 * row['low']:.1f} to {100 * row['high']:.1f})  "
            f"{row['tokens']:8.1f} tokens  {row['calls']:6.2f} texts"
        )
    guided = compare_guided(folder)
    print(f"guided: {guided}")
    problems = Counter(one.problem for one in read(folder, "greedy"))
    print(f"greedy without verdict: {sum(count for name, count in problems.items() if name)}")
    figures = {"date": str(date.today()), "python": platform.python_version(), "rows": rows, "guided": guided}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1))
    draw(rows, folder / "strategies.png")
    print(f"as JSON: {folder / 'figures.json'}; plot: {folder / 'strategies.png'}")


if __name__ == "__main__":
    main()
