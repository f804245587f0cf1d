"""The time model against hand-worked numbers, and a model's shape against its definition."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from rmr1.engines.hf.outline import measure_shape  # noqa: E402
from rmr1.forecast.batches import (  # noqa: E402
    BatchForecast,
    Batching,
    Flow,
    FlowForecast,
    compute_stretch,
)
from rmr1.forecast.speed import (  # noqa: E402
    MachineSpeed,
    ModelShape,
    compute_flops_seconds,
    compute_prefill_seconds,
    compute_step_seconds,
    count_prefill_flops,
    measure_speed,
)
from tests.tiny_models import build_model  # noqa: E402

SHAPE = ModelShape(
    num_parameters=1400,
    body_parameters=1000,
    head_parameters=200,
    num_layers=2,
    attention_size=8,
    weight_bytes=4800,
    cache_bytes_per_token=16,
)
SPEED = MachineSpeed(
    device="cpu", dtype="float32", flops_per_second=1e6, bytes_per_second=1e5, call_seconds=1e-4
)


def test_a_pass_takes_its_arithmetic_or_its_memory_and_its_calls() -> None:
    # 2 * 1000 * 30 for the body, 2 * 200 * 3 for the head, 2 * 2 * 8 * 10 * 30 for attention.
    assert count_prefill_flops(SHAPE, num_prompts=3, longest=10) == 70_800
    # Half of the matrix speed is reached: 70,800 / 500,000; and 2 layers of 80 calls.
    assert compute_flops_seconds(SPEED, 500_000) == 1.0
    assert compute_prefill_seconds(SHAPE, SPEED, num_prompts=3, longest=10) == pytest.approx(0.1416 + 0.016)
    # 35,200 operations take 0.0704 s, but 4,800 bytes of weights and 4 * 100 * 16 of cache take 0.112 s.
    step = compute_step_seconds(SHAPE, SPEED, rows=4, context=100)
    assert step == pytest.approx(0.112 + 0.016 + 4 * 0.0002)


def test_the_longest_of_many_texts() -> None:
    assert compute_stretch(1) == 1.0
    assert compute_stretch(16) == pytest.approx(1.924, abs=1e-3)
    assert compute_stretch(64) == pytest.approx(2.386, abs=1e-3)


def test_batches_are_those_of_the_engine_and_last_as_long_as_their_longest_text() -> None:
    forecast = BatchForecast(
        shape=SHAPE,
        speed=SPEED,
        batching=Batching(batch_size=2, max_batch_tokens=1000, max_prefill_tokens=1000, window=3),
        num_samples=1,
        expected_tokens=3,
    )
    for tokens, most_new in ((10, 5), (30, 5), (20, 5), (7, 2)):
        forecast.add(tokens, most_new)
    # A window of three gives the batches (30, 20) and (10); then (7) comes alone, with room for two tokens.
    prefill = [
        compute_prefill_seconds(SHAPE, SPEED, num_prompts=n, longest=t) for n, t in ((2, 30), (1, 10), (1, 7))
    ]
    stretched = 3 * (1 + math.log(2) / 3)
    decode = [
        stretched * compute_step_seconds(SHAPE, SPEED, rows=6 / stretched, context=30 + stretched / 2),
        3 * compute_step_seconds(SHAPE, SPEED, rows=1, context=10 + 1.5),
        2 * compute_step_seconds(SHAPE, SPEED, rows=1, context=7 + 1),
    ]
    assert forecast.seconds() == pytest.approx(sum(prefill) + sum(decode))


def test_a_scalar_model_only_reads() -> None:
    forecast = BatchForecast(
        shape=SHAPE,
        speed=SPEED,
        batching=Batching(batch_size=2, max_batch_tokens=50, max_prefill_tokens=50, window=8),
        num_samples=1,
        expected_tokens=0,
    )
    for tokens in (30, 20, 10):
        forecast.add(tokens, 0)
    # 30 and 20 do not fit into 50 tokens when both are padded to 30.
    expected = compute_prefill_seconds(SHAPE, SPEED, num_prompts=1, longest=30)
    expected += compute_prefill_seconds(SHAPE, SPEED, num_prompts=2, longest=20)
    assert forecast.seconds() == pytest.approx(expected)


def test_a_flow_keeps_as_many_rows_as_fit() -> None:
    def forecast(flow: Flow) -> FlowForecast:
        return FlowForecast(shape=SHAPE, speed=SPEED, flow=flow, num_samples=2, expected_tokens=10)

    wide, narrow = forecast(Flow(max_rows=3, cache_tokens=1e6)), forecast(Flow(max_rows=3, cache_tokens=50))
    for one in (wide, narrow):
        assert one.seconds() == 0.0
        one.add(20, 100)
        one.add(20, 4)
    # Two texts of 10 tokens and two of 4, at a mean context of (25 + 22) / 2.
    prefill = 2 * compute_flops_seconds(SPEED, count_prefill_flops(SHAPE, num_prompts=1, longest=20))
    step = compute_step_seconds(SHAPE, SPEED, rows=3, context=23.5)
    assert wide.seconds() == pytest.approx(prefill + step * 28 / 3)
    rows = 50 / 23.5
    step = compute_step_seconds(SHAPE, SPEED, rows=rows, context=23.5)
    assert narrow.seconds() == pytest.approx(prefill + step * 28 / rows)


def test_a_shape_is_read_without_weights() -> None:
    with torch.device("meta"):
        model = build_model()
    # A layer: 1056 + 528 + 528 + 1024 in attention, 3 * 32 * 64 in the feed-forward part, 64 in two norms.
    body = 2 * (1056 + 528 + 528 + 1024 + 6144 + 64) + 32
    assert measure_shape(model, torch.bfloat16) == ModelShape(
        num_parameters=body + 2 * 512 * 32,
        body_parameters=body,
        head_parameters=512 * 32,
        num_layers=2,
        attention_size=32,
        weight_bytes=2 * (body + 512 * 32),
        cache_bytes_per_token=2 * 2 * 2 * 8 * 2,
    )


def test_shared_embeddings_are_counted_once_and_experts_in_part() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    with torch.device("meta"):
        tied = measure_shape(build_model(tie_word_embeddings=True), torch.float32)
        config = MixtralConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=8,
            num_experts_per_tok=2,
        )
        mixed = measure_shape(MixtralForCausalLM(config), torch.float32)
    assert tied.num_parameters == tied.body_parameters + 512 * 32
    experts = 8 * 3 * 32 * 48
    others = mixed.num_parameters - experts - 2 * 64 * 32
    assert mixed.body_parameters == others + experts // 4


def test_a_machine_is_measured() -> None:
    speed = measure_speed(torch.device("cpu"), torch.float32)
    assert (speed.device, speed.dtype) == ("cpu", "float32")
    assert 1e6 < speed.flops_per_second < 1e16 and 1e6 < speed.bytes_per_second < 1e15
    assert 0 < speed.call_seconds < 0.1
