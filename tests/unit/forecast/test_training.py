"""Memory and time of trainings, against hand-worked numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rmr1.forecast.machine import Machine, build_machine  # noqa: E402
from rmr1.forecast.memory import count_layer_bytes, count_row_tokens, list_parts  # noqa: E402
from rmr1.forecast.numbers import DEFAULT_TEXT_TOKENS, PHASES, RunNumbers  # noqa: E402
from rmr1.forecast.shape import PUBLISHED, ModelShape, compute_saving, count_group_flops  # noqa: E402
from rmr1.forecast.training import Estimate, estimate_run, find_obstacle, find_risk  # noqa: E402
from rmr1.train.fit import count_grpo  # noqa: E402
from rmr1.train.grpo.recipe import GrpoRecipe  # noqa: E402

SMALL = ModelShape(layers=2, hidden=4, heads=2, kv_heads=1, head_dim=2, intermediate=8, vocabulary=10)
QWEN_7B = PUBLISHED["Qwen/Qwen2.5-7B-Instruct"]
ROUND = Machine(
    name="round",
    num_devices=1,
    memory_bytes=10**9,
    flops_per_second=2.5e6,
    fp32_flops_per_second=1e6,
    bytes_per_second=1e30,
)
"""40% of its arithmetic is 1e6 operations a second in bf16."""


def build_numbers(**others: Any) -> RunNumbers:
    values: dict[str, Any] = {
        "prompts": 4,
        "samples": 2,
        "prompt_tokens": 6,
        "new_tokens": 5,
        "mean_new_tokens": 2,
        "row_tokens": 20,
    }
    return RunNumbers(**{**values, **others})


def sizes(shape: ModelShape, numbers: RunNumbers, machine: Machine = ROUND) -> dict[tuple[str, str], int]:
    parts = list_parts(shape, numbers, machine, new_tokens=numbers.expected_new)
    return {(part.phase, part.name): part.num_bytes for part in parts}


# --- memory


def test_parts_of_whole_weights_by_hand() -> None:
    # 2 tables of 40, layers of 288, norms of 5 * 4.
    assert SMALL.parameters() == 388
    found = sizes(SMALL, build_numbers())
    assert found[("always", "weights")] == 4 * 388
    assert found[("always", "optimizer")] == 8 * 388
    assert found[("always", "reference")] == 2 * 388
    # A step has two rows of 20 tokens, so the gradients of one are there while the other is computed.
    for phase in ("loss", "backward", "step"):
        assert found[(phase, "gradients")] == 4 * 388
    # AdamW is fused on a GPU; on a CPU it copies a matrix twice, here the table of 10 rows of 4.
    assert ("step", "inside the step") not in found
    assert (
        sizes(SMALL, build_numbers(), replace(ROUND, kind="cpu"))[("step", "inside the step")] == 2 * 4 * 40
    )
    for phase in ("loss", "backward", "rollout"):
        assert found[(phase, "weights in bf16")] == 2 * 288
    # All 4 prompts fit 128 rows: 8 rows of 6 + 2 tokens, 2 bytes for each of 2 * 2 * 2 numbers, a fourth more.
    assert found[("rollout", "keys and values")] == 8 * 8 * 2 * 8 * 1.25
    assert found[("rollout", "pass over prompts")] == 4 * 6 * (2 * 4 * 4 + 3 * 2 * 8)
    # A row of 20 tokens; a layer keeps 26 * 4 + 4 * 4 + 4 * 2 + 8 * 8 + 4 * 2 + 8 of each.
    assert count_layer_bytes(SMALL, build_numbers()) == 208
    assert found[("loss", "activations")] == 20 * 2 * 208
    assert found[("backward", "activations")] == 20 * (2 * 208 + 8 * 4 + 3 * 2 * 8)
    # 8 of its 20 tokens are learnt from; their logits come at once.
    assert found[("loss", "output layer")] == 2 * 8 * 4 * 4 + 14 * 8 * 10 + 12 * 40
    assert ("always", "adapters") not in found and ("always", "vLLM") not in found


def test_parts_of_adapters_by_hand() -> None:
    trained = SMALL.adapter_parameters(3)
    assert trained == 2 * 3 * (2 * (4 + 4) + 2 * (4 + 2) + 3 * (4 + 8))
    found = sizes(SMALL, build_numbers(lora_rank=3, checkpointing=True))
    assert found[("always", "weights")] == 2 * 388
    assert found[("always", "adapters")] == 4 * trained
    assert found[("always", "optimizer")] == 8 * trained
    assert ("always", "reference") not in found
    assert ("loss", "weights in bf16") not in found
    layer = 28 * 4 + 8 * 4 + 4 * 2 + 10 * 8 + 28 * 3 + 4 * 2 + 8
    assert found[("loss", "activations")] == 20 * 2 * 2 * 4
    assert found[("backward", "activations")] == 20 * (2 * 2 * 4 + layer + 8 * 4 + 3 * 2 * 8)
    assert found[("loss", "output layer")] == 2 * 8 * 2 * 4 + 14 * 8 * 10


def test_parts_that_settings_add_or_take_away() -> None:
    plain = sizes(SMALL, build_numbers(precision="fp32", has_reference=False))
    assert ("always", "reference") not in plain and ("loss", "weights in bf16") not in plain
    assert plain[("rollout", "keys and values")] == 8 * 8 * 4 * 8 * 1.25
    several = sizes(SMALL, build_numbers(), replace(ROUND, num_devices=4))
    # Each device has one prompt of the four.
    assert several[("rollout", "keys and values")] == 2 * 8 * 2 * 8 * 1.25
    served = sizes(SMALL, build_numbers(engine="vllm", gpu_memory=0.25))
    assert served[("always", "vLLM")] == 250_000_000
    assert not [name for phase, name in served if phase == "rollout"]
    slow = sizes(SMALL, build_numbers(engine="vllm"), replace(ROUND, kind="cpu"))
    assert slow[("always", "vLLM")] == 2 * 388 + 4 * 2**30


def test_devices_divide_the_states_and_gather_what_they_compute_with() -> None:
    found = sizes(SMALL, build_numbers(checkpointing=True, look_rows=3), replace(ROUND, num_devices=2))
    assert found[("always", "weights")] == 4 * 388 / 2
    assert found[("always", "optimizer")] == 8 * 388 / 2
    assert found[("always", "reference")] == 2 * 388 / 2
    # Of two rows each device has one: its gradients are those of the head and of the layer that it is at.
    assert ("loss", "gradients") not in found
    assert found[("backward", "gradients")] == int(4 * 388 / 2 * (40 + 144) / 388)
    assert found[("step", "gradients")] == 4 * 388 / 2
    # Two tables and the norms, 388 - 288, in 16 bits; as gradients they are summed in 32, and half of the sum stays.
    assert found[("loss", "tables, gathered")] == 2 * 100
    assert found[("step", "the tables' gradients")] == (2 + 4 + 2 + 2) * 100
    assert found[("backward", "layers, gathered")] == 2 * 2 * 144
    assert found[("backward", "a layer's gradients")] == (2 + 4 + 2) * 144
    # Who decodes does so with all weights.
    assert found[("rollout", "weights, gathered")] == found[("look", "weights, gathered")] == 2 * 388
    assert found[("look", "keys and values")] == 3 * 8 * 2 * 8 * 1.25
    # Gathered weights are bf16, and so is what passes between layers.
    assert found[("loss", "activations")] == 20 * 2 * 2 * 4
    assert ("loss", "weights in bf16") not in found


def test_offloading_takes_the_states_from_the_devices_to_the_host() -> None:
    numbers = build_numbers(offload=True)
    many = replace(ROUND, num_devices=4)
    found = sizes(SMALL, numbers, many)
    assert not {"weights", "optimizer", "gradients", "reference"} & {name for _, name in found}
    estimate = estimate_run(SMALL, numbers, many)
    # Weights, gradients and two averages in 32 bits, the reference in 16.
    assert estimate.host_bytes == estimate.describe()["host_bytes"] == 18 * 388
    assert estimate_run(SMALL, numbers, ROUND).host_bytes == 0  # one device divides nothing
    short = replace(many, host_bytes=5000)
    told = find_obstacle(estimate_run(SMALL, numbers, short))
    assert told is not None and told.startswith("offloading needs about ")
    assert "of the host's memory, which has " in told


def test_quantized_matrices_take_four_bits_and_their_scales() -> None:
    found = sizes(SMALL, build_numbers(lora_rank=3, quantize="nf4"))
    # 64 numbers share a scale of a byte, 256 scales one of four bytes.
    assert found[("always", "weights")] == int(288 * (0.5 + 1 / 64 + 4 / 64 / 256) + 2 * 100)
    assert found[("backward", "a matrix in bf16")] == 2 * 4 * 8


@pytest.mark.parametrize(
    ("others", "tokens"),
    [
        ({"row_tokens": 20}, 20),
        ({"row_tokens": 3}, 10),  # a group is never divided
        ({"row_tokens": 1000}, 40),  # nor is there more than a step has
        ({"row_tokens": 1000, "updates": 2}, 20),
    ],
)
def test_tokens_of_a_full_row(others: dict[str, int], tokens: int) -> None:
    assert count_row_tokens(build_numbers(**others), prompt_tokens=6, new_tokens=2) == tokens


def test_peak_is_the_fullest_phase() -> None:
    found = estimate_run(SMALL, build_numbers(), ROUND)
    by_phase = {
        phase: sum(part.num_bytes for part in found.parts if part.phase == phase)
        for phase in ("always", *PHASES)
    }
    assert found.peak_phase == "loss"
    assert found.peak_bytes == by_phase["always"] + by_phase["loss"] > by_phase["always"] + by_phase["step"]
    # Samples at their limit make groups of 16 tokens, still within a row.
    assert found.worst_bytes > found.peak_bytes
    long = estimate_run(SMALL, build_numbers(mean_new_tokens=5, mean_prompt_tokens=6), ROUND)
    assert long.worst_bytes == long.peak_bytes
    wide = estimate_run(SMALL, build_numbers(prompts=400, rows=800), ROUND)
    assert wide.peak_phase == "rollout"


def test_full_fine_tuning_of_7b_takes_16_bytes_a_parameter_and_more() -> None:
    found = estimate_run(QWEN_7B, build_numbers(), build_machine("NVIDIA H200"))
    fixed = sum(part.num_bytes for part in found.parts if part.phase == "always")
    gradients = sum(part.num_bytes for part in found.parts if part.name == "gradients") / 3
    assert fixed + gradients == 18 * QWEN_7B.parameters()


# --- time


def seconds(shape: ModelShape, numbers: RunNumbers, machine: Machine = ROUND) -> dict[str, float]:
    return estimate_run(shape, numbers, machine).stages


def test_time_of_passes_by_hand() -> None:
    # Rows of 20 tokens hold two groups: two rows, two layers of 0.64 ms to start in each.
    numbers = build_numbers(updates=1, has_old_pass=True)
    group = count_group_flops(SMALL, prompt=6, new=2, samples=2)
    start = 2 * 2 * 0.00064
    found = seconds(SMALL, numbers)
    # One batch of four prompts, of which one place each goes through the output layer.
    assert found["prompts"] == pytest.approx(
        4 * (2 * 288 * 6 + 4 * 2 * 4 * 6 * 3 + 2 * 40) / 1e6 + 2 * 0.00064
    )
    assert found["reference"] == pytest.approx(4 * group.total / 1e6 + start)
    assert found["update"] == pytest.approx(4 * (3 * group.body + 4 * group.head) / 1e6 + 3 * start)
    assert "earlier policy" not in found
    again = seconds(SMALL, replace(numbers, checkpointing=True, updates=2, has_reference=False))
    assert again["update"] == pytest.approx(4 * 4 * group.total / 1e6 + 4 * start)
    assert again["earlier policy"] == pytest.approx(found["reference"] / 2)
    assert "reference" not in again
    adapted = seconds(SMALL, replace(numbers, lora_rank=1))
    assert adapted["update"] == pytest.approx(4 * (2 * group.body + 3 * group.head) / 1e6 + 2 * start)
    single = seconds(SMALL, replace(numbers, precision="fp32"))
    assert single["reference"] == pytest.approx(4 * group.total / 0.4e6 + start)


def test_devices_share_what_can_be_divided() -> None:
    numbers = build_numbers()
    one, two, many = (seconds(SMALL, numbers, replace(ROUND, num_devices=number)) for number in (1, 2, 8))
    start = 2 * 0.00064
    assert two["prompts"] - start == pytest.approx((one["prompts"] - start) / 2)
    assert two["update"] == pytest.approx(one["update"] / 2)
    # Two rows cannot keep more than two devices busy.
    assert many["update"] == pytest.approx(two["update"])


def test_decoding_reads_weights_and_cache_at_each_step() -> None:
    machine = replace(ROUND, flops_per_second=1e30, bytes_per_second=1e6)
    numbers = build_numbers(engine="vllm", gpu_memory=0.5)
    # 8 rows of 6 + 1 tokens on average, 2 bytes a number, at 70% of the bandwidth; two tokens each.
    step = (2 * (288 + 40) + 8 * 7 * 2 * 8) / 0.7e6 + 0.003
    assert seconds(SMALL, numbers, machine)["samples"] == pytest.approx(2 * step)
    # Room for two rows only: four times the steps.
    room = replace(machine, memory_bytes=round((2 * 388 + 2 * 7 * 2 * 8 + 50) / 0.5))
    step = (2 * (288 + 40) + 2 * 7 * 2 * 8) / 0.7e6 + 0.003
    assert seconds(SMALL, numbers, room)["samples"] == pytest.approx(4 * 2 * step)
    # Transformers: 8 rows last 1 + ln(8) / 3 times the mean, 2 layers of Python and 0.2 ms a row alive.
    steps = 2 * (1 + 2.0794415 / 3)
    alive = 8 * 2 / steps
    step = (2 * (288 + 40) + alive * (6 + steps / 2) * 2 * 8) / 0.7e6 + 2 * 0.00064 + alive * 0.0002
    own = seconds(SMALL, build_numbers(), machine)
    assert own["samples"] == pytest.approx(steps * step)
    assert own["optimizer"] == pytest.approx(28 * 388 / 0.7e6)


def test_a_run_takes_its_rollouts_and_describes_itself() -> None:
    found = estimate_run(SMALL, build_numbers(rollouts=3), ROUND)
    assert found.seconds == pytest.approx(3 * sum(found.stages.values()))
    assert found.trained_parameters == 388
    assert found.saving == pytest.approx(compute_saving(SMALL, prompt=6, new=2, samples=2))
    told = json.loads(json.dumps(found.describe()))
    assert told["peak_bytes"] == found.peak_bytes
    assert told["seconds_per_rollout"] == pytest.approx(found.unit_seconds, rel=0.01)
    assert sum(part["bytes"] for part in told["memory"] if part["phase"] == "always") == 14 * 388
    assert told["assumptions"][0] == "a prompt has 6 tokens (the limit), a sample 2 (as expected), at most 5"


def test_the_length_of_a_sample_is_a_guess_within_its_limit() -> None:
    assert build_numbers(mean_new_tokens=None).expected_new == 5
    guess = build_numbers(mean_new_tokens=None, new_tokens=8192)
    assert guess.expected_new == DEFAULT_TEXT_TOKENS
    assert "(a guess)" in estimate_run(SMALL, guess, ROUND).assumptions[0]


# --- what is in the way

PAPER: dict[str, Any] = {
    "prompts": 1024,
    "samples": 7,
    "prompt_tokens": 4096,
    "new_tokens": 8192,
    "mean_prompt_tokens": 1100,
    "row_tokens": 16384,
    "updates": 8,
    "checkpointing": True,
}


def look(machine: Machine, shape: ModelShape = QWEN_7B, **others: Any) -> tuple[Estimate, str, str]:
    found = estimate_run(shape, RunNumbers(**{**PAPER, **others}), machine)
    return found, find_obstacle(found) or "", find_risk(found) or ""


def test_whole_weights_that_do_not_fit_are_refused() -> None:
    _, obstacle, risk = look(build_machine("NVIDIA GeForce RTX 4090"))
    assert obstacle == (
        "full fine-tuning of 7.6B parameters needs about 137 GB on one device (optimizer 61 GB, weights 30 GB, "
        "gradients 30 GB), and NVIDIA GeForce RTX 4090 has 24 GB; train adapters ([lora]), take a smaller base or "
        "divide the weights over more devices"
    )
    assert risk == ""


def test_adapters_fit_one_large_device_and_not_a_small_one() -> None:
    found, obstacle, risk = look(build_machine("NVIDIA H200"), lora_rank=32, rows=56)
    assert (obstacle, risk) == ("", "")
    assert 15e9 < found.peak_bytes < 100e9
    _, obstacle, _ = look(build_machine("NVIDIA GeForce RTX 4090"), lora_rank=32)
    assert obstacle.startswith("the rollout needs about ")
    assert obstacle.endswith("lower rollout.rows or lower data.max_prompt_tokens")
    _, obstacle, _ = look(build_machine("NVIDIA GeForce RTX 4090"), lora_rank=32, precision="fp32")
    assert obstacle.startswith(
        "training adapters of 7.6B parameters needs about 32 GB on one device (weights 30 GB, "
    )
    assert obstacle.endswith('; take bf16, set lora.quantize = "nf4" or take a smaller base')


def test_a_run_that_fits_as_expected_may_still_meet_its_limit() -> None:
    _, obstacle, risk = look(build_machine("NVIDIA L40S"), lora_rank=32, rows=21)
    assert obstacle == ""
    assert risk.startswith("if all 7 samples of a prompt reach 8,192 tokens, about ")
    assert risk.endswith("rollout.max_new_tokens bounds it")


def test_an_update_that_does_not_fit_names_what_makes_it_smaller() -> None:
    machine = build_machine("NVIDIA A100-SXM4-80GB", num_devices=2)
    _, obstacle, _ = look(machine, lora_rank=32, checkpointing=False, engine="vllm")
    assert obstacle.startswith("the update needs about ")
    assert "(activations " in obstacle and "each NVIDIA A100-SXM4-80GB has 80 GB; " in obstacle
    assert obstacle.endswith(
        "set model.checkpointing = true, lower update.row_tokens or lower rollout.gpu_memory"
    )
    _, obstacle, _ = look(
        machine, lora_rank=32, checkpointing=False, row_tokens=1, rows=7, mean_new_tokens=3000
    )
    assert obstacle.endswith("set model.checkpointing = true or lower rollout.samples")


def test_vllm_needs_room_for_the_weights_and_one_sample() -> None:
    shape = PUBLISHED["Qwen/Qwen2.5-32B-Instruct"]
    _, obstacle, _ = look(build_machine("NVIDIA H200"), shape, lora_rank=32, engine="vllm")
    assert obstacle == (
        "vLLM needs 69 GB for the weights and one sample of 12,288 tokens, and has 56 GB; raise rollout.gpu_memory, or "
        "take a smaller base"
    )
    cpu = replace(ROUND, kind="cpu", memory_bytes=10**12)
    _, obstacle, _ = look(cpu, shape, lora_rank=32, engine="vllm", new_tokens=20_000)
    assert obstacle == (
        "vLLM needs 72 GB for the weights and one sample of 24,096 tokens, and has 70 GB; lower rollout.max_new_tokens"
    )


@pytest.mark.parametrize(
    ("preset", "obstacle"),
    [
        ("rm-r1-deepseek-7b", "full fine-tuning of 7.6B parameters needs"),
        ("rm-r1-deepseek-7b-lora", ""),
        # `rmr1.train.fitting` finds the row and the share of vLLM that fit.
        ("rm-r1-deepseek-14b-lora", "the update needs about 150 GB on one device"),
        ("rm-r1-deepseek-32b-lora", "vLLM needs 69 GB"),
    ],
)
def test_which_presets_one_large_gpu_can_run(preset: str, obstacle: str) -> None:
    recipe = GrpoRecipe.from_values({"preset": preset, "data": {"train": "pairs.jsonl"}}, "recipe.toml")
    assert recipe.model.base is not None
    machine = build_machine("NVIDIA H200")
    found = find_obstacle(estimate_run(PUBLISHED[recipe.model.base], count_grpo(recipe), machine))
    assert (found or "").startswith(obstacle) and bool(found) == bool(obstacle)
