"""Everything about a training that can be known before a weight is loaded: `rmr1 scalar --dry-run` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.scorer import ConversationReader
from rmr1.errors import ConfigError
from rmr1.train.folder import describe_training
from rmr1.train.optim import count_warmup
from rmr1.train.scalar.pairs import Course, PairStore, plan_course, read_stores
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.scalar.start import ScalarBase, choose_padding, describe_scalar_base


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarPlan:
    """A run before it starts."""

    recipe: ScalarRecipe
    base: ScalarBase
    train: PairStore
    held_out: PairStore
    course: Course
    try_course: Course | None
    """Of the short trainings that choose the rate, where there are any."""
    pad: int
    """Padding token."""
    chat: Chat
    """How conversations are rendered."""

    @property
    def warmup_steps(self) -> int:
        return count_warmup(self.recipe.optim.warmup, self.course.num_steps)

    def as_try(self) -> ScalarPlan:
        """The same training, as short as a try."""
        assert self.try_course is not None
        return replace(self, course=self.try_course, try_course=None)

    def describe(self) -> dict[str, Any]:
        """What a run is recognised by when it goes on: recipe, data and base; and the versions used."""
        model = {**self.base.identity, **self.chat.describe()}
        return describe_training(self.recipe, self.recipe.data, model, trained_with="trl")


def build_scalar_plan(recipe: ScalarRecipe, *, stored: Mapping[str, object] | None = None) -> ScalarPlan:
    """Read tokenizer and data, and count; `stored` is the model as a training that goes on has stored it.

    Raises:
        ConfigError, CheckpointError, DataError: something of the recipe is not there or does not fit.
    """
    base = describe_scalar_base(recipe)
    max_tokens = recipe.data.max_tokens
    if base.context is not None and max_tokens > base.context:
        raise ConfigError(
            f"data.max_tokens is {max_tokens}, and the model's context {base.context}; name at most that"
        )
    reader = ConversationReader(
        tokenizer=base.tokenizer, num_embeddings=base.num_embeddings, max_model_len=max_tokens
    )
    reader.chat.begin_run(stored)
    train, held_out = read_stores(recipe, reader)
    course = plan_course(train, recipe)
    wanted = recipe.optim.try_tokens
    return ScalarPlan(
        recipe=recipe,
        base=base,
        train=train,
        held_out=held_out,
        course=course,
        try_course=None if wanted is None else plan_course(train, recipe, wanted),
        pad=choose_padding(base.tokenizer, train.end_tokens, base.num_embeddings),
        chat=reader.chat,
    )
