"""Recipes: what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.errors import ConfigError
from rmr1.settings import read_toml

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
PLAIN: dict[str, Any] = {"data": {"train": "x.jsonl"}, "pass1": {"teacher": "scripted:longer"}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 1}, r"t: unknown key 'sed'; did you mean 'seed'\?"),
        ({"pass1": {"teacher": "x", "sample": 2}}, r"unknown key 'pass1.sample'; did you mean 'samples'\?"),
        ({"select": {"qotas": {}}}, r"unknown key 'select.qotas'; did you mean 'quotas'\?"),
        ({"data": {}}, r"data: name either train, a file of pairs, or \[data.world\]"),
        ({"data": {"train": "x", "world": {"items": 1}}}, "name either train"),
        ({"pass1": {}}, "'pass1.teacher' is missing"),
        ({"pass1": {"teacher": "x", "samples": 2}}, "2 samples at temperature 0 would all be the same"),
        ({"select": {"min_chars": 9, "max_chars": 8}}, "max_chars 8 is below min_chars 9"),
        ({"select": {"quotas": {"Chat": -1}}}, "quotas.Chat is -1"),
    ],
)
def test_bad_recipes(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillRecipe.from_values({**PLAIN, **values}, "t")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("distill-*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = DistillRecipe.from_values(read_toml(path), path.name)
    assert len(recipe.passes) == 2
    assert all(find_teacher(one).served for one in recipe.passes)


def test_teachers() -> None:
    def teacher(name: str, **engine: Any) -> Any:
        values = {**PLAIN, "pass1": {"teacher": name, "engine": engine}}
        return find_teacher(DistillRecipe.from_values(values, "t").pass1)

    live = teacher("openai:org/o3@http://127.0.0.1:1/v1", extra_body={"x": 1})
    batch = teacher("batch:org/o3", extra_body={"x": 1})
    assert live.identify() == batch.identify() == {"model": "org/o3", "extra_body": {"x": 1}}
    assert (live.is_batch, batch.is_batch) == (False, True)
    assert live.price == batch.price and live.price.completion == 8.0
    assert teacher("batch:none-such").price is None
    assert teacher("batch:none-such", price_in=1, price_out=2).price == (1.0, 2.0)
    local = teacher("scripted:longer")
    assert local.identify() is None and not local.is_billed
    with pytest.raises(ConfigError, match="names no model"):
        teacher("batch:")
    with pytest.raises(ConfigError, match=r"unknown key 'engine\.pace'"):
        teacher("batch:x", pace=1)
    with pytest.raises(ConfigError, match="go together"):
        teacher("batch:x", price_in=1)
