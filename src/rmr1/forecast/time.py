"""Time of decoding and of judging on a machine. Pure.

A step of decoding takes the longer of its arithmetic and its reading of memory, and what starting its operations takes.
Texts are taken to have an expected length, and a batch to last until its longest one ends. Figures are right in their
order of magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from rmr1.forecast.batching import Batching, plan_batches
from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import count_cache_bytes, count_pass_bytes
from rmr1.forecast.shape import ModelShape, count_attention_flops, count_group_flops

CALLS_PER_LAYER = 80
"""What starting a layer's operations takes from Python, in calls of a small linear layer; counted with
transformers' Qwen2 on a CPU (0.7 ms a layer, 8 us a call)."""
VLLM_ROWS = 256
"""Samples that vLLM decodes together, unless its options say otherwise."""

_ROW_SECONDS = 0.0002
"""Seconds per token of each row: sampling it, turning it into text and looking for the verdict."""
_VLLM_STEP_SECONDS = 0.003
"""Seconds in which vLLM starts a step of all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A model as an engine holds it, on one device."""

    shape: ModelShape
    machine: Machine
    weight_bytes: float
    """Bytes of one weight."""
    cache_bytes: float
    """Bytes of one number of keys and values."""
    is_fp32: bool = False

    def count_prompt_flops(self, *, num_prompts: int, longest: float) -> float:
        """One pass over prompts that are padded to `longest` tokens."""
        one = count_group_flops(self.shape, prompt=longest, new=0, samples=0).body
        return num_prompts * (one + 2 * self.shape.head_parameters)

    def compute_pass(self, flops: float, tokens: float = 0) -> float:
        """Seconds of a pass that reads the weights, and the keys and values of so many tokens."""
        matrices = self.shape.layer_parameters + self.shape.head_parameters
        num_bytes = self.weight_bytes * matrices + tokens * self.cache_bytes * self.shape.cache_width
        return self.machine.compute_seconds(flops, num_bytes, is_fp32=self.is_fp32)

    def compute_step(self, *, rows: float, context: float) -> float:
        """Seconds of one token for each of `rows` rows of `context` tokens; starting the operations is left out."""
        matrices = self.shape.layer_parameters + self.shape.head_parameters
        flops = rows * (2 * matrices + count_attention_flops(self.shape, context))
        return self.compute_pass(flops, rows * context)

    def compute_batch(
        self, *, num_prompts: int, longest: float, samples: int, mean_new: float, most_new: float
    ) -> tuple[float, float]:
        """Seconds of the prompts and of the texts of one batch of transformers."""
        start = self.shape.layers * CALLS_PER_LAYER * self.machine.call_seconds
        flops = self.count_prompt_flops(num_prompts=num_prompts, longest=longest)
        prompts, rows = self.compute_pass(flops) + start, num_prompts * samples
        steps = min(mean_new * compute_stretch(rows), most_new)
        if not steps:
            return prompts, 0.0
        alive = rows * mean_new / steps  # rows that are finished leave the batch
        step = self.compute_step(rows=alive, context=longest + steps / 2) + start + alive * _ROW_SECONDS
        return prompts, steps * step

    def compute_flow(
        self, *, rows: int, context: float, new: float, room: float, most: int = VLLM_ROWS
    ) -> float:
        """Seconds in which vLLM writes `new` tokens in all, into `rows` rows of `context` tokens on average; `room`
        bytes of keys and values, and `most`, bound the rows that go on together."""
        fitting = int(room / (max(1.0, context) * self.cache_bytes * self.shape.cache_width))
        together = max(1, min(most, rows, fitting))
        return (self.compute_step(rows=together, context=context) + _VLLM_STEP_SECONDS) * new / together

    def list_assumptions(self, dtype: str, *, is_flow: bool) -> Iterator[str]:
        """A sentence on the machine and one on the model, which vLLM holds if `is_flow`."""
        machine, start = self.machine, f"a step of all rows takes {CALLS_PER_LAYER} small calls a layer"
        if is_flow:
            start = f"vLLM takes {1000 * _VLLM_STEP_SECONDS:g} ms to start a step"
        yield (
            f"{machine.name}, speeds {machine.source} in {dtype.removeprefix('torch.')}: matrix product "
            f"{machine.get_flops(is_fp32=self.is_fp32) / 1e9:,.0f} GFLOP/s, memory "
            f"{machine.bytes_per_second / 1e9:,.1f} GB/s, small call {machine.call_seconds * 1e6:,.1f} us"
        )
        yield (
            f"the model, {self.shape.parameters() / 1e6:,.1f}M parameters, reaches {machine.flops_share:.0%} of that "
            f"matrix speed, and {start}; loading it is left out"
        )


