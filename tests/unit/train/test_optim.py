"""The rate of a step by hand, and Muon beside torch's."""

from __future__ import annotations

import pytest
import torch

from rmr1.train.optim import Muon, Optimizers, build_optimizers, compute_rate, orthogonalize
from tests.tiny_models import build_model


def test_the_rate_by_hand() -> None:
    def rates(**settings) -> list[float]:
        return [compute_rate(step, total=6, warmup=2, **settings) for step in range(6)]

    assert rates() == pytest.approx([0.5, 1.0, 0.9045085, 0.6545085, 0.3454915, 0.0954915])
    assert rates(min_ratio=0.1) == pytest.approx([0.5, 1.0, 0.9140576, 0.6890576, 0.4109424, 0.1859424])
    assert rates(schedule="linear") == pytest.approx([0.5, 1.0, 0.8, 0.6, 0.4, 0.2])
    assert rates(schedule="constant") == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert compute_rate(0, total=3, warmup=0, schedule="constant") == 1.0


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((2, 8, 20), (2, 20, 8)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.3


def test_muon_moves_as_torchs_does() -> None:
    torch.manual_seed(0)
    start = [torch.randn(6, 9), torch.randn(6, 9), torch.randn(12, 5)]
    ours = [torch.nn.Parameter(one.clone()) for one in start]
    theirs = [torch.nn.Parameter(one.clone()) for one in start]
    optimizers = (
        Muon(ours, lr=0.01, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = (other - before).norm()
        assert (mine - other).norm() < 0.02 * moved  # torch's works in bfloat16


def test_which_parameters_go_where() -> None:
    model = build_model(tie_word_embeddings=True)
    optimizers = build_optimizers(
        model, name="muon", lr=1.0, muon_lr=2.0, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    muon, adamw = optimizers.parts
    inner = {id(one) for name, one in model.named_parameters() if one.ndim == 2 and "layers" in name}
    assert {id(one) for one in muon.param_groups[0]["params"]} == inner
    rest = {id(one) for one in model.parameters()} - inner
    assert {id(one) for one in adamw.param_groups[0]["params"]} == rest
    assert muon.param_groups[0]["lr"] == 2.0 and adamw.param_groups[0]["weight_decay"] == 0.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_on_cuda_are_fused_and_go_on_from_those_that_were_not() -> None:
    def build(device: str) -> tuple[torch.nn.Module, Optimizers]:
        model = torch.nn.Linear(8, 8).to(device)
        settings = {"lr": 0.1, "muon_lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
        return model, build_optimizers(model, name="adamw", **settings)

    (plain, slow), (model, fast) = build("cpu"), build("cuda")
    for _ in range(2):
        model.load_state_dict(plain.state_dict())
        for one, other in zip(plain.parameters(), model.parameters(), strict=True):
            for part in slow.parts:
                if one in part.state:
                    fast.put_state(other, part.state[one])
        assert all(group["fused"] for part in fast.parts for group in part.param_groups)
        for one, other in zip(plain.parameters(), model.parameters(), strict=True):
            one.grad = torch.ones_like(one)
            other.grad = torch.ones_like(other)
        slow.step(0.5)
        fast.step(0.5)
        for one, other in zip(plain.parameters(), model.parameters(), strict=True):
            assert torch.allclose(one, other.cpu(), rtol=1e-5)
