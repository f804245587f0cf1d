"""Several processes train as one does: the same weights, whatever is divided, and whoever goes on."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("accelerate")

from safetensors.torch import load_file

from ..sharded import run_group, run_job
from ..training import make_rows, small_recipe, write_rows
from .runs import write_pairs

SFT: dict[str, dict[str, Any]] = {
    "tied": {},
    "muon": {"optim": {"name": "muon", "muon_lr": 4e-3}},
    "untied": {"base": "untied", "model": {"checkpointing": True}},
    "offload": {"base": "untied", "sharding": {"offload": True}},
    "lora": {"base": "untied", "lora": {"r": 4, "dropout": 0.1}, "model": {"checkpointing": True}},
    "alone": {"batch": {"packing": False}},
}
SCALAR: dict[str, dict[str, Any]] = {
    "scalar": {"base": "base", "batch": {"examples": 4, "examples_at_once": 2}},
    "anew": {"optim": {"name": "muon", "lr": [1e-3, 3e-3], "muon_lr": [2e-3, 4e-3]}},
}
GRPO: dict[str, dict[str, Any]] = {
    "kl": {"update": {"prompts": 2}, "objective": {"beta": 1e-2, "importance": "truncate"}},
    "adapters": {"lora": {"r": 4}, "objective": {"beta": 1e-2}, "model": {"checkpointing": True}},
    "offloaded": {"objective": {"beta": 0.0}, "sharding": {"offload": True}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharding")


@pytest.fixture(scope="module")
def recipes(folder: Path) -> dict[str, dict[str, Any]]:
    train = write_rows(folder / "rows.jsonl", make_rows(30))
    base = folder / "base"
    first = small_recipe(train, optim={"steps": 1, "warmup": 0})
    first["model"]["from_scratch"]["tied"] = False
    assert "error" not in run_job("sft", first, base)
    held_out = write_rows(folder / "held.jsonl", make_rows(5, seed=1))
    found = {}
    for name, parts in SFT.items():
        parts = copy.deepcopy(parts)
        recipe = small_recipe(
            train,
            optim={"name": "adamw", "lr": 1e-3, "eps": 1e-4, "steps": 4, "warmup": 0},
            batch={"examples": 7, "row_tokens": 300},
            evaluation={"every": 2, "verdicts": 2, "max_new_tokens": 6},
            data={"held_out": str(held_out)},
            checkpoint={"every": 1, "keep": 9},
        )
        if parts.pop("base", None):
            recipe["model"] = {"base": str(base)}
        for section, values in parts.items():
            recipe[section] = {**recipe.get(section, {}), **values}
        if recipe["optim"]["name"] != "muon":
            recipe["optim"].pop("muon_lr")
        found[name] = recipe
    return found


@pytest.fixture(scope="module")
def reinforced(folder: Path, recipes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    (folder / "own.py").write_text("def many_r(sample):\n    return sample.text.count('r') / 8\n")
    found = {}
    for name, parts in GRPO.items():
        recipe: dict[str, Any] = {
            "device": "cpu",
            "model": {"base": str(folder / "base")},
            "data": {"train": str(write_pairs(folder / "pairs.jsonl", 12)), "max_prompt_tokens": 450},
            "rollout": {"prompts": 4, "samples": 3, "max_new_tokens": 9, "rows": 6},
            "update": {"row_tokens": 200},
            "rewards": {f"{folder / 'own.py'}:many_r": 1.0},
            "optim": {"lr": 1e-3, "eps": 1e-4, "steps": 3, "epochs": 2},
            "checkpoint": {"every": 1, "keep": 9},
            "evaluation": {"every": 2, "keep": "last"},
        }
        recipe["data"]["held_out"] = recipe["data"]["train"]
        for section, values in copy.deepcopy(parts).items():
            recipe[section] = {**recipe.get(section, {}), **values}
        found[name] = recipe
    return found


@pytest.fixture(scope="module")
def one(folder: Path, recipes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: run_job("sft", copy.deepcopy(recipe), folder / f"{name}-1") for name, recipe in recipes.items()
    }


def read(place: Path) -> dict[str, torch.Tensor]:
    names = [name for name in ("model.safetensors", "adapter_model.safetensors") if (place / name).exists()]
    return load_file(place / names[0])


def differ(found: Path, wanted: Path) -> float:
    """The largest difference of any weight, as a share of the largest of its matrix."""
    own, whole = read(found), read(wanted)
    assert own.keys() == whole.keys()
    return max(
        float((own[name] - one).abs().max()) / max(1e-3, float(one.abs().max()))
        for name, one in whole.items()
    )


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_fine_tuning_as_one(
    folder: Path, recipes: dict[str, Any], one: dict[str, dict[str, Any]], processes: int
) -> None:
    names = (
        recipes if processes == 2 else ("untied", "lora")
    )  # each process takes seconds to start and some to compute
    places = {name: folder / f"{name}-{processes}" for name in names}
    jobs = [("sft", recipes[name], place) for name, place in places.items()]
    outcomes = run_group(folder, jobs, processes=processes)
    for (name, place), outcome in zip(places.items(), outcomes, strict=True):
        assert outcome["processes"] == processes, outcome
        assert differ(place, folder / f"{name}-1") < 1e-5, name
        for key in ("loss", "held_out_loss", "held_out_accuracy", "tokens", "held_out_mean_tokens"):
            assert outcome[key] == pytest.approx(one[name][key], rel=1e-5), (name, key)
        held = [
            json.loads((folder / f"{place.name}-held-{rank}.json").read_text()) for rank in range(processes)
        ]
        for part in held:
            for kind in ("weights", "states"):
                if name in ("tied", "untied", "offload"):
                    assert part[kind] == pytest.approx(part[f"all_{kind}"] / processes, rel=0.1), (name, part)


def test_reinforcement_as_one(folder: Path, reinforced: dict[str, Any]) -> None:
    places = {name: folder / f"{name}-2" for name in reinforced}
    jobs = [("grpo", reinforced[name], place) for name, place in places.items()]
    outcomes = run_group(folder, jobs, processes=2)
    for (name, place), outcome in zip(places.items(), outcomes, strict=True):
        whole = run_job("grpo", copy.deepcopy(reinforced[name]), folder / f"{name}-1")
        assert outcome["updates"] == whole["updates"] > 0, (outcome, whole)
        assert differ(place, folder / f"{name}-1") < 1e-5, name
        assert outcome["self_check"] == whole["self_check"]
        lines = [
            [
                {
                    key: line[key]
                    for key in ("loss", "reward", "kl", "grad_norm", "held_out_accuracy")
                    if key in line
                }
                for line in map(json.loads, (one / "metrics.jsonl").read_text().splitlines())
            ]
            for one in (place, folder / f"{name}-1")
        ]
        assert (
            len(lines[0]) == len(lines[1])
            and lines[0][1:]
            and all(
                found == pytest.approx(wanted, rel=1e-4, abs=1e-6)
                for found, wanted in zip(*lines, strict=True)
            )
        ), name


def test_any_number_of_processes_goes_on(
    folder: Path, recipes: dict[str, Any], reinforced: dict[str, Any], one: dict[str, Any]
) -> None:
    """Stopped after steps that two processes did, then after one that one did; four do the rest."""
    chosen = [("sft", name, recipes[name]) for name in ("muon", "lora", "offload")]
    chosen.append(("grpo", "kl", reinforced["kl"]))
    places = {name: folder / f"{name}-stopped" for _, name, _ in chosen}
    halves = [(verb, {**recipe, "stop_at": 1}, places[name]) for verb, name, recipe in copy.deepcopy(chosen)]
    assert run_group(folder, halves, processes=2) == [{"stopped": True}] * len(chosen)
    for verb, name, recipe in copy.deepcopy(chosen):
        assert run_job(verb, {**recipe, "stop_at": 2}, places[name]) == {"stopped": True}
    rest = run_group(folder, [(verb, recipe, places[name]) for verb, name, recipe in chosen], processes=4)
    run_job("grpo", copy.deepcopy(reinforced["kl"]), folder / "kl-1")  # unless it is there already
    for (_, name, _), outcome in zip(chosen, rest, strict=True):
        assert outcome["processes"] == 4, outcome
        assert differ(places[name], folder / f"{name}-1") < 1e-5, name


def test_a_process_that_fails_is_one_line_and_loses_nothing(
    folder: Path, recipes: dict[str, Any], one: dict[str, Any]
) -> None:
    full, other = folder / "full-disk", folder / "other-data"
    jobs = [
        ("sft", {**copy.deepcopy(recipes["tied"]), "fails": "disk"}, full),
        ("sft", {**copy.deepcopy(recipes["tied"]), "fails": "data"}, other),
    ]
    (disk,), (data,) = (outcome["error"] for outcome in run_group(folder, jobs, processes=2))
    assert re.search(
        r"step-00000002: .*\(process 1 of 2: .*No space left on device\); step-00000001 stays", disk
    )
    assert data.startswith("process 1 of 2 (counted from 0) has other data than process 0")
    assert not list(other.glob("*.safetensors"))
    run_job("sft", copy.deepcopy(recipes["tied"]), full)
    assert differ(full, folder / "tied-1") < 1e-5


def test_scalar_models_as_one(folder: Path, recipes: dict[str, Any]) -> None:
    jobs = []
    for name, parts in copy.deepcopy(SCALAR).items():
        recipe: dict[str, Any] = {
            "device": "cpu",
            "model": {"base": str(folder / parts.pop("base"))}
            if "base" in parts
            else recipes["tied"]["model"],
            "data": {"train": str(write_pairs(folder / "scored.jsonl", 20)), "max_tokens": 500},
            "batch": {"examples": 5},
            "optim": {"lr": [1e-3], "eps": 1e-4, "epochs": 1, "warmup": 0},
            "evaluation": {"every": 2},
            "checkpoint": {"every": 1},
        }
        recipe["data"]["held_out"] = recipe["data"]["train"]
        for section, values in parts.items():
            recipe[section] = {**recipe.get(section, {}), **values}
        jobs.append(("scalar", recipe, folder / f"{name}-2"))
    outcomes = run_group(folder, jobs, processes=2)
    for (_, recipe, place), outcome in zip(jobs, outcomes, strict=True):
        whole = run_job("scalar", copy.deepcopy(recipe), place.with_name(f"{place.name}-whole"))
        assert outcome["processes"] == 2, outcome
        assert outcome["lr"] == whole["lr"] and len(outcome["tries"]) == len(recipe["optim"]["lr"])
        for key in ("loss", "held_out_loss", "held_out_accuracy", "tokens"):
            assert outcome[key] == pytest.approx(whole[key], rel=1e-5), key
        assert differ(place, place.with_name(f"{place.name}-whole")) < 1e-5, place
        assert not list(place.rglob("*.distcp"))
