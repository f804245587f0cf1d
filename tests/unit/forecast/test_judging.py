"""The time of judging, against hand-worked numbers."""

from __future__ import annotations

import math

import pytest

from rmr1.forecast.batching import Batching
from rmr1.forecast.machine import Machine
from rmr1.forecast.shape import ModelShape
from rmr1.forecast.time import BatchForecast, Decoder, FlowForecast, compute_stretch

SHAPE = ModelShape(
    layers=2,
    hidden=2,
    heads=2,
    kv_heads=1,
    head_dim=4,
    intermediate=1,
    vocabulary=100,
    counted=(1400, 1000),
)
MEASURED = Machine(
    name="cpu",
    kind="cpu",
    memory_bytes=10**9,
    flops_per_second=1e6,
    fp32_flops_per_second=1e6,
    bytes_per_second=1e5,
    flops_share=0.5,
    bandwidth_share=1.0,
    call_seconds=1e-4,
)
MODEL = Decoder(shape=SHAPE, machine=MEASURED, weight_bytes=4, cache_bytes=1)
START = 2 * 80 * 1e-4
"""Two layers of 80 calls."""


def prompts(number: int, longest: float) -> float:
    return MODEL.compute_pass(MODEL.count_prompt_flops(num_prompts=number, longest=longest)) + START


def step(rows: float, context: float) -> float:
    return MODEL.compute_step(rows=rows, context=context) + START + rows * 0.0002


def test_a_pass_takes_its_arithmetic_or_its_memory() -> None:
    # 2 * 1000 * 30 for the body, 2 * 200 * 3 for the head, 2 * 2 * 8 * 10 * 30 for attention.
    assert MODEL.count_prompt_flops(num_prompts=3, longest=10) == 70_800
    # Half of the matrix speed is reached: 70,800 / 500,000.
    assert prompts(3, 10) == pytest.approx(0.1416 + 0.016)
    # 35,200 operations take 0.0704 s, but 4,800 bytes of weights and 4 * 100 * 16 of cache take 0.112 s.
    assert MODEL.compute_step(rows=4, context=100) == pytest.approx(0.112)


def test_the_longest_of_many_texts() -> None:
    assert compute_stretch(1) == 1.0
    assert compute_stretch(16) == pytest.approx(1.924, abs=1e-3)
    assert compute_stretch(64) == pytest.approx(2.386, abs=1e-3)


def test_batches_are_those_of_the_engine_and_last_as_long_as_their_longest_text() -> None:
    forecast = BatchForecast(
        decoder=MODEL,
        batching=Batching(batch_size=2, max_batch_tokens=1000, max_prefill_tokens=1000),
        num_samples=1,
        expected_tokens=3,
    )
    tokens = [(50 - index, 5) for index in range(7)] + [(7, 2), (6, 2)]
    for size in tokens:
        forecast.add(*size)
    # A window of four batches of two rows, the longest first; then the ninth prompt comes alone.
    stretched, last = 3 * (1 + math.log(2) / 3), 2 * (1 + math.log(2) / 3)
    expected = sum(
        prompts(2, longest) + stretched * step(6 / stretched, longest + stretched / 2)
        for longest in (50, 48, 46)
    )
    # The fourth batch holds (44, 5) and (7, 2): two and a half tokens on average.
    mixed = 2.5 * (1 + math.log(2) / 3)
    expected += prompts(2, 44) + mixed * step(5 / mixed, 44 + mixed / 2)
    expected += prompts(1, 6) + 2 * step(1, 6 + 1)
    assert last > 2
    assert forecast.seconds() == pytest.approx(expected)
    # The first batch is the fullest: keys and values of its two rows at their end, a fourth more, and its prompts' pass.
    held = 1.25 * 2 * (50 + stretched) * 16 + 2 * 50 * (2 * 2 + 3 * 1)
    assert forecast.cache_bytes == pytest.approx(held)


def test_a_scalar_model_only_reads() -> None:
    forecast = BatchForecast(
        decoder=MODEL,
        batching=Batching(batch_size=2, max_batch_tokens=50, max_prefill_tokens=50),
        num_samples=1,
        expected_tokens=0,
    )
    for tokens in (30, 20, 10):
        forecast.add(tokens, 0)
    # 30 and 20 do not fit into 50 tokens when both are padded to 30.
    assert forecast.seconds() == pytest.approx(prompts(1, 30) + prompts(2, 20))
    assert forecast.cache_bytes == 2 * 20 * (2 * 2 + 3 * 1)


def test_a_flow_keeps_as_many_rows_as_fit() -> None:
    def forecast(room: float) -> FlowForecast:
        return FlowForecast(decoder=MODEL, num_samples=2, expected_tokens=10, cache_bytes=room, max_rows=3)

    wide, narrow = forecast(1e9), forecast(16 * 50)
    for one in (wide, narrow):
        assert one.seconds() == 0.0
        one.add(20, 100)
        one.add(20, 4)
    # Two texts of 10 tokens and two of 4, at a mean context of (25 + 22) / 2; room for 50 tokens holds two rows of it.
    reading = 2 * MODEL.count_prompt_flops(num_prompts=1, longest=20) / 0.5e6
    for one, rows in ((wide, 3), (narrow, 2)):
        step = MODEL.compute_step(rows=rows, context=23.5) + 0.003
        assert one.seconds() == pytest.approx(reading + step * 28 / rows)
