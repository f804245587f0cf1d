"""Curation of real data, recounted from the raw files with gzip and json alone."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1.curate.run import run_curation

from .making import read_rows, recipe_of

pytestmark = pytest.mark.shared

# preference-train/SOURCE.md: different prompts that are a benchmark's, character for character.
DOCUMENTED = {
    ("alpaca_eval", "rewardbench"): 100,
    ("alpaca_eval", "rm-bench"): 129,
    ("autoj", "rewardbench"): 29,
    ("mtbench_human", "rewardbench"): 9,
    ("hh_helpful", "rewardbench"): 7,
    ("hh_helpful", "rm-bench"): 22,
    ("hh_harmless", "rm-bench"): 1,
}
FILES = {
    "alpaca_eval": "alpaca_eval_gpt4_pairs",
    "autoj": "autoj_pairwise_test",
    "mtbench_human": "mtbench_human_300",
    "hh_helpful": "hh_helpful_test",
    "hh_harmless": "hh_harmless_base_test",
    "webgpt": "webgpt_test",
}


def raw(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def filled(*texts: Any) -> bool:
    return all(isinstance(text, str) and text.strip() for text in texts)


def benchmark_prompts(data: Path) -> dict[str, set[str]]:
    """The benchmarks whose prompts are single texts."""
    return {
        "rewardbench": {
            row["prompt"].strip()
            for row in raw(data / "rewardbench" / "rewardbench_filtered_partial.jsonl.gz")
        },
        "rm-bench": {row["prompt"].strip() for file in (data / "rm-bench").glob("*.gz") for row in raw(file)},
    }


def as_text(messages: str | list[dict[str, str]]) -> str:
    return messages if isinstance(messages, str) else "\n".join(one["content"].strip() for one in messages)


@pytest.fixture(scope="module")
def curated(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with documented overlaps, and GSM8K; near duplicates are left to other tests."""
    folder = tmp_path_factory.mktemp("curated") / "out"
    sources: dict[str, Any] = {name: f"preference-train/{file}.jsonl.gz" for name, file in FILES.items()}
    sources["gsm8k"] = "gsm8k/example_model_solutions.jsonl.gz"
    recipe = recipe_of(
        sources,
        root=str(shared / "data"),
        duplicates={"near": 0, "prompts": 0},
        decontaminate={
            "benchmarks": {name: name for name in ("rewardbench", "rm-bench", "rmb", "judgebench")}
        },
        splits={"distill": 0.12, "held_out": 0.05, "rl": "rest"},
    )
    run_curation(recipe, folder)
    return folder


def test_the_documented_overlaps_are_found(curated: Path) -> None:
    found = json.loads((curated / "curate.json").read_text())["counts"]["benchmarks"]
    same = {
        (source, benchmark): part["prompts_by_kind"]["same"]
        for benchmark, one in found.items()
        for source, part in one["sources"].items()
    }
    assert {key: number for key, number in same.items() if number} == DOCUMENTED


def test_no_prompt_of_a_benchmark_is_left(curated: Path, shared: Path) -> None:
    prompts = set.union(*benchmark_prompts(shared / "data").values())
    kept = [row for name in ("distill", "held_out", "rl") for row in read_rows(curated / f"{name}.jsonl")]
    assert len(kept) > 10_000
    assert not any(as_text(row["prompt"]).strip() in prompts for row in kept)


def test_no_prompt_is_on_two_sides(curated: Path) -> None:
    def words(row: dict[str, Any]) -> str:
        return " ".join(re.findall(r"\w+", as_text(row["prompt"]).lower()))

    sides = [
        {words(row) for row in read_rows(curated / f"{name}.jsonl")} for name in ("distill", "held_out", "rl")
    ]
    assert all(sides) and not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_the_card_is_true(curated: Path, shared: Path) -> None:
    """Sources, splits and sides of the card against the raw files and the files that were written."""
    card = read_tables((curated / "card.md").read_text())
    written = {name: read_rows(curated / f"{name}.jsonl") for name in ("distill", "held_out", "rl")}
    read = count_raw(shared / "data")
    dropped = Counter(row["source"] for row in read_rows(curated / "dropped.jsonl"))
    for name, (pairs, bad) in read.items():
        line = card["Sources"][name]
        kept = [sum(row["source"] == name for row in rows) for rows in written.values()]
        assert line == [pairs, bad, dropped[name] - bad, sum(kept), *kept]
        assert pairs == line[2] + line[3]
    for name, rows in written.items():
        labels = Counter(row["label"] for row in rows)
        line = card["Splits and sides"][name]
        assert line[0] == len(rows) and line[3:5] == [labels["A"], labels["B"]]
        assert abs(labels["A"] - labels["B"]) <= 1
    reasons = Counter((row["reason"], row["source"]) for row in read_rows(curated / "dropped.jsonl"))
    names = list(read)
    for title, numbers in card["What was dropped"].items():
        reason = title.split(":")[0]
        assert numbers == [
            *(reasons[reason, name] for name in names),
            sum(reasons[reason, name] for name in names),
        ]


