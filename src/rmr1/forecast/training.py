"""Memory and time of a reinforcement run, from its numbers alone: `rmr1 grpo --dry-run` prints them.

Memory is what one device holds at its fullest, part by part; time is arithmetic over the device's speed, or
bytes over its bandwidth where a step is bound by that. Both are right in their order of magnitude; every
estimate carries the sentences that say what was assumed. Pure: the machine is described by the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from rmr1.forecast.batches import compute_stretch
from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import (
    FORMATS,
    VLLM_CPU_CACHE,
    Part,
    Phase,
    RunNumbers,
    count_batch,
    count_trained,
    list_parts,
    share_out,
    sum_bytes,
)
from rmr1.forecast.shape import Flops, ModelShape, compute_saving, count_group_flops
from rmr1.forecast.speed import CALLS_PER_LAYER, ROW_SECONDS

FLOPS_SHARE = 0.4
"""Of a device's arithmetic that a pass over long rows reaches."""
BANDWIDTH_SHARE = 0.7
"""Of a device's bandwidth that a step of decoding reaches."""
MEMORY_SHARE = 0.95
"""Of a device's memory that a run can use; the rest is the driver's, and lost between blocks."""

_CALL_SECONDS = 8e-6
_LAYER_SECONDS = CALLS_PER_LAYER * _CALL_SECONDS
"""To start the operations of one layer from Python."""
_VLLM_STEP_SECONDS = 0.003
_VLLM_ROWS = 256
_STEP_TRAFFIC = 28
"""Bytes that a step reads and writes of a trained number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One thing that each rollout takes time for."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    shape: ModelShape
    numbers: RunNumbers
    parts: tuple[Part, ...]
    """With samples of the expected length."""
    worst_bytes: int
    """The peak if all samples of a group, and of a batch of the rollout, reach the limit."""
    stages: tuple[Stage, ...]
    saving: float
    """What the update would take by arithmetic if each sample had a prompt of its own, as a multiple."""
    assumptions: tuple[str, ...]

    @property
    def peak_phase(self) -> Phase:
        """The fullest one."""
        phases: tuple[Phase, ...] = ("rollout", "update", "step")
        return max(phases, key=lambda phase: sum_bytes(self.parts, phase))

    @property
    def peak_bytes(self) -> int:
        """Of one device."""
        return sum_bytes(self.parts, "always") + sum_bytes(self.parts, self.peak_phase)

    @property
    def seconds_per_rollout(self) -> float:
        """With its updates."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Of the whole run; loading, looks at held-out pairs and checkpoints left out."""
        return self.numbers.rollouts * self.seconds_per_rollout

    @property
    def trained_parameters(self) -> int:
        return count_trained(self.shape, self.numbers)

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "parameters": self.shape.parameters(),
            "trained_parameters": self.trained_parameters,
            "memory": [
                {"name": part.name, "phase": part.phase, "bytes": part.num_bytes} for part in self.parts
            ],
            "peak_phase": self.peak_phase,
            "peak_bytes": self.peak_bytes,
            "worst_bytes": self.worst_bytes,
            "seconds": {stage.name: float(f"{stage.seconds:.3g}") for stage in self.stages},
            "seconds_per_rollout": float(f"{self.seconds_per_rollout:.3g}"),
            "seconds_of_run": float(f"{self.seconds:.3g}"),
            "shared_prompt_saving": round(self.saving, 2),
            "assumptions": list(self.assumptions),
        }


