"""How good the bundled judge is: fresh balanced pairs of each test split, the scalar model beside it.

    .venv/bin/python benchmarks/bundled_judge.py                      5,000 pairs of each split, as Markdown
    .venv/bin/python benchmarks/bundled_judge.py --card               and into the model card
    .venv/bin/python benchmarks/bundled_judge.py --judge DIR --scalar DIR --pairs 500

Judgments are stored under -o; the same command goes on where it was stopped. What is counted: `rmr1.bench.tasks.world`.
Splits: test (new questions), test_templates (also wordings that no training item has), test_words (also nouns and
names that no training item has).
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from rmr1.bench.tasks.world import OVERALL, ROWS, WorldFigures, judge_items, measure
from rmr1.console import Progress
from rmr1.judge import JudgeSettings, load_judge
from rmr1.judge.identity import library_versions
from rmr1.judge.load import default_settings
from rmr1.models import JUDGE, SCALAR, resolve_model
from rmr1.screen import format_percent
from rmr1.world import sample_pairs

SPLITS = ("test", "test_templates", "test_words")
CARD = Path(__file__).resolve().parents[1] / "src" / "rmr1" / "models" / "tiny" / "README.md"

Found = dict[str, dict[str, WorldFigures]]
"""Split -> "judge" and "scalar" -> figures."""


def run(arguments: argparse.Namespace) -> Found:
    """Judge what is not judged yet, and count."""
    found: Found = {}
    for split in arguments.splits:
        items = list(sample_pairs(arguments.seed, arguments.pairs, split=split, distribution="balanced"))
        found[split] = {}
        for kind, name in (("judge", arguments.judge), ("scalar", arguments.scalar)):
            settings = (
                JudgeSettings()
                if kind == "scalar"
                else JudgeSettings(sampling=default_settings(JUDGE).sampling, order="both")
            )
            options = {"batch_size": arguments.batch_size} if arguments.batch_size else {}
            with (
                closing(load_judge(name, settings=settings, options=options)) as judge,
                Progress(len(items), label=f"{split}, {kind}: judged") as progress,
            ):
                folder = Path(arguments.output) / f"{split}-{arguments.seed}" / kind
                found[split][kind] = measure(
                    judge_items(judge, items, folder=folder, on_judgment=progress.update)
                )
    return found


def format_figures(found: Found, seed: int) -> str:
    """Two tables, as Markdown."""
    splits = list(found)
    lines = [
        f"Right verdicts in percent, on {_count_pairs(found)} fresh balanced pairs of each split (seed {seed}); the judge "
        "in both orders, greedily. Beside it, after the bar, the scalar model.",
        "",
        "| | " + " | ".join(f"pairs | {split}" for split in splits) + " |",
        "|---|" + "---:|---:|" * len(splits),
    ]
    for name in ROWS:
        cells = []
        for split in splits:
            judge, scalar = found[split]["judge"].rows[name], found[split]["scalar"].rows[name]
            cells.append(
                f"{judge.pairs} | {format_percent(judge.accuracy, 1)} \\| {format_percent(scalar.accuracy, 1)}"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| of the judge | " + " | ".join(splits) + " |", "|---|" + "---:|" * len(splits)]
    for title, value in (
        ("same verdict in both orders, % of pairs", lambda one: format_percent(one.consistency, 1)),
        ("no verdict, % of judgments", lambda one: _format_fine(one.unparsed_share)),
        ("quotations of three words or more", lambda one: f"{one.quotes:,}"),
        ("of them found in the answer they name, %", lambda one: format_percent(one.grounded_share, 1)),
        ("tokens of a judgment", lambda one: "-" if one.mean_tokens is None else f"{one.mean_tokens:.0f}"),
    ):
        lines.append(f"| {title} | " + " | ".join(value(found[split]["judge"]) for split in splits) + " |")
    return "\n".join(lines)


def format_goals(found: Found) -> str:
    """What was aimed at on new questions and on unseen wordings, and what came out."""
    test = found.get("test")
    lines = []
    if test is not None:
        judge, rows = test["judge"], test["judge"].rows
        hard, other = rows["Reasoning, hard style"], test["scalar"].rows["Reasoning, hard style"]
        gap = None if hard.accuracy is None or other.accuracy is None else hard.accuracy - other.accuracy
        grounded, unparsed = judge.grounded_share, judge.unparsed_share
        lines += [
            _goal("all", rows[OVERALL].accuracy, 0.93),
            _goal("Chat", rows["Chat"].accuracy, 0.88),
            _goal("hard style", rows["hard style"].accuracy, 0.90),
            _goal("same verdict in both orders", judge.consistency, 0.95),
            _goal("a verdict at all", None if unparsed is None else 1 - unparsed, 0.995),
            _goal("quotations found", grounded, 0.95),
            _goal("above the scalar model, hard-style Reasoning (points)", gap, 0.20),
        ]
    if "test_templates" in found:
        lines.append(
            _goal("all, unseen templates", found["test_templates"]["judge"].rows[OVERALL].accuracy, 0.85)
        )
    return "\n".join(lines)


def _goal(name: str, value: float | None, wanted: float) -> str:
    met = "met" if value is not None and value >= wanted else "NOT MET"
    return f"goal {met}: {name} {format_percent(value, 1)}, at least {100 * wanted:g}"


def describe_training(judge: Path, scalar: Path) -> str:
    """How both were made, from the files that their trainings left in the folders."""
    lines = ["| | judge | scalar model |", "|---|---:|---:|"]
    facts = [_read_training(folder) for folder in (judge, scalar)]
    for title in dict.fromkeys([*facts[0], *facts[1]]):
        lines.append(f"| {title} | " + " | ".join(one.get(title, "") for one in facts) + " |")
    return "\n".join(lines)


def _read_training(folder: Path) -> dict[str, str]:
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    facts = {"size of the folder": f"{size / 1e6:.2f} MB"}
    config = json.loads((folder / "config.json").read_text())
    facts["architecture"] = f"`{config['architectures'][0]}`"
    facts["shape"] = f"{config['num_hidden_layers']} layers of width {config['hidden_size']}"
    facts["vocabulary"] = f"{config['vocab_size']:,}"
    facts["context"] = f"{config['max_position_embeddings']:,} tokens"
    try:
        summary = json.loads((folder / "summary.json").read_text())
        recipe = json.loads((folder / "training.json").read_text())["recipe"]
    except FileNotFoundError:
        return facts
    facts["parameters"] = f"{summary['parameters']:,}"
    facts["seed"] = str(recipe["seed"])
    facts["steps"] = f"{summary['steps']:,}"
    facts["training examples"] = f"{summary['examples']:,}"
    if "train_pairs" in summary:
        facts["different pairs"] = f"{summary['train_pairs']:,}"
    facts["training tokens"] = f"{summary['tokens']:,}"
    tries = summary.get("tries", [])
    seconds = summary.get("training_seconds", summary["seconds"])
    facts["hours"] = f"{seconds / 3600:.2f}"
    if len(tries) > 1:
        facts["rates tried, held-out % right"] = ", ".join(
            f"{one['lr']:g}: {format_percent(one.get('held_out_accuracy'), 1)}" for one in tries
        )
    return facts


def fill_card(card: Path, blocks: dict[str, str]) -> None:
    """Put each block between its two markers."""
    text = card.read_text(encoding="utf-8")
    for name, block in blocks.items():
        before, opened, rest = text.partition(f"<!-- {name} -->\n")
        _, closed, after = rest.partition(f"<!-- /{name} -->")
        if not opened or not closed:
            raise SystemExit(f"{card}: no place for {name!r}: expected <!-- {name} --> and <!-- /{name} -->")
        text = f"{before}{opened}{block}\n{closed}{after}"
    card.write_text(text, encoding="utf-8")


def _count_pairs(found: Found) -> str:
    return f"{max(one['judge'].rows[OVERALL].pairs for one in found.values()):,}"


def _format_fine(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", default=JUDGE, metavar="MODEL", help="default: the bundled one")
    parser.add_argument("--scalar", default=SCALAR, metavar="MODEL", help="default: the bundled one")
    parser.add_argument("--pairs", type=int, default=5000, metavar="N", help="of each split (default 5000)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, metavar="SPLIT")
    parser.add_argument("--seed", type=int, default=20, metavar="N", help="draws the pairs (default 20)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="texts decoded together")
    parser.add_argument("-o", "--output", default="runs/bundled-judge", metavar="DIR")
    parser.add_argument("--card", action="store_true", help=f"write the figures into {CARD.name} too")
    arguments = parser.parse_args()

    began = time.perf_counter()
    found = run(arguments)
    tables = format_figures(found, arguments.seed)
    print(f"{tables}\n\n{format_goals(found)}")
    print(f"\n{time.perf_counter() - began:.0f} s; {date.today()}; {library_versions()}")
    record: dict[str, Any] = {
        "pairs": arguments.pairs,
        "seed": arguments.seed,
        "judge": arguments.judge,
        "scalar": arguments.scalar,
        "versions": library_versions(),
        "splits": {
            split: {kind: one.describe() for kind, one in kinds.items()} for split, kinds in found.items()
        },
    }
    path = Path(arguments.output) / "figures.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"as JSON: {path}")
    if arguments.card:
        folders = [Path(resolve_model(name)) for name in (arguments.judge, arguments.scalar)]
        fill_card(CARD, {"figures": tables, "training": describe_training(*folders)})
        print(f"written into {CARD}")


if __name__ == "__main__":
    main()
