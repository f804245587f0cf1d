"""Time of judging and of training on a machine, and whether it has room for a training. Pure.

A step of decoding is the same for both: the longer of its arithmetic and its reading of memory, and beside that what
starting its operations takes. Texts are taken to have an expected length, and a batch to last until its longest one
ends. Every figure is right in its order of magnitude, and carries the sentences that say what was assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rmr1.forecast.batching import Batching, plan_batches
from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import (
    MEMORY_SHARE,
    PHASES,
    VLLM_CPU_CACHE,
    Part,
    Phase,
    RunNumbers,
    count_batch,
    count_cache_bytes,
    count_pass_bytes,
    count_trained,
    count_vllm_cache,
    format_gb,
    list_parts,
    share_out,
    sum_bytes,
)
from rmr1.forecast.shape import ModelShape, compute_saving, count_attention_flops, count_group_flops

CALLS_PER_LAYER = 80
"""What starting a layer's operations takes from Python, in calls of a small linear layer. Counted with
transformers' Qwen2 on a CPU (0.7 ms a layer, 8 us a call); on a GPU it is the same Python that waits."""
VLLM_ROWS = 256
"""Samples that vLLM decodes together, unless its options say otherwise."""
VLLM_STEP_SECONDS = 0.003
"""In which vLLM starts a step of all rows."""

_ROW_SECONDS = 0.0002
"""Of each token of each row: sampling it, turning it into text and looking for the verdict."""
_STEP_TRAFFIC = 28
"""Bytes that a step of the optimizer reads and writes of a trained number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A model as an engine holds it, on one device."""

    shape: ModelShape
    machine: Machine
    weight_bytes: float
    """Of one weight."""
    cache_bytes: float
    """Of one number of keys and values."""
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
        """Seconds in which vLLM writes `new` tokens in all, into `rows` rows of `context` tokens on average, of which
        `room` bytes of keys and values and `most` let some go on together: a row that ends makes room for the next."""
        fitting = int(room / (max(1.0, context) * self.cache_bytes * self.shape.cache_width))
        together = max(1, min(most, rows, fitting))
        return (self.compute_step(rows=together, context=context) + VLLM_STEP_SECONDS) * new / together


def compute_stretch(rows: int) -> float:
    """How much longer than the mean the longest of `rows` texts is.

    Lengths that are log-normal with a standard deviation of 0.4 give 1.9 for 16 rows and 2.4 for 64.
    """
    return 1.0 + math.log(rows) / 3


# --- judging


@dataclass(slots=True, kw_only=True)
class BatchForecast:
    """Transformers and scalar models, told one prompt at a time: the batches that the engine would form of the same
    prompts in the same sequence, each as long as its longest text. A scalar model's texts have none."""

    decoder: Decoder
    batching: Batching
    num_samples: int
    expected_tokens: float
    cache_bytes: float = 0.0
    """Of the fullest batch: keys and values, and the pass over its prompts."""
    _seconds: float = 0.0
    _window: list[tuple[int, int]] = field(default_factory=list)

    def add(self, num_tokens: int, most_new: int) -> None:
        """One prompt, and the most tokens that each of its texts may have."""
        self._window.append((num_tokens, most_new))
        if len(self._window) == self.batching.window:
            self._run_window()

    def seconds(self) -> float:
        """Of all prompts so far; nothing can be added afterwards."""
        self._run_window()
        return self._seconds

    def _run_window(self) -> None:
        sizes, samples, decoder = sorted(self._window, reverse=True), self.num_samples, self.decoder
        self._window.clear()
        for batch in plan_batches(sizes, self.batching, num_samples=samples):
            longest, most = sizes[batch[0]][0], max(sizes[index][1] for index in batch)
            mean = sum(min(self.expected_tokens, sizes[index][1]) for index in batch) / len(batch)
            self._seconds += sum(
                decoder.compute_batch(
                    num_prompts=len(batch), longest=longest, samples=samples, mean_new=mean, most_new=most
                )
            )
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
        """As `BatchForecast.add`."""
        new = min(self.expected_tokens, most_new)
        self._flops += self.decoder.count_prompt_flops(num_prompts=1, longest=num_tokens)
        self._rows += self.num_samples
        self._context += self.num_samples * (num_tokens + new / 2)
        self._new += self.num_samples * new

    def seconds(self) -> float:
        """Of all prompts so far."""
        if not self._rows:
            return 0.0
        context = self._context / self._rows
        # Prompts are computed beside the rows that are being written, so only their arithmetic counts.
        return self.decoder.machine.compute_seconds(
            self._flops, is_fp32=self.decoder.is_fp32
        ) + self.decoder.compute_flow(
            rows=self._rows, context=context, new=self._new, room=self.cache_bytes, most=self.max_rows
        )


