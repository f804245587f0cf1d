"""The processes of a training, and what they tell each other; alone, without a group, everything here is local.

A call that some processes make, all have to make. What one of them raises as an error of ours, all raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed

from rmr1.attention.packed import share_rows
from rmr1.errors import ConfigError, RMR1Error

_S = TypeVar("_S")
_T = TypeVar("_T")


def count_processes() -> int:
    """The number of processes that train together, 1 without a group."""
    return torch.distributed.get_world_size() if _is_grouped() else 1


def get_rank() -> int:
    """The place of this process among all, from 0."""
    return torch.distributed.get_rank() if _is_grouped() else 0


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    return get_rank() == 0


def wait_for_group() -> None:
    """Wait for the other processes: one that ends too early brings the others down.

    An engine that has been closed may have ended their group; then there is nothing left to wait for.
    """
    if _is_grouped():
        torch.distributed.barrier()


def call_on_main(function: Callable[[], _T]) -> _T | None:
    """What it gives in the main process, where alone it is called; the others get None. What it raises, all raise."""
    value = None

    def call() -> list[None]:
        nonlocal value
        if is_main():
            value = function()
        return []

    gather_calls(call)
    return value


def share(value: _T) -> _T:
    """The main process's value, in all of them."""
    if count_processes() == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def gather(values: list[_T]) -> list[_T]:
    """The values of all processes, in the order of their ranks."""
    if count_processes() == 1:
        return values
    found: list[list[_T]] = [[] for _ in range(count_processes())]
    torch.distributed.all_gather_object(found, values)
    return [one for part in found for one in part]


def gather_calls(function: Callable[[], list[_T]]) -> list[_T]:
    """What the call gives in each process, in the order of their ranks; what it raises in one is raised in all."""
    found: list[list[_T] | RMR1Error]
    try:
        found = [function()]
    except RMR1Error as error:
        found = [error]
    values: list[_T] = []
    for one in gather(found):
        if isinstance(one, RMR1Error):
            raise one
        values += one
    return values


def check_equal(description: Mapping[str, Any]) -> None:
    """Raises ConfigError unless all processes train the same on the same data, by what they say of it."""
    found = gather([json.loads(json.dumps(description, sort_keys=True, default=str))])
    for rank, one in enumerate(found):
        if different := [name for name in found[0] if one.get(name) != found[0][name]]:
            raise ConfigError(
                f"process {rank} of {len(found)} (counted from 0) has other {different[0]} than process 0; give all "
                "processes the same recipe, and files that nothing changes while they start"
            )


def divide(
    items: Sequence[_S], call: Callable[[list[_S]], list[_T]], *, costs: Sequence[float] | None = None
) -> list[_T]:
    """What the call gives for each item, in their order; each process calls it with its share of them.

    Shares are of about equal cost, of equal number without `costs`.
    """
    shares = share_rows([1.0] * len(items) if costs is None else costs, count_processes())
    own = sorted(shares[get_rank()])
    found = call([items[place] for place in own])
    gathered = dict(gather(list(zip(own, found, strict=True))))
    return [gathered[place] for place in range(len(items))]


def take_share(costs: Sequence[float]) -> list[int | None]:
    """Indices of this process's rows, and None for each pass that it only makes because another has one row more.

    Weights are gathered for a pass from all processes, so all make the same number of passes.
    """
    shares = share_rows(costs, count_processes())
    own: list[int | None] = list(shares[get_rank()])
    return own + [None] * (max(map(len, shares)) - len(own))


def add_up(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, in place."""
    if count_processes() > 1:
        torch.distributed.all_reduce(values)
    return values


def _is_grouped() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
