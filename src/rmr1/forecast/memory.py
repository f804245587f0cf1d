"""Memory of a training or a judge on one device, part by part, from its numbers and a shape. Pure.

Activations were counted with autograd's hooks on our own updates (`tests/unit/forecast/test_memory.py` counts them
again): a layer keeps so many bytes of each token for its backward pass,

    whole weights  fp32        24 W +  8 A + 8 K + 16 M            + 4 heads + 8
                   bf16        26 W +  4 A + 4 K +  8 M            + 4 heads + 8
                   bf16-pure   16 W +  4 A + 4 K +  8 M            + 4 heads + 8
    adapters       fp32        16 W +  8 A + 8 K + 16 M + 28 rank  + 4 heads + 8
                   bf16        28 W +  8 A + 4 K + 10 M + 28 rank  + 4 heads + 8

in a packed row of whole documents the attention's output once more, and with checkpointing only its input, all of it
for one layer at a time.

Shapes: as in `rmr1.forecast.shape`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rmr1.forecast.machine import Machine
from rmr1.forecast.shape import ModelShape

DEFAULT_TEXT_TOKENS = 800
"""Mean length of a text of a judge of which nothing is known."""
CHARS_PER_TOKEN = 4
"""Characters per token of English text, with common tokenizers; code and other scripts have fewer."""
CHUNK_LOGITS = 1 << 24
"""Most logits that a loss holds at a time: 64 MB in float32."""
MEMORY_SHARE = 0.95
"""Share of a device's memory that a run can use; the rest is the driver's, and lost between blocks."""
VLLM_CPU_CACHE = 4 << 30
"""Bytes that vLLM takes for keys and values on a CPU."""
VLLM_MEMORY_SHARE = 0.9
"""Share of a GPU's memory that vLLM takes to judge, unless its options say otherwise."""

_GROWTH = 1.25
"""Room that the buffers of keys and values have at most, by their content."""
_CHUNK_BYTES = 14
"""Bytes of a logit at hand: itself, its exponential and their product in float32, and a copy in 16 bits."""
_MUON_STEP_BYTES = 24
"""Bytes per number of the largest matrices of one shape while Muon makes them orthogonal: six copies."""

