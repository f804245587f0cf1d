"""Attention for decoding: one new token per row, no copy of the keys and values.

If several query heads share a key head (grouped-query attention) and a mask is given, the stock
function repeats the whole cache per layer and step before it attends. With one query per row the heads
of a group can stand where the queries stand, and the cache is read as it lies. All else goes to the stock function.

Shapes: `R` rows, `H` query heads, `K` key heads, `G` = H / K, `Q` queries, `T` tokens, `D` head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rmr1.attention.shared_cache import SharedPrompts
from rmr1.errors import GenerationError

_NAME = "rmr1_grouped"
_STOCK = "sdpa"


@contextmanager
def grouped_attention(model: PreTrainedModel) -> Iterator[None]:
    """A block in which a model that uses the stock function decodes with `attend`; others stay as they are."""
    if getattr(model.config, "_attn_implementation", None) != _STOCK:
        yield
        return
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(_STOCK)


def is_grouped(model: PreTrainedModel) -> bool:
    """Whether the model attends by `attend` now."""
    return getattr(model.config, "_attn_implementation", None) == _NAME


def is_causal(model: torch.nn.Module) -> bool:
    """Whether all attention layers of the model say that no token can attend to a later one."""
    told: list[object] = [module.is_causal for module in model.modules() if hasattr(module, "is_causal")]
    return bool(told) and all(one is True for one in told)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    shared_prompts: SharedPrompts | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`[R, H, Q, D]` queries, `[R, K, T, D]` keys and values -> `[R, Q, H, D]`."""
    if shared_prompts is not None and shared_prompts.is_shared:
        if attention_mask is not None:
            raise GenerationError(f"{type(module).__name__} masks tokens that it has written itself")
        return shared_prompts.attend(module, query, key, value, scaling), None
    if shared_prompts is not None:
        shared_prompts.check_layer(module, key, value, attention_mask, dropout, kwargs)
    rows, heads, num_queries, size = query.shape
    groups = heads // key.shape[1]
    if num_queries > 1 or groups == 1 or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if attention_mask is not None and attention_mask.shape[1] > 1:  # a mask per query head
        attention_mask = attention_mask.reshape(rows, -1, groups, attention_mask.shape[-1])
    query_RKGD = query.reshape(rows, heads // groups, groups, size)
    attended_RKGD = scaled_dot_product_attention(
        query_RKGD, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    return attended_RKGD.reshape(rows, 1, heads, -1), None


AttentionInterface.register(_NAME, attend)
AttentionMaskInterface.register(_NAME, AttentionMaskInterface()[_STOCK])
