"""A local model without its weights, which is built on torch's "meta" device: its tokenizer, limits and shape, for
what is planned but not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmr1.errors import CheckpointError, reason_of
from rmr1.forecast.machine import Machine, measure_machine
from rmr1.forecast.shape import EXPERTS, ModelShape, read_shape
from rmr1.forecast.time import Decoder
from rmr1.plugins import require

with require("looking at a model", "hf"):
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from rmr1.devices import choose_device, free_memory
    from rmr1.engines.hf.loading import (
        DTYPES,
        Description,
        Purpose,
        choose_class,
        choose_context,
        choose_dtype,
        count_embeddings,
        describe_checkpoint,
        quiet,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutline:
    """What is known of a model before it is loaded."""

    tokenizer: PreTrainedTokenizerBase
    num_embeddings: int
    max_model_len: int | None
    """Most tokens of prompt and answer together; None if there is no limit."""
    identity: dict[str, object]
    """The identity of the loaded model (`rmr1.engines.hf.loading`)."""
    device: torch.device
    dtype: torch.dtype
    decoder: Decoder
    free_bytes: int | None
    """Bytes of the machine's GPU that the model and its texts may take; None for the CPU."""


def read_outline(
    name: str,
    *,
    kind: Purpose = "writes",
    device: str = "auto",
    dtype: str = "auto",
    max_model_len: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    machine: Machine | None = None,
    **others: object,
) -> ModelOutline:
    """Read configuration and tokenizer. The arguments are an engine's options, of which `others` are not needed, and
    its machine; None measures the device at hand."""
    where = choose_device(device) if machine is None else torch.device(machine.kind)
    chosen = choose_dtype(dtype, where)
    found = describe_checkpoint(name, revision=revision, trust_remote_code=trust_remote_code, kind=kind)
    context = choose_context(max_model_len, found.context)
    number = chosen if isinstance(chosen, torch.dtype) else _read_dtype(found.config)
    model = _build_empty(name, found, kind, trust_remote_code)
    return ModelOutline(
        tokenizer=found.tokenizer,
        num_embeddings=count_embeddings(model),
        max_model_len=context,
        identity=found.identity,
        device=where,
        dtype=number,
        decoder=Decoder(
            shape=measure_shape(model),
            machine=measure_machine(where, number) if machine is None else machine,
            weight_bytes=(_read_bits(model.config) or 8 * number.itemsize) / 8,
            cache_bytes=number.itemsize,
            is_fp32=number == torch.float32,
        ),
        free_bytes=free_memory(where) if machine is None else machine.memory_bytes,
    )


def measure_shape(model: PreTrainedModel) -> ModelShape:
    """The shape of a model, which may lie on the "meta" device."""
    config: Any = model.config.get_text_config()
    used = getattr(config, "num_experts_per_tok", None)
    counts = [count for name in EXPERTS if used and (count := getattr(config, name, None))]
    share = min(1.0, used / counts[0]) if counts else 1.0
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    tables = {id(one.weight) for one in (embedding, output) if one is not None}
    total = body = 0
    for name, parameter in model.named_parameters():  # shared ones come once
        total += parameter.numel()
        if id(parameter) not in tables and parameter.ndim > 1:
            body += int(parameter.numel() * (share if ".experts." in name else 1.0))
    return read_shape(config, counted=(total, body), has_head=output is not None)


def _build_empty(name: str, found: Description, kind: Purpose, trust_remote_code: bool) -> Any:
    try:
        with quiet(), torch.device("meta"):
            base = choose_class(found.config, kind)
            return base.from_config(found.config, trust_remote_code=trust_remote_code)
    except (ValueError, KeyError, ImportError) as error:
        raise CheckpointError(
            f"model {name!r} cannot be built from its configuration: {reason_of(error)}"
        ) from error


def _read_dtype(config: PreTrainedConfig) -> torch.dtype:
    stored = getattr(config, "dtype", None)
    return stored if isinstance(stored, torch.dtype) else DTYPES.get(str(stored), torch.float32)


def _read_bits(config: PreTrainedConfig) -> int | None:
    """Bits of a quantized weight; None if weights are not quantized, or it is not said."""
    settings = getattr(config, "quantization_config", None)
    bits = settings.get("bits") if isinstance(settings, dict) else getattr(settings, "bits", None)
    return bits if isinstance(bits, int) and bits > 0 else None