def estimate_run(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> Estimate:
    """What the run takes on this machine, whether or not it has room for it."""
    parts = list_parts(shape, numbers, machine, new_tokens=numbers.expected_new)
    worst = list_parts(
        shape, numbers, machine, prompt_tokens=numbers.prompt_tokens, new_tokens=numbers.new_tokens
    )
    stages = list_stages(shape, numbers, machine)
    found = Estimate(
        shape=shape,
        numbers=numbers,
        parts=parts,
        worst_bytes=0,
        stages=stages,
        saving=compute_saving(
            shape, prompt=numbers.expected_prompt, new=numbers.expected_new, samples=numbers.samples
        ),
        assumptions=_list_assumptions(numbers, machine),
    )
    phases: tuple[Phase, ...] = ("rollout", "update", "step")
    most = sum_bytes(worst, "always") + max(sum_bytes(worst, phase) for phase in phases)
    return replace(found, worst_bytes=max(most, found.peak_bytes))


# --- time


def list_stages(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> tuple[Stage, ...]:
    """Seconds of one rollout and its updates, lengths being the expected ones."""
    peak = machine.flops_per_second if numbers.precision == "bf16" else machine.fp32_flops_per_second
    speed = FLOPS_SHARE * peak
    prompt, new = numbers.expected_prompt, numbers.expected_new
    prompts = share_out(numbers.prompts, machine)
    prefill = prompts * count_group_flops(shape, prompt=prompt, new=0, samples=0).total / speed

    group = count_group_flops(shape, prompt=prompt, new=new, samples=numbers.samples)
    num_rows, own_rows = _count_rows(numbers, machine)
    own = own_rows / num_rows * numbers.prompts
    flops = Flops(body=own * group.body, head=own * group.head)
    start = numbers.updates * own_rows * shape.layers * _LAYER_SECONDS
    forward = flops.total / speed + start
    # Backward takes twice the forward's products, with adapters once: frozen matrices need no gradients. The
    # output layer's are computed twice in any case, a whole layer's under checkpointing.
    backward = 2 if numbers.lora_rank is None else 1
    body_passes = 1 + backward + numbers.checkpointing
    update = (body_passes * flops.body + (2 + backward) * flops.head) / speed + body_passes * start
    trained = count_trained(shape, numbers)
    step = _STEP_TRAFFIC * trained / (BANDWIDTH_SHARE * machine.bytes_per_second)
    stages = [
        ("prompts", prefill),
        ("samples", _compute_decode_seconds(shape, numbers, machine, speed)),
        ("reference", forward if numbers.has_reference else 0.0),
        (
            "earlier policy",
            forward * (numbers.updates - 1) / numbers.updates if numbers.has_old_pass else 0.0,
        ),
        ("update", update),
        ("optimizer", numbers.updates * step),
    ]
    return tuple(Stage(name=name, seconds=seconds) for name, seconds in stages if seconds)


def _count_rows(numbers: RunNumbers, machine: Machine) -> tuple[int, int]:
    """Rows of one step of the optimizer, and those of the device that has most of them."""
    group = numbers.expected_prompt + numbers.samples * numbers.expected_new
    per_row = max(1, int(numbers.row_tokens / group))
    num_rows = math.ceil(max(1, numbers.prompts // numbers.updates) / per_row)
    return num_rows, share_out(num_rows, machine)


def _compute_decode_seconds(shape: ModelShape, numbers: RunNumbers, machine: Machine, speed: float) -> float:
    """As the judge's own forecast (`rmr1.forecast.batches`) reckons, on a device that was not measured."""
    form = FORMATS[numbers.precision, numbers.lora_rank is not None]
    prompt, new = numbers.expected_prompt, numbers.expected_new
    prompts = share_out(numbers.prompts, machine)
    matrices = shape.layer_parameters + shape.head_parameters
    weight_bytes = (2 if numbers.precision == "bf16" else 4) * matrices
    bandwidth = BANDWIDTH_SHARE * machine.bytes_per_second

    def compute_step(rows: float, context: float, cache: int) -> float:
        flops = rows * (2 * matrices + 4 * shape.layers * shape.attention_width * context)
        num_bytes = weight_bytes + rows * context * cache * shape.cache_width
        return max(flops / speed, num_bytes / bandwidth)

    if numbers.engine == "vllm":
        context = prompt + new / 2
        rows = min(_VLLM_ROWS, prompts * numbers.samples)
        room = _count_vllm_cache(shape, numbers, machine)
        rows = max(1, min(rows, int(room / (context * numbers.vllm_bytes * shape.cache_width))))
        step = compute_step(rows, context, numbers.vllm_bytes) + _VLLM_STEP_SECONDS
        return step * prompts * numbers.samples * new / rows
    batch = count_batch(numbers, machine)
    rows = batch * numbers.samples
    steps = min(new * compute_stretch(rows), numbers.new_tokens)
    # Rows that are finished leave the batch.
    alive = rows * new / steps
    step = compute_step(alive, prompt + steps / 2, form.cache)
    step += shape.layers * _LAYER_SECONDS + alive * ROW_SECONDS
    return step * steps * prompts / batch


def _count_vllm_cache(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> float:
    """Bytes that vLLM has for keys and values."""
    if machine.kind == "cpu":
        return VLLM_CPU_CACHE
    return numbers.gpu_memory * machine.memory_bytes - numbers.vllm_bytes * shape.parameters()


# --- what is in the way


def find_obstacle(estimate: Estimate, machine: Machine) -> str | None:
    """Why the run cannot be done on this machine, in one line, and what to do; None where nothing is seen."""
    shape, numbers = estimate.shape, estimate.numbers
    has = f"{_name(machine)} has {_format_gb(machine.memory_bytes)}"
    if numbers.engine == "vllm":
        context = numbers.prompt_tokens + numbers.new_tokens
        least = numbers.vllm_bytes * shape.cache_width * context
        if _count_vllm_cache(shape, numbers, machine) < least:
            need = numbers.vllm_bytes * shape.parameters() + least
            if machine.kind == "cpu":
                return (
                    f"vLLM keeps {_format_gb(VLLM_CPU_CACHE)} of keys and values on a CPU, and one sample of "
                    f"{context:,} tokens needs {_format_gb(least)}; lower rollout.max_new_tokens"
                )
            return (
                f"vLLM needs {_format_gb(need)} for the weights and one sample of {context:,} tokens, and "
                f"rollout.gpu_memory = {numbers.gpu_memory:g} gives it "
                f"{_format_gb(numbers.gpu_memory * machine.memory_bytes)}; raise it, or take a smaller base"
            )
    usable = MEMORY_SHARE * machine.memory_bytes
    fixed = sum(
        part.num_bytes
        for part in estimate.parts
        if (part.phase == "always" and part.name != "vLLM") or part.phase == "step"
    )
    size = f"{shape.parameters() / 1e9:.1f}B parameters"
    if fixed > usable:
        if numbers.lora_rank is None:
            return (
                f"full fine-tuning of {size} needs about {_format_gb(fixed)} on one device, and {has}; train "
                "adapters ([lora], or the preset's -lora form), take a smaller base, or a trainer that divides "
                "the weights over several machines"
            )
        return (
            f"the weights of {size} with their adapters need about {_format_gb(fixed)} on one device, and "
            f"{has}; take a smaller base" + (", or bf16" if numbers.precision == "fp32" else "")
        )
    if estimate.peak_bytes <= usable:
        return None
    phase = estimate.peak_phase
    held = sorted(
        (part for part in estimate.parts if part.phase in ("always", phase)),
        key=lambda part: -part.num_bytes,
    )
    largest = ", ".join(f"{part.name} {_format_gb(part.num_bytes)}" for part in held[:3])
    what = {"rollout": "the rollout", "update": "the update", "step": "the optimizer's step"}[phase]
    return (
        f"{what} needs about {_format_gb(estimate.peak_bytes)} on one device ({largest}), and {has}; "
        f"{_name_remedies(numbers, phase)}"
    )


def find_risk(estimate: Estimate, machine: Machine) -> str | None:
    """What may end a run that has no obstacle, in one line; None where there is room for the worst."""
    fits = estimate.worst_bytes <= MEMORY_SHARE * machine.memory_bytes
    if fits or find_obstacle(estimate, machine) is not None:
        return None
    numbers = estimate.numbers
    return (
        f"if all {numbers.samples} samples of a prompt reach {numbers.new_tokens:,} tokens, about "
        f"{_format_gb(estimate.worst_bytes)} are needed on one device, and {_name(machine)} has "
        f"{_format_gb(machine.memory_bytes)}; rollout.max_new_tokens bounds it"
    )


def _name_remedies(numbers: RunNumbers, phase: Phase) -> str:
    remedies = []
    if phase == "rollout":
        if numbers.rows > numbers.samples:
            remedies.append("lower rollout.rows")
        else:
            remedies.append("lower rollout.samples")
        remedies.append("lower data.max_prompt_tokens")
    if phase == "update":
        if not numbers.checkpointing:
            remedies.append("set model.checkpointing = true")
        if numbers.row_tokens > numbers.expected_prompt + numbers.samples * numbers.expected_new:
            remedies.append("lower update.row_tokens")
        else:
            remedies.append("lower rollout.samples")
    if numbers.engine == "vllm":
        remedies.append("lower rollout.gpu_memory")
    if numbers.lora_rank is None:
        remedies.append("train adapters ([lora])")
    *others, last = remedies
    return f"{', '.join(others)} or {last}" if others else last


def _list_assumptions(numbers: RunNumbers, machine: Machine) -> tuple[str, ...]:
    prompt = "the limit" if numbers.mean_prompt_tokens is None else "as counted"
    new = "a guess" if numbers.mean_new_tokens is None else "as expected"
    lines = [
        f"a prompt has {numbers.expected_prompt:,.0f} tokens ({prompt}), a sample {numbers.expected_new:,.0f} "
        f"({new}), at most {numbers.new_tokens:,}",
        f"{machine.num_devices} x {machine.name}, {_format_gb(machine.memory_bytes)} each; speeds are "
        f"{machine.source}: {machine.flops_per_second / 1e12:,.3g} TFLOP/s in bf16, "
        f"{machine.fp32_flops_per_second / 1e12:,.3g} in fp32, {machine.bytes_per_second / 1e9:,.0f} GB/s",
        f"{FLOPS_SHARE:.0%} of the arithmetic and {BANDWIDTH_SHARE:.0%} of the bandwidth are reached, and "
        f"{MEMORY_SHARE:.0%} of the memory can be used",
    ]
    if numbers.precision == "bf16":
        lines.append(
            "bf16: weights are kept in float32 and computed with in bfloat16"
            if numbers.lora_rank is None
            else "bf16: the base's weights are in bfloat16, the adapters in float32"
        )
    if numbers.engine == "vllm":
        lines.append(
            f"vLLM holds weights of its own in {8 * numbers.vllm_bytes} bits, keeps its memory during the update, decodes at most "
            f"{_VLLM_ROWS} samples together, and computes a prompt once"
        )
    else:
        lines.append(
            "a batch of R samples lasts until its longest one ends, 1 + ln(R) / 3 times the mean; starting a "
            f"layer takes {1000 * _LAYER_SECONDS:.2g} ms"
        )
    if machine.num_devices > 1:
        lines.append("every device holds a whole copy; the time of their exchange is left out")
    lines.append("every group is learnt from; loading, held-out looks and checkpoints are left out")
    return tuple(lines)


def _name(machine: Machine) -> str:
    if machine.kind == "cpu":
        return "this machine" if machine.num_devices == 1 else "the share of one process"
    return machine.name if machine.num_devices == 1 else f"each {machine.name}"


def _format_gb(num_bytes: float) -> str:
    """`15 GB`, `0.8 GB`; of 10^9 bytes, as cards are named."""
    size = num_bytes / 1e9
    return f"{size:,.0f} GB" if size >= 9.95 else f"{size:.1f} GB" if size >= 0.1 else f"{size:.2f} GB"
