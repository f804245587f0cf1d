"""What a scalar model starts from: a causal model's backbone with a new head, a scalar model, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rmr1.data.read import read_pairs
from rmr1.engines.hf.loading import describe_checkpoint, is_scalar, quiet, read_architectures
from rmr1.errors import CheckpointError
from rmr1.train.recipe import WorldRecipe
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.start import check_loaded

_HEAD = "score.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarBase:
    """A model that is named but not loaded."""

    tokenizer: PreTrainedTokenizerBase
    num_embeddings: int
    context: int | None
    """Most tokens it takes; None where it names no limit."""
    identity: dict[str, object]
    load: Callable[[], PreTrainedModel]
    """The model in the precision that it is trained in, on the CPU; the same each time."""


def describe_scalar_base(recipe: ScalarRecipe) -> ScalarBase:
    """Tokenizer, context and identity of what the recipe starts from; no weights are read.

    Raises:
        CheckpointError: the base or the tokenizer cannot be read, or has no chat template.
        ConfigError: the recipe does not fit.
    """
    dtype = torch.bfloat16 if recipe.model.precision == "bf16-pure" else torch.float32
    base = _describe_scratch(recipe) if recipe.model.from_scratch else _describe_checkpoint(recipe, dtype)

    def load() -> PreTrainedModel:
        model = base.load().to(dtype=dtype)  # type: ignore[call-arg]
        check_loaded(model, recipe.model.base or "of the recipe")
        if recipe.model.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        return model

    return replace(base, load=load)


def _describe_checkpoint(recipe: ScalarRecipe, dtype: torch.dtype) -> ScalarBase:
    name = recipe.model.base
    assert name is not None
    where: dict[str, Any] = {
        "revision": recipe.model.revision,
        "trust_remote_code": recipe.model.trust_remote_code,
    }
    kind = "scores" if is_scalar(read_architectures(name, revision=recipe.model.revision)) else "writes"
    found = describe_checkpoint(name, kind=kind, **where)  # type: ignore[arg-type]

    def load() -> PreTrainedModel:
        torch.manual_seed(recipe.seed)  # which the new head is drawn from
        try:
            with quiet():
                loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                    found.source, num_labels=1, dtype=dtype, output_loading_info=True, **where
                )
        except Exception as error:  # loading runs code of many libraries
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise CheckpointError(f"model {name!r} cannot become a scalar model: {reason}") from None
        model, report = loaded
        if missing := sorted(set(report["missing_keys"]) - {_HEAD}):
            raise CheckpointError(
                f"model {name!r} cannot become a scalar model: it lacks {len(missing)} weights of "
                f"{type(model).__name__}, first {missing[0]!r}"
            )
        return model

    config: Any = found.config.get_text_config()
    return ScalarBase(
        tokenizer=found.tokenizer,
        num_embeddings=config.vocab_size,
        context=found.context,
        identity=dict(found.identity),
        load=load,
    )


def _describe_scratch(recipe: ScalarRecipe) -> ScalarBase:
    from rmr1.train.scratch.model import build_model
    from rmr1.train.scratch.tokenizer import learn_tokenizer

    scratch = recipe.model.from_scratch
    assert scratch is not None
    if recipe.model.tokenizer is not None:
        tokenizer = _load_tokenizer(recipe.model.tokenizer)
    else:
        tokenizer = learn_tokenizer(
            read_texts(recipe),
            vocabulary=scratch.tokenizer.vocabulary,
            min_count=scratch.tokenizer.min_count,
            context=scratch.context,
        )

    def load() -> PreTrainedModel:
        causal = build_model(scratch, tokenizer, seed=recipe.seed)
        config = causal.config
        config.num_labels = 1
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
        model.base_model.load_state_dict(causal.base_model.state_dict())
        return model

    return ScalarBase(
        tokenizer=tokenizer,
        num_embeddings=len(tokenizer),
        context=scratch.context,
        identity={"from_scratch": recipe.model.tokenizer},
        load=load,
    )


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"model.tokenizer {name!r} cannot be loaded: {reason}") from None
    if not tokenizer.chat_template:
        raise CheckpointError(f"model.tokenizer {name!r} has no chat template")
    return tokenizer


def read_texts(recipe: ScalarRecipe) -> Iterator[str]:
    """The text that a new tokenizer is learnt from.

    Of the world: what `rmr1 sft` learns its tokenizer from with the same sections, so both models have the
    same one. Of files: questions and answers.
    """
    from rmr1.prompts.families import load_family
    from rmr1.train.examples import draw_conversation

    assert recipe.model.from_scratch is not None
    number = recipe.model.from_scratch.tokenizer.examples
    data = recipe.data
    if data.world is None:
        yield from _read_pair_texts(recipe, number)
        return
    world = WorldRecipe(items=data.world.items, distribution=data.world.distribution, seed=data.world.seed)
    folded = load_family("rubric").system
    for index in range(number):
        messages, _ = draw_conversation(world, index, split="train", distribution=world.distribution)
        yield from (message.text for message in messages if message.text != folded)


def _read_pair_texts(recipe: ScalarRecipe, number: int) -> Iterator[str]:
    data = recipe.data
    sources: Iterable[str] = (data.train,) if isinstance(data.train, str) else data.train or ()
    pairs = (
        pair
        for one in sources
        for pair in read_pairs(one, columns=data.map or None, format=data.format, labels=data.label)
    )
    for pair in islice(pairs, number):
        yield from (message.text for message in (*pair.prompt, *pair.response_a, *pair.response_b))


def choose_padding(
    tokenizer: PreTrainedTokenizerBase, end_tokens: Collection[int], num_embeddings: int
) -> int:
    """A token to pad with that no conversation ends with, so that the score stands at its last token.

    The tokenizer's own where it fits; else a control token, else any.
    """
    own = [] if tokenizer.pad_token_id is None else [tokenizer.pad_token_id]
    for token in (*own, *tokenizer.all_special_ids, *range(num_embeddings)):
        if isinstance(token, int) and token < num_embeddings and token not in end_tokens:
            return token
    return 0
