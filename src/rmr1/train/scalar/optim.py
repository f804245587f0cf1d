"""One torch optimizer for RewardTrainer: AdamW, or Muon and AdamW side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rmr1.train.optim import Muon
from rmr1.train.scalar.recipe import ScalarOptimRecipe


class JoinedOptimizer(torch.optim.Optimizer):
    """Several optimizers that step together; their groups are listed one after the other."""

    def __init__(self, parts: list[torch.optim.Optimizer]):
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The parts' own groups, so that a rate that is set here is set there."""
        return [group for part in self.parts for group in part.param_groups]

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        """The parts keep theirs."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The parts keep theirs."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def build_scalar_optimizer(
    model: torch.nn.Module, recipe: ScalarOptimRecipe, *, lr: float, muon_lr: float
) -> JoinedOptimizer:
    """AdamW for all; or ("muon") Muon for the matrices inside the layers, AdamW for embeddings, head and the rest.

    Weight decay is for matrices; norms, biases and embeddings have none.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    groups: dict[str, list[torch.nn.Parameter]] = {"matrices": [], "head": [], "rest": []}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or id(parameter) in tables:
            groups["rest"].append(parameter)
        else:
            groups["matrices" if ".layers." in name else "head"].append(parameter)
    parts: list[torch.optim.Optimizer] = []
    decayed = groups["head"]
    if recipe.name == "muon" and groups["matrices"]:
        parts.append(Muon(groups["matrices"], lr=muon_lr, weight_decay=recipe.weight_decay))
    else:
        decayed = [*groups["matrices"], *decayed]
    parts.append(
        torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": groups["rest"], "weight_decay": 0.0},
            ],
            lr=lr,
            betas=recipe.betas,
            eps=recipe.eps,
        )
    )
    return JoinedOptimizer(parts)
