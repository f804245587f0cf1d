"""Settings that fit a machine: the fastest ones, and none that the user has said otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from rmr1.errors import ConfigError
from rmr1.forecast.machine import build_machine, parse_machine
from rmr1.forecast.shape import PUBLISHED
from rmr1.forecast.training import estimate_run, find_obstacle
from rmr1.train.fit import check_room, count_grpo, count_sft
from rmr1.train.fitting import fit_settings
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.recipe import Recipe

BASE = "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
SHAPE = PUBLISHED[BASE]


def read(preset: str) -> GrpoRecipe:
    return GrpoRecipe.from_values({"preset": preset, "data": {"train": "pairs.jsonl"}}, "r.toml")


def test_what_fits_is_the_fastest_of_what_fits() -> None:
    numbers, machine = count_grpo(read("rm-r1-deepseek-14b-lora")), parse_machine("H200")
    assert find_obstacle(estimate_run(SHAPE, numbers, machine)) is not None
    found = fit_settings(SHAPE, numbers, machine)
    assert found.obstacle is None
    chosen = replace(
        numbers,
        gpu_memory=found.settings["rollout.gpu_memory"],
        row_tokens=found.settings.get("update.row_tokens", numbers.row_tokens),
    )
    again = estimate_run(SHAPE, chosen, machine)
    assert find_obstacle(again) is None and again.seconds == found.estimate.seconds
    # vLLM with less memory would take longer, and with more of it nothing would fit.
    for share, fits in ((found.settings["rollout.gpu_memory"] - 0.05, True), (0.7, False)):
        other = estimate_run(SHAPE, replace(chosen, gpu_memory=share), machine)
        assert (find_obstacle(other) is None) == fits or other.seconds > again.seconds


def test_what_is_said_stays() -> None:
    numbers, machine = count_grpo(read("rm-r1-deepseek-14b-lora")), parse_machine("H200")
    found = fit_settings(SHAPE, numbers, machine, said=("rollout.gpu_memory",))
    assert "rollout.gpu_memory" not in found.settings and found.estimate.numbers.gpu_memory == 0.4
    said = ("rollout.gpu_memory", "update.row_tokens")
    nothing = fit_settings(SHAPE, numbers, machine, said=said)
    assert nothing.obstacle is not None and not nothing.settings


def test_several_devices_offload_only_if_they_must() -> None:
    recipe = Recipe.from_values({"preset": "rm-r1-32b", "data": {"train": "rows.jsonl"}}, "r.toml")
    shape = PUBLISHED["Qwen/Qwen2.5-32B-Instruct"]
    numbers = count_sft(recipe, tokens=2400, judged=800, steps=68)
    wide, narrow = (fit_settings(shape, numbers, parse_machine(name)) for name in ("8xH200", "8xH100"))
    assert "sharding.offload" not in wide.settings
    assert narrow.settings["sharding.offload"] is True and narrow.obstacle is None
    assert narrow.nest()["sharding"] == {"offload": True}


def test_a_refusal_names_what_fits() -> None:
    recipe = read("rm-r1-deepseek-14b-lora")
    with pytest.raises(
        ConfigError, match=r"lower rollout\.gpu_memory; what fits is update\.row_tokens = 16384, "
    ):
        check_room(recipe, estimate_run(SHAPE, count_grpo(recipe), parse_machine("H200")))
    small = build_machine("NVIDIA GeForce RTX 4090")
    with pytest.raises(ConfigError) as caught:
        check_room(recipe, estimate_run(SHAPE, count_grpo(recipe), small))
    assert "what fits is" not in str(caught.value)
    check_room(recipe, "not known: no such shape")
