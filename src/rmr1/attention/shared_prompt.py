"""Attention over rows of groups: a prompt's keys and values serve all its completions.

The decoder's forward takes the layout of the row (`rmr1.attention.groups.GroupLayout`) as the keyword
`group_layout` and hands it on to every layer. A prompt token sees what stands before it in its prompt; a completion
token sees its whole prompt and what stands before it in its own completion.

Three ways, the same numbers, none with a mask of the size of the row squared:

    merged    one pass over the prompt for everybody, one over each completion, joined by their log-sum-exps: CPUs
    flex      one compiled kernel under a block-sparse mask: GPUs
    joined    each completion over [prompt | own] under a mask: for whatever the others do not know

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `D` head size.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rmr1.attention.flex import attend_flex, can_flex
from rmr1.attention.groups import GroupLayout, list_segments
from rmr1.attention.merged import attend_merged, can_merge
from rmr1.attention.packed import attend_text, check_row, no_mask, using_attention
from rmr1.errors import ConfigError

NAME = "rmr1_shared_prompt"


def shared_prompt_attention(model: PreTrainedModel) -> AbstractContextManager[None]:
    """A block in which the model takes rows of groups, as `using_attention`."""
    return using_attention(model, NAME)


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
    """`[1, H, T, D]` queries, `[1, K, T, D]` keys and values -> `[1, T, H, D]`."""
    if group_layout is None:
        raise ConfigError("a row of groups needs its layout: pass group_layout to the model's forward")
    num_tokens = sum(num_prompt + sum(lengths) for num_prompt, lengths in group_layout)
    check_row(module, query, attention_mask, kwargs, num_tokens, "groups")
    window = kwargs.get("sliding_window")
    longest = max(segment.first + segment.length for segment in list_segments(group_layout))
    if window is not None and window >= longest:
        window = None
    if can_merge(query, value, dropout, window):
        return attend_merged(query, key, value, group_layout, scaling), None
    if can_flex(query, value, dropout):
        return attend_flex(query, key, value, group_layout, scaling, window), None
    return _attend_joined(query, key, value, group_layout, dropout, scaling, window), None


def _attend_joined(
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    layout: GroupLayout,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend by the stock function, each completion's keys behind a copy of its prompt's."""
    segments = list_segments(layout)
    sizes = [segment.length for segment in segments]
    queries, keys, values = (one.split(sizes, dim=2) for one in (query_1HTD, key_1KTD, value_1KTD))
    parts = []
    for place, segment in enumerate(segments):
        seen = [place] if segment.prompt == place else [segment.prompt, place]
        key, value = (torch.cat([every[one] for one in seen], dim=2) for every in (keys, values))
        parts.append(attend_text(queries[place], key, value, dropout, scaling, window))
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous()


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, no_mask)
