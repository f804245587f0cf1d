"""From gradients to a step of the optimizer, what number formats do to it, and what shows that a training has diverged.

A weight is stored to a few binary places: between 2^e and 2^(e+1) bfloat16 has 128 values, float32 8,388,608. A
step of less than half their distance is rounded to none, at every step anew, however long the training lasts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rmr1.errors import ConfigError, TrainingError
from rmr1.train.checkpoints import find_checkpoint, trained_weights
from rmr1.train.group import add_up
from rmr1.train.optim import MUON_STEP, Muon, build_optimizers
from rmr1.train.sharding import clip_gradients, local

WARN_BELOW = 0.9
"""Share of weights that a step moves below which a warning says so."""

_CHUNK = 1 << 24


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
        """The parts `optim` and `model` of the recipe count, unless rates are given; complaints name the folder's checkpoints."""
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
        norm = clip_gradients(trained, self._clip)
        figures = {"loss": loss, "gradient": norm}
        self.check(place, figures)
        self.optimizers.step(factor)
        self.optimizers.zero_grad()
        self.last = figures
        return norm

    def check(self, place: str, figures: Mapping[str, float]) -> None:
        if not all(map(math.isfinite, figures.values())):
            raise self.diverged(place, _list_figures(figures))

    def check_weights(self, place: str) -> None:
        """Complain of a trained weight that is no number: a step may break weights although its own loss was one."""
        if broken := find_broken(self.module):
            raise self.diverged(
                place,
                f"{len(broken)} of the trained weights' tensors hold values that are no numbers, first {broken[0]!r}",
            )

    def diverged(self, place: str, told: str) -> TrainingError:
        """The complaint that a training cannot go on, because of what is told."""
        last, checkpoint = _list_figures(self.last), find_checkpoint(self._folder)
        before = f"the last good step had {last}" if last else "no step before it was good"
        stays = f"{checkpoint} stays" if checkpoint else "there is no checkpoint yet"
        return TrainingError(
            f"{place}: {told}: the training has diverged and cannot go on; {before}; {stays}. Lower optim.lr, warm up for longer "
            "(optim.warmup), clip (optim.clip), or compute in another model.precision, and train into another folder"
        )


def _list_figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


@torch.no_grad()
def estimate_moving_share(optimizers: Iterable[torch.optim.Optimizer]) -> float:
    """The share of the trained weights that a step at the peak rate moves.

    AdamW's step is taken to be the rate, as the first one is; a later one is shorter, so the share is an upper bound.
    Muon's steps are taken to be normal, with a deviation of `MUON_STEP` times the rate.
    """
    moving = total = 0.0
    for optimizer in optimizers:
        is_muon = isinstance(optimizer, Muon)
        for group in optimizer.param_groups:
            step = group["lr"] * (MUON_STEP if is_muon else 1.0)
            for weights in group["params"]:
                own = local(weights.detach())
                total += own.numel()
                for part in own.flatten().split(_CHUNK):
                    # |w| = m 2^e with m in [0.5, 1), so the distance to the next value is eps 2^(e - 1).
                    exponents = torch.frexp(part.float()).exponent
                    halves = torch.finfo(weights.dtype).eps / 4 * torch.exp2(exponents.float())
                    if is_muon:
                        moving += float(torch.erfc(halves / (step * math.sqrt(2))).sum(dtype=torch.float64))
                    else:
                        moving += float((halves < step).sum())
    moving, total = add_up(torch.tensor([moving, total], dtype=torch.float64)).tolist()
    return float(moving / max(total, 1.0))


def check_moving_share(
    optimizers: Sequence[torch.optim.Optimizer], *, rate: float, most_stuck: float
) -> str | None:
    """A warning if steps at the peak rate leave a good part of the weights where they are; else None.

    Raises:
        ConfigError: they leave more than `most_stuck` of them.
    """
    moving = estimate_moving_share(optimizers)
    if moving >= WARN_BELOW:
        return None
    told = (
        f"a step at the rate {rate:g} moves at most {_format_share(moving)} of the trained weights: for the others it is "
        "less than half the distance between two values of their number format, and rounds to none"
    )
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    is_narrow = any(one.dtype != torch.float32 for group in groups for one in group["params"])
    kept = 'model.precision = "bf16", which keeps float32 weights, or ' if is_narrow else ""
    advice = f"take {kept}a higher rate"
    if 1 - moving > most_stuck:
        raise ConfigError(f"{told}; {advice}, or train all the same with model.max_stuck_share = 1")
    return f"{told}; {advice}"


def _format_share(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.1f}%"


def find_broken(module: torch.nn.Module) -> Sequence[str]:
    """Names of trained weights that hold infinite values or none, in this process or another one."""
    weights = trained_weights(module)
    broken = [not bool(torch.isfinite(local(one.detach())).all()) for one in weights.values()]
    found = add_up(torch.tensor(broken, dtype=torch.int32)).tolist()
    return [name for name, number in zip(weights, found, strict=True) if number]
