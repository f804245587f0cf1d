"""`rmr1 grpo` with rollouts by vLLM: sampler and trainer have the same weights all the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engines.conftest import HAS_VLLM

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

pytest.importorskip("accelerate")

import torch

from rmr1.attention.shared_prompt import shared_prompt_attention
from rmr1.store.kinds import TRAINING_FILE
from rmr1.store.replace import write_json
from rmr1.train.grpo.batches import build_minibatches, build_update_row
from rmr1.train.grpo.plan import build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.run import Reinforcement
from rmr1.train.grpo.tasks import take_tasks
from rmr1.train.processes import accelerated
from rmr1.train.recipe import Recipe
from rmr1.train.sft import run_sft
from tests.training import make_rows, small_recipe, write_recipe, write_rows

REWARD = """
def many_r(sample):
    return sample.text.count("r") / 8
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a judge with a tied output layer that hardly knows the form."""
    folder = tmp_path_factory.mktemp("grpo")
    rows = write_rows(folder / "rows.jsonl", make_rows(48))
    start = small_recipe(rows)
    # Heads of a width that vLLM's CPU build computes.
    start["model"]["from_scratch"] |= {"hidden_size": 64, "heads": 2, "kv_heads": 1}
    run_sft(Recipe.from_values(start, "recipe.toml"), folder / "base", quiet=True)
    (folder / "own.py").write_text(REWARD)
    lines = [
        {
            "prompt": f"question {place}",
            "response_a": "red stone",
            "response_b": "river",
            "label": "AB"[place % 2],
        }
        for place in range(40)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "device": "cpu",
        "model": {"base": str(folder / "base")},
        "data": {"train": str(folder / "pairs.jsonl"), "max_prompt_tokens": 450},
        "rollout": {"engine": "vllm", "prompts": 4, "samples": 4, "max_new_tokens": 10},
        "update": {"prompts": 2, "row_tokens": 512},
        "rewards": {f"{folder / 'own.py'}:many_r": 1.0},
        "objective": {"beta": 0.0},
        "optim": {"lr": 2e-2, "steps": 2, "weight_decay": 0.0},
    }


def test_every_rollout_is_of_the_trainers_weights(recipe: dict[str, Any], tmp_path: Path) -> None:
    settings = GrpoRecipe.from_values(recipe, "recipe.toml")
    assert settings.objective.importance == "truncate"
    with accelerated(device="cpu", is_mixed=False, report=settings.report) as accelerator:
        plan = build_grpo_plan(settings)
        training = Reinforcement(plan, accelerator, tmp_path / "model", None, quiet=True)
        try:
            first = compare(training)
            before = {name: weight.clone() for name, weight in training.model.named_parameters()}
            (tmp_path / "model").mkdir()
            write_json(tmp_path / "model" / TRAINING_FILE, plan.describe())  # what the card tells of
            summary = training.run()
            assert summary["updates"] == 4 and summary["samples"] == 32
            assert any(
                (weight - before[name]).norm() > 0.01 * before[name].norm()
                for name, weight in training.model.named_parameters()
            )
            last = compare(training)
        finally:
            training.close()
    print(f"log-probabilities differ by {first:.2g} at the base, by {last:.2g} after the run")
    assert first < 1e-3 and last < 1e-3


def compare(training: Reinforcement) -> float:
    """How far the sampler's log-probabilities are from the trainer's, at most, in a rollout of its own."""
    tasks, _ = take_tasks(training.plan.source, 4, training.position)
    scored = training.score(tasks, training.sample(tasks))
    (batch,) = build_minibatches(scored, training.plan.objective, prompts=4)
    assert batch.groups
    update = build_update_row(batch.groups, batch, training.plan.objective)
    with shared_prompt_attention(training.model), torch.no_grad():
        logprobs, _ = training.learner.loss.policy(update.row)
    return float((logprobs - update.sampler_logprobs).abs().max())


def test_each_process_has_an_engine_of_its_own(recipe: dict[str, Any], tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "recipe.toml", {**recipe, "optim": {**recipe["optim"], "steps": 2}})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "rmr1", "grpo", str(path), "-o", str(tmp_path / "model"), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "model" / "summary.json").read_text())
    assert (summary["processes"], summary["samples"], summary["updates"]) == (2, 32, 4)
    lines = [json.loads(line) for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["importance_cut"] == 0 for line in lines)
    assert [line["importance"] for line in lines] == pytest.approx([1.0, 1.0], abs=1e-4)
