"""Shapes, arithmetic, memory and time of reinforcement runs, against hand-worked numbers and real models."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rmr1.attention.cache import build_cache  # noqa: E402
from rmr1.attention.groups import Group, build_group_row  # noqa: E402
from rmr1.attention.shared_prompt import shared_prompt_attention  # noqa: E402
from rmr1.doctor import Gpu  # noqa: E402
from rmr1.errors import ConfigError  # noqa: E402
from rmr1.forecast.machine import Machine, build_machine, see_machine  # noqa: E402
from rmr1.forecast.memory import (  # noqa: E402
    DEFAULT_NEW_TOKENS,
    RunNumbers,
    count_layer_bytes,
    count_row_tokens,
    list_parts,
)
from rmr1.forecast.shape import (  # noqa: E402
    PUBLISHED,
    ModelShape,
    compute_saving,
    count_group_flops,
    count_row_flops,
    read_shape,
)
from rmr1.forecast.training import (  # noqa: E402
    Estimate,
    estimate_run,
    find_obstacle,
    find_risk,
    list_stages,
)
from rmr1.train.grpo.fit import count_numbers  # noqa: E402
from rmr1.train.grpo.presets import PRESETS  # noqa: E402
from rmr1.train.grpo.recipe import GrpoRecipe  # noqa: E402

MEASURED = ModelShape(
    layers=4, hidden=256, heads=8, kv_heads=2, head_dim=32, intermediate=1024, vocabulary=4096
)
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


# --- shapes


@pytest.mark.parametrize(
    ("name", "parameters", "adapters"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512, 40_370_176),
        ("Qwen/Qwen2.5-14B-Instruct", 14_770_033_664, 68_812_800),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", 32_763_876_352, 134_217_728),
    ],
)
def test_published_shapes_have_the_published_number_of_parameters(
    name: str, parameters: int, adapters: int
) -> None:
    assert PUBLISHED[name].parameters() == parameters
    assert PUBLISHED[name].adapter_parameters(16) == adapters


def test_every_base_that_a_preset_names_is_known() -> None:
    bases = {settings["model"].get("base") for settings in PRESETS.values()} - {None}
    assert bases and bases <= set(PUBLISHED)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["Qwen2", "Llama"])
def test_a_shape_counts_the_parameters_of_the_model(family: str, tied: bool) -> None:
    config = getattr(transformers, f"{family}Config")(
        hidden_size=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=10,
        intermediate_size=40,
        num_hidden_layers=3,
        vocab_size=50,
        tie_word_embeddings=tied,
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    shape = read_shape(config)
    assert shape.parameters() == sum(one.numel() for one in model.parameters())
    assert shape.tied is tied
    assert shape.biased is (family == "Qwen2")


def test_shapes_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ConfigError, match="mixture of experts"):
        read_shape(transformers.MixtralConfig())
    with pytest.raises(
        ConfigError, match="'odd' cannot be estimated: its configuration names no hidden_size"
    ):
        read_shape(SimpleNamespace(model_type="odd", num_hidden_layers=2))


# --- arithmetic


def test_flops_of_a_group_by_hand() -> None:
    # A layer: 2 * 4 * (4 + 2) + 3 * 4 * 8 = 144 parameters, the output layer 40.
    rows = count_row_flops(SMALL, prompt=6, new=2, samples=3)
    assert rows.body == 2 * 288 * 24 + 3 * 4 * 2 * 4 * 8 * 4
    assert rows.head == 2 * 40 * 6
    group = count_group_flops(SMALL, prompt=6, new=2, samples=3)
    assert group.body == 2 * 288 * 12 + 4 * 2 * 4 * (6 * 3 + 3 * 2 * (6 + 1))
    assert group.head == rows.head
    masked = count_group_flops(SMALL, prompt=6, new=2, samples=3, is_masked=True)
    assert masked.body - group.body == 4 * 2 * 4 * 3 * 2 * 1
    one = count_group_flops(SMALL, prompt=6, new=2, samples=1)
    assert one.total == pytest.approx(count_row_flops(SMALL, prompt=6, new=2, samples=1).total)


@pytest.mark.parametrize(
    ("prompt", "new", "samples", "masked", "causal"),
    [
        (512, 128, 8, 2.80, 2.85),
        (2048, 256, 8, 3.65, 3.72),
        (2048, 512, 7, 2.46, 2.56),
        (256, 512, 8, 1.19, 1.29),
    ],
)
def test_saving_of_the_shape_that_was_measured(
    prompt: int, new: int, samples: int, masked: float, causal: float
) -> None:
    """Figures of attention under a mask; ours skips what the mask hides, which saves a little more."""
    found = [
        compute_saving(MEASURED, prompt=prompt, new=new, samples=samples, is_masked=is_masked)
        for is_masked in (True, False)
    ]
    assert found == pytest.approx([masked, causal], abs=0.01)


# --- memory


def build_model(sizes: ModelShape, layers: int, dtype: Any, rank: int | None) -> Any:
    config = transformers.Qwen2Config(
        hidden_size=sizes.hidden,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=layers,
        vocab_size=sizes.vocabulary,
    )
    model = transformers.Qwen2ForCausalLM(config).to(dtype)
    if rank is not None:
        peft = pytest.importorskip("peft")
        peft.get_peft_model(
            model, peft.LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear")
        )
    return model.train()


def count_saved(model: Any, prompt: int, new: int, *, is_mixed: bool) -> int:
    """Bytes that autograd keeps of a group of two, parameters left out."""
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    row = build_group_row([Group(prompt=[1] * prompt, completions=[[2] * new] * 2)])
    mixed = torch.autocast("cpu", torch.bfloat16) if is_mixed else contextlib.nullcontext()
    with (
        shared_prompt_attention(model),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one),
        mixed,
    ):
        model.get_decoder()(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            use_cache=False,
            group_layout=row.layout,
        )
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_those_that_autograd_keeps(
    precision: str, rank: int | None, checkpointing: bool
) -> None:
    sizes = ModelShape(
        layers=1, hidden=40, heads=4, kv_heads=2, head_dim=16, intermediate=56, vocabulary=8, biased=True
    )
    is_bf16 = precision == "bf16"
    dtype = torch.bfloat16 if is_bf16 and rank is not None else torch.float32
    kept = []
    for layers in (1, 2):
        model = build_model(sizes, layers, dtype, rank)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        is_mixed = is_bf16 and rank is None
        first, second = (count_saved(model, 10 * n, 5 * n, is_mixed=is_mixed) for n in (1, 2))
        kept.append((second - first) / 20)
    found = kept[1] - kept[0]
    if checkpointing:
        assert found == (2 if dtype == torch.bfloat16 else 4) * sizes.hidden
    else:
        assert found == count_layer_bytes(sizes, precision=precision, lora_rank=rank)


def test_keys_of_mixed_precision_are_kept_in_16_bits() -> None:
    sizes = replace(SMALL, vocabulary=20)
    model = build_model(sizes, 2, torch.float32, None).eval()
    cache: Any = build_cache(model)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=torch.tensor([[1, 2, 3]]), past_key_values=cache, use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 3 * 2 * sizes.cache_width


def test_parts_of_whole_weights_by_hand() -> None:
    # 2 tables of 40, layers of 288, norms of 5 * 4.
    assert SMALL.parameters() == 388
    found = sizes(SMALL, build_numbers())
    assert found[("always", "weights")] == 4 * 388
    assert found[("always", "optimizer")] == 8 * 388
    assert found[("always", "reference")] == 2 * 388
    assert found[("update", "gradients")] == found[("step", "gradients")] == 4 * 388
    assert found[("step", "inside the step")] == 4 * 388
    assert found[("update", "weights in bf16")] == found[("rollout", "weights in bf16")] == 2 * 288
    # All 4 prompts fit 128 rows: 8 rows of 6 + 2 tokens, 2 bytes for each of 2 * 2 * 2 numbers, a fourth more.
    assert found[("rollout", "keys and values")] == 8 * 8 * 2 * 8 * 1.25
    assert found[("rollout", "pass over prompts")] == 4 * 6 * (2 * 4 * 4 + 3 * 2 * 8)
    # A row of 20 tokens; a layer keeps 26 * 4 + 4 * 4 + 4 * 2 + 8 * 8 + 4 * 2 + 8 of each.
    assert count_layer_bytes(SMALL) == 208
    assert found[("update", "activations")] == 20 * (2 * 208 + 8 * 4 + 3 * 2 * 8)
    # 8 of its 20 tokens are learnt from; their logits come at once.
    assert found[("update", "output layer")] == 2 * 8 * 4 * 4 + 14 * 8 * 10 + 12 * 40
    assert ("always", "adapters") not in found and ("always", "vLLM") not in found


def test_parts_of_adapters_by_hand() -> None:
    trained = SMALL.adapter_parameters(3)
    assert trained == 2 * 3 * (2 * (4 + 4) + 2 * (4 + 2) + 3 * (4 + 8))
    found = sizes(SMALL, build_numbers(lora_rank=3, checkpointing=True))
    assert found[("always", "weights")] == 2 * 388
    assert found[("always", "adapters")] == 4 * trained
    assert found[("always", "optimizer")] == 8 * trained
    assert ("always", "reference") not in found
    assert ("update", "weights in bf16") not in found
    layer = 28 * 4 + 8 * 4 + 4 * 2 + 10 * 8 + 28 * 3 + 4 * 2 + 8
    assert found[("update", "activations")] == 20 * (2 * 2 * 4 + layer + 8 * 4 + 3 * 2 * 8)
    assert found[("update", "output layer")] == 2 * 8 * 2 * 4 + 14 * 8 * 10


def test_parts_that_settings_add_or_take_away() -> None:
    plain = sizes(SMALL, build_numbers(precision="fp32", has_reference=False))
    assert ("always", "reference") not in plain and ("update", "weights in bf16") not in plain
    assert plain[("rollout", "keys and values")] == 8 * 8 * 4 * 8 * 1.25
    several = sizes(SMALL, build_numbers(), replace(ROUND, num_devices=4))
    assert several[("always", "gradients to exchange")] == 4 * 388
    # Each device has one prompt of the four.
    assert several[("rollout", "keys and values")] == 2 * 8 * 2 * 8 * 1.25
    served = sizes(SMALL, build_numbers(engine="vllm", gpu_memory=0.25))
    assert served[("always", "vLLM")] == 250_000_000
    assert not [name for phase, name in served if phase == "rollout"]
    slow = sizes(SMALL, build_numbers(engine="vllm"), replace(ROUND, kind="cpu"))
    assert slow[("always", "vLLM")] == 2 * 388 + 4 * 2**30


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
        for phase in ("always", "rollout", "update", "step")
    }
    assert found.peak_phase == "update"
    assert found.peak_bytes == by_phase["always"] + by_phase["update"] > by_phase["always"] + by_phase["step"]
    # Samples at their limit make groups of 16 tokens, still within a row.
    assert found.worst_bytes > found.peak_bytes
    long = estimate_run(SMALL, build_numbers(mean_new_tokens=5, mean_prompt_tokens=6), ROUND)
    assert long.worst_bytes == long.peak_bytes
    wide = estimate_run(SMALL, build_numbers(prompts=400, rows=800), ROUND)
    assert wide.peak_phase == "rollout"


def test_full_fine_tuning_of_7b_takes_16_bytes_a_parameter_and_more() -> None:
    found = estimate_run(QWEN_7B, build_numbers(), build_machine("NVIDIA H200"))
    fixed = sum(part.num_bytes for part in found.parts if part.phase == "always")
    gradients = sum(part.num_bytes for part in found.parts if part.name == "gradients") / 2
    assert fixed + gradients == 18 * QWEN_7B.parameters()


# --- time


def seconds(shape: ModelShape, numbers: RunNumbers, machine: Machine = ROUND) -> dict[str, float]:
    return {stage.name: stage.seconds for stage in list_stages(shape, numbers, machine)}


def test_time_of_passes_by_hand() -> None:
    # Rows of 20 tokens hold two groups: two rows, two layers of 0.64 ms to start in each.
    numbers = build_numbers(updates=1, has_old_pass=True)
    group = count_group_flops(SMALL, prompt=6, new=2, samples=2)
    start = 2 * 2 * 0.00064
    found = seconds(SMALL, numbers)
    assert found["prompts"] == pytest.approx(4 * (2 * 288 * 6 + 4 * 2 * 4 * 6 * 3) / 1e6)
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
    assert two["prompts"] == pytest.approx(one["prompts"] / 2)
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
    assert found.seconds == pytest.approx(3 * sum(stage.seconds for stage in found.stages))
    assert found.trained_parameters == 388
    assert found.saving == pytest.approx(compute_saving(SMALL, prompt=6, new=2, samples=2))
    told = json.loads(json.dumps(found.describe()))
    assert told["peak_bytes"] == found.peak_bytes
    assert told["seconds_per_rollout"] == pytest.approx(found.seconds_per_rollout, rel=0.01)
    assert sum(part["bytes"] for part in told["memory"] if part["phase"] == "always") == 14 * 388
    assert told["assumptions"][0] == "a prompt has 6 tokens (the limit), a sample 2 (as expected), at most 5"


def test_the_length_of_a_sample_is_a_guess_within_its_limit() -> None:
    assert build_numbers(mean_new_tokens=None).expected_new == 5
    guess = build_numbers(mean_new_tokens=None, new_tokens=8192)
    assert guess.expected_new == DEFAULT_NEW_TOKENS
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
    return found, find_obstacle(found, machine) or "", find_risk(found, machine) or ""


def test_whole_weights_that_do_not_fit_are_refused() -> None:
    _, obstacle, risk = look(build_machine("NVIDIA GeForce RTX 4090"))
    assert obstacle == (
        "full fine-tuning of 7.6B parameters needs about 168 GB on one device, and NVIDIA GeForce RTX 4090 has "
        "24 GB; train adapters ([lora], or the preset's -lora form), take a smaller base, or a trainer that "
        "divides the weights over several machines"
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
    assert obstacle.startswith("the weights of 7.6B parameters with their adapters need about 32 GB")
    assert obstacle.endswith("or bf16")


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
        "vLLM needs 69 GB for the weights and one sample of 12,288 tokens, and rollout.gpu_memory = 0.4 gives it "
        "56 GB; raise it, or take a smaller base"
    )
    cpu = replace(ROUND, kind="cpu", memory_bytes=10**12)
    _, obstacle, _ = look(cpu, shape, lora_rank=32, engine="vllm", new_tokens=20_000)
    assert obstacle.startswith(
        "vLLM keeps 4.3 GB of keys and values on a CPU, and one sample of 24,096 tokens"
    )


# --- machines


def test_cards_are_known_by_part_of_their_name() -> None:
    assert build_machine("NVIDIA H200").bytes_per_second == 4.8e12
    assert build_machine("NVIDIA H100 80GB HBM3").flops_per_second == 989e12
    assert build_machine("NVIDIA H100 PCIe").flops_per_second == 756e12
    assert build_machine("NVIDIA A100-SXM4-40GB", memory_bytes=40 * 10**9).memory_bytes == 40 * 10**9
    other = build_machine("NVIDIA Odd", memory_bytes=10**10)
    assert other.flops_per_second == 362e12
    assert "unknown" in other.source
    with pytest.raises(ConfigError, match="'NVIDIA Odd' is not known here; expected one of H200, "):
        build_machine("NVIDIA Odd")


def see(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, memory: int | None = 10**10) -> None:
    machine = SimpleNamespace(gpus=gpus, memory_bytes=memory, num_cores=4)
    monkeypatch.setattr("rmr1.doctor.inspect_machine", lambda: machine)


def test_seeing_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    found = see_machine()
    assert (found.kind, found.num_devices, found.memory_bytes) == ("cpu", 1, 10**10)
    assert found.flops_per_second == 6e11
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert see_machine("cpu").memory_bytes == 5 * 10**9
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        see_machine("cuda")
    see(monkeypatch, memory=None)
    with pytest.raises(ConfigError, match="how much memory"):
        see_machine()


def test_seeing_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    see(
        monkeypatch,
        Gpu(name="NVIDIA H200", total_bytes=150, free_bytes=100),
        Gpu(name="NVIDIA H200", total_bytes=140, free_bytes=100),
    )
    monkeypatch.setenv("WORLD_SIZE", "x")
    found = see_machine()
    assert (found.kind, found.name, found.num_devices, found.memory_bytes) == ("cuda", "NVIDIA H200", 1, 140)
    assert see_machine("cuda", processes=2).num_devices == 2
    assert see_machine("cpu").kind == "cpu"


@pytest.mark.parametrize(
    ("preset", "obstacle"),
    [
        ("rm-r1-deepseek-7b", "full fine-tuning of 7.6B parameters needs"),
        ("rm-r1-deepseek-7b-lora", ""),
        ("rm-r1-deepseek-14b-lora", ""),
        ("rm-r1-deepseek-32b-lora", "vLLM needs 69 GB"),
    ],
)
def test_which_presets_one_large_gpu_can_run(preset: str, obstacle: str) -> None:
    recipe = GrpoRecipe.from_values({"preset": preset, "data": {"train": "pairs.jsonl"}}, "recipe.toml")
    assert recipe.model.base is not None
    machine = build_machine("NVIDIA H200")
    found = find_obstacle(estimate_run(PUBLISHED[recipe.model.base], count_numbers(recipe), machine), machine)
    assert (found or "").startswith(obstacle) and bool(found) == bool(obstacle)
