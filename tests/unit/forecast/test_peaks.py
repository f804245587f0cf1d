"""The estimated peak of a training, against what torch's allocator hands out to models that it was not fitted to."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from rmr1.forecast.numbers import RunNumbers  # noqa: E402
from tests.unit.forecast.peaks import build_numbers, compare, compare_divided, describe  # noqa: E402

CASES = [
    ("Llama", build_numbers(precision="fp32")),
    ("Llama", build_numbers(precision="bf16", lora_rank=8, checkpointing=True)),
    ("Qwen3", build_numbers(precision="bf16", checkpointing=True)),
    ("Qwen3", build_numbers(groups=True, precision="fp32", checkpointing=True)),
    ("Gemma3", build_numbers(precision="bf16")),
    ("Gemma3", build_numbers(groups=True, precision="bf16", lora_rank=8)),
]


@pytest.mark.parametrize(("name", "numbers"), CASES, ids=[describe(*one) for one in CASES])
def test_the_peak_is_within_15_percent(name: str, numbers: RunNumbers) -> None:
    measured, estimated = compare(name, numbers)
    assert abs(estimated / measured - 1) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [build_numbers(precision="bf16"), build_numbers(lora_rank=8)])
def test_the_peak_of_two_processes_is_within_15_percent(numbers: RunNumbers) -> None:
    measured, estimated = compare_divided("Llama", numbers, 2)
    assert abs(estimated / measured - 1) < 0.15
