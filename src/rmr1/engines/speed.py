"""How long a model takes on a machine: its shape and three measured numbers in, seconds out.

A pass takes the longer of its arithmetic and its reading of memory (the roofline model: Williams,
Waterman and Patterson, 2009), and beside that the time to start its operations, which is what small models
and single rows wait for. The result is right in its order of magnitude, not in its digits: kernels, caches
and other programs are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MATMUL_SHARE = 0.5
"""Share of the measured matrix speed that a whole model reaches."""
CALLS_PER_LAYER = 80
"""What starting a layer's operations takes from Python, in calls of a small linear layer. Counted with
transformers' Qwen2 on a CPU (0.7 ms a layer, 8 us a call); on a GPU it is the same Python that waits."""
ROW_SECONDS = 0.0002
"""The time of each token of each row: sampling it, turning it into text and looking for the verdict."""

_SIZE = {"cpu": 384, "gpu": 4096}
"""Side of the matrices that are multiplied: small enough for formats that a CPU has no fast way for."""
_COPY_BYTES = {"cpu": 1 << 27, "gpu": 1 << 29}
"""Larger than what caches hold."""
_SMALL = 64
_SMALL_CALLS = 100
_MEASURE_SECONDS = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What decides a model's speed."""

    num_parameters: int
    """All of them."""
    body_parameters: int
    """Those that every token is multiplied by, embeddings and output layer left out; of experts only
    as many as a token is sent to."""
    head_parameters: int
    """Those of the output layer, computed at one place of a text at a time."""
    num_layers: int
    attention_size: int
    """Query heads times their size."""
    weight_bytes: int
    """Read from memory by every pass."""
    cache_bytes_per_token: int
    """Keys and values of one token of one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpeed:
    """What was measured."""

    device: str
    dtype: str
    flops_per_second: float
    """The rate of a matrix multiplication in that number format."""
    bytes_per_second: float
    """Read and written by a large copy."""
    call_seconds: float
    """The time of a linear layer with next to nothing to compute."""


def measure_speed(device: torch.device, dtype: torch.dtype) -> MachineSpeed:
    """Measure a device for about half a second."""
    import torch

    from rmr1.engines.devices import of_device, wait_for

    size = of_device(_SIZE, device)
    left, right = (torch.ones((size, size), device=device, dtype=dtype) for _ in range(2))
    source = torch.ones(of_device(_COPY_BYTES, device), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    linear = torch.nn.Linear(_SMALL, _SMALL, device=device, dtype=dtype)
    small = torch.ones((1, _SMALL), device=device, dtype=dtype)

    def wait() -> None:
        wait_for(device)

    def call_small() -> None:
        for _ in range(_SMALL_CALLS):
            linear(small)

    with torch.inference_mode():
        matmul = _time_best(lambda: torch.matmul(left, right), wait)
        copy = _time_best(lambda: target.copy_(source), wait)
        call = _time_best(call_small, wait) / _SMALL_CALLS
    return MachineSpeed(
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        flops_per_second=2 * size**3 / matmul,
        bytes_per_second=2 * source.numel() / copy,
        call_seconds=call,
    )


def count_prefill_flops(shape: ModelShape, *, num_prompts: int, longest: int) -> float:
    """Floating-point operations of one pass over `num_prompts` prompts, padded to `longest` tokens."""
    tokens = num_prompts * longest
    flops = 2 * shape.body_parameters * tokens + 2 * shape.head_parameters * num_prompts
    # Causal attention: queries times keys and weights times values, each over half of the square.
    return flops + 2 * shape.num_layers * shape.attention_size * longest * tokens


def compute_flops_seconds(speed: MachineSpeed, flops: float) -> float:
    """Seconds of so many operations in large matrices."""
    return flops / (MATMUL_SHARE * speed.flops_per_second)


def compute_prefill_seconds(
    shape: ModelShape, speed: MachineSpeed, *, num_prompts: int, longest: int
) -> float:
    """One pass over `num_prompts` prompts, padded to `longest` tokens."""
    flops = count_prefill_flops(shape, num_prompts=num_prompts, longest=longest)
    return _compute_pass(shape, speed, flops=flops, num_bytes=shape.weight_bytes)


def compute_step_seconds(shape: ModelShape, speed: MachineSpeed, *, rows: float, context: float) -> float:
    """One token for each of `rows` rows of `context` tokens."""
    flops = 2 * rows * (shape.body_parameters + shape.head_parameters)
    flops += 4 * rows * shape.num_layers * shape.attention_size * context
    num_bytes = shape.weight_bytes + rows * context * shape.cache_bytes_per_token
    return _compute_pass(shape, speed, flops=flops, num_bytes=num_bytes) + rows * ROW_SECONDS


def _compute_pass(shape: ModelShape, speed: MachineSpeed, *, flops: float, num_bytes: float) -> float:
    overhead = shape.num_layers * CALLS_PER_LAYER * speed.call_seconds
    return max(compute_flops_seconds(speed, flops), num_bytes / speed.bytes_per_second) + overhead


def _time_best(work: Callable[[], object], wait: Callable[[], None]) -> float:
    """Seconds of the fastest of several calls, after one that warms up."""
    work()
    wait()
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < _MEASURE_SECONDS:
        before = time.perf_counter()
        work()
        wait()
        best = min(best, time.perf_counter() - before)
    return best
