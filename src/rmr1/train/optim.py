"""Optimizers and the learning rate of a step.

`AdamW` is torch's. `Muon` (Jordan 2024, momentum whose matrix updates are made orthogonal) follows `torch.optim.Muon` with
`adjust_lr_fn="match_rms_adamw"`, but works in float32 and on all matrices of one shape at once: torch's rounds to
bfloat16, which CPUs without such units take many times longer for. The rate is a pure function of the step.

Shapes: `M` matrices of one shape, `R` rows, `C` columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch

from rmr1.train.sharding import gather_whole, local, take_rows

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
SCORE_HEAD = "score.weight"
"""Name of the matrix that makes one number of a scalar model's last state, in transformers' classes."""
MUON_STEP = 0.2
"""Root mean square of Muon's step, as a share of its rate: that of AdamW's, so that rates mean the same."""


def compute_rate(
    step: int, *, total: int, warmup: int, schedule: str = "cosine", min_ratio: float = 0.0
) -> float:
    """Factor on the peak learning rate at `step`, counted from 0; in [0, 1].

    It rises in equal parts over `warmup` steps, the last of which has the full rate. Then it is "constant", or falls
    by a half "cosine", or "linear"ly, toward `min_ratio`, which the step after the last one would have.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    share = min(1.0, (step - warmup + 1) / max(1, total - warmup + 1))
    fall = 0.5 * (1 + math.cos(math.pi * share)) if schedule == "cosine" else 1 - share
    return min_ratio + (1 - min_ratio) * fall


def count_warmup(warmup: float, total: int) -> int:
    """Steps of warm-up among `total`: a share of them below 1, a number of steps from 1 on."""
    return min(math.ceil(warmup * total) if warmup < 1 else round(warmup), total)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for parameters of two dimensions.

    If they are divided over processes, each keeps the momentum of its rows and makes whole updates orthogonal.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if any(matrix.ndim != 2 for group in self.param_groups for matrix in group["params"]):
            raise ValueError("Muon is for matrices only")

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(tuple(matrix.shape), []).append(matrix)
            for (rows, columns), matrices in shapes.items():
                updates = []
                for matrix in matrices:
                    gradient_RC = matrix.grad.float()  # type: ignore[union-attr]
                    memory_RC = self.state[matrix].setdefault(
                        "momentum_buffer", torch.zeros_like(gradient_RC)
                    )
                    memory_RC.lerp_(gradient_RC, 1 - group["momentum"])
                    updates.append(gradient_RC.lerp(memory_RC, group["momentum"]))
                rate = group["lr"] * MUON_STEP * math.sqrt(max(rows, columns))
                whole_MRC = torch.stack([gather_whole(one) for one in updates])
                for matrix, update_RC in zip(matrices, orthogonalize(whole_MRC), strict=True):
                    own = local(matrix)
                    own.mul_(1 - group["lr"] * group["weight_decay"])
                    own.sub_(take_rows(update_RC, matrix).to(own), alpha=rate)


def orthogonalize(matrices_MRC: torch.Tensor) -> torch.Tensor:
    """About the nearest orthogonal matrices, by five Newton-Schulz steps.

    Singular values come out near 1, between about 0.7 and 1.2.
    """
    is_tall = matrices_MRC.shape[1] > matrices_MRC.shape[2]
    x_MRC: torch.Tensor = matrices_MRC.mT if is_tall else matrices_MRC
    x_MRC = x_MRC / x_MRC.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        square_MRR = x_MRC @ x_MRC.mT
        x_MRC = a * x_MRC + (b * square_MRR + c * square_MRR @ square_MRR) @ x_MRC
    return x_MRC.mT if is_tall else x_MRC


class Optimizers:
    """One or two optimizers as one, with the step's rate put on each one's own peak."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]):
        self.parts = tuple(optimizers)
        self._peaks = [[group["lr"] for group in one.param_groups] for one in optimizers]

    def step(self, factor: float) -> None:
        for optimizer, peaks in zip(self.parts, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self.parts:
            optimizer.zero_grad(set_to_none=True)

    def list_states(self, names: Mapping[torch.Tensor, str]) -> dict[str, torch.Tensor]:
        """All states that there are, as `name.key` of the weight and the state."""
        return {
            f"{names[weight]}.{key}": value
            for optimizer in self.parts
            for weight, state in optimizer.state.items()
            for key, value in state.items()
        }

    def put_state(self, weight: torch.nn.Parameter, state: Mapping[str, torch.Tensor]) -> None:
        """Give a weight the states it had."""
        for optimizer in self.parts:
            for group in optimizer.param_groups:
                if any(one is weight for one in group["params"]):
                    kept = {key: value.to(weight.device) for key, value in state.items()}
                    # Whether a step is fused is this machine's affair, not that of the one that wrote the state.
                    if "step" in kept and not group.get("fused"):
                        kept["step"] = kept["step"].to("cpu")
                    optimizer.state[weight] = kept

    def list_weights(self) -> list[list[torch.nn.Parameter]]:
        """The weights of each optimizer, in its own order."""
        return [[one for group in part.param_groups for one in group["params"]] for part in self.parts]


def build_optimizers(
    model: torch.nn.Module,
    *,
    name: str,
    lr: float,
    muon_lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Optimizers:
    """AdamW for all that is trained; or ("muon") Muon for the matrices inside the layers, AdamW for the rest.

    Weight decay is for matrices and for a scoring head, which AdamW always trains; norms, biases, embeddings and
    the output layer have none. AdamW is fused if the weights are on a CUDA device.
    """
    matrices, heads, embeddings, others = [], [], [], []
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    for parameter_name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim != 2:
            others.append(parameter)
        elif parameter_name == SCORE_HEAD:
            heads.append(parameter)
        elif id(parameter) in tables or "lm_head" in parameter_name:
            embeddings.append(parameter)
        else:
            matrices.append(parameter)

    def adamw(*groups: tuple[list[torch.nn.Parameter], float]) -> list[torch.optim.Optimizer]:
        kept = [{"params": params, "weight_decay": decay} for params, decay in groups if params]
        is_fused = any(local(one).is_cuda for params, _ in groups for one in params)
        return [torch.optim.AdamW(kept, lr=lr, betas=betas, eps=eps, fused=is_fused or None)] if kept else []

    rest = (embeddings + others, 0.0)
    if name == "muon" and matrices:
        muon = Muon(matrices, lr=muon_lr, weight_decay=weight_decay)
        return Optimizers([muon, *adamw((heads, weight_decay), rest)])
    return Optimizers(adamw((matrices + heads, weight_decay), rest))
