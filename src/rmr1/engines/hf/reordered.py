"""Linear layers in oneDNN's own order of weights, while few rows are decoded at a time on the CPU.

A step of decoding multiplies a handful of rows by every matrix, and the stock product of so few rows reads float32
weights at a third of the speed that memory has; in the order that oneDNN keeps them in, 8 rows take about half of the time
(`benchmarks/rollout.py`). The price is a copy of the matrices, made anew for each rollout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

_ROWS = 8
"""Rows for which the order is chosen."""
_LEAST_NUMBERS = 1 << 16
"""Numbers of a matrix that is worth it."""
_MOST_DIFFERENCE = 1e-4
"""Most that one product may be away from the stock one, as a share of its largest number."""


@contextmanager
def reordered_weights(model: nn.Module) -> Iterator[int]:
    """A block in which the model's float32 matrices on the CPU are multiplied in oneDNN's order; gives their number, 0 where
    the machine's torch does not offer it or it does not give the stock product. Weights must not change inside the block.
    """
    found = () if torch.is_autocast_enabled("cpu") else model.modules()
    layers = [one for one in found if isinstance(one, nn.Linear) and _fits(one)]
    if not layers or not _is_right(layers[0]):
        yield 0
        return
    orders: dict[int, torch.Tensor] = {}
    try:
        for layer in layers:
            place = layer.weight.data_ptr()
            if place not in orders:
                orders[place] = _reorder(layer.weight)
            layer.forward = partial(_multiply, layer, orders[place])  # type: ignore[method-assign]
        yield len(layers)
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _fits(module: nn.Linear) -> bool:
    """A plain linear layer, whose product nobody else has a hand in."""
    return (
        type(module) is nn.Linear
        and "forward" not in vars(module)
        and type(module.weight) in (nn.Parameter, torch.Tensor)
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.float32
        and module.weight.is_contiguous()
        and module.weight.numel() >= _LEAST_NUMBERS
    )


def _reorder(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)  # type: ignore[no-any-return]


def _multiply(layer: nn.Linear, order: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(input, order, layer.bias, "none", [], "")  # type: ignore[no-any-return]


@torch.inference_mode()
def _is_right(layer: nn.Linear) -> bool:
    """Whether torch has the two operators, which it keeps to itself, and they give the stock product."""
    values: Any = torch.linspace(-1, 1, _ROWS * layer.in_features).reshape(_ROWS, -1)
    try:
        found = _multiply(layer, _reorder(layer.weight), values)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    expected = linear(values, layer.weight, layer.bias)
    return bool((found - expected).abs().max() <= _MOST_DIFFERENCE * expected.abs().max())
