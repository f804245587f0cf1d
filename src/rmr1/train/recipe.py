"""A training recipe: what TOML says, checked. Unknown keys are errors that name the nearest known one.

`preset` puts the settings of the paper's supervised stage (arXiv 2505.02387, section 4 and appendix; the reference
repository's scripts where the paper is silent) under what the file says itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rmr1.engines.folders import read_stated_context
from rmr1.named import BaseName, DataNames, FamilyName, PairForm, RowSource, TrackerNames
from rmr1.settings import Complaint, Section, rule

Beta = Annotated[float, Field(ge=0, lt=1)]
"""A coefficient of Adam's running means."""


class TokenizerRecipe(Section):
    """See `rmr1.train.scratch.tokenizer`."""

    vocabulary: int = Field(default=8192, ge=400)
    """Most tokens, the fixed ones included; the commonest words come first."""
    min_count: int = Field(default=2, ge=1)
    """Rarer words have no token and are spelt in bytes."""
    examples: int = Field(default=4000, ge=1)
    """Training examples whose words are counted."""


class ScratchRecipe(Section):
    """The shape of a model that is made anew."""

    architecture: Literal["qwen3", "llama"] = "qwen3"
    """Llama's has the biases of Qwen2 and so its sums; Qwen3's normalises queries and keys instead. Qwen2 itself
    is not offered: transformers gives every checkpoint of that type Qwen's own tokenizer."""
    hidden_size: int = Field(default=128, ge=8)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=2, ge=1)
    intermediate_size: int = Field(default=384, ge=8)
    context: int = Field(default=8192, ge=64)
    tied: bool = True
    """Input and output embeddings are one matrix."""
    rope_theta: float = Field(default=1e6, gt=0)
    initializer_range: float = Field(default=0.02, gt=0)
    tokenizer: TokenizerRecipe = TokenizerRecipe()

    @rule
    def _check_shape(self) -> Iterator[str]:
        if self.hidden_size % (2 * self.heads):
            yield "hidden_size must be an even number of times heads"

    @rule
    def _check_heads(self) -> Iterator[str]:
        if self.heads % self.kv_heads:
            yield "heads must be a multiple of kv_heads"


class ModelRecipe(Section):
    base: BaseName = None
    """Hugging Face name or folder of the model to go on from."""
    from_scratch: ScratchRecipe | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    precision: Literal["fp32", "bf16", "bf16-pure"] = "fp32"
    """"bf16" computes in bfloat16 on float32 weights; "bf16-pure" has weights and optimizer in it too."""
    max_stuck_share: float = Field(default=0.9, ge=0, le=1, exclude=True)
    """Most of the trained weights that a step at the peak rate may leave where they are, because their number format
    rounds it away; a larger share ends the training before its first step. No part of what a run is known by."""
    checkpointing: bool = False
    """Compute layers again in the backward pass instead of keeping their insides."""
    save_dtype: Literal["fp32", "bf16"] | None = None
    """Number format of the stored weights; by default bf16 where the precision is."""

    @rule
    def _check_source(self) -> Iterator[str]:
        if (self.base is None) == (self.from_scratch is None):
            yield "name either base, the model to go on from, or [model.from_scratch]"


class LoraRecipe(Section):
    r: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    quantize: Literal["nf4"] | None = None
    """Number format of the frozen base's matrices: "nf4", 4 bits with double quantization, by bitsandbytes (QLoRA, arXiv
    2305.14314)."""


class PairWorldRecipe(Section):
    """Items of the synthetic preference world instead of a file."""

    items: int = Field(ge=1)
    """Items of one epoch."""
    distribution: Literal["biased", "balanced"] = "balanced"
    seed: int = 0
    held_out: int = Field(default=256, ge=0)
    """Items of the test split, balanced, for held-out figures."""


class WorldRecipe(PairWorldRecipe):
    """The items are new in every epoch."""

    teacher: Literal["oracle", "fallible", "corrected", "anchored"] = "oracle"
    family: FamilyName = "rubric"
    """Prompt family."""
    spelled: float = Field(default=0.0, ge=0, lt=1)
    """Share of a training prompt's words that are spelt in bytes, for tokenizers made anew; see
    `rmr1.train.scratch.tokenizer`."""


class SourceRecipe(RowSource):
    """The source of rows, and those that are kept aside."""

    held_out: DataNames = None
    """The like of `train`, for held-out figures."""
    held_out_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training rows that is kept aside instead, drawn by the seed."""
    on_overlong: Literal["skip", "fail"] = "skip"

    @rule
    def _check_held_out(self) -> Iterator[str]:
        if self.held_out is not None and self.held_out_share:
            yield "name either held_out or held_out_share"


class DataRecipe(SourceRecipe):
    """Rows {"messages": [...]}, the judge's own turn last."""

    holds = "messages"
    world: WorldRecipe | None = None
    max_tokens: int = Field(default=8192, ge=2)
    """Longest document; a longer one is left out and counted, never cut."""
    check_prompts: bool = True
    """Refuse prompts that give the verdict away."""


class LabelledRecipe(PairForm, SourceRecipe):
    """Labelled pairs, in any form that `rmr1 judge` reads. Ties and unlabelled pairs are left out and counted."""

    world: PairWorldRecipe | None = None

    @property
    def has_held_out(self) -> bool:
        if self.world is not None:
            return self.world.held_out > 0
        return self.held_out is not None or self.held_out_share > 0


