"""One or several processes: accelerate's view of them, and what they tell each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from rmr1.devices import check_device, find_gpu
from rmr1.errors import ConfigError, RMR1Error, reason_of
from rmr1.plugins import require
from rmr1.train.folder import LOGS
from rmr1.train.recipe import ReportRecipe

_S = TypeVar("_S")
_T = TypeVar("_T")


@contextlib.contextmanager
def accelerated(
    *,
    device: Literal["auto", "cpu", "cuda", "mps"],
    is_mixed: bool,
    report: ReportRecipe,
    folder: str | Path | None = None,
) -> Iterator[Any]:
    """accelerate's view of the processes and devices; `is_mixed` computes in bfloat16 on float32 weights.

    What accelerate keeps for the whole process is taken back at the end, so that a run of another precision may
    follow in the same process.
    """
    with require("training", "train"):
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import ProjectConfiguration
    names = check_trackers(report)
    check_device(device)
    is_first = not AcceleratorState._shared_state
    try:
        accelerator = Accelerator(
            cpu=device == "cpu" or find_gpu() is None,
            mixed_precision="bf16" if is_mixed else "no",
            log_with=names or None,
            project_config=ProjectConfiguration(
                project_dir=folder and str(folder), logging_dir=folder and str(Path(folder, LOGS))
            ),
        )
    except ValueError as error:
        raise ConfigError(f"report.report_to or model.precision: {reason_of(error)}") from None
    try:
        yield accelerator
        wait_for_group()
    finally:
        if names or accelerator.num_processes > 1:
            accelerator.end_training()
        if accelerator.num_processes == 1 and is_first:
            AcceleratorState._reset_state(reset_partial_state=True)


def check_trackers(report: ReportRecipe) -> list[str]:
    """The names of the trackers that are wanted, all of them installed; none if nothing is to be reported."""
    wanted = report.report_to
    names = [] if wanted == "none" else [wanted] if isinstance(wanted, str) else list(wanted)
    if names:
        with require("training", "train"):
            from accelerate.tracking import get_available_trackers
        found = {getattr(one, "value", one) for one in get_available_trackers()}
        if missing := [name for name in names if name != "all" and name not in found]:
            raise ConfigError(f"report.report_to: {missing[0]!r} is not a tracker that is installed")
    return names


def wait_for_group() -> None:
    """Wait for the other processes: one that ends too early brings the others down.

    An engine that has been closed may have ended their group; then there is nothing left to wait for.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def call_on_main(accelerator: Any, function: Callable[[], _T]) -> _T | None:
    """What it gives in the main process, where alone it is called; the others get None. What it raises, all raise."""
    value = None

    def call() -> list[None]:
        nonlocal value
        if accelerator.is_main_process:
            value = function()
        return []

    gather_calls(accelerator, call)
    return value


def share(accelerator: Any, value: _T) -> _T:
    """The main process's value, in all of them."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    box = [value]
    broadcast_object_list(box, from_process=0)
    return box[0]


def gather(accelerator: Any, values: list[_T]) -> list[_T]:
    """The values of all processes, in the order of their ranks."""
    if accelerator.num_processes == 1:
        return values
    from accelerate.utils import gather_object

    found: list[_T] = gather_object(values)
    return found


def gather_calls(accelerator: Any, function: Callable[[], list[_T]]) -> list[_T]:
    """What the call gives in each process, in the order of their ranks; what it raises in one is raised in all."""
    found: list[list[_T] | RMR1Error]
    try:
        found = [function()]
    except RMR1Error as error:
        found = [error]
    values: list[_T] = []
    for one in gather(accelerator, found):
        if isinstance(one, RMR1Error):
            raise one
        values += one
    return values


def divide(accelerator: Any, items: Sequence[_S], call: Callable[[list[_S]], list[_T]]) -> list[_T]:
    """What the call gives for each item, in their order; each process calls it with its share of them."""
    own = range(accelerator.process_index, len(items), accelerator.num_processes)
    found = call([items[place] for place in own])
    gathered = dict(gather(accelerator, list(zip(own, found, strict=True))))
    return [gathered[place] for place in range(len(items))]


def flatten_settings(values: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`, in the types that trackers take."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        full = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            found |= flatten_settings(value, full)
        else:
            found[full] = value if isinstance(value, int | float | str | bool) else str(value)
    return found
