"""Shared-prompt attention on a GPU: torch's compiled flex attention under a block-sparse mask.

A key is seen if it stands before the query in the row and belongs to the query's segment (a prompt or a completion)
or to its prompt. Blocks of the row that nobody sees are never read. The mask of a layout is built once and serves all
layers, forward and backward.

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `D` head size, `N` blocks of the row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from rmr1.attention.groups import GroupLayout, list_segments

BLOCK = 128
"""Tokens on the side of a block."""

Mask = Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]
"""(batch, head, place of the query, place of the key) -> whether the key is seen."""


def can_flex(query: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    """Whether `attend_flex` computes that: on the CPU it has no backward."""
    return (
        query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16, torch.float32)
        and query.shape[-1] == value.shape[-1] >= 16
        and not dropout
    )


def attend_flex(
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    layout: GroupLayout,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """The row's attention `[1, T, H, D]`."""
    device = query_1HTD.device
    is_mixed = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if is_mixed else query_1HTD.dtype
    attended_1HTD: torch.Tensor = _compiled()(
        *(one.to(dtype) for one in (query_1HTD, key_1KTD, value_1KTD)),
        block_mask=build_block_mask(layout, window, device),
        scale=scaling,
        enable_gqa=query_1HTD.shape[1] != key_1KTD.shape[1],
    )
    return attended_1HTD.transpose(1, 2).contiguous()


def build_mask(layout: GroupLayout, window: int | None, device: torch.device) -> Mask:
    """The mask of the keys that a query sees; `window` counts a token's own place among those it sees."""
    own: list[int] = []
    root: list[int] = []
    positions: list[int] = []
    for place, segment in enumerate(list_segments(layout)):
        own += [place] * segment.length
        root += [segment.prompt] * segment.length
        positions += range(segment.first, segment.first + segment.length)
    own_T, root_T, positions_T = (
        torch.tensor(one, dtype=torch.int32, device=device) for one in (own, root, positions)
    )

    def is_seen(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        segment = own_T[key]
        seen = (key <= query) & ((segment == own_T[query]) | (segment == root_T[query]))
        return seen if window is None else seen & (positions_T[query] - positions_T[key] < window)

    return is_seen


# A few, so that rows still waiting for their backward find theirs again under gradient checkpointing.
@lru_cache(maxsize=8)
def build_block_mask(layout: GroupLayout, window: int | None, device: torch.device) -> Any:
    """The mask as flex attention takes it; a strip of blocks at a time, never the whole square."""
    is_seen = build_mask(layout, window, device)
    num_tokens = sum(num_prompt + sum(lengths) for num_prompt, lengths in layout)
    num_blocks = -(-num_tokens // BLOCK)
    some_NN = torch.zeros((num_blocks, num_blocks), dtype=torch.bool, device=device)
    full_NN = torch.zeros_like(some_NN)
    places = torch.arange(num_blocks * BLOCK, device=device)
    is_inside = places < num_tokens
    within = places.clamp(max=num_tokens - 1)
    for index in range(num_blocks):
        rows = slice(index * BLOCK, (index + 1) * BLOCK)
        seen = is_seen(0, 0, within[rows, None], within[None, :])
        seen = seen & is_inside[rows, None] & is_inside[None, :]
        blocks = seen.view(BLOCK, num_blocks, BLOCK)
        some_NN[index] = blocks.any(dim=2).any(dim=0)
        full_NN[index] = blocks.all(dim=2).all(dim=0)
    return BlockMask.from_kv_blocks(
        *_list_blocks(some_NN & ~full_NN),
        *_list_blocks(full_NN),
        BLOCK_SIZE=BLOCK,
        mask_mod=is_seen,
        seq_lengths=(num_tokens, num_tokens),
    )


def _list_blocks(blocks_NN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many blocks are wanted per row of them, `[1, 1, N]`, and which, `[1, 1, N, N]`, those first."""
    order_NN = torch.argsort(blocks_NN.int(), dim=-1, descending=True, stable=True)
    return blocks_NN.sum(dim=-1, dtype=torch.int32)[None, None], order_NN.to(torch.int32)[None, None]


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention)
