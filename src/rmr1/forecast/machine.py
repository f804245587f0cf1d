"""What a run is computed on: devices, their memory and speed, by a card's name or of the machine at hand.

Speeds are those of the makers' data sheets, dense, without sparsity; a CPU's are an assumption per core, of which a
small model's update was measured to reach the share below. `measure_machine` measures a device instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from timeit import repeat, timeit
from typing import TYPE_CHECKING, Literal

from rmr1.errors import ConfigError

if TYPE_CHECKING:
    import torch

_CPU_CORE_FLOPS = 1.5e11
"""Operations per second of one core, in any number format."""
_CPU_BANDWIDTH = 2e10
_MEASURED_SHARE = 0.5
"""Share of a measured matrix product's speed that a whole model reaches."""

_SIZE = {"cpu": 384, "gpu": 4096}
"""Side of the matrices that are multiplied: small enough for formats that a CPU has no fast way for."""
_COPY_BYTES = {"cpu": 1 << 27, "gpu": 1 << 29}
"""Larger than what caches hold."""
_SMALL = 64
_SMALL_CALLS = 100
_MEASURE_SECONDS = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One or several equal devices, each with a process of its own.

    >>> parse_machine("8xH100").num_devices
    8
    """

    name: str
    kind: Literal["cuda", "cpu"] = "cuda"
    num_devices: int = 1
    memory_bytes: int
    """The memory of each device; the speeds below are those of each too."""
    flops_per_second: float
    """In bfloat16."""
    fp32_flops_per_second: float
    bytes_per_second: float
    """Bytes read from its memory."""
    link_bytes_per_second: float = 3e10
    """Bytes that it sends to the others while it receives as many."""
    host_bytes: int | None = None
    """The host's memory, of all devices together; None if it is not known."""
    flops_share: float = 0.4
    """Share of its arithmetic that a pass over long rows reaches, in (0, 1]."""
    bandwidth_share: float = 0.7
    """Share of its bandwidth that a step of decoding reaches, in (0, 1]."""
    call_seconds: float = 8e-6
    """Seconds to start a linear layer with next to nothing to compute, from Python."""
    source: str = "the maker's data sheet"

    def compute_seconds(self, flops: float, num_bytes: float = 0, *, is_fp32: bool = False) -> float:
        """The longer of so much arithmetic and so much reading on one device (the roofline model: Williams, Waterman
        and Patterson, 2009); kernels, caches and other programs are left out."""
        read = num_bytes / (self.bandwidth_share * self.bytes_per_second)
        return max(flops / (self.flops_share * self.get_flops(is_fp32=is_fp32)), read)

    def get_flops(self, *, is_fp32: bool) -> float:
        """Operations a second of a device in this format."""
        return self.fp32_flops_per_second if is_fp32 else self.flops_per_second

    def join(self, count: int) -> Machine:
        """Several such devices as one, their memory left out."""
        return replace(
            self,
            flops_per_second=count * self.flops_per_second,
            fp32_flops_per_second=count * self.fp32_flops_per_second,
            bytes_per_second=count * self.bytes_per_second,
        )


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device that torch sees."""

    name: str
    total_bytes: int
    free_bytes: int


CARDS: dict[str, tuple[float, float, float, float, float]] = {
    "H200": (141e9, 989e12, 67e12, 4.8e12, 4.5e11),
    "H100 PCIe": (80e9, 756e12, 51e12, 2.0e12, 3e10),
    "H100": (80e9, 989e12, 67e12, 3.35e12, 4.5e11),
    "A100": (80e9, 312e12, 19.5e12, 2.0e12, 3e11),
    "L40S": (48e9, 362e12, 91.6e12, 0.864e12, 3e10),
    "4090": (24e9, 165e12, 82.6e12, 1.01e12, 3e10),
}
"""Part of a device's name -> memory, operations a second in bfloat16 and in float32, bandwidth of its memory, and of its
link to others (NVLink in one direction, or PCIe of the fourth generation); the first that fits counts."""
_UNKNOWN_CARD = "L40S"


def build_machine(
    name: str, *, num_devices: int = 1, memory_bytes: int | None = None, host_bytes: int | None = None
) -> Machine:
    """GPUs of this name; without `memory_bytes` with the memory that such a card has."""
    found = next((part for part in CARDS if part.lower() in name.lower()), None)
    if found is None and memory_bytes is None:
        raise ConfigError(f"GPU {name!r} is not known here; expected one of {', '.join(CARDS)}")
    memory, bf16, fp32, bandwidth, link = CARDS[found or _UNKNOWN_CARD]
    sheet = Machine(
        name=name,
        num_devices=num_devices,
        memory_bytes=int(memory) if memory_bytes is None else memory_bytes,
        flops_per_second=bf16,
        fp32_flops_per_second=fp32,
        bytes_per_second=bandwidth,
        link_bytes_per_second=link,
        host_bytes=host_bytes,
    )
    return sheet if found else replace(sheet, source=f"those of an {_UNKNOWN_CARD}, this card being unknown")


def parse_machine(name: str) -> Machine:
    """A card's name, with their number in front where there are several: `H100`, `8xH100`."""
    found = re.fullmatch(r"(?:([1-9]\d*)\s*x\s*)?(.+)", name.strip(), re.IGNORECASE)
    card = found and next((card for card in CARDS if card.lower() == found[2].lower()), None)
    if not found or not card:
        raise ConfigError(
            f"machine {name!r} is not known; expected one of {', '.join(CARDS)}, or several of one as 8xH100"
        )
    return build_machine(card, num_devices=int(found[1] or 1))


