"""A scalar model: loaded for training, the scores and the loss of pairs, and the proof that batches are right for it.

The loss is -log sigmoid(score of the better answer - score of the worse one) (Bradley and Terry 1952;
InstructGPT, arXiv 2203.02155).

Shapes: `B` pairs, `C` conversations, `T` tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rmr1.attention.proof.scoring import prove_scoring
from rmr1.engines.hf.loading import quiet
from rmr1.errors import CheckpointError, ConfigError, reason_of
from rmr1.train.optim import SCORE_HEAD
from rmr1.train.scalar.pairs import PairStore
from rmr1.train.scalar.plan import ScalarPlan
from rmr1.train.start import check_loaded


def load_model(plan: ScalarPlan) -> PreTrainedModel:
    """The model before its training, in the precision that it is trained in, on the CPU; the same each time.

    It has no dropout: both conversations of a pair go through the same model.
    """
    recipe = plan.recipe.model
    dtype = torch.bfloat16 if recipe.precision == "bf16-pure" else torch.float32
    whole: Any = _make_model(plan) if recipe.from_scratch else _load_checkpoint(plan, dtype)
    model: PreTrainedModel = whole.to(dtype=dtype)
    check_loaded(model, recipe.base or "of the recipe")
    if recipe.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    # Without one, or with one that ends conversations, the library would read the score elsewhere.
    model.config.get_text_config().pad_token_id = plan.pad
    return model


def _load_checkpoint(plan: ScalarPlan, dtype: torch.dtype) -> PreTrainedModel:
    recipe = plan.recipe.model
    assert plan.base.source is not None
    torch.manual_seed(plan.recipe.seed)  # which the new head is drawn from
    model: PreTrainedModel
    try:
        with quiet():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                plan.base.source,
                num_labels=1,
                dtype=dtype,
                output_loading_info=True,
                revision=recipe.revision,
                trust_remote_code=recipe.trust_remote_code,
            )
    except Exception as error:  # loading runs code of many libraries
        told = f"model {recipe.base!r} cannot become a scalar model: {reason_of(error)}"
        raise CheckpointError(told) from None
    if missing := sorted(set(report["missing_keys"]) - {SCORE_HEAD}):
        raise CheckpointError(
            f"model {recipe.base!r} cannot become a scalar model: it lacks {len(missing)} weights of "
            f"{type(model).__name__}, first {missing[0]!r}"
        )
    return model


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


@torch.no_grad()
def score_held_out(
    model: PreTrainedModel, store: PairStore, *, pad: int, batch_size: int
) -> dict[str, float]:
    """Mean loss, and the share of pairs whose better answer has the higher score; equal scores are wrong."""
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    order = sorted(range(len(store)), key=lambda place: -store.num_tokens(place))
    for start in range(0, len(order), batch_size):
        pairs = [store.get(place) for place in order[start : start + batch_size]]
        better_B, worse_B = score_pairs(model, pairs, pad=pad)
        loss += float(compute_pair_losses(better_B, worse_B).sum())
        correct += int((better_B > worse_B).sum())
    model.train(was_training)
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