class BatchRecipe(Section):
    """What one step of the optimizer sees, over all processes together."""

    examples: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Documents are taken while they fit, at least one."""
    row_tokens: int = Field(default=8192, ge=1)
    """Length of a packed row: what goes through the model at a time, so what bounds the memory."""
    packing: bool = True
    """False: one document at a time, by the model's own attention."""

    @rule
    def _check_size(self) -> Iterator[str]:
        if (self.examples is None) == (self.tokens is None):
            yield "name either examples or tokens of a step"


class StepRecipe(Section):
    """What a step of the optimizer is, in every training; the rates are said beside it."""

    name: Literal["adamw", "muon"] = "adamw"
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, ge=0)
    """Longest gradient, over all parameters; 0 is off."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.03, ge=0)
    """A share of all steps below 1, a number of steps from 1 on."""
    min_ratio: float = Field(default=0.0, ge=0, le=1)
    epochs: int = Field(default=1, ge=1)


class OptimRecipe(StepRecipe):
    lr: float = Field(default=1e-5, gt=0)
    muon_lr: float = Field(default=4e-3, gt=0)
    """Rate of the matrices inside the layers, if the name is "muon"; the rest has `lr`."""
    steps: int | None = Field(default=None, ge=1)
    """Most steps; the schedule ends there."""


class EvaluationRecipe(Section):
    every: int | None = Field(default=None, ge=1)
    """Steps between two looks at the held-out data; there is always one at the end."""
    verdicts: int = Field(default=0, ge=0)
    """Held-out examples for which a judgment is written and its verdict compared."""
    max_new_tokens: int = Field(default=1024, ge=1)
    batch_size: int = Field(default=64, ge=1)


class CheckpointRecipe(Section):
    every: int = Field(default=100, ge=0)
    """Steps between two checkpoints, and one at the end; 0 is none at all."""
    keep: int = Field(default=2, ge=1)


class ReportRecipe(Section):
    report_to: TrackerNames = "none"
    """Trackers of accelerate: "none", "all", "tensorboard", "wandb", ..."""
    project: str = "rmr1"
    every: int = Field(default=1, ge=1)
    """Steps between two lines of metrics.jsonl."""


class ShardingRecipe(Section):
    """How several processes work together; no part of what a run is known by."""

    offload: bool = False
    """Keep weights, gradients and the optimizer in the machine's memory and not in the GPU's, which is slower."""
    timeout_seconds: float = Field(default=1800, ge=1)
    """A process that waits for the others longer than this ends the run."""


def with_adapters(settings: dict[str, Any], *, quantize: bool = False) -> dict[str, Any]:
    """The same with adapters, on a base in four bits if asked; their rate is ten times that of whole weights, as is
    usual for them."""
    lora: dict[str, Any] = {"r": 32, "alpha": 64, **({"quantize": "nf4"} if quantize else {})}
    optim = {**settings["optim"], "lr": float(f"{10 * settings['optim']['lr']:.6g}")}
    return {**settings, "lora": lora, "optim": optim}


def list_variants(full: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Presets of whole weights, and each with `-lora` and `-qlora` behind its name."""
    found = dict(full)
    for ending in ("-lora", "-qlora"):
        found |= {
            f"{name}{ending}": with_adapters(one, quantize=ending == "-qlora") for name, one in full.items()
        }
    return found


_FULL: dict[str, dict[str, Any]] = {
    f"rm-r1-{size}": {
        "model": {
            "base": f"Qwen/Qwen2.5-{size.upper()}-Instruct",
            "precision": "bf16",
            "checkpointing": True,
        },
        "data": {"max_tokens": 12288},
        "batch": {"examples": 128, "row_tokens": 12288},
        "optim": {"lr": lr, "min_ratio": 0.1},
    }
    for size, lr in (("7b", 5e-6), ("14b", 3e-6), ("32b", 2e-6))
}
PRESETS = list_variants(_FULL)
"""The rates of whole weights are the paper's; its scripts have 5e-6 for all three. What the defaults say is not said
again."""


class TrainingRecipe(Section):
    """What is said of every training."""

    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    model: ModelRecipe
    data: Any
    checkpoint: CheckpointRecipe = CheckpointRecipe()
    report: ReportRecipe = ReportRecipe()
    sharding: ShardingRecipe = ShardingRecipe()

    @rule
    def _check_context(self) -> Iterator[Complaint]:
        most, context = getattr(self.data, "max_tokens", 0), read_stated_context(self.model.base)
        if context is not None and most > context:
            yield ("data", "max_tokens"), describe_excess(most, context)

    @rule
    def _check_spelled(self) -> Iterator[str]:
        if self.data.world and getattr(self.data.world, "spelled", 0) and not self.model.from_scratch:
            yield "data.world.spelled is for tokenizers made anew, [model.from_scratch]"


class Recipe(TrainingRecipe):
    presets = PRESETS
    instead: ClassVar[Mapping[str, str]] = {"from_scratch": "base", "tokens": "examples"}
    preset: str | None = None
    lora: LoraRecipe | None = None
    data: DataRecipe
    batch: BatchRecipe
    optim: OptimRecipe = OptimRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()

    @rule
    def _check_parts(self) -> Iterator[str]:
        if self.lora and self.model.from_scratch:
            yield "[lora] adapts a base model; a model from scratch is trained whole"

    @rule
    def _check_end(self) -> Iterator[str]:
        if self.data.world and self.batch.tokens and self.optim.steps is None:
            yield "with [data.world] and batch.tokens name optim.steps, where the schedule ends"


def describe_excess(max_tokens: int, context: int) -> str:
    """What is said of documents that may be longer than the model's context."""
    return f"data.max_tokens is {max_tokens}, and the model's context {context}; name at most that"
