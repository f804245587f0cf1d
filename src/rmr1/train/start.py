"""What a run starts from: tokenizer and model, of a checkpoint or made anew, with adapters where asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.hf.loading import Purpose, describe_checkpoint, load_checkpoint, quiet
from rmr1.engines.hf.lora import import_peft
from rmr1.errors import CheckpointError, ConfigError, reason_of
from rmr1.train.group import call_on_main, count_processes, gather, share
from rmr1.train.recipe import LoraRecipe, ModelRecipe, Recipe, TrainingRecipe
from rmr1.train.sharding import Held, fill, shard
from rmr1.train.stored import build_skeleton, load_skeleton, open_rows, stored_name
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
    """peft's wrapper around it, if there are adapters."""
    held: Held = None  # type: ignore[assignment]
    """The module that runs it, divided or whole."""

    def __post_init__(self) -> None:
        if self.held is None:
            object.__setattr__(self, "held", Held(self.model))


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
    """The model on its device, ready to be trained; of several processes each one's part of it."""
    scratch = recipe.model.from_scratch
    is_half = recipe.model.precision == "bf16-pure" or (recipe.lora and recipe.model.precision == "bf16")
    dtype = torch.bfloat16 if is_half else torch.float32

    def build() -> PreTrainedModel:
        from rmr1.train.scratch.model import build_model

        assert scratch is not None
        made: Any = build_model(scratch, tokenizer, seed=recipe.seed)
        return cast(PreTrainedModel, made.to(dtype=dtype))

    adapted: Any = None

    def adapt(model: PreTrainedModel) -> None:
        nonlocal adapted
        if recipe.lora is not None:
            adapted = _add_adapters(model, recipe.lora, seed=recipe.seed)
        if recipe.model.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()

    if count_processes() > 1:
        held = load_divided(
            recipe,
            device,
            skeleton=lambda: build_skeleton(build) if scratch else load_skeleton(recipe.model, dtype),
            whole=lambda: build() if scratch else load_base(recipe.model, torch.device("cpu"), dtype),
            is_mixed=recipe.model.precision == "bf16" and recipe.lora is None,
            adapt=adapt,
        )
        return Trainee(model=cast(PreTrainedModel, held.model), adapted=adapted, held=held)
    model = load_base(recipe.model, device, dtype) if scratch is None else build().to(device)  # type: ignore[arg-type]
    check_loaded(model, recipe.model.base or "of the recipe")
    adapt(model)
    return Trainee(model=model, adapted=adapted, held=Held(model))


def load_divided(
    recipe: TrainingRecipe,
    device: torch.device,
    *,
    skeleton: Callable[[], PreTrainedModel],
    whole: Callable[[], PreTrainedModel],
    adapt: Callable[[PreTrainedModel], None],
    is_mixed: bool = False,
) -> Held:
    """This process's part of a model that is made by `skeleton` and changed by `adapt` before it is divided.

    Rows are read by each process from the base's files. If there are none, or they do not hold the model's own weights
    by its names, the main process has the `whole` model for a moment and hands its weights out one by one.
    """
    call_on_main(skeleton)  # one process fetches what is not there
    model = skeleton()
    adapt(model)
    source = None if recipe.model.base is None else model.name_or_path
    read = None if source is None else open_rows(model, source, recipe.model.revision)
    values: dict[str, torch.Tensor] | None = None
    if not all(gather([read is not None])):
        read, first = None, call_on_main(whole)
        if first is not None:
            stored = dict(first.named_parameters())
            values = {own: stored[stored_name(own)] for own, one in model.named_parameters() if one.is_meta}
        buffers = share({} if first is None else dict(first.named_buffers()))
        for key, buffer in model.named_buffers():
            if stored_name(key) in buffers:
                buffer.copy_(buffers[stored_name(key)])
    offload = recipe.sharding.offload
    held = shard(model, device=device, is_mixed=is_mixed, offload=offload)
    fill(held, device=torch.device("cpu") if offload else device, read=read, whole=values)
    check_loaded(model, recipe.model.base or "of the recipe")
    return held


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


def _add_adapters(model: PreTrainedModel, recipe: LoraRecipe, *, seed: int) -> Any:
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
            adapted = peft.get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(f"lora.target_modules: {reason_of(error)}") from None
    _draw_adapters(model, seed)
    return adapted


@torch.no_grad()
def _draw_adapters(model: PreTrainedModel, seed: int) -> None:
    """Draw the adapters' first weights: the same on every device, and whether or not the base is there yet."""
    for name, module in model.named_modules():
        if not hasattr(module, "reset_lora_parameters"):
            continue
        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big"))
        own = [part for key, part in module.named_children() if key.startswith("lora_")]
        places = [
            (owner, key, weight)
            for part in own
            for owner in part.modules()
            for key, weight in owner.named_parameters(recurse=False)
        ]
        for owner, key, weight in places:
            on_cpu = torch.nn.Parameter(torch.empty_like(weight, device="cpu"), requires_grad=True)
            owner.register_parameter(key, on_cpu)
        for adapter in module.active_adapters:
            module.reset_lora_parameters(adapter, True)
        for owner, key, weight in places:
            if not weight.is_meta:
                weight.copy_(owner.get_parameter(key))
                owner.register_parameter(key, weight)
