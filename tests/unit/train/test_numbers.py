"""What number formats do to a training: the share of weights that can move is the share that does."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import torch

from rmr1.errors import ConfigError, TrainingError
from rmr1.train.optim import Muon, build_optimizers
from rmr1.train.recipe import ModelRecipe, OptimRecipe
from rmr1.train.update import Updater, check_moving_share, estimate_moving_share


def make_module(dtype: torch.dtype, *, deviation: float = 0.02, size: int = 256) -> torch.nn.Module:
    draw = torch.Generator().manual_seed(0)
    module = torch.nn.Linear(size, size, bias=False)
    with torch.no_grad():
        module.weight.copy_(deviation * torch.randn(size, size, generator=draw))
    return module.to(dtype)


def take_step(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """The share of the weights that one step moves; every one has a gradient."""
    draw = torch.Generator().manual_seed(1)
    (weight,) = module.parameters()
    weight.grad = torch.randn(weight.shape, generator=draw).to(weight.dtype)
    before = weight.detach().clone()
    optimizer.step()
    return float((weight.detach() != before).float().mean())


@pytest.mark.parametrize("lr", [1e-6, 2e-6, 5e-6, 1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("deviation", [0.005, 0.02, 0.1])
def test_the_estimate_is_what_a_first_step_of_adam_moves(lr: float, deviation: float) -> None:
    module = make_module(torch.bfloat16, deviation=deviation)
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=0.0)
    estimate = estimate_moving_share([optimizer])
    assert estimate == pytest.approx(take_step(module, optimizer), abs=0.01)


def test_at_the_papers_rates_hardly_a_weight_moves() -> None:
    """The normal weights of a network of usual initialisation, at the rates of the paper's two stages."""
    shares = {}
    for lr in (1e-6, 5e-6):
        module = make_module(torch.bfloat16)
        shares[lr] = estimate_moving_share([torch.optim.AdamW(module.parameters(), lr=lr)])
    assert 0.01 < shares[1e-6] < 0.03 and 0.05 < shares[5e-6] < 0.1
    exact = make_module(torch.float32)
    assert estimate_moving_share([torch.optim.AdamW(exact.parameters(), lr=1e-6)]) > 0.99


@pytest.mark.parametrize("lr", [1e-4, 1e-3, 1e-2])
def test_muons_steps_are_reckoned_by_their_spread(lr: float) -> None:
    module = make_module(torch.bfloat16)
    optimizer = Muon(module.parameters(), lr=lr)
    assert estimate_moving_share([optimizer]) == pytest.approx(take_step(module, optimizer), abs=0.03)


def test_few_that_move_are_refused_some_are_warned_of_and_all_are_fine() -> None:
    def check(lr: float, dtype: torch.dtype, most_stuck: float = 0.9) -> str | None:
        module = make_module(dtype)
        built = build_optimizers(
            module, name="adamw", lr=lr, muon_lr=lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0
        )
        return check_moving_share(built.parts, rate=lr, most_stuck=most_stuck)

    with pytest.raises(
        ConfigError, match=r"rate 1e-06 moves at most 1\.9% of the trained weights: .*max_stuck_share = 1"
    ):
        check(1e-6, torch.bfloat16)
    assert "moves at most 1.9% of" in str(check(1e-6, torch.bfloat16, most_stuck=1.0))
    assert 'take model.precision = "bf16"' in str(check(1e-5, torch.bfloat16))
    assert check(1e-3, torch.bfloat16) is None
    assert check(1e-6, torch.float32) is None
    with pytest.raises(ConfigError, match="rounds to none; take a higher rate, or train"):
        check(1e-30, torch.float32)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_ends_the_training(tmp_path: Path, value: float) -> None:
    module = make_module(torch.float32, size=4)
    recipe = SimpleNamespace(optim=OptimRecipe(lr=1e-3), model=ModelRecipe(base="x"))
    updater = Updater(module, recipe, tmp_path)
    updater.last = {"loss": 2.5, "gradient": 0.75}
    updater.check("step 3", updater.last)
    with pytest.raises(TrainingError) as raised:
        updater.check("step 4", {"loss": value, "gradient": 1.0})
    assert str(raised.value).startswith(
        f"step 4: loss {value}, gradient 1: the training has diverged and cannot go on; the last good step had loss 2.5, "
        "gradient 0.75; there is no checkpoint yet. Lower optim.lr"
    )
    for name in ("step-00000002", "step-00000010", ".part-step-00000012"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    updater.check_weights("after step 4")
    with torch.no_grad():
        module.weight[1, 2] = value
    with pytest.raises(TrainingError, match=r"tensors .* first 'weight': .*step-00000010 stays"):
        updater.check_weights("after step 4")
