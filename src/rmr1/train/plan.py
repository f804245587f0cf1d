"""Everything about a run that can be known before a weight is loaded: `rmr1 sft --dry-run` prints it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rmr1.errors import ConfigError, DataError
from rmr1.train.examples import (
    Counts,
    Source,
    StoredExamples,
    WorldExamples,
    count_steps,
    read_examples,
    read_texts,
)
from rmr1.train.folder import describe_training
from rmr1.train.optim import count_warmup
from rmr1.train.recipe import Recipe, describe_excess
from rmr1.train.rendering import Renderer
from rmr1.train.row import Example
from rmr1.train.start import Base, describe_base

_READ_BACK = 32
"""Targets that are read back before a run."""
_SAMPLED = 200
"""Items of the world by which the length of all is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before it starts."""

    recipe: Recipe
    base: Base
    notes: tuple[str, ...]
    """What a user should know of the data, a line each."""
    renderer: Renderer
    source: Source
    held_out: list[Example]
    steps: int
    warmup_steps: int
    counts: Counts
    """Counts of the training rows, or of a sample of the world's."""

    def describe(self) -> dict[str, Any]:
        return describe_training(self.recipe, {**self.base.identity, **self.renderer.chat.describe()})


def build_plan(recipe: Recipe, *, stored: Mapping[str, object] | None = None) -> Plan:
    """Read tokenizer and data, and count; `stored` is the model as a training that goes on has stored it."""
    data, scratch = recipe.data, recipe.model.from_scratch
    base = describe_base(
        recipe.model,
        lambda number: read_texts(number, data.world, data.train),
        known_as=None if scratch is None else scratch.architecture,
    )
    max_tokens = data.max_tokens
    if base.context is not None and max_tokens > base.context:
        raise ConfigError(describe_excess(max_tokens, base.context))
    renderer = Renderer(base.tokenizer, stored=stored)
    source, held_out, counts = _open_data(recipe, renderer, max_tokens)
    optim = recipe.optim
    steps = count_steps(source, recipe.batch, epochs=optim.epochs, steps=optim.steps)
    return Plan(
        recipe=recipe,
        base=base,
        notes=tuple(check_targets(renderer, source)),
        renderer=renderer,
        source=source,
        held_out=held_out,
        steps=steps,
        warmup_steps=count_warmup(optim.warmup, steps),
        counts=counts,
    )


def check_targets(renderer: Renderer, source: Source) -> Iterator[str]:
    """Read the first targets back as a judge's texts are read; a note if some do not give their label, an error if
    none does: a judge that wrote just what it is to learn would never be right."""
    places = range(min(_READ_BACK, source.num_examples))
    examples = [
        one for place in places if (one := source.get(0, place)) is not None and one.label is not None
    ]
    problems = Counter(
        verdict.problem or f"say {verdict.winner} for {one.label}"
        for one in examples
        if (verdict := renderer.read_back(one)).winner != one.label
    )
    wrong = problems.total()
    if not wrong:
        return
    found = ", ".join(f"{count} {problem}" for problem, count in problems.most_common())
    if wrong == len(examples):
        raise DataError(
            f"none of the first {wrong} targets gives its label if it is read as a judge's text ({found}): the judge "
            "would not learn to give it; check how the chat template opens the turn, and the targets' thinking"
        )
    yield (
        f"{wrong} of the first {len(examples)} targets do not give their label if they are read as a judge's text ({found})"
    )


def _open_data(recipe: Recipe, renderer: Renderer, max_tokens: int) -> tuple[Source, list[Example], Counts]:
    data = recipe.data
    if data.world is not None:
        world = WorldExamples(data.world, renderer, split="train", max_tokens=max_tokens)
        test = WorldExamples(data.world, renderer, split="test", max_tokens=max_tokens)
        held_out = [found for index in range(data.world.held_out) if (found := test.get(0, index))]
        sample = StoredExamples(max_tokens=max_tokens)
        for index in range(min(_SAMPLED, data.world.items)):
            if (example := world.get(0, index)) is not None:
                sample.add(example)
        return world, held_out, sample.counts
    assert data.train is not None
    kept, aside = read_examples(
        data.train,
        renderer,
        seed=recipe.seed,
        max_tokens=max_tokens,
        on_overlong=data.on_overlong,
        check_prompts=data.check_prompts,
        held_out_share=data.held_out_share,
    )
    if data.held_out is not None:
        aside, _ = read_examples(
            data.held_out, renderer, max_tokens=max_tokens, check_prompts=data.check_prompts
        )
    return kept, aside.all, kept.counts
