"""Two processes train a model of which the self-check takes slower ways: both take the same, and say so once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

from transformers import AutoTokenizer

from rmr1.train.recipe import build_recipe
from rmr1.train.sft import run_sft

from ..tiny_models import build_kind, save_model
from ..training import make_rows, small_recipe, write_recipe, write_rows
from .runs import write_pairs


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", make_rows(48))


@pytest.fixture(scope="module")
def capped(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caps on scores, which need the written-out attention, and on logits; with a tokenizer of few tokens a prompt."""
    first = tmp_path_factory.mktemp("first") / "model"
    recipe = small_recipe(rows, optim={"steps": 1, "warmup": 0})
    del recipe["optim"]["epochs"]
    run_sft(build_recipe(recipe, "recipe.toml"), first, quiet=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(first)
    model = build_kind("gemma2", vocab_size=len(tokenizer), max_position_embeddings=512)
    return save_model(tmp_path_factory.mktemp("capped"), model, tokenizer)


def run(verb: str, folder: Path, recipe: dict[str, Any], *, processes: int) -> dict[str, Any]:
    path = write_recipe(folder / f"{verb}.toml", recipe)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "rmr1.cli.main", verb, str(path)]
    command += ["-o", str(folder / f"{verb}-{processes}"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["processes"] == processes
    for note in summary["self_check"]["notes"]:
        assert done.stderr.count(note) == 1
    return summary


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def check(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert two["self_check"] == one["self_check"]
    notes = one["self_check"]["notes"]
    assert len(notes) == len(set(notes)) == 3
    assert "'eager' attention is taken" in notes[0] + notes[1]


def test_fine_tuning(capped: Path, rows: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        rows,
        optim={"name": "adamw", "lr": 1e-3, "steps": 2, "eps": 1e-3},
        batch={"examples": 4, "row_tokens": 512},
    )
    recipe["model"] = {"base": str(capped)}
    del recipe["optim"]["muon_lr"]
    one, two = (run("sft", tmp_path, recipe, processes=number) for number in (1, 2))
    check(one, two)
    losses = [[line["loss"] for line in metrics(tmp_path / f"sft-{number}")] for number in (1, 2)]
    assert len(losses[0]) == 2 and losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_reinforcement(capped: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def many_r(sample):\n    return sample.text.count('r') / 8\n")
    recipe: dict[str, Any] = {
        "device": "cpu",
        "model": {"base": str(capped)},
        "data": {"train": str(write_pairs(tmp_path / "pairs.jsonl", 8)), "max_prompt_tokens": 450},
        "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 6, "rows": 4},
        "update": {"row_tokens": 512},
        "rewards": {f"{tmp_path / 'own.py'}:many_r": 1.0},
        "objective": {"beta": 1e-2},
        "optim": {"lr": 1e-3, "steps": 2},
    }
    one, two = (run("grpo", tmp_path, recipe, processes=number) for number in (1, 2))
    check(one, two)
    for number in (1, 2):
        lines = metrics(tmp_path / f"grpo-{number}")
        ratios = [line["sampler_log_ratio_max"] for line in lines if "sampler_log_ratio_max" in line]
        assert ratios and max(ratios) < 1e-4
