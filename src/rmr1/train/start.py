"""What a run starts from: tokenizer and model, of a checkpoint or made anew, with adapters where asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.hf.loading import describe_checkpoint, load_checkpoint, quiet
from rmr1.engines.hf.lora import import_peft
from rmr1.errors import CheckpointError, ConfigError, reason_of
from rmr1.train.recipe import LoraRecipe, ModelRecipe, Recipe
from rmr1.train.update import find_broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A model that is named but not loaded."""

    tokenizer: PreTrainedTokenizerBase
    context: int | None
    """Most tokens it takes; None where it names no limit."""
    identity: dict[str, object]
    notes: tuple[str, ...] = ()
    """What a user should know of it, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """A loaded model."""

    model: PreTrainedModel
    """The model as transformers knows it; adapters are inside."""
    adapted: Any = None
    """peft's wrapper around it, where there are adapters."""


def describe_base(recipe: Recipe, texts: Callable[[], Iterable[str]]) -> Base:
    """Tokenizer, context and identity of what the recipe starts from; no weights are read.

    `texts` gives the training text that a new tokenizer is learnt from.

    Raises:
        CheckpointError: the base cannot be read, or has no chat template.
        ConfigError: the recipe does not fit.
    """
    scratch = recipe.model.from_scratch
    if scratch is not None:
        from rmr1.train.scratch.tokenizer import learn_tokenizer

        tokenizer = learn_tokenizer(
            texts(),
            vocabulary=scratch.tokenizer.vocabulary,
            min_count=scratch.tokenizer.min_count,
            context=scratch.context,
        )
        return Base(
            tokenizer=tokenizer, context=scratch.context, identity={"from_scratch": scratch.architecture}
        )
    assert recipe.model.base is not None
    found = describe_checkpoint(
        recipe.model.base, revision=recipe.model.revision, trust_remote_code=recipe.model.trust_remote_code
    )
    notes = []
    if found.tokenizer.pad_token_id is None:
        notes.append(
            f"{recipe.model.base}: the tokenizer names no padding token; packed rows need none, and the stored "
            "tokenizer stays as it is"
        )
    return Base(
        tokenizer=found.tokenizer, context=found.context, identity=dict(found.identity), notes=tuple(notes)
    )


class Starting(Protocol):
    """What a recipe says of the model that is trained, whichever training it is for."""

    @property
    def seed(self) -> int: ...
    @property
    def model(self) -> ModelRecipe: ...
    @property
    def lora(self) -> LoraRecipe | None: ...


def load_trainee(recipe: Starting, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> Trainee:
    """The model on its device, ready to be trained.

    Raises:
        CheckpointError: it cannot be loaded, or its weights are no numbers.
        ConfigError: peft is missing, or the adapters find no layer of the model.
    """
    scratch = recipe.model.from_scratch
    is_half = recipe.model.precision == "bf16-pure" or (recipe.lora and recipe.model.precision == "bf16")
    if scratch is not None:
        from rmr1.train.scratch.model import build_model

        model: PreTrainedModel = build_model(scratch, tokenizer, seed=recipe.seed)
        model = model.to(device=device, dtype=torch.bfloat16 if is_half else torch.float32)  # type: ignore[call-arg]
    else:
        assert recipe.model.base is not None
        model = load_checkpoint(
            recipe.model.base,
            device=device,
            dtype=torch.bfloat16 if is_half else torch.float32,
            revision=recipe.model.revision,
            trust_remote_code=recipe.model.trust_remote_code,
        ).model
        check_loaded(model, recipe.model.base)
    adapted = None
    if recipe.lora is not None:
        torch.manual_seed(recipe.seed)
        adapted = add_adapters(model, recipe.lora)
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


def add_adapters(model: PreTrainedModel, recipe: LoraRecipe) -> Any:
    """peft's wrapper around the model, whose own weights are frozen by it.

    Raises:
        ConfigError: peft is missing, or no layer has the names that were asked for.
    """
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
