"""One or several processes: how they begin and end together, and accelerate's view of them."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch

from rmr1.devices import check_device, find_gpu
from rmr1.errors import ConfigError, reason_of
from rmr1.plugins import require
from rmr1.train.folder import LOGS
from rmr1.train.group import wait_for_group
from rmr1.train.recipe import ReportRecipe


@contextlib.contextmanager
def accelerated(
    *,
    device: Literal["auto", "cpu", "cuda", "mps"],
    is_mixed: bool,
    report: ReportRecipe,
    folder: str | Path | None = None,
    timeout_seconds: float = 1800,
) -> Iterator[Any]:
    """accelerate's view of the processes and devices; `is_mixed` computes in bfloat16 on float32 weights.

    Of several processes, which torchrun's variables tell of, one that waits longer than the timeout for others fails.

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
    on_cpu = device == "cpu" or find_gpu() is None
    has_joined = _join_group(on_cpu=on_cpu, timeout_seconds=timeout_seconds)
    try:
        accelerator = Accelerator(
            cpu=on_cpu,
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
        for tracker in accelerator.trackers:
            tracker.finish()
        if is_first:
            AcceleratorState._reset_state(reset_partial_state=True)
        if has_joined and torch.distributed.is_initialized():
            # A divided model refers to itself in rings, and what still holds the group when it goes ends the process.
            gc.collect()
            torch.distributed.destroy_process_group()


def _join_group(*, on_cpu: bool, timeout_seconds: float) -> bool:
    """Meet the other processes, if the environment names several; whether that was still to be done."""
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number == 1 or torch.distributed.is_initialized():
        return False
    own, here = (int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    if not on_cpu:
        gpus = torch.cuda.device_count()
        if max(own + 1, here) > gpus:
            raise ConfigError(
                f"{max(own + 1, here)} processes on a machine of {gpus} GPU(s); start at most one for each GPU"
            )
        torch.cuda.set_device(own)
    torch.distributed.init_process_group(
        "gloo" if on_cpu else "cpu:gloo,cuda:nccl", timeout=timedelta(seconds=timeout_seconds)
    )
    return True


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
