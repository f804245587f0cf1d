"""Memory of a reinforcement run on one device, part by part, from its numbers and a shape. Pure.

Activations were counted with autograd's hooks on our own update (`tests/unit/train/grpo/test_estimate.py`
counts them again): a layer keeps so many bytes of each token for its backward pass,

    whole weights  fp32   24 W +  8 A + 8 K + 16 M            + 4 heads + 8
                   bf16   26 W +  4 A + 4 K +  8 M            + 4 heads + 8
    adapters       fp32   16 W +  8 A + 8 K + 16 M + 28 rank  + 4 heads + 8
                   bf16   28 W +  8 A + 4 K + 10 M + 28 rank  + 4 heads + 8

and with checkpointing only its input, all of it for one layer at a time.

Shapes: as in `rmr1.forecast.shape`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rmr1.forecast.machine import Machine
from rmr1.forecast.shape import ModelShape
from rmr1.train.losses import CHUNK_LOGITS

DEFAULT_NEW_TOKENS = 800
"""Mean length of a sample where nothing is known of the judge."""
VLLM_CPU_CACHE = 4 << 30
"""Bytes that it takes for keys and values on a CPU."""

_GROWTH = 1.25
"""Room that the buffers of keys and values have at most, by their content."""
_ADAM_BYTES, _STEP_BYTES = 8, 4
"""Of a trained number: kept between steps, and beside that within one."""
_CHUNK_BYTES = 14
"""Of a logit that is at hand: itself, its exponential and their product in float32, and a copy in 16 bits."""

Phase = Literal["always", "rollout", "update", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNumbers:
    """What of a recipe decides memory and time."""

    prompts: int
    """Of one rollout."""
    samples: int
    """Of each prompt."""
    prompt_tokens: int
    """Most tokens of a prompt."""
    new_tokens: int
    """Most tokens of a sample."""
    mean_prompt_tokens: float | None = None
    """The limit where it is not known."""
    mean_new_tokens: float | None = None
    """`DEFAULT_NEW_TOKENS`, within the limit, where it is not known."""
    row_tokens: int
    """Of a packed row of the update, each prompt counted once."""
    updates: int = 1
    """Steps of the optimizer to a rollout."""
    has_reference: bool = True
    """`beta` is above 0."""
    has_old_pass: bool = False
    """Later steps of a rollout compute its log-probabilities under the first one's weights."""
    lora_rank: int | None = None
    """None trains the whole weights."""
    precision: Literal["fp32", "bf16"] = "bf16"
    checkpointing: bool = False
    engine: Literal["transformers", "vllm"] = "transformers"
    rows: int = 128
    """Samples decoded together, by transformers."""
    gpu_memory: float = 0.4
    """vLLM's share of a GPU, in (0, 1)."""
    rollouts: int = 1

    @property
    def vllm_bytes(self) -> int:
        """Of each of vLLM's weights, keys and values."""
        return 4 if self.precision == "fp32" else 2

    @property
    def expected_prompt(self) -> float:
        return self.prompt_tokens if self.mean_prompt_tokens is None else self.mean_prompt_tokens

    @property
    def expected_new(self) -> float:
        return min(
            self.new_tokens, DEFAULT_NEW_TOKENS if self.mean_new_tokens is None else self.mean_new_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Memory of one kind, on one device."""

    name: str
    phase: Phase
    """When it is held."""
    num_bytes: int


def sum_bytes(parts: Sequence[Part], phase: Phase) -> int:
    """Of the parts that belong to this phase alone."""
    return sum(part.num_bytes for part in parts if part.phase == phase)


@dataclass(frozen=True, slots=True)
class Format:
    """Bytes of one number. Of the last five, as in the module's table: kept per unit of width."""

    weight: int
    copy: int
    """Of a matrix in the type that products are computed in, where that is not the weights'."""
    cache: int
    """Of keys and values."""
    residual: int
    slope: int
    """Of gradients inside a layer."""
    hidden: int
    attention: int
    kv: int
    intermediate: int
    rank: int


FORMATS = {
    ("fp32", False): Format(4, 0, 4, 4, 4, 24, 8, 8, 16, 0),
    ("bf16", False): Format(4, 2, 2, 4, 2, 26, 4, 4, 8, 0),
    ("fp32", True): Format(4, 0, 4, 4, 4, 16, 8, 8, 16, 28),
    ("bf16", True): Format(2, 0, 2, 2, 2, 28, 8, 4, 10, 28),
}


def count_layer_bytes(shape: ModelShape, *, precision: str = "bf16", lora_rank: int | None = None) -> int:
    """What one layer keeps of one token for its backward pass."""
    form = FORMATS[precision, lora_rank is not None]
    return (
        form.hidden * shape.hidden
        + form.attention * shape.attention_width
        + form.kv * shape.kv_width
        + form.intermediate * shape.intermediate
        + form.rank * (lora_rank or 0)
        + 4 * shape.heads
        + 8
    )


def count_row_tokens(numbers: RunNumbers, *, prompt_tokens: float, new_tokens: float) -> int:
    """Tokens of a full row when all groups are of this size: a group is never divided, and a step has no more
    than its groups."""
    group = prompt_tokens + numbers.samples * new_tokens
    step = max(1, numbers.prompts // numbers.updates) * group
    return math.ceil(max(group, min(numbers.row_tokens, step)))


def list_parts(
    shape: ModelShape,
    numbers: RunNumbers,
    machine: Machine,
    *,
    prompt_tokens: float | None = None,
    new_tokens: float,
) -> tuple[Part, ...]:
    """Memory of one device, samples being `new_tokens` long; prompts as expected, or of `prompt_tokens`.

    The first batch of a rollout has the longest prompts in any case.
    """
    form = FORMATS[numbers.precision, numbers.lora_rank is not None]
    total, trained = shape.parameters(), count_trained(shape, numbers)
    is_whole = numbers.lora_rank is None
    parts: list[tuple[str, Phase, float]] = [("weights", "always", form.weight * total)]
    if not is_whole:
        parts.append(("adapters", "always", 4 * trained))
    parts.append(("optimizer", "always", _ADAM_BYTES * trained))
    if numbers.has_reference and is_whole:
        parts.append(("reference", "always", (2 if numbers.precision == "bf16" else 4) * total))
    if machine.num_devices > 1:
        parts.append(("gradients to exchange", "always", 4 * trained))
    parts.append(("gradients", "update", 4 * trained))
    parts.append(("gradients", "step", 4 * trained))
    parts.append(("inside the step", "step", _STEP_BYTES * trained))

    copies = form.copy * shape.layer_parameters
    parts.append(("weights in bf16", "update", copies))
    if numbers.engine == "vllm":
        room = numbers.gpu_memory * machine.memory_bytes
        parts.append(
            (
                "vLLM",
                "always",
                room if machine.kind == "cuda" else numbers.vllm_bytes * total + VLLM_CPU_CACHE,
            )
        )
    else:
        num_prompts = count_batch(numbers, machine)
        context = numbers.prompt_tokens + new_tokens
        per_token = form.cache * shape.cache_width
        passed = max(1, num_prompts) * numbers.prompt_tokens
        parts += [
            ("weights in bf16", "rollout", copies),
            (
                "keys and values",
                "rollout",
                _GROWTH * num_prompts * numbers.samples * context * per_token,
            ),
            (
                "pass over prompts",
                "rollout",
                passed * (2 * form.residual * shape.hidden + 3 * form.slope * shape.intermediate),
            ),
        ]

    prompt = numbers.expected_prompt if prompt_tokens is None else prompt_tokens
    tokens = count_row_tokens(numbers, prompt_tokens=prompt, new_tokens=new_tokens)
    layer = count_layer_bytes(shape, precision=numbers.precision, lora_rank=numbers.lora_rank)
    kept = (
        shape.layers * form.residual * shape.hidden + layer if numbers.checkpointing else shape.layers * layer
    )
    # Where a layer's backward stands: the slopes of its output and input, and of the MLP's three products.
    working = 8 * shape.hidden + 3 * form.slope * shape.intermediate
    learnt = tokens * numbers.samples * new_tokens / (prompt + numbers.samples * new_tokens)
    head = 2 * learnt * form.residual * shape.hidden
    head += _CHUNK_BYTES * min(CHUNK_LOGITS, learnt * shape.vocabulary)
    if is_whole:
        # The matrix in bf16, its gradient in float32, and a chunk's part of that in both.
        head += (12 if numbers.precision == "bf16" else 8) * shape.head_parameters
    parts += [
        ("activations", "update", tokens * (kept + working)),
        ("output layer", "update", head),
    ]
    return tuple(Part(name=name, phase=phase, num_bytes=int(size)) for name, phase, size in parts if size)


def count_trained(shape: ModelShape, numbers: RunNumbers) -> int:
    """Numbers that the optimizer changes."""
    return shape.parameters() if numbers.lora_rank is None else shape.adapter_parameters(numbers.lora_rank)


def count_batch(numbers: RunNumbers, machine: Machine) -> int:
    """Prompts that transformers decodes together on one device."""
    return min(max(1, numbers.rows // numbers.samples), share_out(numbers.prompts, machine))


def share_out(count: int, machine: Machine) -> int:
    """What the device that has most gets."""
    return math.ceil(count / machine.num_devices)
