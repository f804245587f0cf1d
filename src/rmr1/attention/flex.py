"""Shared-prompt attention on a GPU: torch's compiled flex attention under a block-sparse mask.

Each token knows its segment (a prompt or a completion) and the segment of its prompt; a key is seen when it
stands before the query in the row and belongs to one of the two. Blocks of the row that nobody sees are never
read, so the cost is that of the groups. The mask of a layout is built once and serves all layers, forward and
backward.

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `D` head size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch

from rmr1.attention.groups import GroupLayout

flex: Any
try:
    from torch.nn.attention import flex_attention as flex
except ImportError:  # a torch without it; the joined path serves everywhere
    flex = None

BLOCK = 128
"""Tokens on the side of a block."""

Mask = Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]
"""(batch, head, place of the query, place of the key) -> whether the key is seen."""


def can_flex(query: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    """Whether `attend_flex` computes what is asked for: on CPU it has no backward, and no dropout anywhere."""
    return (
        flex is not None
        and query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16, torch.float32)
        and query.shape[-1] == value.shape[-1] >= 16
        and not dropout
    )


def attend_flex(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: GroupLayout,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """`[1, H, T, D]` queries, `[1, K, T, D]` keys and values -> `[1, T, H, D]`."""
    device = query.device
    is_mixed = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if is_mixed else query.dtype
    attended: torch.Tensor = _compiled()(
        query.to(dtype),
        key.to(dtype),
        value.to(dtype),
        block_mask=build_block_mask(layout, window, device),
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return attended.transpose(1, 2).contiguous()


def build_mask(layout: GroupLayout, window: int | None, device: torch.device) -> Mask:
    """The mask of the keys that a query sees; `window` counts a token's own place among those it sees."""
    own: list[int] = []
    root: list[int] = []
    positions: list[int] = []
    segment = 0
    for num_prompt, lengths in layout:
        prompt = segment
        for index, length in enumerate((num_prompt, *lengths)):
            first = num_prompt if index else 0
            own += [segment] * length
            root += [prompt] * length
            positions += range(first, first + length)
            segment += 1
    own_T, root_T, positions_T = (
        torch.tensor(one, dtype=torch.int32, device=device) for one in (own, root, positions)
    )

    def is_seen(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        segment = own_T[key]
        return (key <= query) & ((segment == own_T[query]) | (segment == root_T[query]))

    if window is None:
        return is_seen
    width = window

    def is_near(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return is_seen(batch, head, query, key) & (positions_T[query] - positions_T[key] < width)

    return is_near


# A few, so that rows still waiting for their backward find theirs again under gradient checkpointing.
@lru_cache(maxsize=8)
def build_block_mask(layout: GroupLayout, window: int | None, device: torch.device) -> Any:
    """The mask as flex attention takes it; a strip of blocks at a time, never the whole square."""
    is_seen = build_mask(layout, window, device)
    num_tokens = sum(num_prompt + sum(lengths) for num_prompt, lengths in layout)
    num_blocks = -(-num_tokens // BLOCK)
    some = torch.zeros((num_blocks, num_blocks), dtype=torch.bool, device=device)
    full = torch.zeros_like(some)
    places = torch.arange(num_blocks * BLOCK, device=device)
    is_inside = places < num_tokens
    within = places.clamp(max=num_tokens - 1)
    for index in range(num_blocks):
        rows = slice(index * BLOCK, (index + 1) * BLOCK)
        seen = is_seen(0, 0, within[rows, None], within[None, :])
        seen = seen & is_inside[rows, None] & is_inside[None, :]
        blocks = seen.view(BLOCK, num_blocks, BLOCK)
        some[index] = blocks.any(dim=2).any(dim=0)
        full[index] = blocks.all(dim=2).all(dim=0)
    return flex.BlockMask.from_kv_blocks(
        *_list_blocks(some & ~full),
        *_list_blocks(full),
        BLOCK_SIZE=BLOCK,
        mask_mod=is_seen,
        seq_lengths=(num_tokens, num_tokens),
    )


def _list_blocks(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Per row of blocks how many are wanted, `[1, 1, rows]`, and which, `[1, 1, rows, columns]`, those first."""
    order = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True)
    return blocks.sum(dim=-1, dtype=torch.int32)[None, None], order.to(torch.int32)[None, None]


@cache
def _compiled() -> Any:
    return torch.compile(flex.flex_attention)
