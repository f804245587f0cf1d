"""Memory and time of a training on a machine, and what is in its way. Pure; every estimate says what it assumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import (
    MEMORY_SHARE,
    NF4_BYTES,
    Part,
    count_batch,
    count_host_bytes,
    count_rows,
    count_trained,
    count_vllm_cache,
    count_weight_bytes,
    is_offloaded,
    list_parts,
    share_out,
    sum_bytes,
)
from rmr1.forecast.numbers import PHASES, Phase, RunNumbers
from rmr1.forecast.shape import ModelShape, compute_saving, count_group_flops
from rmr1.forecast.time import CALLS_PER_LAYER, VLLM_ROWS, Decoder
from rmr1.screen import format_gb

HOST_BANDWIDTH = 2e11
"""Bytes a second of the memory of a machine with several GPUs, an assumption for one processor of eight channels."""
HOST_LINK = 2.5e10
"""Bytes a second between the host's memory and a device: PCIe of the fourth generation, an assumption."""
_STEP_TRAFFIC = 28
"""Bytes that a step of the optimizer reads and writes of a trained number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a training takes on a machine."""

    shape: ModelShape
    numbers: RunNumbers
    machine: Machine
    parts: tuple[Part, ...]
    """Parts of memory, with samples of the expected length."""
    worst_bytes: int
    """The peak if all samples of a group, and of a batch of the rollout, reach the limit."""
    host_bytes: int
    """Bytes of the host's memory that offloading takes, for all devices together; 0 without."""
    stages: dict[str, float]
    """Seconds of each thing that a rollout, or a step if nothing is sampled, takes time for."""
    assumptions: tuple[str, ...]

    @property
    def unit(self) -> str:
        return "step" if self.numbers.engine is None else "rollout"

    @property
    def peak_phase(self) -> Phase:
        return max(PHASES, key=lambda phase: sum_bytes(self.parts, phase))

    @property
    def peak_bytes(self) -> int:
        """Most bytes of one device."""
        return sum_bytes(self.parts, "always") + sum_bytes(self.parts, self.peak_phase)

    @property
    def unit_seconds(self) -> float:
        """Seconds of a rollout with its updates, or of a step."""
        return sum(self.stages.values())

    @property
    def seconds(self) -> float:
        """Seconds of the whole run; loading, looks at held-out pairs and checkpoints are left out."""
        return self.numbers.rollouts * self.unit_seconds

    @property
    def trained_parameters(self) -> int:
        return count_trained(self.shape, self.numbers)

    @property
    def saving(self) -> float | None:
        """How many times the arithmetic the update would take if each sample had its own prompt."""
        numbers = self.numbers
        if numbers.engine is None:
            return None
        return compute_saving(
            self.shape, prompt=numbers.expected_prompt, new=numbers.expected_new, samples=numbers.samples
        )

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        saving = {} if self.saving is None else {"shared_prompt_saving": round(self.saving, 2)}
        memory = [{"name": part.name, "phase": part.phase, "bytes": part.num_bytes} for part in self.parts]
        return {
            "parameters": self.shape.parameters(),
            "trained_parameters": self.trained_parameters,
            "memory": memory,
            "peak_phase": self.peak_phase,
            "peak_bytes": self.peak_bytes,
            "worst_bytes": self.worst_bytes,
            **({"host_bytes": self.host_bytes} if self.host_bytes else {}),
            "seconds": {name: float(f"{seconds:.3g}") for name, seconds in self.stages.items()},
            f"seconds_per_{self.unit}": float(f"{self.unit_seconds:.3g}"),
            "seconds_of_run": float(f"{self.seconds:.3g}"),
            **saving,
            "assumptions": list(self.assumptions),
        }


