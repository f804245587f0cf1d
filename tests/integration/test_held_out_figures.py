"""Held-out figures of a training are those of `rmr1 judge` with what was trained, if the template opens the thinking too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch

from rmr1.cli.main import main
from rmr1.data.read import read_pairs
from rmr1.models import find_bundled
from rmr1.prompts import render_prompt
from rmr1.rewards import Judged
from rmr1.store.codec import dump_record
from rmr1.store.runs import read_judgments
from rmr1.train.evaluate import judge_examples
from rmr1.train.grpo.metrics import _judge as judge_tasks
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.run import run_grpo
from rmr1.train.grpo.tasks import Task
from rmr1.train.recipe import Recipe
from rmr1.train.sft import run_sft
from rmr1.world import sample_pairs, teacher_trace

from ..training import write_rows

torch.set_num_threads(1)

HELD_OUT = 6
INVITATION = "'<|assistant|>'"


def base_that_opens(folder: Path, opening: str) -> Path:
    """The bundled judge, whose prompts now end with a mark of thinking."""
    shutil.copytree(find_bundled(), folder)
    template = folder / "chat_template.jinja"
    text = template.read_text()
    assert text.count(INVITATION) == 1
    template.write_text(text.replace(INVITATION, f"'<|assistant|>{opening}'"))
    return folder


def conversations(first: int, number: int) -> list[dict[str, Any]]:
    rows = []
    for item in sample_pairs(0, number, split="train", distribution="balanced", start=first):
        prompt = [{"role": one.role, "content": one.text} for one in render_prompt(item.pair).messages]
        trace = teacher_trace(item, "oracle", 0)
        rows.append({"messages": [*prompt, {"role": "assistant", "content": trace}]})
    return rows


def write_held_out(folder: Path) -> tuple[Path, Path]:
    """The same items as conversations and as pairs."""
    rows = write_rows(folder / "held-out.jsonl", conversations(5000, HELD_OUT))
    items = sample_pairs(0, HELD_OUT, split="train", distribution="balanced", start=5000)
    return rows, write_rows(folder / "pairs.jsonl", [dump_record(item.pair) for item in items])


def judge(
    pairs: Path, model: Path, output: Path, capsys: pytest.CaptureFixture[str], tokens: int
) -> dict[str, Any]:
    capsys.readouterr()
    command = [
        "judge",
        str(pairs),
        "-m",
        str(model),
        "-o",
        str(output),
        "--order",
        "given",
        "--quiet",
        "--json",
    ]
    assert main([*command, "--max-new-tokens", str(tokens)]) == 0
    return json.loads(capsys.readouterr().out)


def list_winners(run: Path, pairs: Path) -> list[str | None]:
    """The verdict on each pair, in the order of the file."""
    found = {judgment.pair.id: judgment.winner for _, judgment in read_judgments(run)}
    return [found[pair.id] for pair in read_pairs(pairs)]


@pytest.mark.parametrize("opening", ["<think>\\n", pytest.param("<thought>", marks=pytest.mark.slow)])
def test_fine_tuned_behind_an_opened_thought(
    opening: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str | None, ...]] = []

    def count(*arguments: Any, **settings: Any) -> list[tuple[str | None, int]]:
        found = judge_examples(*arguments, **settings)
        counted.append(tuple(winner for winner, _ in found))
        return found

    monkeypatch.setattr("rmr1.train.sft.judge_examples", count)
    held_out, pairs = write_held_out(tmp_path)
    recipe = {
        "device": "cpu",
        "model": {"base": str(base_that_opens(tmp_path / "base", opening))},
        "data": {
            "train": str(write_rows(tmp_path / "rows.jsonl", conversations(0, 96))),
            "held_out": str(held_out),
            "max_tokens": 2048,
        },
        "batch": {"examples": 16, "row_tokens": 4096},
        "optim": {"name": "adamw", "lr": 2e-3, "steps": 24, "epochs": 4},
        "evaluation": {"verdicts": HELD_OUT, "max_new_tokens": 400},
    }
    found = run_sft(Recipe.from_values(recipe, "recipe.toml"), tmp_path / "sft", quiet=True)
    judged = judge(pairs, tmp_path / "sft", tmp_path / "run", capsys, 400)
    assert judged["items"] == found["held_out_verdicts"] == HELD_OUT
    assert (judged["accuracy"], judged["unparsed"]) == (
        found["held_out_accuracy"],
        found["held_out_unparsed"],
    )
    assert list(counted[-1]) == list_winners(tmp_path / "run", pairs)  # item by item, not only as many
    assert judged["accuracy"] > 0 and judged["unparsed"] < HELD_OUT / 2  # it has learnt to close the thought

    grpo = {
        "device": "cpu",
        "model": {"base": str(tmp_path / "sft")},
        "data": {"train": str(pairs), "held_out": str(pairs), "order": "given"},
        "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 400, "rows": 8},
        "objective": {"beta": 0.0},
        "evaluation": {"keep": "last"},
        "optim": {"lr": 1e-6, "steps": 1},
    }
    looked: list[list[str | None]] = []

    def look(*arguments: Any, **settings: Any) -> list[tuple[Task, Judged]]:
        found = judge_tasks(*arguments, **settings)
        if settings["temperature"] == 0.0:
            looked.append([judged.verdict.winner for _, judged in found])
        return found

    monkeypatch.setattr("rmr1.train.grpo.metrics._judge", look)
    summary = run_grpo(GrpoRecipe.from_values(grpo, "recipe.toml"), tmp_path / "grpo", quiet=True)
    judged = judge(pairs, tmp_path / "grpo", tmp_path / "after", capsys, 400)
    assert judged["accuracy"] == summary["held_out_accuracy"]
    assert judged["unparsed"] == round(summary["held_out_unparsed"] * HELD_OUT)
    assert looked[-1] == list_winners(tmp_path / "after", pairs)
