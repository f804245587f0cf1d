"""The loss of a causal language model on chosen positions, without ever holding all logits.

Pure tensor maths. For a vocabulary of 150,000 the logits of 16,000 tokens take 10 GB in float32. Here only the positions
that count go through the output layer, a chunk at a time, and each chunk's gradients are taken while its logits are at
hand, so nothing is computed twice.

Shapes: `N` positions that count, `C` those of a chunk, `W` model width, `V` vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from rmr1.forecast.memory import CHUNK_LOGITS


def sum_losses(
    hidden_NW: torch.Tensor, weight_VW: torch.Tensor, targets_N: torch.Tensor, *, chunk: int | None = None
) -> torch.Tensor:
    """Sum of the cross-entropies in nats, a float32 scalar; 0 where no position counts.

    Differentiable in `hidden_NW` and `weight_VW`. `chunk` is the number of positions at a time. Under autocast the
    products are in its type, softmax and sums in float32 always.
    """
    if chunk is None:
        chunk = max(1, CHUNK_LOGITS // weight_VW.shape[0])
    found: torch.Tensor = _SumLosses.apply(  # type: ignore[no-untyped-call]
        hidden_NW, weight_VW, targets_N, chunk
    )
    return found


class _SumLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_NW: torch.Tensor, weight_VW: torch.Tensor, targets_N: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        hidden_grad_NW = torch.zeros_like(hidden_NW) if wants_hidden else None
        weight_grad_VW = torch.zeros_like(weight_VW, dtype=torch.float32) if wants_weight else None
        device = hidden_NW.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_NW.dtype
        total = torch.zeros((), dtype=torch.float32, device=hidden_NW.device)
        with torch.autocast(device, enabled=False):
            matrix_VW = weight_VW.to(dtype)
            for start in range(0, len(targets_N), chunk):
                part = slice(start, start + chunk)
                hidden_CW, targets_C = hidden_NW[part].to(dtype), targets_N[part]
                logits_CV = (hidden_CW @ matrix_VW.T).float()
                total += cross_entropy(logits_CV, targets_C, reduction="sum")
                if hidden_grad_NW is None and weight_grad_VW is None:
                    continue
                # d loss / d logits = softmax - one-hot, written over the logits
                torch.softmax(logits_CV, dim=-1, out=logits_CV)
                logits_CV[torch.arange(len(targets_C), device=targets_C.device), targets_C] -= 1.0
                slope_CV = logits_CV.to(dtype)
                if hidden_grad_NW is not None:
                    hidden_grad_NW[part] = (slope_CV @ matrix_VW).to(hidden_NW.dtype)
                if weight_grad_VW is not None:
                    weight_grad_VW += (slope_CV.T @ hidden_CW).float()
        weight_grad_VW = None if weight_grad_VW is None else weight_grad_VW.to(weight_VW.dtype)
        ctx.save_for_backward(hidden_grad_NW, weight_grad_VW)
        return total

    @staticmethod
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grads = [None if grad is None else grad * scale.to(grad.dtype) for grad in ctx.saved_tensors]
        return grads[0], grads[1], None, None
