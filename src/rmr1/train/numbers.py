"""What number formats do to a training: steps that round away, and values that are no numbers any more.

A weight is stored to a few binary places: between 2^e and 2^(e+1) bfloat16 has 128 values, float32 8,388,608. A
step of less than half their distance is rounded to none, at every step anew, however long the training lasts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from rmr1.errors import ConfigError, TrainingError
from rmr1.train.checkpoints import FOLDER as CHECKPOINTS
from rmr1.train.checkpoints import trained_weights
from rmr1.train.optim import MUON_STEP, Muon

WARN_BELOW = 0.9
"""Share of weights that a step moves below which a warning says so."""

_CHUNK = 1 << 24


@torch.no_grad()
def estimate_moving_share(optimizers: Iterable[torch.optim.Optimizer]) -> float:
    """The share of the trained weights that a step at the peak rate moves.

    AdamW's step is taken to be the rate, which it is where gradients agree, as in the first step; a later one is
    shorter, so the share is an upper bound. Muon's are taken to be normal, with a deviation of `MUON_STEP` times
    the rate.
    """
    moving = total = 0.0
    for optimizer in optimizers:
        is_muon = isinstance(optimizer, Muon)
        for group in optimizer.param_groups:
            step = group["lr"] * (MUON_STEP if is_muon else 1.0)
            for weights in group["params"]:
                total += weights.numel()
                for part in weights.detach().flatten().split(_CHUNK):
                    # |w| = m 2^e with m in [0.5, 1), so the distance to the next value is eps 2^(e - 1).
                    exponents = torch.frexp(part.float()).exponent
                    halves = torch.finfo(weights.dtype).eps / 4 * torch.exp2(exponents.float())
                    if is_muon:
                        moving += float(torch.erfc(halves / (step * math.sqrt(2))).sum(dtype=torch.float64))
                    else:
                        moving += float((halves < step).sum())
    return moving / max(total, 1.0)


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
        f"a step at the rate {rate:g} moves at most {format_share(moving)} of the trained weights: for the others it is "
        "less than half the distance between two values of their number format, and rounds to none"
    )
    is_narrow = any(
        one.dtype != torch.float32
        for optimizer in optimizers
        for group in optimizer.param_groups
        for one in group["params"]
    )
    kept = 'model.precision = "bf16", which keeps float32 weights, or ' if is_narrow else ""
    advice = f"take {kept}a higher rate"
    if 1 - moving > most_stuck:
        raise ConfigError(f"{told}; {advice}, or train all the same with model.max_stuck_share = 1")
    return f"{told}; {advice}"


def format_share(share: float) -> str:
    """`1.3%`; as many digits as a small one needs."""
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.1f}%"


def check_finite(
    place: str, figures: Mapping[str, float], *, last: Mapping[str, float], folder: Path
) -> None:
    """
    Args:
        place: `step 3`.
        figures: what must be numbers, by what it is called.
        last: the figures of the last good step, named in the same way; empty before the first.

    Raises:
        TrainingError: one is not a finite number.
    """
    if all(map(math.isfinite, figures.values())):
        return
    raise TrainingError(describe_divergence(place, _list_figures(figures), last=last, folder=folder))


def check_finite_weights(
    place: str, module: torch.nn.Module, *, last: Mapping[str, float], folder: Path
) -> None:
    """The same of a module's trained weights, which are broken by the step after which it is found.

    Raises:
        TrainingError: one is not a finite number.
    """
    broken = find_broken(module)
    if broken:
        told = f"{len(broken)} of the trained weights' tensors hold values that are no numbers, first {broken[0]!r}"
        raise TrainingError(describe_divergence(place, told, last=last, folder=folder))


def find_broken(module: torch.nn.Module) -> Sequence[str]:
    """Names of trained weights that hold infinite values or none."""
    return [
        name for name, one in trained_weights(module).items() if not bool(torch.isfinite(one.detach()).all())
    ]


def describe_divergence(place: str, told: str, *, last: Mapping[str, float], folder: Path) -> str:
    before = f"the last good step had {_list_figures(last)}" if last else "no step before it was good"
    checkpoint = _find_newest(folder)
    stays = f"{checkpoint} stays" if checkpoint else "there is no checkpoint yet"
    return (
        f"{place}: {told}: the training has diverged and cannot go on; {before}; {stays}. Lower optim.lr, warm up for longer "
        "(optim.warmup), clip (optim.clip), or compute in another model.precision, and train into another folder"
    )


def _find_newest(folder: Path) -> Path | None:
    places = [one for one in (folder / CHECKPOINTS).glob("*-*") if not one.name.startswith(".")]
    return max(places, key=lambda one: int(one.name.rpartition("-")[2]), default=None)


def _list_figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
