"""What a machine computes on: its processors, or a GPU of any make that torch knows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from rmr1.errors import ConfigError

GPUS = ("cuda", "mps")
"""Kinds of GPU, the preferred one first."""


def find_gpu() -> str | None:
    """The kind of GPU that is there."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def choose_device(device: str) -> torch.device:
    """The device for a setting: "auto" is the GPU if there is one, and one that is not there a `ConfigError`."""
    if device == "auto":
        return torch.device(find_gpu() or "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", *GPUS):
        raise ConfigError(f"device {device!r} is not known; expected 'auto', 'cpu', 'cuda' or 'mps'")
    check_device(device)
    return chosen


def check_device(device: str) -> None:
    """Raises ConfigError if it names a GPU that torch does not see."""
    if device == "auto":
        return
    chosen = torch.device(device)
    number = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (chosen.index or 0) >= number.get(chosen.type, math.inf):
        raise ConfigError(
            f"device {device!r} is not there: torch sees {number[chosen.type]} such GPUs; use 'auto' or 'cpu'"
        )


def of_device(values: Mapping[str, int], device: torch.device) -> int:
    """The value of `{"cpu": ..., "gpu": ...}` for this device."""
    return values["cpu" if device.type == "cpu" else "gpu"]


def free_memory(device: torch.device) -> int | None:
    """Bytes that may still be taken of a GPU's memory; None for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None


def release_memory() -> None:
    """Give back what torch keeps of a GPU's memory for later."""
    if (kind := find_gpu()) is not None:
        getattr(torch, kind).empty_cache()


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory was too small; one of the two kinds says so only in words."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and str(error).startswith("MPS backend out of memory")
    )


def widest_float(device: torch.device) -> torch.dtype:
    """The number format for long sums."""
    return torch.float32 if device.type == "mps" else torch.float64
