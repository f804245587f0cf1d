"""The recipe of a scalar reward model: what TOML says, checked. Sections that mean the same as for `rmr1 sft` are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rmr1.records import Label
from rmr1.train.recipe import (
    CheckpointRecipe,
    ModelRecipe,
    ReportRecipe,
    Section,
    SourceRecipe,
    check_recipe,
)

Rates = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, int | float) else value),
]
"""One rate or several."""


class ScalarModelRecipe(ModelRecipe):
    """`base` is a causal language model, such as the result of `rmr1 sft`, whose backbone gets a new head; or a
    scalar model to go on from."""

    tokenizer: str | None = None
    """Model whose tokenizer a model from scratch takes over instead of learning one."""

    @model_validator(mode="after")
    def _check_tokenizer(self) -> ScalarModelRecipe:
        if self.tokenizer is not None and self.from_scratch is None:
            raise ValueError("tokenizer is for [model.from_scratch]; a base has its own")
        return self


class PairWorldRecipe(Section):
    """Pairs of the synthetic preference world instead of a file."""

    items: int = Field(ge=1)
    """The first so many items of the training split, the same in every epoch."""
    distribution: Literal["biased", "balanced"] = "balanced"
    seed: int = 0
    spelled: float = Field(default=0.0, ge=0, lt=1)
    """Share of the words of a training pair that are spelt in bytes, as for `rmr1 sft`; for a tokenizer made anew."""
    held_out: int = Field(default=512, ge=0)
    """Items of the test split, balanced, for held-out figures."""


class PairDataRecipe(SourceRecipe):
    """Pairs, in any form that `rmr1 judge` reads."""

    holds = "pairs"
    format: str | None = None
    """Name of the files' form, where the columns do not tell."""
    map: dict[str, str] = Field(default_factory=dict)
    """Our column name to the files', for files of no known form."""
    label: dict[str, Label] | None = None
    """What the values of the label's column mean, as `{"1" = "A", "2" = "B"}`; None: as the form has it."""
    world: PairWorldRecipe | None = None
    max_tokens: int = Field(default=4096, ge=2)
    """Longest conversation; a pair with a longer one is left out and counted, never cut."""

    @property
    def has_held_out(self) -> bool:
        if self.world is not None:
            return self.world.held_out > 0
        return self.held_out is not None or self.held_out_share > 0


class PairBatchRecipe(Section):
    examples: int = Field(default=32, ge=1)
    """Pairs that one step of the optimizer sees."""
    examples_at_once: int | None = Field(default=None, ge=1)
    """Pairs that go through the model together, which bounds the memory; by default all of a step."""

    @model_validator(mode="after")
    def _check_parts(self) -> PairBatchRecipe:
        if self.examples % (self.examples_at_once or self.examples):
            raise ValueError("examples must be a multiple of examples_at_once")
        return self


class ScalarOptimRecipe(Section):
    name: Literal["adamw", "muon"] = "adamw"
    lr: Rates = (1e-5,)
    """Each rate is a training of its own from the same start; the best by held-out accuracy is kept."""
    try_tokens: int | None = Field(default=None, ge=1)
    """Where there are several rates, each is tried for so many tokens only, with a schedule of that length; the
    best is then trained in full, from the start."""
    muon_lr: Rates | None = None
    """Of the matrices inside the layers, where the name is "muon": one for each of `lr`, by default equal to it."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, ge=0)
    """Longest gradient, over all parameters; 0 is off."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.03, ge=0)
    """A share of all steps below 1, a number of steps from 1 on."""
    min_ratio: float = Field(default=0.0, ge=0, le=1)
    epochs: int = Field(default=1, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Instead of epochs: each training ends with the step that reaches so many tokens, both conversations of a
    pair counted, padding not."""

    @model_validator(mode="after")
    def _check_rates(self) -> ScalarOptimRecipe:
        if not self.lr:
            raise ValueError("lr names no rate")
        if len(set(self.lr)) < len(self.lr):
            raise ValueError("lr names a rate twice")
        if self.try_tokens is not None and len(self.lr) == 1:
            raise ValueError("try_tokens is for several rates in lr")
        if self.muon_lr is not None and len(self.muon_lr) != len(self.lr):
            raise ValueError(f"lr has {len(self.lr)} rates and muon_lr {len(self.muon_lr)}; expected as many")
        return self


class ScalarEvaluationRecipe(Section):
    every: int | None = Field(default=None, ge=1)
    """Steps between two looks at the held-out pairs; there is always one at the end."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs scored together."""


class ScalarRecipe(Section):
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    model: ScalarModelRecipe
    data: PairDataRecipe
    batch: PairBatchRecipe = PairBatchRecipe()
    optim: ScalarOptimRecipe = ScalarOptimRecipe()
    evaluation: ScalarEvaluationRecipe = ScalarEvaluationRecipe()
    checkpoint: CheckpointRecipe = CheckpointRecipe()
    report: ReportRecipe = ReportRecipe()

    @model_validator(mode="after")
    def _check_choice(self) -> ScalarRecipe:
        if len(self.optim.lr) > 1 and not self.data.has_held_out:
            raise ValueError("several rates in optim.lr need held-out pairs to choose by; name data.held_out")
        if self.data.world and self.data.world.spelled and not self.model.from_scratch:
            raise ValueError("data.world.spelled is for tokenizers made anew, [model.from_scratch]")
        return self


def build_scalar_recipe(values: Mapping[str, Any], origin: str) -> ScalarRecipe:
    """The recipe that a file's values make; `origin` names it in complaints.

    Raises:
        ConfigError: a key is unknown, or a value does not fit.
    """
    return check_recipe(ScalarRecipe, values, origin)
