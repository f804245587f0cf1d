"""What is known of a scalar training before a weight is loaded: `rmr1 scalar --dry-run` prints it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rmr1.engines.base import is_scalar
from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.loading import quiet, read_architectures
from rmr1.engines.hf.scorer import ConversationReader
from rmr1.errors import CheckpointError, ConfigError, reason_of
from rmr1.train.examples import read_labelled, read_texts
from rmr1.train.folder import describe_training
from rmr1.train.optim import count_warmup
from rmr1.train.recipe import WorldRecipe, describe_excess
from rmr1.train.scalar.pairs import Course, PairStore, plan_course, read_stores
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.start import Base, describe_base


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Peak learning rates of one training."""

    lr: float
    muon_lr: float

    @property
    def name(self) -> str:
        """The rate as a folder's name: `lr-0.002`."""
        return f"lr-{self.lr:g}" if self.muon_lr == self.lr else f"lr-{self.lr:g}-muon-{self.muon_lr:g}"


def list_rates(recipe: ScalarRecipe) -> list[Rate]:
    optim = recipe.optim
    matrices = optim.muon_lr if optim.name == "muon" and optim.muon_lr is not None else optim.lr
    return [Rate(lr=lr, muon_lr=muon_lr) for lr, muon_lr in zip(optim.lr, matrices, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarPlan:
    """A run before it starts."""

    recipe: ScalarRecipe
    base: Base
    train: PairStore
    held_out: PairStore
    course: Course
    try_course: Course | None
    """Course of the short trainings that choose the rate, if there are any."""
    pad: int
    """Padding token."""
    chat: Chat
    """How conversations are rendered."""
    rate: Rate | None = None
    """The rate of this training; by default the recipe's first."""

    @property
    def steps(self) -> int:
        return len(self.course.tokens)

    @property
    def warmup_steps(self) -> int:
        return count_warmup(self.recipe.optim.warmup, self.steps)

    def describe(self) -> dict[str, Any]:
        return describe_training(self.recipe, {**self.base.identity, **self.chat.describe()})


def build_scalar_plan(recipe: ScalarRecipe, *, stored: Mapping[str, object] | None = None) -> ScalarPlan:
    """Read tokenizer and data, and count; `stored` is the model as a training that goes on has stored it."""
    model = recipe.model
    is_scored = model.base is not None and is_scalar(read_architectures(model.base, revision=model.revision))
    base = describe_base(
        model,
        lambda number: _read_texts(recipe, number),
        kind="scores" if is_scored else "writes",
        known_as=model.tokenizer,
        tokenizer=None if model.tokenizer is None else _load_tokenizer(model.tokenizer),
    )
    max_tokens = recipe.data.max_tokens
    if base.context is not None and max_tokens > base.context:
        raise ConfigError(describe_excess(max_tokens, base.context))
    reader = ConversationReader(
        tokenizer=base.tokenizer, num_embeddings=base.num_embeddings, max_model_len=max_tokens
    )
    reader.chat.begin_run(stored)
    train, held_out = read_stores(recipe, reader)
    wanted = recipe.optim.try_tokens
    return ScalarPlan(
        recipe=recipe,
        base=base,
        train=train,
        held_out=held_out,
        course=plan_course(train, recipe),
        try_course=None if wanted is None else plan_course(train, recipe, wanted),
        pad=choose_padding(base.tokenizer, train.end_tokens, base.num_embeddings),
        chat=reader.chat,
    )


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"model.tokenizer {name!r} cannot be loaded: {reason_of(error)}") from None
    if not tokenizer.chat_template:
        raise CheckpointError(f"model.tokenizer {name!r} has no chat template")
    return tokenizer


def _read_texts(recipe: ScalarRecipe, number: int) -> Iterator[str]:
    """The text that a new tokenizer is learnt from, of so many pairs: of files, questions and answers.

    Of the world: what `rmr1 sft` learns its tokenizer from with the same sections, so both models have the same one.
    """
    data = recipe.data
    if data.world is not None:
        settings = data.world.model_dump(include={"items", "distribution", "seed"})
        yield from read_texts(number, WorldRecipe(**settings))
    for _, pair in islice(read_labelled(data.train or (), data), number):
        yield from (message.text for message in (*pair.prompt, *pair.response_a, *pair.response_b))


def choose_padding(
    tokenizer: PreTrainedTokenizerBase, end_tokens: Collection[int], num_embeddings: int
) -> int:
    """A token that no conversation ends with, so that the score is read at its last one: the tokenizer's own if it
    fits, else a control token, else any."""
    own = [] if tokenizer.pad_token_id is None else [tokenizer.pad_token_id]
    for token in (*own, *tokenizer.all_special_ids, *range(num_embeddings)):
        if isinstance(token, int) and token < num_embeddings and token not in end_tokens:
            return token
    return 0
