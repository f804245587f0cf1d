"""Several documents in one row, and attention that never crosses from one into the next.

A row is `[1, T]`: documents one after the other, positions counted anew in each. The model's forward takes their
lengths as the keyword `document_lengths` and hands it on to every layer. On a GPU in 16 bits one variable-length
kernel serves the whole row; elsewhere each document goes through the stock kernel on its own. Either way the
cost grows with the sum of squared document lengths.

Shapes: `T` tokens of the row, `Q` of a text in it, `S` that these see, `H` query heads, `K` key heads, `D` head size.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import accumulate
from typing import Any, cast

import numpy as np
import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rmr1.attention.proof.probe import attention_of
from rmr1.errors import ConfigError

NAME = "rmr1_packed"


def pack(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Indices of the documents of each row: first-fit decreasing under a token budget.

    A document longer than the budget has a row to itself.

        >>> pack([3, 5, 2, 4], row_tokens=7)
        [[1, 2], [3, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    rows: list[list[int]] = []
    room = np.full(len(lengths) + 1, row_tokens)
    for index in order:
        length = lengths[index]
        # A row that has not begun has room for each but the longest.
        fits = room[: len(rows) + 1] >= length
        place = int(fits.argmax()) if fits.any() else len(rows)
        if place == len(rows):
            rows.append([])
        rows[place].append(index)
        room[place] = max(0, room[place] - length)
    return rows


def share_rows(costs: Sequence[float], num_ranks: int) -> list[list[int]]:
    """Indices of the rows of each process, the costly ones spread evenly (longest processing time first)."""
    shares: list[list[int]] = [[] for _ in range(num_ranks)]
    loads = [(0.0, rank) for rank in range(num_ranks)]
    for index in sorted(range(len(costs)), key=lambda index: (-costs[index], index)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(index)
        heapq.heappush(loads, (load + costs[index], rank))
    return shares


def packed_attention(model: PreTrainedModel) -> AbstractContextManager[None]:
    """A block in which the model takes rows of several documents, as `using_attention`."""
    return using_attention(model, NAME)


@contextmanager
def using_attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """A block in which the model attends by the function that is registered as `name`; raises ConfigError if its
    layers do not attend through transformers' interface."""
    before = attention_of(model)
    if not getattr(model, "_supports_attention_backend", False):
        raise ConfigError(f"{type(model).__name__} does not take attention functions")
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before or "sdpa")


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    document_lengths: Sequence[int] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`[1, H, T, D]` queries, `[1, K, T, D]` keys and values -> `[1, T, H, D]`."""
    lengths = [query.shape[2]] if document_lengths is None else list(document_lengths)
    check_row(module, query, attention_mask, kwargs, sum(lengths), "documents")
    window = kwargs.get("sliding_window")
    is_short = query.dtype in (torch.bfloat16, torch.float16)
    if query.is_cuda and is_short and not dropout:
        return _attend_at_once(query, key, value, lengths, scaling, window), None
    texts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    attended_1HTD = torch.cat([attend_text(*text, dropout, scaling, window) for text in texts], dim=2)
    return attended_1HTD.transpose(1, 2).contiguous(), None


def check_row(
    module: torch.nn.Module,
    query_1HTD: torch.Tensor,
    mask: torch.Tensor | None,
    others: Mapping[str, Any],
    num_tokens: int,
    kind: str,
) -> None:
    """Raises ConfigError unless a layer attends to one row of `num_tokens` by nothing that is not computed here."""
    for name in ("softcap", "s_aux", "position_bias"):
        if others.get(name) is not None:
            raise ConfigError(
                f"{type(module).__name__} uses {name!r}, which attention in rows of {kind} does not know"
            )
    if mask is not None or query_1HTD.shape[0] != 1:
        raise ConfigError(f"{kind} come as one row without a mask")
    if num_tokens != query_1HTD.shape[2]:
        raise ConfigError(f"{kind} of {num_tokens} tokens in a row of {query_1HTD.shape[2]}")


def attend_text(
    query_1HQD: torch.Tensor,
    key_1KSD: torch.Tensor,
    value_1KSD: torch.Tensor,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Causal attention `[1, H, Q, D]` of a text's queries, which are those of the last keys, by the stock kernel."""
    num_queries, num_keys = query_1HQD.shape[2], key_1KSD.shape[2]
    mask_QS = None
    if num_keys > num_queries or (window is not None and num_keys > window):
        places = torch.arange(num_keys, device=query_1HQD.device)
        distance_QS = places[num_keys - num_queries :, None] - places[None, :]
        mask_QS = distance_QS >= 0
        if window is not None:
            mask_QS = mask_QS & (distance_QS < window)
    return scaled_dot_product_attention(
        query_1HQD,
        key_1KSD,
        value_1KSD,
        mask_QS,
        dropout,
        is_causal=mask_QS is None,
        scale=scaling,
        enable_gqa=query_1HQD.shape[1] != key_1KSD.shape[1],
    )


def _attend_at_once(
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    lengths: list[int],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    borders = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=query_1HTD.device)
    groups = query_1HTD.shape[1] // key_1KTD.shape[1]
    every = (query_1HTD, *(one.repeat_interleave(groups, dim=1) for one in (key_1KTD, value_1KTD)))
    query_THD, key_THD, value_THD = (one[0].transpose(0, 1).contiguous() for one in every)
    attended_THD = varlen_attn(
        query_THD,
        key_THD,
        value_THD,
        borders,
        borders,
        max(lengths),
        max(lengths),
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
    )
    return cast(torch.Tensor, attended_THD)[None]


def no_mask(*args: Any, **kwargs: Any) -> None:
    """No mask of the whole row: a layout says which of its tokens belong together."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, no_mask)
