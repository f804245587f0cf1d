"""What `objective.importance` is where a recipe does not say it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from rmr1.errors import ConfigError
from rmr1.train.grpo.recipe import GrpoRecipe


@pytest.mark.parametrize(
    ("engine", "objective", "wanted"),
    [
        ("transformers", {}, "none"),
        ("vllm", {}, "truncate"),
        ("vllm", {"beta": 0.0, "options": ["no-std"]}, "truncate"),
        ("vllm", {"importance": "none"}, "none"),
        ("vllm", {"options": ["no-std", "importance-masked"]}, "mask"),
    ],
)
def test_only_vllm_is_corrected_unasked(engine: str, objective: dict[str, Any], wanted: str) -> None:
    values: dict[str, Any] = {
        "model": {"base": "mine"},
        "data": {"train": "p"},
        "rollout": {"engine": engine},
    }
    if objective:
        values["objective"] = objective
    assert GrpoRecipe.from_values(values, "r.toml").objective.build().importance == wanted


@pytest.mark.parametrize(
    "sections",
    [{"objective": {"options": 3}}, {"objective": {"options": [{}]}}, {"objective": 3}, {"rollout": 3}],
)
def test_nonsense_is_still_one_line(sections: dict[str, Any]) -> None:
    values = {"model": {"base": "m"}, "data": {"train": "p"}, "rollout": {"engine": "vllm"}, **sections}
    with pytest.raises(ConfigError) as raised:
        GrpoRecipe.from_values(values, "r.toml")
    assert "\n" not in str(raised.value)
