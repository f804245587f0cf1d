"""The chunked loss, against hand-worked numbers and the whole logits."""

from __future__ import annotations

import math

import pytest
import torch

from rmr1.train.losses import sum_losses


def test_by_hand() -> None:
    # Logits (0, ln 3) and (ln 3, 0): the wanted token has a share of 3/4 and of 1/4.
    hidden = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]], requires_grad=True)
    weight = torch.eye(2, requires_grad=True)
    loss = sum_losses(hidden, weight, torch.tensor([1, 1]))
    assert loss.item() == pytest.approx(-math.log(3 / 4) - math.log(1 / 4))
    loss.backward()
    assert torch.allclose(hidden.grad, torch.tensor([[0.25, -0.25], [0.75, -0.75]]))
    slope = 0.75 * math.log(3)
    assert torch.allclose(weight.grad, torch.tensor([[slope, slope / 3], [-slope, -slope / 3]]))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_change_nothing(chunk: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 5, requires_grad=True)
    weight = torch.randn(11, 5, requires_grad=True)
    targets = torch.tensor([0, 3, 10, 3, 5, 7, 1])
    whole = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    wanted = torch.autograd.grad(3.0 * whole, (hidden, weight))
    loss = sum_losses(hidden, weight, targets, chunk=chunk)
    found = torch.autograd.grad(3.0 * loss, (hidden, weight))
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_no_position_counts() -> None:
    weight = torch.randn(4, 2, requires_grad=True)
    loss = sum_losses(torch.zeros(0, 2), weight, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0 and not weight.grad.any()


def test_a_frozen_output_layer_gets_no_gradient() -> None:
    hidden = torch.randn(3, 2, requires_grad=True)
    weight = torch.randn(4, 2)
    sum_losses(hidden, weight, torch.tensor([0, 1, 2])).backward()
    assert hidden.grad is not None and weight.grad is None


def test_sums_stay_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32, requires_grad=True), torch.randn(50, 32, requires_grad=True)
    targets = torch.randint(50, (64,))
    whole = sum_losses(hidden, weight, targets)
    wanted = torch.autograd.grad(whole, (hidden, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = sum_losses(hidden, weight, targets)
    found = torch.autograd.grad(half, (hidden, weight))
    assert half.dtype == torch.float32 and half.item() == pytest.approx(whole.item(), rel=1e-2)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() / other.norm() < 2e-2
