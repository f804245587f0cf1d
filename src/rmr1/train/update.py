"""The way from gradients to a step of the optimizer, and what shows that a training has diverged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rmr1.errors import TrainingError
from rmr1.train.checkpoints import find_checkpoint
from rmr1.train.numbers import check_moving_share, find_broken
from rmr1.train.optim import build_optimizers


class Updater:
    """The trained weights of a module and their optimizers."""

    def __init__(
        self,
        module: torch.nn.Module,
        recipe: Any,
        folder: Path,
        *,
        lr: float | None = None,
        muon_lr: float | None = None,
    ):
        """
        Args:
            recipe: the training's, of which `optim` and `model` count.
            folder: of the run, whose checkpoints a complaint names.
            lr, muon_lr: instead of the recipe's.

        Raises:
            ConfigError: the weights' number format rounds nearly all of a step away.
        """
        optim = recipe.optim
        rate = optim.lr if lr is None else lr
        self.module = module
        self.optimizers = build_optimizers(
            module,
            name=optim.name,
            lr=rate,
            muon_lr=optim.muon_lr if muon_lr is None else muon_lr,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
        )
        self.warning = check_moving_share(
            self.optimizers.parts, rate=rate, most_stuck=recipe.model.max_stuck_share
        )
        """What is said of steps that round away, if many do."""
        self.last: dict[str, float] = {}
        """Figures of the last good step, if it was done here."""
        self._clip = optim.clip or math.inf
        self._folder = folder

    def step(self, place: str, loss: float, factor: float) -> float:
        """Clip the gradients and take a step at `factor` times the peak rates; the gradient's length before.

        Raises:
            TrainingError: the loss or the gradient is no number; `place` says when, as `step 3`.
        """
        trained = [one for one in self.module.parameters() if one.requires_grad]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, self._clip))
        figures = {"loss": loss, "gradient": norm}
        self.check(place, figures)
        self.optimizers.step(factor)
        self.optimizers.zero_grad()
        self.last = figures
        return norm

    def check(self, place: str, figures: Mapping[str, float]) -> None:
        """
        Raises:
            TrainingError: a figure is no number.
        """
        if not all(map(math.isfinite, figures.values())):
            raise self.diverged(place, _list_figures(figures))

    def check_weights(self, place: str) -> None:
        """A step may break the weights although its own loss was a number.

        Raises:
            TrainingError: a trained weight is no number.
        """
        if broken := find_broken(self.module):
            raise self.diverged(
                place,
                f"{len(broken)} of the trained weights' tensors hold values that are no numbers, first {broken[0]!r}",
            )

    def diverged(self, place: str, told: str) -> TrainingError:
        """The complaint that a training cannot go on, because of what is told."""
        before = (
            f"the last good step had {_list_figures(self.last)}"
            if self.last
            else "no step before it was good"
        )
        checkpoint = find_checkpoint(self._folder)
        stays = f"{checkpoint} stays" if checkpoint else "there is no checkpoint yet"
        return TrainingError(
            f"{place}: {told}: the training has diverged and cannot go on; {before}; {stays}. Lower optim.lr, warm up for longer "
            "(optim.warmup), clip (optim.clip), or compute in another model.precision, and train into another folder"
        )


def _list_figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