def estimate_run(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> Estimate:
    """What the training takes on this machine, whether or not there is room."""
    parts = list_parts(shape, numbers, machine, new_tokens=numbers.expected_new)
    worst = list_parts(
        shape, numbers, machine, prompt_tokens=numbers.prompt_tokens, new_tokens=numbers.new_tokens
    )
    both = (parts, worst)
    peaks = [sum_bytes(some, "always") + sum_bytes(some, phase) for some in both for phase in PHASES]
    return Estimate(
        shape=shape,
        numbers=numbers,
        machine=machine,
        parts=parts,
        worst_bytes=max(peaks),
        host_bytes=count_host_bytes(shape, numbers, machine),
        stages={name: seconds for name, seconds in _list_stages(shape, numbers, machine) if seconds},
        assumptions=tuple(_list_assumptions(numbers, machine)),
    )


def _list_stages(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> Iterator[tuple[str, float]]:
    if numbers.engine is not None:
        yield from _list_sampling(shape, numbers, machine)
    group = count_group_flops(
        shape, prompt=numbers.expected_prompt, new=numbers.expected_new, samples=numbers.samples
    )
    num_rows = count_rows(numbers, replace(machine, num_devices=1))
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
    update = compute(1 + backward + numbers.checkpointing, 2 + backward)
    yield "update", update
    yield "exchange", max(0.0, _count_exchange(shape, numbers, machine, own_rows) - update)
    traffic = _STEP_TRAFFIC * count_trained(shape, numbers) / machine.num_devices
    if is_offloaded(numbers, machine):
        yield "optimizer", numbers.updates * traffic * machine.num_devices / HOST_BANDWIDTH
    else:
        yield "optimizer", numbers.updates * machine.compute_seconds(0, traffic)


def _count_exchange(shape: ModelShape, numbers: RunNumbers, machine: Machine, own_rows: int) -> float:
    """Seconds in which devices exchange weights and gradients of a rollout's updates, while they compute: the weights
    arrive for the forward and for the backward pass of each row, and gradients leave in float32."""
    if machine.num_devices == 1:
        return 0.0
    size = 4 if numbers.is_fp32 else 2
    num_bytes: float = 2 * size * shape.parameters() + 4 * count_trained(shape, numbers)
    if numbers.quantize is not None:
        num_bytes = 2 * count_weight_bytes(shape, numbers) + 4 * count_trained(shape, numbers)
    others = (machine.num_devices - 1) / machine.num_devices
    seconds = num_bytes * others / machine.link_bytes_per_second
    if is_offloaded(numbers, machine):
        seconds += num_bytes / machine.num_devices / HOST_LINK
    return numbers.updates * own_rows * seconds


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
        seconds = decoder.compute_flow(rows=rows, context=prompt + new / 2, new=rows * new, room=room)
        yield "samples", seconds
        return
    batch = count_batch(numbers, machine)
    both = decoder.compute_batch(
        num_prompts=batch, longest=prompt, samples=numbers.samples, mean_new=new, most_new=numbers.new_tokens
    )
    yield from zip(("prompts", "samples"), (prompts / batch * one for one in both), strict=True)


def _list_assumptions(numbers: RunNumbers, machine: Machine) -> Iterator[str]:
    prompt, new = numbers.expected_prompt, numbers.expected_new
    if numbers.engine is None:
        learnt = f", {new:,.0f} of them learnt from" if new else ""
        yield f"a document has {prompt + new:,.0f} tokens{learnt}"
    else:
        counted = "the limit" if numbers.mean_prompt_tokens is None else "as counted"
        guess = "a guess" if numbers.mean_new_tokens is None else "as expected"
        yield (
            f"a prompt has {prompt:,.0f} tokens ({counted}), a sample {new:,.0f} ({guess}), at most "
            f"{numbers.new_tokens:,}"
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
    if numbers.engine == "vllm":
        yield (
            f"vLLM holds weights of its own in {8 * numbers.vllm_bytes} bits, keeps its memory during the update, "
            f"decodes at most {VLLM_ROWS} samples together, and computes a prompt once"
        )
    elif numbers.engine == "transformers":
        yield (
            "a batch of R samples lasts until its longest one ends, 1 + ln(R) / 3 times the mean; starting a layer takes "
            f"{1000 * CALLS_PER_LAYER * machine.call_seconds:.2g} ms"
        )
    if numbers.quantize is not None:
        yield f"the layers' matrices are in nf4 with double quantization, {NF4_BYTES:.3f} bytes a number"
    if machine.num_devices > 1:
        told = "weights, gradients, optimizer and reference are divided over the devices"
        link = f"{machine.link_bytes_per_second / 1e9:,.0f} GB/s"
        yield f"{told}, which exchange them at {link} while they compute"
    if is_offloaded(numbers, machine):
        yield (
            f"what is divided stays in the host's memory, {HOST_BANDWIDTH / 1e9:,.0f} GB/s, {HOST_LINK / 1e9:,.0f} GB/s to "
            "a device; the step is computed there"
        )
    every = "" if numbers.engine is None else "every group is learnt from; "
    yield f"{every}loading, held-out looks and checkpoints are left out"


def find_obstacle(estimate: Estimate) -> str | None:
    """Why the training cannot be done on this machine, and what to do; None if nothing is seen."""
    numbers, machine, parts = estimate.numbers, estimate.machine, estimate.parts
    context = numbers.prompt_tokens + numbers.new_tokens
    least = numbers.vllm_bytes * estimate.shape.cache_width * context
    room = count_vllm_cache(estimate.shape, numbers, machine)
    if numbers.engine == "vllm" and room < least:
        weights = numbers.vllm_bytes * estimate.shape.parameters() / numbers.tensor_parallel
        remedy = "lower rollout.max_new_tokens"
        if machine.kind == "cuda":
            remedy = "raise rollout.gpu_memory, or take a smaller base"
        return (
            f"vLLM needs {format_gb(weights + least)} for the weights and one sample of {context:,} tokens, and has "
            f"{format_gb(weights + room)}; {remedy}"
        )
    if machine.host_bytes is not None and estimate.host_bytes > MEMORY_SHARE * machine.host_bytes:
        return (
            f"offloading needs about {format_gb(estimate.host_bytes)} of the host's memory, which has "
            f"{format_gb(machine.host_bytes)}; take a smaller base or set sharding.offload = false"
        )
    usable, phase = MEMORY_SHARE * machine.memory_bytes, estimate.peak_phase
    needed: float = estimate.peak_bytes
    held = [part for part in parts if part.phase in ("always", phase)]
    what, is_full = _DOING[phase], numbers.lora_rank is None
    largest = sorted(held, key=lambda part: -part.num_bytes)[:3]
    remedies = [*_list_remedies(numbers, phase)]
    if largest[0].name in _STATES:
        remedies += _list_smaller(numbers, machine)
    fixed = [part for part in parts if part.phase in ("always", "step") and part.name != "vLLM"]
    weights = sum(part.num_bytes for part in fixed)
    if weights > usable:
        held, needed = fixed, weights
        what = f"of {estimate.shape.parameters() / 1e9:.1f}B parameters"
        what = f"full fine-tuning {what}" if is_full else f"training adapters {what}"
        remedies = ["take bf16"] if numbers.is_fp32 else []
        remedies += [*_list_smaller(numbers, machine), "take a smaller base"]
        remedies += ["divide the weights over more devices"] if is_full else []
        largest = sorted(held, key=lambda part: -part.num_bytes)[:3]
    elif needed <= usable:
        return None
    listed = ", ".join(f"{part.name} {format_gb(part.num_bytes)}" for part in largest)
    *others, last = remedies or ["take a smaller base"]
    return (
        f"{what} needs about {format_gb(needed)} on one device ({listed}), and {_describe_memory(machine)}; "
        f"{', '.join(others)}{' or ' if others else ''}{last}"
    )


def find_risk(estimate: Estimate) -> str | None:
    """What may end a run that has no obstacle; None if there is room for the worst."""
    numbers, machine = estimate.numbers, estimate.machine
    if estimate.worst_bytes <= MEMORY_SHARE * machine.memory_bytes or find_obstacle(estimate) is not None:
        return None
    worst, bound = "if a row is full of the longest documents", "data.max_tokens"
    if numbers.engine is not None:
        worst = f"if all {numbers.samples} samples of a prompt reach {numbers.new_tokens:,} tokens"
        bound = "rollout.max_new_tokens"
    needed = format_gb(estimate.worst_bytes)
    return f"{worst}, about {needed} are needed on one device, and {_describe_memory(machine)}; {bound} bounds it"


_DOING: dict[Phase, str] = {
    "rollout": "the rollout",
    "look": "a look at held-out data",
    "loss": "the update",
    "backward": "the update",
    "step": "the optimizer's step",
}


_STATES = ("weights", "optimizer", "gradients", "reference", "weights, gathered")
"""Parts that grow with the weights alone."""


def _list_remedies(numbers: RunNumbers, phase: Phase) -> Iterator[str]:
    if phase == "look":
        yield "lower evaluation.rows" if numbers.engine else "lower evaluation.batch_size"
    if phase == "rollout":
        yield "lower rollout.rows" if numbers.rows > numbers.samples else "lower rollout.samples"
        yield "lower data.max_prompt_tokens"
    if phase in ("loss", "backward"):
        if not numbers.checkpointing:
            yield "set model.checkpointing = true"
        is_full = numbers.row_groups is None and numbers.row_tokens <= numbers.group_tokens
        longest = "rollout.samples" if numbers.engine else "data.max_tokens"
        yield f"lower {longest if is_full else numbers.row_setting}"
    if numbers.engine == "vllm":
        yield "lower rollout.gpu_memory"


def _list_smaller(numbers: RunNumbers, machine: Machine) -> Iterator[str]:
    """What makes the states of the training smaller."""
    if machine.num_devices > 1 and machine.kind == "cuda" and not numbers.offload:
        yield "set sharding.offload = true"
    if numbers.lora_rank is None and numbers.can_adapt:
        yield "train adapters ([lora])"
    if numbers.lora_rank is not None and numbers.quantize is None and machine.kind == "cuda":
        yield 'set lora.quantize = "nf4"'


def _describe_memory(machine: Machine) -> str:
    name = machine.name if machine.num_devices == 1 else f"each {machine.name}"
    if machine.kind == "cpu":
        name = "this machine" if machine.num_devices == 1 else "the share of one process"
    return f"{name} has {format_gb(machine.memory_bytes)}"
