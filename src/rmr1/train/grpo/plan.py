"""Everything about a run that can be known before a weight is loaded: `rmr1 grpo --dry-run` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rmr1.engines.hf.loading import Description, describe_checkpoint
from rmr1.engines.hf.reader import RequestReader, read_end_tokens
from rmr1.errors import ConfigError
from rmr1.prompts import load_family
from rmr1.rewards import Term, build_rewards
from rmr1.train.folder import describe_training
from rmr1.train.grpo.recipe import GrpoRecipe, Objective
from rmr1.train.grpo.tasks import Task, TaskCounts, TaskMaker, TaskSource, WorldTasks, open_tasks
from rmr1.train.optim import count_warmup


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoPlan:
    """A run before it starts."""

    recipe: GrpoRecipe
    base: Description
    objective: Objective
    terms: tuple[Term, ...]
    source: TaskSource
    held_out: list[Task]
    steps: int
    """Rollouts."""
    warmup_steps: int
    counts: TaskCounts
    reader: RequestReader
    """What renders the prompts."""

    def describe(self) -> dict[str, Any]:
        found = describe_training(self.recipe, {**self.base.identity, **self.reader.chat.describe()})
        own = {term.name: term.digest for term in self.terms if term.digest is not None}
        return found | ({"rewards": own} if own else {})


def build_grpo_plan(recipe: GrpoRecipe, *, stored: Mapping[str, object] | None = None) -> GrpoPlan:
    """Read tokenizer and data, and count; `stored` is the model as a training that goes on has stored it."""
    rollout, optim = recipe.rollout, recipe.optim
    objective = recipe.objective.build()
    terms = build_rewards(
        recipe.rewards, max_new_tokens=rollout.max_new_tokens, overlong_buffer=recipe.overlong_buffer
    )
    assert recipe.model.base is not None
    base = describe_checkpoint(
        recipe.model.base, revision=recipe.model.revision, trust_remote_code=recipe.model.trust_remote_code
    )
    reader, family = build_reader(recipe, base), load_family(recipe.data.family)
    reader.chat.begin_run(stored)
    if family.num_answers != 2:
        raise ConfigError(
            f"data.family: {family.name!r} asks about {family.num_answers} answer(s), and rewards are for a verdict "
            "between two; use one such as 'rubric'"
        )
    maker = TaskMaker(reader, family, recipe, both=recipe.data.order == "both")
    source, held_out = open_tasks(recipe, maker, TaskMaker(reader, family, recipe))
    if recipe.data.has_held_out and not held_out:
        raise ConfigError("no held-out pair is left; name others, or a larger held_out_share")
    prompts = source.num_pairs * (2 if recipe.data.order == "both" else 1)
    steps = optim.epochs * prompts // rollout.prompts
    if optim.steps is not None:
        steps = min(steps, optim.steps) if not isinstance(source, WorldTasks) else optim.steps
    if not steps:
        raise ConfigError(
            f"rollout.prompts is {rollout.prompts}, and {optim.epochs} epoch(s) have {optim.epochs * prompts}: "
            "not one rollout; lower rollout.prompts or raise optim.epochs"
        )
    return GrpoPlan(
        recipe=recipe,
        base=base,
        objective=objective,
        terms=terms,
        source=source,
        held_out=held_out,
        steps=steps,
        warmup_steps=count_warmup(optim.warmup, steps),
        counts=maker.counts,
        reader=reader,
    )


def build_reader(recipe: GrpoRecipe, base: Description) -> RequestReader:
    """What renders prompts for the base, as it does when the base judges."""
    vocabulary = getattr(base.config.get_text_config(), "vocab_size", None)
    return RequestReader(
        name=base.source,
        tokenizer=base.tokenizer,
        num_embeddings=vocabulary or len(base.tokenizer),
        max_model_len=base.context,
        end_tokens=read_end_tokens(base.config, base.tokenizer),
    )
