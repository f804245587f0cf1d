"""Several processes train as one does: the same weights, whatever is divided, and whoever goes on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("accelerate")

from safetensors.torch import load_file

from ..sharded import run_group, run_job
from ..training import make_rows, small_recipe, write_rows

SFT: dict[str, dict[str, Any]] = {
    "tied": {},
    "muon": {"optim": {"name": "muon", "muon_lr": 4e-3}},
    "untied": {"base": "untied", "model": {"checkpointing": True}},
    "offload": {"base": "untied", "sharding": {"offload": True}},
    "lora": {"base": "untied", "lora": {"r": 4, "dropout": 0.1}, "model": {"checkpointing": True}},
    "alone": {"batch": {"packing": False}},
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


@pytest.mark.parametrize("processes", [2, 4])
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
