"""Shared-prompt attention on a processor: the prompt's part and a completion's own part, merged.

Attention over two sets of keys is the mean of the attention over each, weighted by the exponentials of their
log-sum-exps. So all queries of a group, the prompt's own among them, go over the prompt in one pass (causal:
row r sees keys up to r, hence rows behind the prompt see all of it), and each completion's go over its own
keys in another. Nothing is copied. Backward needs no second softmax: probabilities over either set are
exp(score - L) with the merged L, so the flash kernel's backward, given the merged output and L, yields that set's
exact share of the gradients (the same holds for attention spread over devices in blocks: arXiv 2310.01889, section 3).

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `G` = H / K, `D` head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from rmr1.attention.groups import GroupLayout

# The kernels behind the stock function, which alone tell the log-sum-exp.
_FORWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_BACKWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)


def can_merge(query: torch.Tensor, value: torch.Tensor, dropout: float, window: int | None) -> bool:
    """Whether `attend_merged` computes that."""
    return (
        _FORWARD is not None
        and _BACKWARD is not None
        and query.device.type == "cpu"
        and query.shape[-1] == value.shape[-1]
        and not dropout
        and window is None
    )


def attend_merged(
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    layout: GroupLayout,
    scaling: float | None,
) -> torch.Tensor:
    """The row's attention `[1, T, H, D]`."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query_1HTD.dtype
    inputs = (one.to(dtype) for one in (query_1HTD, key_1KTD, value_1KTD))
    attended_1THD: torch.Tensor = _Merged.apply(*inputs, layout, scaling)  # type: ignore[no-untyped-call]
    return attended_1THD


class _Merged(torch.autograd.Function):
    """Inside, key heads stand where batches do: queries `[K, G, T, D]`, keys and values `[K, T, D]`."""

    @staticmethod
    def forward(
        ctx: Any,
        query_1HTD: torch.Tensor,
        key_1KTD: torch.Tensor,
        value_1KTD: torch.Tensor,
        layout: GroupLayout,
        scaling: float | None,
    ) -> torch.Tensor:
        _, heads, tokens, size = query_1HTD.shape
        key_heads = key_1KTD.shape[1]
        attended_1THD = query_1HTD.new_empty((1, tokens, heads, size))
        is_wide = query_1HTD.dtype == torch.float64
        total_HT = query_1HTD.new_empty((heads, tokens), dtype=torch.float64 if is_wide else torch.float32)
        query_KGTD = _group(query_1HTD, key_heads)
        out_KGTD = _group(attended_1THD.transpose(1, 2), key_heads)
        total_KGT = total_HT.view(key_heads, -1, tokens)
        for rows, keys, is_own in _list_passes(layout):
            shared = (_share(one[0, :, keys], query_KGTD) for one in (key_1KTD, value_1KTD))
            part, part_total = _FORWARD(query_KGTD[:, :, rows], *shared, 0.0, True, scale=scaling)
            out, total = out_KGTD[:, :, rows], total_KGT[:, :, rows]
            if is_own:
                both = torch.logaddexp(total, part_total)
                # out + (part - out) * weight, with one rounding to the output's type
                weight = (part_total - both).exp_()[..., None]
                part, part_total = torch.lerp(out.to(weight.dtype), part.to(weight.dtype), weight), both
            out.copy_(part)
            total.copy_(part_total)
        ctx.save_for_backward(query_1HTD, key_1KTD, value_1KTD, attended_1THD, total_HT)
        ctx.layout, ctx.scaling = layout, scaling
        return attended_1THD

    @staticmethod
    def backward(ctx: Any, slope_1THD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query_1HTD, key_1KTD, value_1KTD, attended_1THD, total_HT = ctx.saved_tensors
        key_heads = key_1KTD.shape[1]
        grads = [torch.empty_like(one) for one in (query_1HTD, key_1KTD, value_1KTD)]
        query_KGTD, query_grad_KGTD = _group(query_1HTD, key_heads), _group(grads[0], key_heads)
        out_KGTD = _group(attended_1THD.transpose(1, 2), key_heads)
        slope_KGTD = _group(slope_1THD.contiguous().transpose(1, 2), key_heads)
        total_KGT = total_HT.view(key_heads, -1, total_HT.shape[1])
        for rows, keys, is_own in _list_passes(ctx.layout):
            found = _BACKWARD(
                slope_KGTD[:, :, rows],
                query_KGTD[:, :, rows],
                *(_share(one[0, :, keys], query_KGTD) for one in (key_1KTD, value_1KTD)),
                out_KGTD[:, :, rows],
                total_KGT[:, :, rows],
                0.0,
                True,
                scale=ctx.scaling,
            )
            for grad_1KTD, part_KGTD in zip(grads[1:], found[1:], strict=True):
                torch.sum(part_KGTD, dim=1, out=grad_1KTD[0, :, keys])
            if is_own:
                query_grad_KGTD[:, :, rows] += found[0]
            else:
                query_grad_KGTD[:, :, rows] = found[0]
        return *grads, None, None


def _list_passes(layout: GroupLayout) -> Iterator[tuple[slice, slice, bool]]:
    """Rows, the keys that they go over, and whether those are a completion's own: each prompt's first."""
    start = 0
    for num_prompt, lengths in layout:
        prompt = slice(start, start + num_prompt)
        yield slice(start, prompt.stop + sum(lengths)), prompt, False
        start = prompt.stop
        for length in lengths:
            own = slice(start, start + length)
            yield own, own, True
            start = own.stop


def _group(heads_1HTD: torch.Tensor, key_heads: int) -> torch.Tensor:
    """`[1, H, T, D]` -> `[K, G, T, D]`, the same memory."""
    grouped_KGTD: torch.Tensor = heads_1HTD[0].unflatten(0, (key_heads, -1))
    return grouped_KGTD


def _share(keys_KTD: torch.Tensor, query_KGTD: torch.Tensor) -> torch.Tensor:
    """`[K, T, D]` -> `[K, G, T, D]`, read G times as it lies."""
    return keys_KTD[:, None].expand(-1, query_KGTD.shape[1], -1, -1)
