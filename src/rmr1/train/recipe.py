"""A training recipe: what TOML says, checked. Unknown keys are errors that name the nearest known one.

`preset` puts the settings of the paper's supervised stage (arXiv 2505.02387, section 4 and appendix; the
reference repository's training scripts where the paper is silent) under what the file says itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from rmr1.errors import ConfigError
from rmr1.prompts.escape import check_tokens

R = TypeVar("R", bound=BaseModel)


Beta = Annotated[float, Field(ge=0, lt=1)]
"""A coefficient of Adam's running means."""
ControlTokens = Annotated[tuple[str, ...], AfterValidator(check_tokens)]
"""A user's own control tokens, broken in user text beside those that are known by their shape."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TokenizerRecipe(Section):
    """The tokenizer of a from-scratch run; see `rmr1.train.scratch.tokenizer`."""

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
    copying: bool = False
    """Start with weights that already copy (an induction circuit) instead of wholly random ones."""
    tokenizer: TokenizerRecipe = TokenizerRecipe()

    @model_validator(mode="after")
    def _check_shape(self) -> ScratchRecipe:
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError("hidden_size must be an even number of times heads")
        if self.heads % self.kv_heads:
            raise ValueError("heads must be a multiple of kv_heads")
        if self.copying and (
            self.architecture != "llama" or self.heads < 2 * self.kv_heads or self.layers < 2
        ):
            raise ValueError(
                "copying needs architecture 'llama', two layers, and two heads to each of kv_heads"
            )
        return self


class ModelRecipe(Section):
    base: str | None = None
    """Hugging Face name or folder of the model to go on from."""
    from_scratch: ScratchRecipe | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    precision: Literal["fp32", "bf16", "bf16-pure"] = "fp32"
    """"bf16" computes in bfloat16 on float32 weights; "bf16-pure" has weights and optimizer in it too."""
    checkpointing: bool = False
    """Compute layers again in the backward pass instead of keeping their insides."""
    save_dtype: Literal["fp32", "bf16"] | None = None
    """Number format of the stored weights; by default bf16 where the precision is."""

    @model_validator(mode="after")
    def _check_source(self) -> ModelRecipe:
        if (self.base is None) == (self.from_scratch is None):
            raise ValueError("name either base, the model to go on from, or [model.from_scratch]")
        return self


class LoraRecipe(Section):
    r: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"


class WorldRecipe(Section):
    """Items of the synthetic preference world instead of a file; new ones in every epoch."""

    items: int = Field(ge=1)
    """Items of one epoch."""
    teacher: Literal["oracle", "fallible", "corrected", "anchored"] = "oracle"
    distribution: Literal["biased", "balanced"] = "balanced"
    family: str = "rubric"
    """Prompt family."""
    seed: int = 0
    spelled: float = Field(default=0.0, ge=0, lt=1)
    """Share of a training prompt's words that are spelt in bytes, for tokenizers made anew; see
    `rmr1.train.scratch.spelling`."""
    held_out: int = Field(default=256, ge=0)
    """Items of the test split for held-out figures."""


class SourceRecipe(Section):
    """Where rows come from, and which are kept aside."""

    holds: ClassVar[str]
    """What the files hold."""
    train: str | tuple[str, ...] | None = None
    """Files, folders or datasets."""
    held_out: str | tuple[str, ...] | None = None
    """The like, for held-out figures."""
    held_out_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training rows that is kept aside instead, drawn by the seed."""
    world: Section | None = None
    on_overlong: Literal["skip", "fail"] = "skip"

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.train is None) == (self.world is None):
            raise ValueError(f"name either train, a file of {self.holds}, or [data.world]")
        if self.held_out is not None and self.held_out_share:
            raise ValueError("name either held_out or held_out_share")
        return self


class DataRecipe(SourceRecipe):
    """Rows {"messages": [...]}, the judge's own turn last."""

    holds = "messages"
    world: WorldRecipe | None = None
    max_tokens: int = Field(default=8192, ge=2)
    """Longest document; a longer one is left out and counted, never cut."""
    check_prompts: bool = True
    """Refuse prompts that give the verdict away."""


class BatchRecipe(Section):
    """What one step of the optimizer sees, over all processes together."""

    examples: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Documents are taken while they fit, at least one."""
    row_tokens: int = Field(default=8192, ge=1)
    """Length of a packed row: what goes through the model at a time, so what bounds the memory."""
    packing: bool = True
    """False: one document at a time, by the model's own attention."""

    @model_validator(mode="after")
    def _check_size(self) -> BatchRecipe:
        if (self.examples is None) == (self.tokens is None):
            raise ValueError("name either examples or tokens of a step")
        return self