# --- training


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a training takes on a machine."""

    shape: ModelShape
    numbers: RunNumbers
    machine: Machine
    parts: tuple[Part, ...]
    """With samples of the expected length."""
    worst_bytes: int
    """The peak if all samples of a group, and of a batch of the rollout, reach the limit."""
    stages: dict[str, float]
    """Seconds of each thing that a rollout, or a step if nothing is sampled, takes time for."""
    assumptions: tuple[str, ...]

    @property
    def unit(self) -> str:
        """What the stages are of."""
        return "step" if self.numbers.engine is None else "rollout"

    @property
    def peak_phase(self) -> Phase:
        """The fullest one."""
        return max(PHASES, key=lambda phase: sum_bytes(self.parts, phase))

    @property
    def peak_bytes(self) -> int:
        """Of one device."""
        return sum_bytes(self.parts, "always") + sum_bytes(self.parts, self.peak_phase)

    @property
    def unit_seconds(self) -> float:
        """Of a rollout with its updates, or of a step."""
        return sum(self.stages.values())

    @property
    def seconds(self) -> float:
        """Of the whole run; loading, looks at held-out pairs and checkpoints left out."""
        return self.numbers.rollouts * self.unit_seconds

    @property
    def trained_parameters(self) -> int:
        return count_trained(self.shape, self.numbers)

    @property
    def saving(self) -> float | None:
        """What the update would take by arithmetic if each sample had a prompt of its own, as a multiple."""
        numbers = self.numbers
        if numbers.engine is None:
            return None
        return compute_saving(
            self.shape, prompt=numbers.expected_prompt, new=numbers.expected_new, samples=numbers.samples
        )

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        saving = {} if self.saving is None else {"shared_prompt_saving": round(self.saving, 2)}
        return {
            "parameters": self.shape.parameters(),
            "trained_parameters": self.trained_parameters,
            "memory": [
                {"name": part.name, "phase": part.phase, "bytes": part.num_bytes} for part in self.parts
            ],
            "peak_phase": self.peak_phase,
            "peak_bytes": self.peak_bytes,
            "worst_bytes": self.worst_bytes,
            "seconds": {name: float(f"{seconds:.3g}") for name, seconds in self.stages.items()},
            f"seconds_per_{self.unit}": float(f"{self.unit_seconds:.3g}"),
            "seconds_of_run": float(f"{self.seconds:.3g}"),
            **saving,
            "assumptions": list(self.assumptions),
        }


def estimate_run(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> Estimate:
    """What the training takes on this machine, whether or not it has room for it."""
    parts = list_parts(shape, numbers, machine, new_tokens=numbers.expected_new)
    worst = list_parts(
        shape, numbers, machine, prompt_tokens=numbers.prompt_tokens, new_tokens=numbers.new_tokens
    )
    peaks = [
        sum_bytes(some, "always") + sum_bytes(some, phase) for some in (parts, worst) for phase in PHASES
    ]
    return Estimate(
        shape=shape,
        numbers=numbers,
        machine=machine,
        parts=parts,
        worst_bytes=max(peaks),
        stages={name: seconds for name, seconds in _list_stages(shape, numbers, machine) if seconds},
        assumptions=tuple(_list_assumptions(numbers, machine)),
    )


def _list_stages(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> Iterator[tuple[str, float]]:
    """Seconds of one rollout and its updates, lengths being the expected ones."""
    if numbers.engine is not None:
        yield from _list_sampling(shape, numbers, machine)
    group = count_group_flops(
        shape, prompt=numbers.expected_prompt, new=numbers.expected_new, samples=numbers.samples
    )
    per_row = numbers.row_groups or max(1, int(numbers.row_tokens / numbers.group_tokens))
    num_rows = math.ceil(max(1, numbers.prompts // numbers.updates) / per_row)
    # The device that has most rows of a step decides.
    own_rows = share_out(num_rows, machine)
    own = own_rows / num_rows * numbers.prompts
    start = numbers.updates * own_rows * shape.layers * CALLS_PER_LAYER * machine.call_seconds

    def compute(bodies: float, heads: float) -> float:
        flops = own * (bodies * group.body + heads * group.head)
        return machine.compute_seconds(flops, is_fp32=numbers.is_fp32) + bodies * start

    yield "reference", compute(1, 1) if numbers.has_reference else 0.0
    if numbers.has_old_pass:
        yield "earlier policy", compute(1, 1) * (numbers.updates - 1) / numbers.updates
    # Backward takes twice the forward's products, with adapters once: frozen matrices need no gradients. The
    # output layer's are computed twice in any case, a whole layer's under checkpointing.
    backward = 2 if numbers.lora_rank is None else 1
    yield "update", compute(1 + backward + numbers.checkpointing, 2 + backward)
    traffic = _STEP_TRAFFIC * count_trained(shape, numbers)
    yield "optimizer", numbers.updates * machine.compute_seconds(0, traffic)


def _list_sampling(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> Iterator[tuple[str, float]]:
    is_vllm = numbers.engine == "vllm"
    decoder = Decoder(
        shape=shape,
        machine=machine,
        weight_bytes=numbers.vllm_bytes,
        cache_bytes=numbers.vllm_bytes if is_vllm else numbers.format.cache,
        is_fp32=numbers.is_fp32,
    )
    prompt, new = numbers.expected_prompt, numbers.expected_new
    prompts = share_out(numbers.prompts, machine)
    if is_vllm:
        flops = decoder.count_prompt_flops(num_prompts=prompts, longest=prompt)
        yield "prompts", machine.compute_seconds(flops, is_fp32=numbers.is_fp32)
        rows, room = prompts * numbers.samples, count_vllm_cache(shape, numbers, machine)
        yield (
            "samples",
            decoder.compute_flow(rows=rows, context=prompt + new / 2, new=rows * new, room=room),
        )
        return
    batch = count_batch(numbers, machine)
    seconds = decoder.compute_batch(
        num_prompts=batch, longest=prompt, samples=numbers.samples, mean_new=new, most_new=numbers.new_tokens
    )
    yield from zip(("prompts", "samples"), (prompts / batch * one for one in seconds), strict=True)


def _list_assumptions(numbers: RunNumbers, machine: Machine) -> Iterator[str]:
    if numbers.engine is None:
        yield f"a document has {numbers.group_tokens:,.0f} tokens, {numbers.expected_new:,.0f} of them learnt from"
    else:
        prompt = "the limit" if numbers.mean_prompt_tokens is None else "as counted"
        new = "a guess" if numbers.mean_new_tokens is None else "as expected"
        yield (
            f"a prompt has {numbers.expected_prompt:,.0f} tokens ({prompt}), a sample {numbers.expected_new:,.0f} "
            f"({new}), at most {numbers.new_tokens:,}"
        )
    yield (
        f"{machine.num_devices} x {machine.name}, {format_gb(machine.memory_bytes)} each; speeds are "
        f"{machine.source}: {machine.flops_per_second / 1e12:,.3g} TFLOP/s in bf16, "
        f"{machine.fp32_flops_per_second / 1e12:,.3g} in fp32, {machine.bytes_per_second / 1e9:,.0f} GB/s"
    )
    yield (
        f"{machine.flops_share:.0%} of the arithmetic and {machine.bandwidth_share:.0%} of the bandwidth are reached, "
        f"and {MEMORY_SHARE:.0%} of the memory can be used"
    )
    if not numbers.is_fp32 and numbers.lora_rank is not None:
        yield "bf16: the base's weights are in bfloat16, the adapters in float32"
    elif numbers.precision == "bf16":
        yield "bf16: weights are kept in float32 and computed with in bfloat16"
    layer = f"starting a layer takes {1000 * CALLS_PER_LAYER * machine.call_seconds:.2g} ms"
    if numbers.engine == "vllm":
        yield (
            f"vLLM holds weights of its own in {8 * numbers.vllm_bytes} bits, keeps its memory during the update, "
            f"decodes at most {VLLM_ROWS} samples together, and computes a prompt once"
        )
    elif numbers.engine is not None:
        yield (
            f"a batch of R samples lasts until its longest one ends, 1 + ln(R) / 3 times the mean; {layer}"
        )
    if machine.num_devices > 1:
        yield "every device holds a whole copy; the time of their exchange is left out"
    every = "" if numbers.engine is None else "every group is learnt from; "
    yield f"{every}loading, held-out looks and checkpoints are left out"


# --- what is in the way


def find_obstacle(estimate: Estimate) -> str | None:
    """Why the training cannot be done on this machine, in one line, and what to do; None if nothing is seen."""
    shape, numbers, machine = estimate.shape, estimate.numbers, estimate.machine
    has = f"{_name(machine)} has {format_gb(machine.memory_bytes)}"
    if numbers.engine == "vllm" and (found := _find_vllm_obstacle(shape, numbers, machine)):
        return found
    usable = MEMORY_SHARE * machine.memory_bytes
    fixed = sum_bytes(estimate.parts, "step") + sum(
        part.num_bytes for part in estimate.parts if part.phase == "always" and part.name != "vLLM"
    )
    size = f"{shape.parameters() / 1e9:.1f}B parameters"
    if fixed > usable and numbers.lora_rank is None:
        adapters = "train adapters ([lora], or the preset's -lora form), " if numbers.can_adapt else ""
        return (
            f"full fine-tuning of {size} needs about {format_gb(fixed)} on one device, and {has}; {adapters}take a "
            "smaller base, or a trainer that divides the weights over several machines"
        )
    if fixed > usable:
        return (
            f"the weights of {size} with their adapters need about {format_gb(fixed)} on one device, and "
            f"{has}; take a smaller base" + (", or bf16" if numbers.is_fp32 else "")
        )
    if estimate.peak_bytes <= usable:
        return None
    phase = estimate.peak_phase
    held = sorted(
        (part for part in estimate.parts if part.phase in ("always", phase)), key=lambda part: -part.num_bytes
    )
    largest = ", ".join(f"{part.name} {format_gb(part.num_bytes)}" for part in held[:3])
    what = {"rollout": "the rollout", "update": "the update", "step": "the optimizer's step"}[phase]
    *others, last = _list_remedies(numbers, phase)
    return (
        f"{what} needs about {format_gb(estimate.peak_bytes)} on one device ({largest}), and {has}; "
        f"{', '.join(others)}{' or ' if others else ''}{last}"
    )


def _find_vllm_obstacle(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> str | None:
    context = numbers.prompt_tokens + numbers.new_tokens
    least = numbers.vllm_bytes * shape.cache_width * context
    if count_vllm_cache(shape, numbers, machine) >= least:
        return None
    if machine.kind == "cpu":
        return (
            f"vLLM keeps {format_gb(VLLM_CPU_CACHE)} of keys and values on a CPU, and one sample of "
            f"{context:,} tokens needs {format_gb(least)}; lower rollout.max_new_tokens"
        )
    return (
        f"vLLM needs {format_gb(numbers.vllm_bytes * shape.parameters() + least)} for the weights and one sample of "
        f"{context:,} tokens, and rollout.gpu_memory = {numbers.gpu_memory:g} gives it "
        f"{format_gb(numbers.gpu_memory * machine.memory_bytes)}; raise it, or take a smaller base"
    )


def find_risk(estimate: Estimate) -> str | None:
    """What may end a run that has no obstacle, in one line; None if there is room for the worst."""
    numbers, machine = estimate.numbers, estimate.machine
    if estimate.worst_bytes <= MEMORY_SHARE * machine.memory_bytes or find_obstacle(estimate) is not None:
        return None
    worst, bound = "if a row is full of the longest documents", "data.max_tokens"
    if numbers.engine is not None:
        worst = f"if all {numbers.samples} samples of a prompt reach {numbers.new_tokens:,} tokens"
        bound = "rollout.max_new_tokens"
    return (
        f"{worst}, about {format_gb(estimate.worst_bytes)} are needed on one device, and {_name(machine)} has "
        f"{format_gb(machine.memory_bytes)}; {bound} bounds it"
    )


def _list_remedies(numbers: RunNumbers, phase: Phase) -> Iterator[str]:
    if phase == "rollout":
        yield "lower rollout.rows" if numbers.rows > numbers.samples else "lower rollout.samples"
        yield "lower data.max_prompt_tokens"
    if phase == "update":
        if not numbers.checkpointing:
            yield "set model.checkpointing = true"
        is_full = numbers.row_groups is None and numbers.row_tokens <= numbers.group_tokens
        longest = "rollout.samples" if numbers.engine else "data.max_tokens"
        yield f"lower {longest if is_full else numbers.row_setting}"
    if numbers.engine == "vllm":
        yield "lower rollout.gpu_memory"
    if numbers.lora_rank is None and numbers.can_adapt:
        yield "train adapters ([lora])"


def _name(machine: Machine) -> str:
    if machine.kind == "cpu":
        return "this machine" if machine.num_devices == 1 else "the share of one process"
    return machine.name if machine.num_devices == 1 else f"each {machine.name}"
