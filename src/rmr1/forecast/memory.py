"""Memory of a training or a judge on one device, part by part, from its numbers and a shape. Pure.

A training is at its fullest in one of five phases, and a part that is held in several stands in each: while a rollout
or a look at held-out data decodes (`rollout`, `look`), while the output layer's logits of a row are at hand (`loss`),
while a layer's backward pass is computed (`backward`), and in the optimizer's step (`step`).

Several devices divide weights, gradients, optimizer and reference among them (torch's `fully_shard`): each holds a
share, and gathers the tables and a few layers while they are computed with (`rmr1.forecast.sharding`).

Shapes: as in `rmr1.forecast.shape`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rmr1.forecast.machine import Machine
from rmr1.forecast.numbers import FORMATS, PHASES, Format, Phase, RunNumbers
from rmr1.forecast.shape import ModelShape
from rmr1.forecast.sharding import list_gathered

CHUNK_LOGITS = 1 << 24
"""Most logits that a loss holds at a time: 64 MB in float32."""
MEMORY_SHARE = 0.95
"""Share of a device's memory that a run can use; the rest is the driver's, and lost between blocks."""
VLLM_CPU_CACHE = 4 << 30
"""Bytes that vLLM takes for keys and values on a CPU."""
VLLM_MEMORY_SHARE = 0.9
"""Share of a GPU's memory that vLLM takes to judge, unless its options say otherwise."""
NF4_BYTES = 0.5 + (1 + 4 / 256) / 64
"""Bytes of a number in nf4 with double quantization (QLoRA, arXiv 2305.14314): four bits, and for each 64 of them a
scale of one byte, of which each 256 share one of four."""

_GROWTH = 1.25
"""Room that the buffers of keys and values have at most, by their content."""
_CHUNK_BYTES = 8
"""Bytes of a logit at hand, in float32: itself, and its logarithm's share of the softmax."""
_SAMPLED_CHUNK_BYTES = 14
"""The same if a sample's entropy is told too: its exponential and their product as well, and a copy in 16 bits."""
_MUON_STEP_BYTES = 24
"""Bytes per number of the largest matrices of one shape while Muon makes them orthogonal: six copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Memory of one kind, on one device."""

    name: str
    phase: Phase
    """The phase in which the part is held."""
    num_bytes: int


def sum_bytes(parts: Sequence[Part], phase: Phase) -> int:
    """Bytes of the parts that belong to this phase alone."""
    return sum(part.num_bytes for part in parts if part.phase == phase)


def find_format(numbers: RunNumbers, machine: Machine) -> Format:
    """Bytes of one number, kept ones included; gathered weights are in the type that is computed in, and what is kept
    is that of a model of that type."""
    is_gathered = machine.num_devices > 1 and numbers.precision == "bf16" and numbers.lora_rank is None
    if not is_gathered:
        return numbers.format
    kept, own = FORMATS["bf16-pure", False], numbers.format
    return Format(
        weight=own.weight,
        trained=own.trained,
        copy=0,
        cache=own.cache,
        residual=kept.residual,
        slope=kept.slope,
        hidden=kept.hidden,
        attention=kept.attention,
        packed=kept.packed,
        kv=kept.kv,
        intermediate=kept.intermediate,
        rank=kept.rank,
    )


def count_layer_bytes(shape: ModelShape, numbers: RunNumbers, form: Format | None = None) -> int:
    """Bytes that a layer keeps of one token for its backward pass."""
    form = form or numbers.format
    return (
        form.hidden * shape.hidden
        + (form.attention + numbers.is_packed * form.packed) * shape.attention_width
        + form.kv * shape.kv_width
        + form.intermediate * shape.intermediate
        + form.rank * (numbers.lora_rank or 0)
        + 4 * shape.heads
        + 8
    )


