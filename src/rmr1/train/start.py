"""What a run starts from: tokenizer and model, of a checkpoint or made anew, with adapters where asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.hf.loading import Purpose, describe_checkpoint, load_checkpoint, quiet
from rmr1.engines.hf.lora import import_peft
from rmr1.errors import CheckpointError, ConfigError, reason_of
from rmr1.train.recipe import LoraRecipe, ModelRecipe, Recipe
from rmr1.train.update import find_broken

if TYPE_CHECKING:
    from rmr1.train.grpo.recipe import GrpoRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A model that is named but not loaded."""

    tokenizer: PreTrainedTokenizerBase
    context: int | None
    """Most tokens it takes; None where it names no limit."""
    identity: dict[str, object]
    num_embeddings: int
    source: str | None = None
    """The folder's path, or the name on the hub; None for a model from scratch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """A loaded model."""

    model: PreTrainedModel
    """The model as transformers knows it; adapters are inside."""
    adapted: Any = None
    """peft's wrapper around it, where there are adapters."""


def describe_base(
    recipe: ModelRecipe,
    read_texts: Callable[[int], Iterable[str]],
    *,
    kind: Purpose = "writes",
    known_as: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Base:
    """Tokenizer, context and identity of what the recipe starts from; no weights are read.

    A model from scratch is `known_as` what its tokenizer is called, if that is not learnt from the first so many texts.
    """
    if recipe.from_scratch is not None:
        from rmr1.train.scratch.tokenizer import learn_tokenizer

        scratch, size = recipe.from_scratch, recipe.from_scratch.tokenizer
        tokenizer = tokenizer or learn_tokenizer(
            read_texts(size.examples),
            vocabulary=size.vocabulary,
            min_count=size.min_count,
            context=scratch.context,
        )
        return Base(
            tokenizer=tokenizer,
            context=scratch.context,
            identity={"from_scratch": known_as},
            num_embeddings=len(tokenizer),
        )
    assert recipe.base is not None
    found = describe_checkpoint(
        recipe.base, revision=recipe.revision, trust_remote_code=recipe.trust_remote_code, kind=kind
    )
    vocabulary = getattr(found.config.get_text_config(), "vocab_size", None)
    return Base(
        tokenizer=found.tokenizer,
        context=found.context,
        identity=dict(found.identity),
        num_embeddings=vocabulary or len(found.tokenizer),
        source=found.source,
    )


def load_base(recipe: ModelRecipe, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """The model that the recipe goes on from."""
    assert recipe.base is not None
    return load_checkpoint(
        recipe.base,
        device=device,
        dtype=dtype,
        revision=recipe.revision,
        trust_remote_code=recipe.trust_remote_code,
    ).model


def load_trainee(
    recipe: Recipe | GrpoRecipe, tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> Trainee:
    """The model on its device, ready to be trained."""
    scratch = recipe.model.from_scratch
    is_half = recipe.model.precision == "bf16-pure" or (recipe.lora and recipe.model.precision == "bf16")
    dtype = torch.bfloat16 if is_half else torch.float32
    if scratch is not None:
        from rmr1.train.scratch.model import build_model

        model: PreTrainedModel = build_model(scratch, tokenizer, seed=recipe.seed)
        model = model.to(device=device, dtype=dtype)  # type: ignore[call-arg]
    else:
        model = load_base(recipe.model, device, dtype)
        check_loaded(model, recipe.model.base or "")
    adapted = None
    if recipe.lora is not None:
        torch.manual_seed(recipe.seed)
        adapted = _add_adapters(model, recipe.lora)
    if recipe.model.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    return Trainee(model=model, adapted=adapted)


def check_loaded(model: PreTrainedModel, name: str) -> None:
    """
    Raises:
        CheckpointError: the weights hold infinite values or none, with which no training begins.
    """
    if broken := find_broken(model):
        raise CheckpointError(
            f"model {name!r}: {len(broken)} of its weights' tensors hold values that are no numbers, first "
            f"{broken[0]!r}; the files are damaged, or of a training that diverged"
        )


def _add_adapters(model: PreTrainedModel, recipe: LoraRecipe) -> Any:
    """peft's wrapper around the model, whose own weights are frozen by it."""
    peft = import_peft()
    targets = recipe.target_modules
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.r,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    try:
        with quiet():
            return peft.get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(f"lora.target_modules: {reason_of(error)}") from None
