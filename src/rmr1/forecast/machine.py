"""What a run is to be computed on: devices, their memory and speed.

Speeds are those of the makers' data sheets, dense, without sparsity; a CPU's are an assumption per core. What
share of them a training reaches is said where they are used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from rmr1.errors import ConfigError

_CPU_CORE_FLOPS = 1.5e11
"""Of one core in any format; 40% of it is what a small model's update was measured to reach."""
_CPU_BANDWIDTH = 2e10


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One or several equal devices, each with a process of its own."""

    name: str
    """Of the device, as it calls itself."""
    kind: Literal["cuda", "cpu"] = "cuda"
    num_devices: int = 1
    memory_bytes: int
    """Of each device."""
    flops_per_second: float
    """Of each device, in bfloat16."""
    fp32_flops_per_second: float
    bytes_per_second: float
    """From each device's memory."""
    source: str = "the maker's data sheet"
    """Where the speeds are from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    memory: float
    bf16: float
    fp32: float
    bandwidth: float


CARDS: dict[str, _Card] = {
    "H200": _Card(memory=141e9, bf16=989e12, fp32=67e12, bandwidth=4.8e12),
    "H100 PCIe": _Card(memory=80e9, bf16=756e12, fp32=51e12, bandwidth=2.0e12),
    "H100": _Card(memory=80e9, bf16=989e12, fp32=67e12, bandwidth=3.35e12),
    "A100": _Card(memory=80e9, bf16=312e12, fp32=19.5e12, bandwidth=2.0e12),
    "L40S": _Card(memory=48e9, bf16=362e12, fp32=91.6e12, bandwidth=0.864e12),
    "4090": _Card(memory=24e9, bf16=165e12, fp32=82.6e12, bandwidth=1.01e12),
}
"""Part of a device's name -> its data; the first that fits counts."""
_UNKNOWN_CARD = "L40S"


def build_machine(name: str, *, num_devices: int = 1, memory_bytes: int | None = None) -> Machine:
    """GPUs of this name; without `memory_bytes` with the memory that such a card has.

    Raises:
        ConfigError: the card is not known, so its memory must be named.
    """
    found = next((part for part in CARDS if part.lower() in name.lower()), None)
    if found is None and memory_bytes is None:
        raise ConfigError(f"GPU {name!r} is not known here; expected one of {', '.join(CARDS)}")
    card = CARDS[found or _UNKNOWN_CARD]
    return Machine(
        name=name,
        num_devices=num_devices,
        memory_bytes=int(card.memory) if memory_bytes is None else memory_bytes,
        flops_per_second=card.bf16,
        fp32_flops_per_second=card.fp32,
        bytes_per_second=card.bandwidth,
        source="the maker's data sheet" if found else f"those of an {_UNKNOWN_CARD}, this card being unknown",
    )


def see_machine(device: str = "auto", *, processes: int | None = None) -> Machine:
    """This machine, as a run with `device` "auto", "cpu" or "cuda" would use it.

    A process has one GPU. Their number is, where it is not named, what the launcher of this process has set
    (`WORLD_SIZE`), else one. Processes on the CPU share its memory and its cores.

    Raises:
        ConfigError: there is no GPU, or the system does not tell its memory.
    """
    from rmr1.doctor import inspect_machine

    if processes is None:
        said = os.environ.get("WORLD_SIZE", "")
        processes = max(1, int(said)) if said.isdecimal() else 1
    seen = inspect_machine()
    if device == "cuda" and not seen.gpus:
        raise ConfigError("device is 'cuda', but torch sees no GPU; use 'auto' or 'cpu'")
    if device != "cpu" and seen.gpus:
        smallest = min(seen.gpus, key=lambda gpu: gpu.total_bytes)
        return build_machine(smallest.name, num_devices=processes, memory_bytes=smallest.total_bytes)
    if seen.memory_bytes is None:
        raise ConfigError("the system does not tell how much memory it has, so nothing can be estimated")
    flops = _CPU_CORE_FLOPS * seen.num_cores / processes
    return Machine(
        name=f"CPU, {seen.num_cores} cores",
        kind="cpu",
        num_devices=processes,
        memory_bytes=seen.memory_bytes // processes,
        flops_per_second=flops,
        fp32_flops_per_second=flops,
        bytes_per_second=_CPU_BANDWIDTH / processes,
        source="an assumption for each core",
    )