def compute_stretch(rows: int) -> float:
    """How much longer than the mean the longest of `rows` texts is.

    Lengths that are log-normal with a standard deviation of 0.4 give 1.9 for 16 rows and 2.4 for 64.
    """
    return 1.0 + math.log(rows) / 3


@dataclass(slots=True, kw_only=True)
class BatchForecast:
    """Transformers and scalar models, told one prompt at a time: the batches that the engine would form, each as
    long as its longest text."""

    decoder: Decoder
    batching: Batching
    num_samples: int
    expected_tokens: float
    cache_bytes: float = 0.0
    """Bytes of the fullest batch: keys and values, and the pass over its prompts."""
    _seconds: float = 0.0
    _window: list[tuple[int, int]] = field(default_factory=list)

    def add(self, num_tokens: int, most_new: int) -> None:
        """One prompt, and the most tokens that each of its texts may have."""
        self._window.append((num_tokens, most_new))
        if len(self._window) == self.batching.window:
            self._run_window()

    def seconds(self) -> float:
        """Seconds of all prompts so far; nothing can be added afterwards."""
        self._run_window()
        return self._seconds

    def _run_window(self) -> None:
        sizes, samples, decoder = sorted(self._window, reverse=True), self.num_samples, self.decoder
        self._window.clear()
        for batch in plan_batches(sizes, self.batching, num_samples=samples):
            longest, most = sizes[batch[0]][0], max(sizes[index][1] for index in batch)
            mean = sum(min(self.expected_tokens, sizes[index][1]) for index in batch) / len(batch)
            both = decoder.compute_batch(
                num_prompts=len(batch), longest=longest, samples=samples, mean_new=mean, most_new=most
            )
            self._seconds += sum(both)
            inner = decoder.cache_bytes
            held = len(batch) * longest * count_pass_bytes(decoder.shape, inner, inner)
            if most:
                end = longest + min(most, mean * compute_stretch(len(batch) * samples))
                held += count_cache_bytes(decoder.shape, len(batch) * samples * end, inner)
            self.cache_bytes = max(self.cache_bytes, held)


@dataclass(slots=True, kw_only=True)
class FlowForecast:
    """vLLM, told one prompt at a time. The prefix cache's savings are left out."""

    decoder: Decoder
    num_samples: int
    expected_tokens: float
    cache_bytes: float
    """Room for keys and values."""
    max_rows: int = VLLM_ROWS
    _flops: float = 0.0
    _rows: int = 0
    _context: float = 0.0
    _new: float = 0.0

    def add(self, num_tokens: int, most_new: int) -> None:
        """Count a prompt, like `BatchForecast.add`."""
        new = min(self.expected_tokens, most_new)
        self._flops += self.decoder.count_prompt_flops(num_prompts=1, longest=num_tokens)
        self._rows += self.num_samples
        self._context += self.num_samples * (num_tokens + new / 2)
        self._new += self.num_samples * new

    def seconds(self) -> float:
        """Seconds of all prompts so far."""
        if not self._rows:
            return 0.0
        context = self._context / self._rows
        # Prompts are computed beside the rows that are being written, so only their arithmetic counts.
        prompts = self.decoder.machine.compute_seconds(self._flops, is_fp32=self.decoder.is_fp32)
        return prompts + self.decoder.compute_flow(
            rows=self._rows, context=context, new=self._new, room=self.cache_bytes, most=self.max_rows
        )
