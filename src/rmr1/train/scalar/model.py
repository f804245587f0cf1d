"""A scalar model: loaded for training, the scores and the loss of pairs, and the proof that batches are right for it.

The loss is -log sigmoid(score of the better answer - score of the worse one) (Bradley and Terry 1952;
InstructGPT, arXiv 2203.02155).

Shapes: `B` pairs, `C` conversations, `T` tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rmr1.attention.proof.scoring import prove_scoring
from rmr1.engines.hf.loading import quiet
from rmr1.errors import CheckpointError, ConfigError, reason_of
from rmr1.train.group import add_up, count_processes, get_rank
from rmr1.train.optim import SCORE_HEAD
from rmr1.train.scalar.pairs import PairStore
from rmr1.train.scalar.plan import ScalarPlan
from rmr1.train.sharding import Held
from rmr1.train.start import Trainee, check_loaded, load_divided
from rmr1.train.stored import build_skeleton, fill_buffers


def load_model(plan: ScalarPlan, device: torch.device) -> Trainee:
    """The model before its training, in the precision that it is trained in; the same each time.

    It has no dropout: both conversations of a pair go through the same model.
    """
    recipe = plan.recipe.model
    is_new = recipe.from_scratch is not None
    dtype = torch.bfloat16 if recipe.precision == "bf16-pure" else torch.float32

    def build() -> PreTrainedModel:
        whole: Any = _make_model(plan) if is_new else _load_checkpoint(plan, dtype, on_meta=False)
        return cast(PreTrainedModel, whole.to(dtype=dtype))

    def skeleton() -> PreTrainedModel:
        if is_new:
            return build_skeleton(build)
        model = _load_checkpoint(plan, dtype, on_meta=True)
        return fill_buffers(model, AutoModelForSequenceClassification, recipe)

    def adapt(model: PreTrainedModel) -> None:
        if recipe.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        # Without one, or with one that ends conversations, the library would read the score elsewhere.
        model.config.get_text_config().pad_token_id = plan.pad

    if count_processes() > 1:
        held = load_divided(
            plan.recipe,
            device,
            skeleton=skeleton,
            whole=build,
            adapt=adapt,
            is_mixed=recipe.precision == "bf16",
        )
        return Trainee(model=cast(PreTrainedModel, held.model), held=held)
    made: Any = build()
    model: PreTrainedModel = made.to(device)
    check_loaded(model, recipe.base or "of the recipe")
    adapt(model)
    return Trainee(model=model)


def _load_checkpoint(plan: ScalarPlan, dtype: torch.dtype, *, on_meta: bool) -> PreTrainedModel:
    recipe = plan.recipe.model
    assert plan.base.source is not None
    model: PreTrainedModel
    where = {"device_map": "meta"} if on_meta else {}
    try:
        with quiet():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                plan.base.source,
                num_labels=1,
                dtype=dtype,
                output_loading_info=True,
                revision=recipe.revision,
                trust_remote_code=recipe.trust_remote_code,
                **where,
            )
    except Exception as error:  # loading runs code of many libraries
        told = f"model {recipe.base!r} cannot become a scalar model: {reason_of(error)}"
        raise CheckpointError(told) from None
    missing = set(report["missing_keys"])
    if others := sorted(missing - {SCORE_HEAD}):
        raise CheckpointError(
            f"model {recipe.base!r} cannot become a scalar model: it lacks {len(others)} weights of "
            f"{type(model).__name__}, first {others[0]!r}"
        )
    if missing:
        _draw_head(model, seed=plan.recipe.seed)
    return model


def _draw_head(model: PreTrainedModel, *, seed: int) -> None:
    """Draw a new head, the same whether or not the other weights are there."""
    owner, _, name = SCORE_HEAD.rpartition(".")
    module = model.get_submodule(owner)
    spread = getattr(model.config.get_text_config(), "initializer_range", 0.02)
    torch.manual_seed(seed)
    values = torch.randn(module.get_parameter(name).shape) * spread
    module.register_parameter(name, torch.nn.Parameter(values.to(model.dtype)))


def _make_model(plan: ScalarPlan) -> PreTrainedModel:
    from rmr1.train.scratch.model import build_model

    scratch = plan.recipe.model.from_scratch
    assert scratch is not None
    causal = build_model(scratch, plan.base.tokenizer, seed=plan.recipe.seed)
    causal.config.num_labels = 1
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(causal.config)
    model.base_model.load_state_dict(causal.base_model.state_dict())
    return model


def compute_pair_losses(better_B: torch.Tensor, worse_B: torch.Tensor) -> torch.Tensor:
    """`[B]` -log sigmoid(better - worse), in nats: ln 2 for equal scores, near 0 if the better one is far ahead."""
    return -logsigmoid(better_B - worse_B)


def score_pairs(
    model: PreTrainedModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, pad: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores `[B]` of the better conversations, and of the worse ones."""
    better_B, worse_B = score_rows(model, [pair[side] for side in (0, 1) for pair in pairs], pad=pad).chunk(2)
    return better_B, worse_B


