"""The recipe of a scalar reward model: what TOML says, checked. Sections that mean the same as for `rmr1 sft` are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field

from rmr1.named import ModelName
from rmr1.settings import Section, rule
from rmr1.train.recipe import (
    LabelledRecipe,
    ModelRecipe,
    PairWorldRecipe,
    StepRecipe,
    TrainingRecipe,
)

Rates = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, int | float) else value),
]
"""One rate or several."""


class ScalarModelRecipe(ModelRecipe):
    """`base` is a causal language model, such as the result of `rmr1 sft`, whose backbone gets a new head; or a
    scalar model to go on from."""

    base: ModelName = None
    tokenizer: ModelName = None
    """Model whose tokenizer a model from scratch takes over instead of learning one."""

    @rule
    def _check_quantized(self) -> Iterator[str]:
        if self.quantize is not None:
            yield "quantize is for a base under adapters; a scalar model is trained whole"

    @rule
    def _check_tokenizer(self) -> Iterator[str]:
        if self.tokenizer is not None and self.from_scratch is None:
            yield "tokenizer is for [model.from_scratch]; a base has its own"


class ScoredWorldRecipe(PairWorldRecipe):
    """The items are the first of the training split, the same in every epoch."""

    spelled: float = Field(default=0.0, ge=0, lt=1)
    """Share of the words of a training pair that are spelt in bytes, as for `rmr1 sft`; for a tokenizer made anew."""
    held_out: int = Field(default=512, ge=0)
    """Items of the test split, balanced, for held-out figures."""


class PairDataRecipe(LabelledRecipe):
    world: ScoredWorldRecipe | None = None
    max_tokens: int = Field(default=4096, ge=2)
    """Longest conversation; a pair with a longer one is left out and counted, never cut."""


class PairBatchRecipe(Section):
    examples: int = Field(default=32, ge=1)
    """Pairs that one step of the optimizer sees."""
    examples_at_once: int | None = Field(default=None, ge=1)
    """Pairs that go through the model together, which bounds the memory; by default all of a step."""

    @rule
    def _check_parts(self) -> Iterator[str]:
        if self.examples % (self.examples_at_once or self.examples):
            yield "examples must be a multiple of examples_at_once"


class ScalarOptimRecipe(StepRecipe):
    lr: Rates = (1e-5,)
    """Each rate is a training of its own from the same start; the best by held-out accuracy is kept."""
    try_tokens: int | None = Field(default=None, ge=1)
    """Tokens of a try, if there are several rates; its schedule has that length, and the best is then
    trained in full, from the start."""
    muon_lr: Rates | None = None
    """Rates of the matrices inside the layers, if the name is "muon": one for each of `lr`, by default equal to it."""
    tokens: int | None = Field(default=None, ge=1)
    """Instead of epochs: each training ends with the step that reaches so many tokens, both conversations of a
    pair counted, padding not."""

    @rule
    def _check_rates(self) -> Iterator[str]:
        if not self.lr:
            yield "lr names no rate"
        if len(set(self.lr)) < len(self.lr):
            yield "lr names a rate twice"

    @rule
    def _check_tries(self) -> Iterator[str]:
        if self.try_tokens is not None and len(self.lr) == 1:
            yield "try_tokens is for several rates in lr"

    @rule
    def _check_muon(self) -> Iterator[str]:
        if self.muon_lr is not None and len(self.muon_lr) != len(self.lr):
            yield f"lr has {len(self.lr)} rates and muon_lr {len(self.muon_lr)}; expected as many"


class ScalarEvaluationRecipe(Section):
    every: int | None = Field(default=None, ge=1)
    """Steps between two looks at the held-out pairs; there is always one at the end."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs scored together."""


class ScalarRecipe(TrainingRecipe):
    model: ScalarModelRecipe
    data: PairDataRecipe
    batch: PairBatchRecipe = PairBatchRecipe()
    optim: ScalarOptimRecipe = ScalarOptimRecipe()
    evaluation: ScalarEvaluationRecipe = ScalarEvaluationRecipe()

    @rule
    def _check_choice(self) -> Iterator[str]:
        if len(self.optim.lr) > 1 and not self.data.has_held_out:
            yield "several rates in optim.lr need held-out pairs to choose by; name data.held_out"
