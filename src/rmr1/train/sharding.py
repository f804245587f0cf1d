"""A model whose weights, gradients and optimizer states are divided over processes, by torch's `fully_shard`.

Each decoder layer is a group, gathered when it is computed; embeddings, last norm and output layer are the root's,
whole while `Held` computes. So what reads `head.weight` inside finds a plain matrix, tied or not. All processes make the
same passes in the same order (`rmr1.train.group.take_share`). Alone, `Held` only hands calls on.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from rmr1.errors import ConfigError, reason_of
from rmr1.train.group import add_up, count_processes, get_rank, is_main


class Held(torch.nn.Module):
    """The part of a model that this process holds; `held(compute, *args)` is `compute(*args)` on the whole."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[..., Any], *args: Any) -> Any:
        """What the call gives, with the weights that it meets gathered."""
        return compute(*args)

    def read(self, compute: Callable[..., Any], *args: Any) -> Any:
        """The same without gradients."""
        with torch.no_grad():
            found = self(compute, *args)
        self._forget()
        return found

    def _forget(self) -> None:
        """Let torch forget passes without a backward one: their weights would stay gathered, and what it gathers ahead
        in the next backward pass would follow from them, which each process may have made in another number."""
        if isinstance(self, FSDPModule):
            self.reset_iter_state()

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """A block in which this process has all weights, and calls the model without the others.

        All processes enter and leave it. Weights are in the format that is computed in, and not to be changed.
        """
        whole: torch.nn.Module = self
        parts = [one for one in self.modules() if isinstance(one, FSDPModule)]
        for one in parts:
            one.set_reshard_after_forward(False, recurse=False)
            one.set_reshard_after_backward(False, recurse=False)
            one.unshard()
        try:
            yield
        finally:
            for one in parts:
                one.set_reshard_after_forward(one is not whole, recurse=False)
                one.set_reshard_after_backward(True, recurse=False)
                one.reshard()
            self._forget()


def shard(model: torch.nn.Module, *, device: torch.device, is_mixed: bool, offload: bool) -> Held:
    """Divide a model, whose weights may have no storage yet, over the processes of the group.

    `is_mixed` computes in bfloat16 on float32 weights; `offload` keeps weights, gradients and optimizer in the
    machine's memory, also beside a GPU.
    """
    if not hasattr(FSDPModule, "reset_iter_state"):
        raise ConfigError(f"torch {torch.__version__} is too old for several processes; install torch 2.13")
    held = Held(model)
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (count_processes(),)),
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if is_mixed else None,
            reduce_dtype=torch.float32 if is_mixed else None,
            cast_forward_inputs=False,
        ),
        "offload_policy": CPUOffloadPolicy(pin_memory=device.type == "cuda") if offload else OffloadPolicy(),
    }
    try:
        for layer in list_layers(model):
            fully_shard(layer, **options)
        fully_shard(held, **options)
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"{type(model).__name__} cannot be divided over processes: {reason_of(error)}; train it in one"
        ) from error
    return held


def list_layers(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The parts that follow each other in a model: the members of its outermost lists of modules."""
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child
        else:
            yield from list_layers(child)


class Rows(Protocol):
    """Weights that are stored, of which some rows are read."""

    def __call__(self, name: str, start: int, stop: int) -> torch.Tensor: ...


@torch.no_grad()
def fill(
    held: Held,
    *,
    device: torch.device,
    read: Rows | None = None,
    whole: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Give a divided model's weights their storage and values, and make it ready to compute.

    Each process reads its own rows; or the main one has the `whole` tensors, by name, and hands out one after the other.
    """
    names = [name for name, one in held.model.named_parameters() if one.is_meta]
    apply: Any = held._apply
    apply(lambda one: torch.empty_like(one, device=device) if one.is_meta else one)
    weights = dict(held.model.named_parameters())
    for name in names:
        weight = weights[name]
        assert isinstance(weight, DTensor)
        own = weight.to_local()
        if read is not None:
            start = first_row(weight)
            own.copy_(read(name, start, start + len(own)))
            continue
        like: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device_mesh.device_type}
        source = (
            torch.empty(weight.shape, **like) if whole is None or not is_main() else whole[name].to(**like)
        )
        own.copy_(distribute_tensor(source, weight.device_mesh, [Shard(0)]).to_local())
    prepare(held)


def prepare(held: Held) -> None:
    """Let torch find the root; weights that several layers share are refused."""
    try:
        held.read(lambda: None)
    except ValueError as error:
        raise ConfigError(
            f"{type(held.model).__name__} cannot be divided over processes: {reason_of(error)}; train it in one"
        ) from error


def first_row(weight: DTensor) -> int:
    """The number of the first row that this process holds."""
    return min(get_rank() * -(-weight.shape[0] // count_processes()), weight.shape[0])


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds; all of one that is not divided."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gather_whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor; every process has to call it for one that is divided."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def take_rows(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Those rows of a whole tensor that this process holds of `like`, which has the same shape."""
    if not isinstance(like, DTensor):
        return tensor
    start = first_row(like)
    return tensor[start : start + len(local(like))]


@torch.no_grad()
def clip_gradients(weights: Sequence[torch.nn.Parameter], limit: float) -> float:
    """The length of all gradients together, to `limit` of which they are shortened if they are longer."""
    if not any(isinstance(one, DTensor) for one in weights):
        return float(torch.nn.utils.clip_grad_norm_(weights, limit))
    gradients = [local(one.grad) for one in weights if one.grad is not None]
    squares = torch.zeros((), dtype=torch.float64)
    for one in gradients:
        squares += one.double().square().sum().cpu()
    norm = float(add_up(squares).sqrt())
    if math.isfinite(norm) and norm > limit:
        for one in gradients:
            one.mul_(limit / (norm + 1e-6))
    return norm
