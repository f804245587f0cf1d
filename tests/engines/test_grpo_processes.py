"""A vLLM engine in each of two processes, whose weights are gathered into it after every update."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.engines.conftest import HAS_VLLM

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

pytest.importorskip("accelerate")

from rmr1.errors import ConfigError
from rmr1.models import resolve_model
from rmr1.train.grpo.rollout_vllm import check_grouping

from ..integration.runs import write_pairs
from ..sharded import run_group


def test_two_engines_sample_from_the_weights_that_two_processes_train(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def many_r(sample):\n    return sample.text.count('r') / 8\n")
    pairs = str(write_pairs(tmp_path / "pairs.jsonl", 12))
    recipe: dict[str, Any] = {
        "device": "cpu",
        "model": {"base": resolve_model("tiny")},
        "data": {"train": pairs, "held_out": pairs, "max_prompt_tokens": 450},
        "rollout": {"engine": "vllm", "prompts": 4, "samples": 3, "max_new_tokens": 9},
        "update": {"row_tokens": 200},
        "rewards": {f"{tmp_path / 'own.py'}:many_r": 1.0},
        "optim": {"lr": 1e-2, "eps": 1e-4, "steps": 2},
        "evaluation": {"keep": "last"},
    }
    for name, more in (("full", {}), ("adapters", {"lora": {"r": 4}})):
        place = tmp_path / name
        # vLLM ends the group with its engine.
        (outcome,) = run_group(tmp_path, [("grpo", {**copy.deepcopy(recipe), **more}, place)], processes=2)
        assert outcome["processes"] == 2 and outcome["updates"] == 2, outcome
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        apart = [line["sampler_log_ratio_max"] for line in lines if "sampler_log_ratio_max" in line]
        assert len(apart) == 2 and max(apart) < 1e-4


def test_groups_of_processes_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"tensor_parallel is 2, and 1 process\(es\) train"):
        check_grouping(2, sleeps=False, on_cpu=False)
    with pytest.raises(ConfigError, match="need vLLM on GPUs"):
        check_grouping(1, sleeps=True, on_cpu=True)
    check_grouping(1, sleeps=True, on_cpu=False)
