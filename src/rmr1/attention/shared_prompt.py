"""Attention over rows of groups: a prompt's keys and values serve all its completions.

The layout of the row (`rmr1.attention.groups.GroupLayout`) is passed as the keyword `group_layout` to the
decoder's forward, which hands it on to every layer, also where layers are computed again for gradient
checkpointing. A prompt token sees what stands before it in its prompt; a completion token sees its whole
prompt and what stands before it in its own completion. Gradients of the prompt add up over its completions
by themselves.

Three ways, the same numbers:

    merged    one pass over the prompt for everybody, one over each completion, joined by their log-sum-exps:
              processors                                          `attention_merged`
    flex      one compiled kernel under a block-sparse mask: GPUs  `attention_flex`
    joined    each completion over [prompt | own] under a mask: for whatever the others do not know

None of them holds a mask of the size of the row squared.

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `D` head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rmr1.attention.flex import attend_flex, can_flex
from rmr1.attention.groups import GroupLayout
from rmr1.attention.merged import attend_merged, can_merge
from rmr1.attention.packed import no_mask, using_attention
from rmr1.errors import ConfigError

NAME = "rmr1_shared_prompt"
"""What the attention is registered under in transformers."""


@contextmanager
def shared_prompt_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model takes rows of groups; afterwards it attends as before.

    Raises:
        ConfigError: the model's layers do not attend through transformers' interface.
    """
    with using_attention(model, NAME):
        yield


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    group_layout: GroupLayout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`[1, H, T, D]` queries, `[1, K, T, D]` keys and values -> `[1, T, H, D]`.

    Raises:
        ConfigError: the model asks for a kind of attention that is not computed here, or the layout is not
            the row's.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise ConfigError(
                f"{type(module).__name__} uses {name!r}, which attention in rows of groups does not know"
            )
    if attention_mask is not None or query.shape[0] != 1:
        raise ConfigError("groups come as one row without a mask")
    if group_layout is None:
        raise ConfigError("a row of groups needs its layout: pass group_layout to the model's forward")
    num_tokens = sum(num_prompt + sum(lengths) for num_prompt, lengths in group_layout)
    if num_tokens != query.shape[2]:
        raise ConfigError(f"groups of {num_tokens} tokens in a row of {query.shape[2]}")
    window = kwargs.get("sliding_window")
    if window is not None and window >= _longest(group_layout):
        window = None
    if can_merge(query, value, dropout, window):
        return attend_merged(query, key, value, group_layout, scaling), None
    if can_flex(query, value, dropout):
        return attend_flex(query, key, value, group_layout, scaling, window), None
    return _attend_joined(query, key, value, group_layout, dropout, scaling, window), None


def _attend_joined(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: GroupLayout,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend by the stock function, each completion's keys behind a copy of its prompt's."""
    sizes = [size for num_prompt, lengths in layout for size in (num_prompt, *lengths)]
    queries, keys, values = (one.split(sizes, dim=2) for one in (query, key, value))
    has_groups = query.shape[1] != key.shape[1]
    parts = []
    place = 0
    for num_prompt, lengths in layout:
        prompt = place
        for index, length in enumerate((num_prompt, *lengths)):
            before = num_prompt if index else 0
            k, v = keys[place], values[place]
            if before:
                k, v = torch.cat([keys[prompt], k], dim=2), torch.cat([values[prompt], v], dim=2)
            mask = _build_mask(length, before, window, query.device)
            parts.append(
                scaled_dot_product_attention(
                    queries[place],
                    k,
                    v,
                    mask,
                    dropout,
                    is_causal=mask is None,
                    scale=scaling,
                    enable_gqa=has_groups,
                )
            )
            place += 1
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous()


def _build_mask(
    num_queries: int, before: int, window: int | None, device: torch.device
) -> torch.Tensor | None:
    """What queries see that stand behind `before` more keys; None for plain causal attention."""
    num_keys = before + num_queries
    if not before and (window is None or num_keys <= window):
        return None
    distance = (
        torch.arange(before, num_keys, device=device)[:, None]
        - torch.arange(num_keys, device=device)[None, :]
    )
    mask = distance >= 0
    return mask if window is None else mask & (distance < window)


def _longest(layout: GroupLayout) -> int:
    """Tokens of the longest prompt with its longest completion."""
    return max((num_prompt + max(lengths, default=0) for num_prompt, lengths in layout), default=0)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, no_mask)