def count_row_tokens(numbers: RunNumbers, *, prompt_tokens: float, new_tokens: float) -> int:
    """Tokens of a full row of such groups: a group is never divided, and a step has no more than its groups."""
    group = prompt_tokens + numbers.samples * new_tokens
    step = max(1, numbers.prompts // numbers.updates) * group
    row = numbers.row_tokens if numbers.row_groups is None else numbers.row_groups * group
    return math.ceil(max(group, min(row, step)))


def count_rows(numbers: RunNumbers, machine: Machine) -> int:
    """Rows of a step that the device with most of them has."""
    per_row = numbers.row_groups or max(1, int(numbers.row_tokens / numbers.group_tokens))
    return share_out(math.ceil(max(1, numbers.prompts // numbers.updates) / per_row), machine)


def list_parts(
    shape: ModelShape,
    numbers: RunNumbers,
    machine: Machine,
    *,
    prompt_tokens: float | None = None,
    new_tokens: float,
) -> tuple[Part, ...]:
    """Memory of one device; prompts are as expected, or of `prompt_tokens`, but for a rollout's first batch, which has
    the longest."""
    prompt = numbers.expected_prompt if prompt_tokens is None else prompt_tokens
    found: Iterator[tuple[str, Phase, float]]
    parts: list[tuple[str, Phase, float]] = []
    for found in (
        _list_held(shape, numbers, machine),
        _list_computed_with(shape, numbers, machine),
        _list_rollout(shape, numbers, machine, new_tokens),
        _list_look(shape, numbers, machine, new_tokens),
        _list_update(shape, numbers, machine, prompt, new_tokens),
    ):
        parts += found
    return tuple(Part(name=name, phase=phase, num_bytes=int(size)) for name, phase, size in parts if size)


def count_host_bytes(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> int:
    """Bytes of the host's memory that offloading takes, for all devices together."""
    if not is_offloaded(numbers, machine):
        return 0
    trained = count_trained(shape, numbers)
    held = sum(size for _, _, size in _list_states(shape, numbers))
    return int(held + numbers.format.trained * trained)


def is_offloaded(numbers: RunNumbers, machine: Machine) -> bool:
    """Whether what is held between steps is in the host's memory; one device alone divides nothing, and keeps it."""
    return numbers.offload and machine.num_devices > 1 and machine.kind == "cuda"


def _list_states(shape: ModelShape, numbers: RunNumbers) -> Iterator[tuple[str, Phase, float]]:
    """What is held from the first step to the last, of all devices together."""
    form, total, trained = numbers.format, shape.parameters(), count_trained(shape, numbers)
    yield "weights", "always", count_weight_bytes(shape, numbers)
    if numbers.lora_rank is not None:
        yield "adapters", "always", form.trained * trained
    kept = 2 * form.trained * trained
    if numbers.optimizer == "muon":
        # One average, in float32, of the layers' matrices.
        kept += (4 - 2 * form.trained) * shape.layer_parameters
    yield "optimizer", "always", kept
    if numbers.has_reference and numbers.lora_rank is None:
        yield "reference", "always", (4 if numbers.is_fp32 else 2) * total


def count_weight_bytes(shape: ModelShape, numbers: RunNumbers) -> float:
    """Bytes of all weights as they are stored, adapters left out."""
    form, total = numbers.format, shape.parameters()
    if numbers.quantize is None:
        return form.weight * total
    return NF4_BYTES * shape.layer_parameters + form.weight * (total - shape.layer_parameters)


def _list_held(
    shape: ModelShape, numbers: RunNumbers, machine: Machine
) -> Iterator[tuple[str, Phase, float]]:
    form, devices = numbers.format, machine.num_devices
    gradients = form.trained * count_trained(shape, numbers)
    # On a GPU AdamW is fused and takes nothing beside; elsewhere it holds two copies of one matrix at a time.
    largest = max(shape.vocabulary, shape.intermediate) * shape.hidden if numbers.lora_rank is None else 0
    inside = 0 if machine.kind == "cuda" else 2 * form.trained * largest / devices
    if numbers.optimizer == "muon":
        # Two of each layer, in the MLP, are of one shape.
        inside = _MUON_STEP_BYTES * 2 * shape.layers * shape.hidden * shape.intermediate
    if not is_offloaded(numbers, machine):
        for name, phase, size in _list_states(shape, numbers):
            yield name, phase, size / devices
        # Before the first row's backward pass there are none, and during it those of the layers that it is through.
        whole = count_rows(numbers, machine) > 1
        begun = (shape.head_parameters + shape.layer_parameters / shape.layers) / shape.parameters()
        yield "gradients", "loss", gradients / devices if whole else 0
        yield "gradients", "backward", gradients / devices * (1 if whole or numbers.lora_rank else begun)
        yield "gradients", "step", gradients / devices
        yield "inside the step", "step", inside


def _list_computed_with(
    shape: ModelShape, numbers: RunNumbers, machine: Machine
) -> Iterator[tuple[str, Phase, float]]:
    """Copies of weights that are there while they are computed with."""
    if machine.num_devices > 1:
        yield from list_gathered(shape, numbers, machine.num_devices)
        return
    # Autocast keeps the copies of a forward pass to its end; what a layer's backward needs, it keeps itself.
    copy = numbers.format.copy * shape.layer_parameters
    yield "weights in bf16", "loss", copy
    yield "weights in bf16", "backward", copy / (shape.layers if numbers.checkpointing else 1)
    for phase in ("rollout", "look"):
        if _decodes(numbers, phase):
            yield "weights in bf16", phase, copy
    if numbers.quantize is not None:
        # A matrix is written out in 16 bits while it is multiplied by.
        largest = 2 * shape.hidden * max(shape.intermediate, shape.attention_width)
        for phase in PHASES:
            yield "a matrix in bf16", phase, 0 if phase == "step" else largest


def _decodes(numbers: RunNumbers, phase: Phase) -> bool:
    return numbers.look_rows > 0 if phase == "look" else numbers.engine == "transformers"


def _list_update(
    shape: ModelShape, numbers: RunNumbers, machine: Machine, prompt: float, new_tokens: float
) -> Iterator[tuple[str, Phase, float]]:
    form = find_format(numbers, machine)
    tokens = count_row_tokens(numbers, prompt_tokens=prompt, new_tokens=new_tokens)
    layer, kept = count_layer_bytes(shape, numbers, form), 0.0
    if numbers.checkpointing:
        kept = tokens * shape.layers * form.residual * shape.hidden
    inside = tokens * layer * (1 if numbers.checkpointing else shape.layers)
    # In a layer's backward: the slopes of its output and input, and of the MLP's three products.
    working = tokens * (8 * shape.hidden + 3 * form.slope * shape.intermediate)
    yield "activations", "loss", kept or inside
    yield "activations", "backward", kept + inside + working
    if not shape.has_head:
        return
    learnt = tokens * numbers.samples * new_tokens / (prompt + numbers.samples * new_tokens)
    head = 2 * learnt * form.residual * shape.hidden
    chunk = _CHUNK_BYTES if numbers.engine is None else _SAMPLED_CHUNK_BYTES
    head += chunk * min(CHUNK_LOGITS, learnt * shape.vocabulary)
    if numbers.lora_rank is None:
        # The matrix in bf16, its gradient in float32, and a chunk's part of that in both.
        head += (8 if numbers.is_fp32 else 12) * shape.head_parameters
    yield "output layer", "loss", head


def _list_rollout(
    shape: ModelShape, numbers: RunNumbers, machine: Machine, new_tokens: float
) -> Iterator[tuple[str, Phase, float]]:
    if numbers.engine == "vllm":
        room: float = numbers.vllm_bytes * shape.parameters() + VLLM_CPU_CACHE
        if machine.kind == "cuda":
            room = numbers.gpu_memory * machine.memory_bytes
        yield "vLLM", "always", room
    elif numbers.engine == "transformers":
        prompts = count_batch(numbers, machine)
        longest = numbers.prompt_tokens
        yield from _list_decoding(shape, numbers, "rollout", prompts, longest, numbers.samples, new_tokens)


def _list_look(
    shape: ModelShape, numbers: RunNumbers, machine: Machine, new_tokens: float
) -> Iterator[tuple[str, Phase, float]]:
    if numbers.look_rows:
        longest = numbers.look_prompt_tokens or numbers.prompt_tokens
        yield from _list_decoding(shape, numbers, "look", numbers.look_rows, longest, 1, new_tokens)


def _list_decoding(
    shape: ModelShape,
    numbers: RunNumbers,
    phase: Phase,
    prompts: int,
    longest: int,
    samples: int,
    new_tokens: float,
) -> Iterator[tuple[str, Phase, float]]:
    """Keys, values and the pass over so many prompts, each as long as the longest."""
    form = numbers.format
    tokens = prompts * samples * (longest + new_tokens)
    yield "keys and values", phase, count_cache_bytes(shape, tokens, form.cache)
    passed = count_pass_bytes(shape, form.residual, form.slope)
    yield "pass over prompts", phase, max(1, prompts) * longest * passed


def count_cache_bytes(shape: ModelShape, tokens: float, number: float) -> float:
    """Buffers of the keys and values of so many tokens, of `number` bytes each."""
    return _GROWTH * tokens * number * shape.cache_width


def count_pass_bytes(shape: ModelShape, residual: float, inner: float) -> float:
    """Bytes that a pass without gradients holds of each token, by those of a number between and inside layers."""
    return 2 * residual * shape.hidden + 3 * inner * shape.intermediate


def count_trained(shape: ModelShape, numbers: RunNumbers) -> int:
    """Numbers that the optimizer changes."""
    return shape.parameters() if numbers.lora_rank is None else shape.adapter_parameters(numbers.lora_rank)


def count_batch(numbers: RunNumbers, machine: Machine) -> int:
    """Prompts that transformers decodes together on one device."""
    return min(max(1, numbers.rows // numbers.samples), share_out(numbers.prompts, machine))


def count_vllm_cache(shape: ModelShape, numbers: RunNumbers, machine: Machine) -> float:
    """Bytes that vLLM has for keys and values on one device; its weights may be divided over several."""
    if machine.kind == "cpu":
        return VLLM_CPU_CACHE
    weights = numbers.vllm_bytes * shape.parameters() / numbers.tensor_parallel
    return numbers.gpu_memory * machine.memory_bytes - weights


def share_out(count: int, machine: Machine) -> int:
    """What the device that has most gets."""
    return math.ceil(count / machine.num_devices)