class OptimRecipe(Section):
    name: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(default=1e-5, gt=0)
    muon_lr: float = Field(default=4e-3, gt=0)
    """Of the matrices inside the layers, where the name is "muon"; the rest has `lr`."""
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
    steps: int | None = Field(default=None, ge=1)
    """At most so many steps; the schedule ends there."""


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
    report_to: str | tuple[str, ...] = "none"
    """Trackers of accelerate: "none", "all", "tensorboard", "wandb", ..."""
    project: str = "rmr1"
    every: int = Field(default=1, ge=1)
    """Steps between two lines of metrics.jsonl."""


class Recipe(Section):
    preset: str | None = None
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    model: ModelRecipe
    lora: LoraRecipe | None = None
    data: DataRecipe
    batch: BatchRecipe
    optim: OptimRecipe = OptimRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    checkpoint: CheckpointRecipe = CheckpointRecipe()
    report: ReportRecipe = ReportRecipe()

    @model_validator(mode="after")
    def _check_parts(self) -> Recipe:
        if self.lora and self.model.from_scratch:
            raise ValueError("[lora] adapts a base model; a model from scratch is trained whole")
        if self.data.world and self.data.world.spelled and not self.model.from_scratch:
            raise ValueError("data.world.spelled is for tokenizers made anew, [model.from_scratch]")
        if self.data.world and self.batch.tokens and self.optim.steps is None:
            raise ValueError("with [data.world] and batch.tokens name optim.steps, where the schedule ends")
        return self


def _paper(base: str, lr: float) -> dict[str, Any]:
    return {
        "model": {"base": base, "precision": "bf16", "checkpointing": True},
        "data": {"max_tokens": 12288},
        "batch": {"examples": 128, "row_tokens": 12288},
        "optim": {
            "name": "adamw",
            "lr": lr,
            "betas": [0.9, 0.95],
            "weight_decay": 0.0,
            "clip": 1.0,
            "schedule": "cosine",
            "warmup": 0.03,
            "min_ratio": 0.1,
            "epochs": 1,
        },
    }


PRESETS: dict[str, dict[str, Any]] = {
    "rm-r1-7b": _paper("Qwen/Qwen2.5-7B-Instruct", 5e-6),
    "rm-r1-14b": _paper("Qwen/Qwen2.5-14B-Instruct", 3e-6),
    "rm-r1-32b": _paper("Qwen/Qwen2.5-32B-Instruct", 2e-6),
}
"""The rates are the paper's; its scripts have 5e-6 for all three."""


def build_recipe(values: Mapping[str, Any], origin: str) -> Recipe:
    """The recipe that a file's values make; `origin` names it in complaints.

    Raises:
        ConfigError: a key or preset is unknown, or a value does not fit.
    """
    return check_recipe(Recipe, apply_preset(values, PRESETS, origin), origin)


def apply_preset(
    values: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]], origin: str
) -> Mapping[str, Any]:
    """The values over those of the preset that they name, where they name one.

    Raises:
        ConfigError: it is not one of `presets`.
    """
    preset = values.get("preset")
    if preset is None:
        return values
    if preset not in presets:
        raise ConfigError(f"{origin}: unknown preset {preset!r}; expected one of {', '.join(presets)}")
    return _merge(presets[preset], values)


def check_recipe(kind: type[R], values: Mapping[str, Any], origin: str) -> R:
    """The values as a recipe of this kind; complaints are one line.

    Raises:
        ConfigError: a key is unknown, or a value does not fit.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {_describe(error, kind)}") from None


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's values with a file's own over them, section by section."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    if "from_scratch" in over:
        merged.pop("base", None)
    if "tokens" in over and "examples" not in over:
        merged.pop("examples", None)
    return merged


def _describe(error: ValidationError, kind: type[BaseModel]) -> str:
    errors = error.errors()
    # A misspelt section is both unknown and missing; the first says more.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(kind, first["loc"][:-1])
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        return f"unknown key {place!r}; {hint}"
    if first["type"] == "missing":
        return f"{place!r} is missing"
    if first["type"] == "model_type":
        told = f"expected a section of keys and values, got {first.get('input')!r}"
        return f"{place}: {told}" if place else told
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{place}: {message}" if place else message
    return f"{place}: {message[:1].lower()}{message[1:]}, got {first.get('input')!r}"


def _known_keys(recipe: type[BaseModel], section: tuple[int | str, ...]) -> list[str]:
    """The keys of a section."""
    kind: Any = recipe
    for part in section:
        annotation = kind.model_fields[str(part)].annotation
        choices = [annotation, *get_args(annotation)]
        kind = next(one for one in choices if isinstance(one, type) and issubclass(one, BaseModel))
    return list(kind.model_fields)