Phase = Literal["always", "rollout", "update", "step"]
PHASES: tuple[Phase, ...] = ("rollout", "update", "step")
Precision = Literal["fp32", "bf16", "bf16-pure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNumbers:
    """What of a training's recipe decides its memory and time.

    Fine-tuning is a training on groups of one sample that is there already, and a scalar model's conversation is a
    prompt without a sample.
    """

    prompts: int
    """Prompts of one rollout, or of one step of the optimizer if nothing is sampled."""
    samples: int = 1
    """Samples of each prompt."""
    prompt_tokens: int
    """Most tokens of a prompt."""
    new_tokens: int
    """Most tokens of a sample."""
    mean_prompt_tokens: float | None = None
    """The limit if it is not known."""
    mean_new_tokens: float | None = None
    """`DEFAULT_TEXT_TOKENS`, within the limit, if it is not known."""
    row_tokens: int = 0
    """Most tokens of a packed row of the update, each prompt counted once."""
    row_groups: int | None = None
    """Groups of a row, if these are counted and not their tokens."""
    updates: int = 1
    """Steps of the optimizer to a rollout."""
    has_reference: bool = True
    """`beta` is above 0."""
    has_old_pass: bool = False
    """Later steps of a rollout compute its log-probabilities under the first one's weights."""
    lora_rank: int | None = None
    """None trains the whole weights."""
    can_adapt: bool = True
    """Whether adapters can be trained instead of whole weights."""
    precision: Precision = "bf16"
    optimizer: Literal["adamw", "muon"] = "adamw"
    checkpointing: bool = False
    is_packed: bool = False
    """Whether rows hold whole documents."""
    engine: Literal["transformers", "vllm"] | None = "transformers"
    """What samples; None if nothing is sampled."""
    rows: int = 128
    """Samples decoded together, by transformers."""
    gpu_memory: float = 0.4
    """vLLM's share of a GPU, in (0, 1)."""
    row_setting: str = "update.row_tokens"
    """The recipe's name for what a row holds."""
    rollouts: int = 1
    """Rollouts of the run, or its steps if nothing is sampled."""

    @property
    def is_fp32(self) -> bool:
        return self.precision == "fp32"

    @property
    def vllm_bytes(self) -> int:
        """Bytes of each of vLLM's weights, keys and values."""
        return 4 if self.is_fp32 else 2

    @property
    def format(self) -> Format:
        return FORMATS[self.precision, self.lora_rank is not None]

    @property
    def expected_prompt(self) -> float:
        return self.prompt_tokens if self.mean_prompt_tokens is None else self.mean_prompt_tokens

    @property
    def expected_new(self) -> float:
        mean = DEFAULT_TEXT_TOKENS if self.mean_new_tokens is None else self.mean_new_tokens
        return min(self.new_tokens, mean)

    @property
    def group_tokens(self) -> float:
        """Tokens of a group of the expected length."""
        return self.expected_prompt + self.samples * self.expected_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Memory of one kind, on one device."""

    name: str
    phase: Phase
    """The phase in which the part is held."""
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Format:
    """Bytes of one number. Of the last six, as in the module's table: kept per unit of width."""

    weight: int
    trained: int
    """Bytes of a trained number, of its gradient, and of each of Adam's two averages."""
    copy: int
    """Bytes per number of the copy in the type that is computed in, 0 if that is the weights'."""
    cache: int
    """Bytes per number of keys and values."""
    residual: int
    slope: int
    """Bytes per number of gradients inside a layer."""
    hidden: int
    attention: int
    packed: int
    """The attention's output, kept once more in a packed row of whole documents."""
    kv: int
    intermediate: int
    rank: int


FORMATS = {
    ("fp32", False): Format(4, 4, 0, 4, 4, 4, 24, 8, 4, 8, 16, 0),
    ("bf16", False): Format(4, 4, 2, 2, 4, 2, 26, 4, 2, 4, 8, 0),
    ("bf16-pure", False): Format(2, 2, 0, 2, 2, 2, 16, 4, 2, 4, 8, 0),
    ("fp32", True): Format(4, 4, 0, 4, 4, 4, 16, 8, 4, 8, 16, 28),
    ("bf16", True): Format(2, 4, 0, 2, 2, 2, 28, 8, 0, 4, 10, 28),
    ("bf16-pure", True): Format(2, 4, 0, 2, 2, 2, 28, 8, 0, 4, 10, 28),
}


def sum_bytes(parts: Sequence[Part], phase: Phase) -> int:
    """Bytes of the parts that belong to this phase alone."""
    return sum(part.num_bytes for part in parts if part.phase == phase)


def count_layer_bytes(shape: ModelShape, numbers: RunNumbers) -> int:
    """Bytes that a layer keeps of one token for its backward pass."""
    form = numbers.format
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
    parts = [*_list_weights(shape, numbers, machine), *_list_rollout(shape, numbers, machine, new_tokens)]
    form, whole = numbers.format, numbers.lora_rank is None
    tokens = count_row_tokens(numbers, prompt_tokens=prompt, new_tokens=new_tokens)
    layer = count_layer_bytes(shape, numbers)
    kept = shape.layers * layer
    if numbers.checkpointing:
        kept = shape.layers * form.residual * shape.hidden + layer
    # In a layer's backward: the slopes of its output and input, and of the MLP's three products.
    working = 8 * shape.hidden + 3 * form.slope * shape.intermediate
    parts.append(("activations", "update", tokens * (kept + working)))
    if shape.has_head:
        learnt = tokens * numbers.samples * new_tokens / (prompt + numbers.samples * new_tokens)
        head = 2 * learnt * form.residual * shape.hidden
        head += _CHUNK_BYTES * min(CHUNK_LOGITS, learnt * shape.vocabulary)
        if whole:
            # The matrix in bf16, its gradient in float32, and a chunk's part of that in both.
            head += (8 if numbers.is_fp32 else 12) * shape.head_parameters
        parts.append(("output layer", "update", head))
    return tuple(Part(name=name, phase=phase, num_bytes=int(size)) for name, phase, size in parts if size)


def _list_weights(
    shape: ModelShape, numbers: RunNumbers, machine: Machine
) -> Iterator[tuple[str, Phase, float]]:
    form, total, trained = numbers.format, shape.parameters(), count_trained(shape, numbers)
    yield "weights", "always", form.weight * total
    if numbers.lora_rank is not None:
        yield "adapters", "always", form.trained * trained
    # On a GPU AdamW is fused and takes nothing beside; elsewhere it holds two copies of one matrix at a time.
    largest = max(shape.vocabulary, shape.intermediate) * shape.hidden if numbers.lora_rank is None else 0
    kept, inside = 2 * form.trained * trained, 0 if machine.kind == "cuda" else 2 * form.trained * largest
    if numbers.optimizer == "muon":
        # One average, in float32, of the layers' matrices; two of each layer, in the MLP, are of one shape.
        kept += (4 - 2 * form.trained) * shape.layer_parameters
        inside = _MUON_STEP_BYTES * 2 * shape.layers * shape.hidden * shape.intermediate
    yield "optimizer", "always", kept
    if numbers.has_reference and numbers.lora_rank is None:
        yield "reference", "always", (4 if numbers.is_fp32 else 2) * total
    if machine.num_devices > 1:
        yield "gradients to exchange", "always", form.trained * trained
    yield "gradients", "update", form.trained * trained
    yield "gradients", "step", form.trained * trained
    yield "inside the step", "step", inside
    yield "weights in bf16", "update", form.copy * shape.layer_parameters


def _list_rollout(
    shape: ModelShape, numbers: RunNumbers, machine: Machine, new_tokens: float
) -> Iterator[tuple[str, Phase, float]]:
    if numbers.engine == "vllm":
        room: float = numbers.vllm_bytes * shape.parameters() + VLLM_CPU_CACHE
        if machine.kind == "cuda":
            room = numbers.gpu_memory * machine.memory_bytes
        yield "vLLM", "always", room
    elif numbers.engine == "transformers":
        form, prompts = numbers.format, count_batch(numbers, machine)
        yield "weights in bf16", "rollout", form.copy * shape.layer_parameters
        context = numbers.prompt_tokens + new_tokens
        keys = count_cache_bytes(shape, prompts * numbers.samples * context, form.cache)
        yield "keys and values", "rollout", keys
        passed = count_pass_bytes(shape, form.residual, form.slope)
        yield "pass over prompts", "rollout", max(1, prompts) * numbers.prompt_tokens * passed


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
    """Bytes that vLLM has for keys and values."""
    if machine.kind == "cpu":
        return VLLM_CPU_CACHE
    return numbers.gpu_memory * machine.memory_bytes - numbers.vllm_bytes * shape.parameters()


def share_out(count: int, machine: Machine) -> int:
    """What the device that has most gets."""
    return math.ceil(count / machine.num_devices)