def find_machine(name: str | None, device: str = "auto", *, processes: int | None = None) -> Machine:
    """The machine of this name, or else the one at hand."""
    return see_machine(device, processes=processes) if name is None else parse_machine(name)


def see_machine(device: str = "auto", *, processes: int | None = None) -> Machine:
    """This machine, as a run of so many processes with `device` "auto", "cpu" or "cuda" would use it.

    A process has one GPU; by default their number is what the launcher has set (`WORLD_SIZE`), or one. Processes on
    the CPU share its memory and its cores.
    """
    said = os.environ.get("WORLD_SIZE", "")
    processes = processes or (max(1, int(said)) if said.isdecimal() else 1)
    gpus, memory, cores = find_gpus(), read_memory(), count_cores()
    if device == "cuda" and not gpus:
        raise ConfigError("device is 'cuda', but torch sees no GPU; use 'auto' or 'cpu'")
    if device != "cpu" and gpus:
        smallest = min(gpus, key=lambda gpu: gpu.total_bytes)
        return build_machine(
            smallest.name, num_devices=processes, memory_bytes=smallest.total_bytes, host_bytes=memory
        )
    if memory is None:
        raise ConfigError("the system does not tell how much memory it has, so nothing can be estimated")
    flops = _CPU_CORE_FLOPS * cores / processes
    return Machine(
        name=f"CPU, {cores} cores",
        kind="cpu",
        num_devices=processes,
        memory_bytes=memory // processes,
        flops_per_second=flops,
        fp32_flops_per_second=flops,
        bytes_per_second=_CPU_BANDWIDTH / processes,
        source="an assumption for each core",
    )


def measure_machine(device: torch.device, dtype: torch.dtype) -> Machine:
    """One device at hand, whose speeds in this number format are measured in about half a second."""
    import torch

    from rmr1.devices import of_device, wait_for

    size = of_device(_SIZE, device)
    left, right = (torch.ones((size, size), device=device, dtype=dtype) for _ in range(2))
    source = torch.ones(of_device(_COPY_BYTES, device), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    linear = torch.nn.Linear(_SMALL, _SMALL, device=device, dtype=dtype)
    small = torch.ones((1, _SMALL), device=device, dtype=dtype)

    def measure(work: Callable[[], object]) -> float:
        """Seconds of the fastest of several calls, after one that warms up."""

        def run() -> None:
            work()
            wait_for(device)

        run()
        first = timeit(run, number=1)
        return min([first, *repeat(run, number=1, repeat=int(_MEASURE_SECONDS / first))])

    with torch.inference_mode():
        flops = 2 * size**3 / measure(lambda: torch.matmul(left, right))
        copied = 2 * source.numel() / measure(lambda: target.copy_(source))
        call = measure(lambda: [linear(small) for _ in range(_SMALL_CALLS)]) / _SMALL_CALLS
    memory = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else read_memory() or 0
    return Machine(
        name=str(device),
        kind="cpu" if device.type == "cpu" else "cuda",
        memory_bytes=memory,
        flops_per_second=flops,
        fp32_flops_per_second=flops,
        bytes_per_second=copied,
        flops_share=_MEASURED_SHARE,
        bandwidth_share=1.0,
        call_seconds=call,
        source="measured just now",
    )


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_memory() -> int | None:
    """Bytes of memory that the system has; None if it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def find_gpus() -> tuple[Gpu, ...]:
    """The CUDA devices of this machine; none without torch."""
    try:
        import torch
    except ModuleNotFoundError:
        return ()
    if not torch.cuda.is_available():
        return ()
    cuda = torch.cuda
    memory = ((index, *cuda.mem_get_info(index)) for index in range(cuda.device_count()))
    return tuple(Gpu(cuda.get_device_name(index), total, free) for index, free, total in memory)
