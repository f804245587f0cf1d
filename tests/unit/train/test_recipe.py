"""Recipes: what is accepted, and what is said of what is not."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path

import pytest

from rmr1.errors import ConfigError
from rmr1.train.recipe import PRESETS, Recipe

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
LEAST = {"model": {"base": "x"}, "data": {"train": "rows.jsonl"}, "batch": {"examples": 4}}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"optimm": {}}, "unknown key 'optimm'; did you mean 'optim'?"),
        ({"optim": {"learning": 1}}, "unknown key 'optim.learning'; expected one of name, betas,"),
        ({"lora": {"ranks": 4}}, "unknown key 'lora.ranks'; expected one of r, alpha"),
        (
            {"model": {"base": "x", "precison": "bf16"}},
            "unknown key 'model.precison'; did you mean 'precision'?",
        ),
        (
            {"model": {"from_scratch": {"tokenizer": {"vocabularly": 4}}}},
            "unknown key 'model.from_scratch.tokenizer.vocabularly'; did you mean 'vocabulary'?",
        ),
        ({"optim": {"lr": -1}}, "optim.lr: input should be greater than 0, got -1"),
        ({"optim": {"name": "sgd"}}, "optim.name: input should be 'adamw' or 'muon', got 'sgd'"),
        ({"model": {}}, "model: name either base, the model to go on from, or [model.from_scratch]"),
        ({"batch": {}}, "batch: name either examples or tokens of a step"),
        ({"data": {}}, "data: name either train, a file of messages, or [data.world]"),
        ({"lora": {}, "model": {"from_scratch": {}}}, "[lora] adapts a base model"),
        (
            {"data": {"world": {"items": 4}}, "batch": {"tokens": 64}},
            "with [data.world] and batch.tokens name optim.steps",
        ),
        ({"preset": "rm-r1-8b"}, "unknown preset 'rm-r1-8b'; expected one of rm-r1-7b, rm-r1-14b, rm-r1-32b"),
        (
            {"model": {"from_scratch": {"hidden_size": 30, "heads": 4}}},
            "model.from_scratch: hidden_size must be an even number of times heads",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Recipe.from_values({**LEAST, **changes}, "r.toml")
    assert str(raised.value).startswith("r.toml: ") and complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_section_is_named() -> None:
    with pytest.raises(ConfigError, match=r"r\.toml: 'data' is missing"):
        Recipe.from_values({"model": {"base": "x"}, "batch": {"examples": 4}}, "r.toml")


def test_a_preset_lies_under_the_file() -> None:
    recipe = Recipe.from_values(
        {"preset": "rm-r1-7b", "data": {"train": "rows.jsonl"}, "optim": {"lr": 1e-6}}, "r.toml"
    )
    assert recipe.optim.lr == 1e-6 and recipe.optim.warmup == 0.03
    assert recipe.model.base == "Qwen/Qwen2.5-7B-Instruct" and recipe.batch.examples == 128


def test_the_papers_settings() -> None:
    rates = {"rm-r1-7b": 5e-6, "rm-r1-14b": 3e-6, "rm-r1-32b": 2e-6}
    assert PRESETS.keys() == {f"{name}{kind}" for name in rates for kind in ("", "-lora", "-qlora")}
    for name, kind in product(rates, ("", "-lora", "-qlora")):
        recipe = Recipe.from_values({"preset": f"{name}{kind}", "data": {"train": "rows.jsonl"}}, name)
        assert recipe.optim.lr == pytest.approx(rates[name] * (10 if kind else 1))
        assert (recipe.lora is not None) == bool(kind)
        assert (recipe.lora and recipe.lora.quantize) == ("nf4" if kind == "-qlora" else None)
        assert recipe.optim.epochs == 1
        assert recipe.optim.betas == (0.9, 0.95) and recipe.optim.weight_decay == 0.0
        assert recipe.optim.schedule == "cosine" and recipe.optim.clip == 1.0
        assert recipe.data.max_tokens == 12288 and recipe.model.precision == "bf16"
        assert recipe.model.checkpointing


OF_OTHER_VERBS = ("tiny-scalar", "tiny-grpo", "curate-", "distill-", "rm-r1-pipeline")
"""Beginnings of names; each verb's tests read its own."""


@pytest.mark.parametrize(
    "path",
    sorted(path for path in RECIPES.glob("*.toml") if not path.stem.startswith(OF_OTHER_VERBS)),
    ids=lambda path: path.stem,
)
def test_the_shipped_recipes_are_valid(path: Path) -> None:
    recipe = Recipe.from_values(tomllib.loads(path.read_text()), path.name)
    if path.stem in ("rm-r1-7b", "rm-r1-14b", "rm-r1-32b"):
        same = Recipe.from_values({"preset": path.stem, "data": recipe.data.model_dump()}, path.name)
        for section in ("model", "batch", "optim"):
            assert getattr(recipe, section) == getattr(same, section)
        assert recipe.data.max_tokens == 12288
