"""Chunked log-probabilities and entropies, against hand-worked numbers and the whole logits."""

from __future__ import annotations

import math

import pytest
import torch

from rmr1.attention.groups import Group, build_group_row
from rmr1.train.grpo.logprobs import GroupLogprobs, token_logprobs
from tests.tiny_models import build_model

TARGETS = torch.tensor([0, 3, 10, 3, 5, 7, 1])


def draw() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return (
        torch.randn(7, 5, requires_grad=True),
        torch.randn(11, 5, requires_grad=True),
        torch.randn(7),
    )


def test_by_hand() -> None:
    # Logits (0, ln 3) and (ln 3, 0): the target has a share of 3/4 and of 1/4.
    hidden = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]], requires_grad=True)
    weight = torch.eye(2, requires_grad=True)
    logprobs, entropies = token_logprobs(hidden, weight, torch.tensor([1, 1]))
    assert logprobs.tolist() == pytest.approx([math.log(3 / 4), math.log(1 / 4)])
    # H(3/4, 1/4) = 3/4 ln(4/3) + 1/4 ln 4, whichever comes first
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert entropies.tolist() == pytest.approx([entropy, entropy])
    assert not entropies.requires_grad
    (logprobs * torch.tensor([1.0, 2.0])).sum().backward()
    # one-hot - softmax, times what each is multiplied by
    assert torch.allclose(hidden.grad, torch.tensor([[-0.25, 0.25], [-1.5, 1.5]]))
    log = math.log(3)
    assert torch.allclose(weight.grad, torch.tensor([[-1.5 * log, -0.25 * log], [1.5 * log, 0.25 * log]]))


def test_temperature_by_hand() -> None:
    # Logits (0, 2 ln 3) at temperature 2 are (0, ln 3).
    hidden = torch.tensor([[0.0, 2 * math.log(3)]], requires_grad=True)
    logprobs, entropies = token_logprobs(hidden, torch.eye(2), torch.tensor([1]), temperature=2.0)
    assert logprobs.item() == pytest.approx(math.log(3 / 4))
    assert entropies.item() == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    logprobs.sum().backward()
    assert torch.allclose(hidden.grad, torch.tensor([[-0.125, 0.125]]))


def test_entropy_of_the_even_distribution() -> None:
    _, entropies = token_logprobs(torch.zeros(2, 3), torch.ones(8, 3), torch.tensor([0, 7]))
    assert entropies.tolist() == pytest.approx([math.log(8)] * 2)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
def test_chunks_change_nothing(chunk: int | None, temperature: float) -> None:
    hidden, weight, scale = draw()
    whole = (hidden @ weight.T / temperature).log_softmax(dim=-1)
    wanted = whole.gather(-1, TARGETS[:, None])[:, 0]
    wanted_grads = torch.autograd.grad((wanted * scale).sum(), (hidden, weight), retain_graph=True)
    found, entropies = token_logprobs(hidden, weight, TARGETS, temperature=temperature, chunk=chunk)
    found_grads = torch.autograd.grad((found * scale).sum(), (hidden, weight))
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert torch.allclose(entropies, -(whole.exp() * whole).sum(dim=-1), rtol=1e-5, atol=1e-6)
    for one, other in zip(found_grads, wanted_grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_equal_finite_differences() -> None:
    hidden, weight, scale = draw()
    found, _ = token_logprobs(hidden, weight, TARGETS, temperature=1.3, chunk=2)
    grads = torch.autograd.grad((found * scale).sum(), (hidden, weight))
    step = 1e-2
    for index, grad in enumerate(grads):
        direction = torch.randn_like(grad)
        ends = []
        for sign in (1, -1):
            inputs = [hidden.detach(), weight.detach()]
            inputs[index] = inputs[index] + sign * step * direction
            ends.append((token_logprobs(*inputs, TARGETS, temperature=1.3)[0] * scale).sum().item())
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx((grad * direction).sum().item(), rel=1e-2)


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4]])
    logprobs, entropies = token_logprobs(logits, torch.eye(3), torch.tensor([1]))
    assert logprobs.item() == -1e4 and entropies.item() == 0.0


def test_no_token() -> None:
    weight = torch.randn(4, 2, requires_grad=True)
    logprobs, entropies = token_logprobs(torch.zeros(0, 2), weight, torch.zeros(0, dtype=torch.long))
    logprobs.sum().backward()
    assert logprobs.shape == entropies.shape == (0,) and not weight.grad.any()


def test_a_frozen_output_layer_gets_no_gradient() -> None:
    hidden, weight = torch.randn(3, 2, requires_grad=True), torch.randn(4, 2)
    token_logprobs(hidden, weight, torch.tensor([0, 1, 2]))[0].sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_logits_are_not_kept() -> None:
    hidden, weight = torch.randn(64, 4, requires_grad=True), torch.randn(1000, 4, requires_grad=True)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda one: sizes.append(one.numel()) or one, lambda one: one
    ):
        token_logprobs(hidden, weight, torch.zeros(64, dtype=torch.long))
    assert sorted(sizes) == [64, 64, 64 * 4, 1000 * 4]


def test_sums_stay_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32, requires_grad=True), torch.randn(50, 32, requires_grad=True)
    targets = torch.randint(50, (64,))
    whole, _ = token_logprobs(hidden, weight, targets)
    wanted = torch.autograd.grad(whole.sum(), (hidden, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, entropies = token_logprobs(hidden, weight, targets)
    found = torch.autograd.grad(half.sum(), (hidden, weight))
    assert half.dtype == entropies.dtype == torch.float32
    assert (half - whole).norm() / whole.norm() < 1e-2
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() / other.norm() < 2e-2


def test_the_layout_is_never_left_unread() -> None:
    module = GroupLogprobs(build_model())
    with pytest.raises(AssertionError, match="shared_prompt_attention"):
        module(build_group_row([Group(prompt=(1, 2), completions=((3,),))]))
