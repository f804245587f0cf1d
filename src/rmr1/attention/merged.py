"""Shared-prompt attention on a processor: the prompt's part and a completion's own part, merged.

Attention over two sets of keys is the mean of the attention over each, weighted by the exponentials of their
log-sum-exps. So all queries of a group, the prompt's own among them, go over the prompt in one pass (causal:
row r sees keys up to r, hence rows behind the prompt see all of it), and each completion's go over its own
keys in another. Nothing is copied: neither the prompt's keys per completion, nor keys per query head where
heads share them. Backward needs no second softmax: probabilities over either set are exp(score - L) with the
merged L, so the flash kernel's backward, given the merged output and L, yields that set's exact share of the
gradients (the same holds for attention spread over devices in blocks: arXiv 2310.01889, section 3).

Kept for backward: queries, keys, values, output and L of the row; no probabilities, no masks.

Shapes: `T` tokens of the row, `H` query heads, `K` key heads, `G` = H / K, `D` head size.
"""

from __future__ import annotations

from typing import Any

import torch

from rmr1.attention.groups import GroupLayout

# The kernels behind the stock function, which alone tell the log-sum-exp.
_FORWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_BACKWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)


def can_merge(query: torch.Tensor, value: torch.Tensor, dropout: float, window: int | None) -> bool:
    """Whether `attend_merged` computes what is asked for."""
    return (
        _FORWARD is not None
        and _BACKWARD is not None
        and query.device.type == "cpu"
        and query.shape[-1] == value.shape[-1]
        and not dropout
        and window is None
    )


def attend_merged(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: GroupLayout,
    scaling: float | None,
) -> torch.Tensor:
    """`[1, H, T, D]` queries, `[1, K, T, D]` keys and values -> `[1, T, H, D]`."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    attended: torch.Tensor = _Merged.apply(  # type: ignore[no-untyped-call]
        query.to(dtype), key.to(dtype), value.to(dtype), layout, scaling
    )
    return attended


class _Merged(torch.autograd.Function):
    """Inside, key heads stand where batches do: queries `[K, G, T, D]`, keys and values `[K, T, D]`."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: GroupLayout,
        scaling: float | None,
    ) -> torch.Tensor:
        _, heads, tokens, size = query.shape
        key_heads = key.shape[1]
        attended = query.new_empty((1, tokens, heads, size))
        sums = query.new_empty((heads, tokens), dtype=_sum_dtype(query.dtype))
        q, k, v = _group(query, key_heads), key[0], value[0]
        out = _group(attended.transpose(1, 2), key_heads)
        total = sums.view(key_heads, heads // key_heads, tokens)
        start = 0
        for num_prompt, lengths in layout:
            prompt = slice(start, start + num_prompt)
            group = slice(start, start + num_prompt + sum(lengths))
            out[:, :, group], total[:, :, group] = _forward(q, k, v, group, prompt, scaling)
            start = prompt.stop
            for length in lengths:
                own = slice(start, start + length)
                part, part_sums = _forward(q, k, v, own, own, scaling)
                _merge(out[:, :, own], total[:, :, own], part, part_sums)
                start = own.stop
        ctx.save_for_backward(query, key, value, attended, sums)
        ctx.layout, ctx.scaling = layout, scaling
        return attended

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, attended, sums = ctx.saved_tensors
        key_heads = key.shape[1]
        q, k, v = _group(query, key_heads), key[0], value[0]
        out = _group(attended.transpose(1, 2), key_heads)
        total = sums.view(key_heads, -1, sums.shape[1])
        wanted = _group(slope.contiguous().transpose(1, 2), key_heads)
        query_grad = torch.empty_like(query)
        key_grad, value_grad = torch.empty_like(key), torch.empty_like(value)
        q_grad, k_grad, v_grad = _group(query_grad, key_heads), key_grad[0], value_grad[0]

        def run(rows: slice, keys: slice) -> torch.Tensor:
            found: tuple[torch.Tensor, ...] = _BACKWARD(
                wanted[:, :, rows],
                q[:, :, rows],
                _share(k[:, keys], q),
                _share(v[:, keys], q),
                out[:, :, rows],
                total[:, :, rows],
                0.0,
                True,
                scale=ctx.scaling,
            )
            torch.sum(found[1], dim=1, out=k_grad[:, keys])
            torch.sum(found[2], dim=1, out=v_grad[:, keys])
            return found[0]

        start = 0
        for num_prompt, lengths in ctx.layout:
            prompt = slice(start, start + num_prompt)
            group = slice(start, start + num_prompt + sum(lengths))
            q_grad[:, :, group] = run(group, prompt)
            start = prompt.stop
            for length in lengths:
                own = slice(start, start + length)
                q_grad[:, :, own] += run(own, own)
                start = own.stop
        return query_grad, key_grad, value_grad, None, None


def _forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: slice, keys: slice, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and log-sum-exp of these rows over these keys, causal from the first of both."""
    out: torch.Tensor
    out, sums = _FORWARD(
        q[:, :, rows], _share(k[:, keys], q), _share(v[:, keys], q), 0.0, True, scale=scaling
    )
    return out, sums


def _merge(out: torch.Tensor, total: torch.Tensor, part: torch.Tensor, part_sums: torch.Tensor) -> None:
    """Put another set of keys into `out` and `total`, in place."""
    both = torch.logaddexp(total, part_sums)
    # out + (part - out) * weight, with one rounding to the output's type
    weight = (part_sums - both).exp_()[..., None]
    out.copy_(torch.lerp(out.to(weight.dtype), part.to(weight.dtype), weight))
    total.copy_(both)


def _group(heads: torch.Tensor, key_heads: int) -> torch.Tensor:
    """`[1, H, T, D]` -> `[K, G, T, D]`, the same memory."""
    grouped: torch.Tensor = heads[0].unflatten(0, (key_heads, -1))
    return grouped


def _share(keys: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """`[K, T, D]` -> `[K, G, T, D]`, read G times as it lies."""
    return keys[:, None].expand(-1, q.shape[1], -1, -1)


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
