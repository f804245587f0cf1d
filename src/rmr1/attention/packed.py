"""Several documents in one row, and attention that never crosses from one into the next.

A row is `[1, T]`: documents one after the other, positions counted anew in each. Their lengths are passed
as the keyword `document_lengths` to the model's forward, which hands it on to every layer, also where
layers are computed again for gradient checkpointing. On a GPU in 16 bits one variable-length kernel
serves the whole row; elsewhere each document goes through the stock kernel on its own. Either way the
cost grows with the sum of squared document lengths, not with the square of the row.

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `D` head size.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rmr1.attention.proof.probe import attention_of
from rmr1.errors import ConfigError

varlen_attn: Any
try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # older torch; the split path serves everywhere
    varlen_attn = None

NAME = "rmr1_packed"
"""What the attention is registered under in transformers."""


def pack(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Indices of the documents of each row: first-fit decreasing under a token budget.

    A document longer than the budget has a row to itself. Rows come largest document first, the same for
    the same lengths.

        >>> pack([3, 5, 2, 4], row_tokens=7)
        [[1, 2], [3, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    rows: list[list[int]] = []
    # The first row with enough room, found through a tree of maxima over the rows: n log n for n rows.
    size = 1
    while size < max(1, len(lengths)):
        size *= 2
    room = [row_tokens] * (2 * size)
    for index in order:
        length = lengths[index]
        if length > row_tokens:
            place = len(rows)
        else:
            place = 1
            while place < size:
                place = 2 * place if room[2 * place] >= length else 2 * place + 1
            place -= size
        if place >= len(rows):
            place = len(rows)
            rows.append([])
        rows[place].append(index)
        node = place + size
        room[node] = max(0, room[node] - length)
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
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


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model takes rows of several documents; afterwards it attends as before.

    Raises:
        ConfigError: the model's layers do not attend through transformers' interface.
    """
    with using_attention(model, NAME):
        yield


@contextmanager
def using_attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Inside, the model attends by the function that is registered as `name`; afterwards as before.

    Raises:
        ConfigError: its layers do not attend through transformers' interface.
    """
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
    """`[1, H, T, D]` queries, `[1, K, T, D]` keys and values -> `[1, T, H, D]`.

    Raises:
        ConfigError: the model asks for a kind of attention that is not computed here.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise ConfigError(
                f"{type(module).__name__} uses {name!r}, which attention in packed rows does not know"
            )
    if attention_mask is not None or query.shape[0] != 1:
        raise ConfigError("packed rows are one row of documents without a mask")
    lengths = [query.shape[2]] if document_lengths is None else list(document_lengths)
    if sum(lengths) != query.shape[2]:
        raise ConfigError(f"documents of {sum(lengths)} tokens in a row of {query.shape[2]}")
    window = kwargs.get("sliding_window")
    if (
        varlen_attn is not None
        and query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16)
        and not dropout
    ):
        return _attend_at_once(query, key, value, lengths, scaling, window), None
    has_groups = query.shape[1] != key.shape[1]
    parts = []
    for q, k, v in zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True):
        mask = _build_window(q, window)
        parts.append(
            scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal=mask is None, scale=scaling, enable_gqa=has_groups
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _attend_at_once(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    borders = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=query.device)
    rows = [one[0].transpose(0, 1).contiguous() for one in (query, key, value)]
    if rows[0].shape[1] != rows[1].shape[1]:
        groups = rows[0].shape[1] // rows[1].shape[1]
        rows[1:] = [one.repeat_interleave(groups, dim=1) for one in rows[1:]]
    attended: torch.Tensor = varlen_attn(
        *rows,
        borders,
        borders,
        max(lengths),
        max(lengths),
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
    )
    return attended[None]


def _build_window(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    """The mask of a sliding window, where the document is longer than it; else plain causal attention."""
    length = query.shape[2]
    if window is None or length <= window:
        return None
    places = torch.arange(length, device=query.device)
    distance = places[:, None] - places[None, :]
    return (distance >= 0) & (distance < window)


def no_mask(*args: Any, **kwargs: Any) -> None:
    """No mask of the whole row: a layout says which of its tokens belong together."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, no_mask)
