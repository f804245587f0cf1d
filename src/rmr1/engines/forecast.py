"""How long an engine would take over prompts of known length: told one prompt at a time, holds few.

Texts are taken to have an expected length, and a batch to last until its longest one ends. `BatchForecast`
forms the batches that the transformers engine, or a scalar model, would form of the same prompts in the same
sequence; `FlowForecast` keeps as many rows going as a continuously batching engine (vLLM) has room for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from rmr1.engines import scorer, transformers
from rmr1.engines.devices import free_memory, of_device
from rmr1.engines.speed import (
    MachineSpeed,
    ModelShape,
    compute_flops_seconds,
    compute_prefill_seconds,
    compute_step_seconds,
    count_prefill_flops,
)

_VLLM_ROWS = 256
_VLLM_MEMORY_SHARE = 0.9
_VLLM_CPU_CACHE_GB = 4.0
"""What vLLM does where its options do not say otherwise."""
_BYTES_PER_GB = 1 << 30


class Forecast(Protocol):
    """Adds up the time that prompts would take."""

    def add(self, num_tokens: int, most_new: int) -> None:
        """One prompt, and the most tokens that each of its texts may have."""
        ...

    def seconds(self) -> float:
        """The time of all prompts so far; nothing can be added afterwards."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How an engine that computes batch after batch forms them."""

    batch_size: int
    max_batch_tokens: int
    max_prefill_tokens: int
    window: int
    """Requests that are read ahead and sorted."""


def read_batching(shape: ModelShape, device: torch.device, options: Mapping[str, Any]) -> Batching:
    """What the transformers engine's options come to on this device; its weights are not there yet."""
    batch_size = options["batch_size"] or transformers._BATCH_SIZE
    budget = transformers._CPU_BATCH_TOKENS
    if (free := free_memory(device)) is not None:
        budget = max(
            1, int((free - shape.weight_bytes) * transformers._CACHE_SHARE) // shape.cache_bytes_per_token
        )
    return Batching(
        batch_size=batch_size,
        max_batch_tokens=options["max_batch_tokens"] or budget,
        max_prefill_tokens=of_device(transformers._PREFILL_TOKENS, device),
        window=batch_size * transformers._WINDOW_BATCHES,
    )


def read_scoring(device: torch.device, options: Mapping[str, Any]) -> Batching:
    """What a scalar model's options come to on this device."""
    batch_size = options["batch_size"] or of_device(scorer._BATCH_SIZE, device)
    tokens = options["max_batch_tokens"] or of_device(scorer._BATCH_TOKENS, device)
    return Batching(
        batch_size=batch_size,
        max_batch_tokens=tokens,
        max_prefill_tokens=tokens,
        window=batch_size * scorer._WINDOW_BATCHES,
    )


def compute_stretch(rows: int) -> float:
    """How much longer than the mean the longest of `rows` texts is.

    Lengths that are log-normal with a standard deviation of 0.4 give 1.9 for 16 rows and 2.4 for 64.
    """
    return 1.0 + math.log(rows) / 3


@dataclass(slots=True, kw_only=True)
class BatchForecast:
    """The transformers engine: batch after batch, each as long as its longest text. A scalar model's texts have none."""

    shape: ModelShape
    speed: MachineSpeed
    batching: Batching
    num_samples: int
    expected_tokens: float
    _seconds: float = 0.0
    _window: list[tuple[int, int]] = field(default_factory=list)

    def add(self, num_tokens: int, most_new: int) -> None:
        self._window.append((num_tokens, most_new))
        if len(self._window) == self.batching.window:
            self._run_window()

    def seconds(self) -> float:
        self._run_window()
        return self._seconds

    def _run_window(self) -> None:
        sizes = sorted(self._window, reverse=True)
        self._window.clear()
        for batch in transformers.plan_batches(
            sizes,
            num_samples=self.num_samples,
            batch_size=self.batching.batch_size,
            max_batch_tokens=self.batching.max_batch_tokens,
            max_prefill_tokens=self.batching.max_prefill_tokens,
        ):
            longest = max(sizes[index][0] for index in batch)
            mean = sum(min(self.expected_tokens, sizes[index][1]) for index in batch) / len(batch)
            rows = len(batch) * self.num_samples
            steps = min(mean * compute_stretch(rows), max(sizes[index][1] for index in batch))
            self._seconds += compute_prefill_seconds(
                self.shape, self.speed, num_prompts=len(batch), longest=longest
            )
            if steps:
                # Rows that are finished leave the batch.
                self._seconds += steps * compute_step_seconds(
                    self.shape, self.speed, rows=rows * mean / steps, context=longest + steps / 2
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How much vLLM computes at a time."""

    max_rows: int
    cache_tokens: float
    """Tokens for whose keys and values there is room."""


def read_flow(shape: ModelShape, device: torch.device, options: Mapping[str, Any]) -> Flow:
    """What the vLLM engine's options come to on this device, or on several of its kind."""
    if options["kv_cache_gb"] is not None:
        room = options["kv_cache_gb"] * _BYTES_PER_GB
    elif device.type == "cuda":
        share = options["gpu_memory_utilization"] or _VLLM_MEMORY_SHARE
        count = options["tensor_parallel_size"]
        room = count * share * torch.cuda.mem_get_info(device)[1] - shape.weight_bytes
    else:
        room = _VLLM_CPU_CACHE_GB * _BYTES_PER_GB
    return Flow(
        max_rows=options["max_num_seqs"] or _VLLM_ROWS,
        cache_tokens=max(1.0, room) / shape.cache_bytes_per_token,
    )


@dataclass(slots=True, kw_only=True)
class FlowForecast:
    """vLLM: a row that ends makes room for the next one. The prefix cache's savings are left out."""

    shape: ModelShape
    speed: MachineSpeed
    flow: Flow
    num_samples: int
    expected_tokens: float
    _flops: float = 0.0
    _rows: int = 0
    _context: float = 0.0
    _new: float = 0.0

    def add(self, num_tokens: int, most_new: int) -> None:
        new = min(self.expected_tokens, most_new)
        self._flops += count_prefill_flops(self.shape, num_prompts=1, longest=num_tokens)
        self._rows += self.num_samples
        self._context += self.num_samples * (num_tokens + new / 2)
        self._new += self.num_samples * new

    def seconds(self) -> float:
        if not self._rows:
            return 0.0
        context = self._context / self._rows
        rows = min(self.flow.max_rows, self._rows, max(1.0, self.flow.cache_tokens / max(1.0, context)))
        step = compute_step_seconds(self.shape, self.speed, rows=rows, context=context)
        # Prompts are computed beside the rows that are being written, so only their arithmetic counts.
        return compute_flops_seconds(self.speed, self._flops) + step * self._new / rows
