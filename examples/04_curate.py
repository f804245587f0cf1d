"""Curate made-up pairs: what goes, why, and what the card says."""

import json
import tempfile
from pathlib import Path

from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.run import run_curation

QUESTIONS = [
    ("How long do I boil an egg?", "Seven minutes for a soft yolk, ten for a firm one.", "Eggs are boiled."),
    ("how long do i boil an egg", "About seven minutes; ten if you like it firm.", "Not long."),
    ("What is 12 times 12?", "12 times 12 is 144.", "12 times 12 is 124."),
    ("What is 12 times 12?", "12 times 12 is 124.", "12 times 12 is 144."),
    ("Name a river in Peru.", "The Amazon.", "The Amazon. "),
    ("Why is the sky blue?", "Air scatters blue light more than red.", "It mirrors the sea."),
    ("Write a line about rain.", "Rain counts the roof tiles, one by one.", "Rain is wet."),
]
BENCHMARK = [("Why is the sky blue?", "Scattering of light by air.", "Paint.")]


def write(path: Path, rows: list[tuple[str, str, str]]) -> str:
    lines = (json.dumps({"prompt": q, "response_a": a, "response_b": b, "label": "A"}) for q, a, b in rows)
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


with tempfile.TemporaryDirectory() as folder:
    home = Path(folder)
    recipe = CurateRecipe.from_values(
        {
            "seed": 1,
            "sources": {"chat": {"data": write(home / "pairs.jsonl", QUESTIONS)}},
            "duplicates": {"near": 0, "prompts": 0},  # without datasketch
            "decontaminate": {"benchmarks": {"own": write(home / "benchmark.jsonl", BENCHMARK)}},
            "splits": {"distill": 0.5, "rl": "rest"},
        },
        "example",
    )
    counts = run_curation(recipe, home / "mix")["counts"]
    print(f"{counts['kept']} of {counts['read']} pairs stay")
    for line in (home / "mix" / "dropped.jsonl").read_text().splitlines():
        row = json.loads(line)
        print(f"{row['id']} went: {row['reason']}" + (f" ({row['detail']})" if "detail" in row else ""))
    for name in ("distill", "rl"):
        rows = [json.loads(line) for line in (home / "mix" / f"{name}.jsonl").read_text().splitlines()]
        print(f"{name}:", sorted(row["prompt"] for row in rows))