def score_rows(model: PreTrainedModel, rows: Sequence[Sequence[int]], *, pad: int) -> torch.Tensor:
    """Scores `[C]` of conversations, float32; they are padded on the right under a mask."""
    longest = max(map(len, rows))
    ids_CT = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=model.device)
    mask_CT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    scores_C1: torch.Tensor = model(input_ids=ids_CT, attention_mask=mask_CT, use_cache=False).logits
    return scores_C1.float().squeeze(-1)


def divide_pairs(
    store: PairStore, places: Sequence[int], at_once: int
) -> Iterator[tuple[list[tuple[Sequence[int], Sequence[int]]], float]]:
    """The pairs that this process puts through the model together, and what they count: a pair of two tokens counts
    for nothing, and is there because all processes make the same passes."""
    ranks = count_processes()
    own = places[get_rank() :: ranks]
    for start in range(0, -(-len(places) // ranks), at_once):
        pairs = [store.get(place) for place in own[start : start + at_once]]
        if pairs:
            yield list(pairs), 1.0
        else:
            better, worse = store.get(places[0])
            yield [(better[:2], worse[:2])], 0.0


def score_held_out(held: Held, store: PairStore, *, pad: int, batch_size: int) -> dict[str, float]:
    """Mean loss, and the share of pairs whose better answer has the higher score; equal scores are wrong."""
    model = cast(PreTrainedModel, held.model)
    was_training = model.training
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    order = sorted(range(len(store)), key=lambda place: -store.num_tokens(place))
    for pairs, weight in divide_pairs(store, order, batch_size):
        better_B, worse_B = held.read(partial(score_pairs, pad=pad), model, pairs)
        found = (compute_pair_losses(better_B, worse_B).sum(), (better_B > worse_B).sum())
        sums += weight * torch.stack([one.double().cpu() for one in found])
    model.train(was_training)
    loss, correct = add_up(sums).tolist()
    return {"held_out_loss": loss / len(store), "held_out_accuracy": correct / len(store)}


def check_batches(model: PreTrainedModel, *, pad: int, max_tokens: int) -> tuple[str, ...]:
    """See to it that a batch of conversations gives the scores of each alone; notes on what was set for that."""
    found = prove_scoring(model, lambda rows, _: score_rows(model, rows, pad=pad), may_be_bare=False)
    if found.padding == "none":
        raise ConfigError(f"{found.notes[-1]}; pairs are trained on in batches here: choose another model")
    if found.turning is not None and found.turning.border < max_tokens:
        raise ConfigError(
            f"{type(model).__name__}: positions are turned otherwise in texts of more than {found.turning.border} "
            f"tokens, so a pair's scores would depend on the longest of its batch; set data.max_tokens = "
            f"{found.turning.border}"
        )
    return found.notes