def test_ties_are_recounted(curated: Path, shared: Path) -> None:
    """Ties that are no benchmark's prompt."""
    data = shared / "data" / "preference-train"
    leaked = {
        name: {
            row["id"]
            for row in read_rows(curated / "dropped.jsonl")
            if row["reason"] == "benchmark" and row["source"] == name
        }
        for name in ("autoj", "webgpt", "alpaca_eval")
    }
    counts = json.loads((curated / "curate.json").read_text())["counts"]["sources"]
    rows = enumerate(raw(data / "autoj_pairwise_test.jsonl.gz"), start=1)
    ties = [
        at
        for at, row in rows
        if (row["label"] == 2 or row["response 1"] == row["response 2"])
        and filled(row["prompt"], row["response 1"], row["response 2"])
        and f"autoj_pairwise_test:{at}" not in leaked["autoj"]
    ]
    assert counts["autoj"]["dropped"]["tie"] == len(ties)
    rows = enumerate(raw(data / "webgpt_test.jsonl.gz"), start=1)
    ties = [
        at
        for at, row in rows
        if row["score"][0] == row["score"][1] and f"webgpt_test:{at}" not in leaked["webgpt"]
    ]
    assert counts["webgpt"]["dropped"]["tie"] == len(ties)
    unlabelled = [
        at
        for at, row in enumerate(raw(data / "alpaca_eval_gpt4_pairs.jsonl.gz"), start=1)
        if row["preference"] is None
        and filled(row["instruction"], row["output_1"], row["output_2"])
        and f"alpaca_eval_gpt4_pairs:{at}" not in leaked["alpaca_eval"]
    ]
    assert counts["alpaca_eval"]["dropped"]["unlabelled"] == len(unlabelled)


def count_raw(data: Path) -> dict[str, tuple[int, int]]:
    """(pairs, rows with a missing or blank text) of each source."""
    train = data / "preference-train"
    columns = {
        "alpaca_eval": ("instruction", "output_1", "output_2"),
        "autoj": ("prompt", "response 1", "response 2"),
        "mtbench_human": ("prompt", "response_a", "response_b"),
    }
    found: dict[str, tuple[int, int]] = {}
    for name, file in FILES.items():
        good = bad = 0
        for row in raw(train / f"{file}.jsonl.gz"):
            if name in columns:
                is_good = filled(*(row[column] for column in columns[name]))
            else:
                texts = row["text"] if "text" in row else [row["chosen"], row["rejected"]]
                # A transcript whose last answer is blank.
                is_good = not any(re.search(r"Assistant:\s*\Z", text) for text in texts)
            good, bad = good + is_good, bad + (not is_good)
        found[name] = (good, bad)
    solutions = 0
    for row in raw(data / "gsm8k" / "example_model_solutions.jsonl.gz"):
        right = sum(one["is_correct"] for one in row.values() if isinstance(one, dict))
        solutions += right * (4 - right)
    return {**found, "gsm8k": (solutions, 0)}


def read_tables(card: str) -> dict[str, dict[str, list[int]]]:
    """Title to first column to the numbers behind it, of a section's first table."""
    found: dict[str, dict[str, list[int]]] = {}
    for section in card.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip().replace(",", "") for cell in line.strip("|").split("|")] for line in lines[2:]]
        found[section.splitlines()[0]] = {
            row[0].replace("\\", ""): [int(cell) for cell in row[1:] if cell.isdecimal()] for row in cells
        }
    return found
