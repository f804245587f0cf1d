"""A local model without its weights: its tokenizer, limits and shape, for what is planned but not run.

The shape comes from the model built on torch's "meta" device, where tensors have sizes and no content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmr1.engines.speed import ModelShape
from rmr1.errors import CheckpointError, ConfigError

try:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from rmr1.engines.devices import choose_device
    from rmr1.engines.loading import (
        DTYPES,
        Description,
        Kind,
        choose_class,
        choose_dtype,
        describe_checkpoint,
        quiet,
    )
except ImportError as error:
    raise ConfigError(
        f"looking at a model needs {error.name or 'a library'}, which is not installed; pip install 'rmr1[hf]'"
    ) from error

_BITS_PER_BYTE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is known of a model before it is loaded."""

    tokenizer: PreTrainedTokenizerBase
    num_embeddings: int
    max_model_len: int | None
    """Most tokens of prompt and answer together; None where there is no limit."""
    shape: ModelShape
    identity: dict[str, object]
    """The identity that the loaded model has (`rmr1.engines.loading`)."""
    device: torch.device
    dtype: torch.dtype


def read_outline(
    name: str,
    *,
    kind: Kind = "writes",
    device: str = "auto",
    dtype: str = "auto",
    max_model_len: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    **others: object,
) -> Outline:
    """Read configuration and tokenizer. The arguments are an engine's options; `others` are not needed.

    Raises:
        ConfigError: an option is wrong.
        CheckpointError: there is no such model, or it is not one that can judge.
    """
    where = choose_device(device)
    chosen = choose_dtype(dtype, where)
    found = describe_checkpoint(name, revision=revision, trust_remote_code=trust_remote_code, kind=kind)
    if max_model_len and found.context and max_model_len > found.context:
        raise ConfigError(f"max_model_len {max_model_len} is beyond the model's context of {found.context}")
    number = chosen if isinstance(chosen, torch.dtype) else _read_dtype(found.config)
    model = _build_empty(name, found, kind, trust_remote_code)
    return Outline(
        tokenizer=found.tokenizer,
        num_embeddings=_count_embeddings(model),
        max_model_len=max_model_len or found.context,
        shape=measure_shape(model, number),
        identity=found.identity,
        device=where,
        dtype=number,
    )


def measure_shape(model: PreTrainedModel, dtype: torch.dtype) -> ModelShape:
    """The shape of a model, which may lie on the "meta" device."""
    config: Any = model.config.get_text_config()
    share = _read_expert_share(config)
    embedding: Any = model.get_input_embeddings().weight
    output: Any = model.get_output_embeddings()
    head = 0 if output is None else output.weight.numel()
    own = {id(embedding), *(() if output is None else (id(output.weight),))}
    total = body = 0
    for name, parameter in model.named_parameters():  # shared ones come once
        total += parameter.numel()
        if id(parameter) not in own:
            body += int(parameter.numel() * (share if ".experts." in name else 1.0))
    bits = _read_bits(model.config) or dtype.itemsize * _BITS_PER_BYTE
    heads = getattr(config, "num_attention_heads", 1)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    pairs = getattr(config, "num_key_value_heads", None) or heads
    return ModelShape(
        num_parameters=total,
        body_parameters=body,
        head_parameters=head,
        num_layers=config.num_hidden_layers,
        attention_size=heads * size,
        weight_bytes=(body + head) * bits // _BITS_PER_BYTE,
        cache_bytes_per_token=2 * config.num_hidden_layers * pairs * size * dtype.itemsize,
    )


def _build_empty(name: str, found: Description, kind: Kind, trust_remote_code: bool) -> PreTrainedModel:
    try:
        with quiet(), torch.device("meta"):
            return choose_class(found.config, kind).from_config(
                found.config, trust_remote_code=trust_remote_code
            )
    except (ValueError, KeyError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"model {name!r} cannot be built from its configuration: {lines[0]}") from error


def _read_dtype(config: PreTrainedConfig) -> torch.dtype:
    """The format in which the weights are stored, as the configuration says it."""
    stored = getattr(config, "dtype", None)
    return stored if isinstance(stored, torch.dtype) else DTYPES.get(str(stored), torch.float32)


def _read_expert_share(config: Any) -> float:
    """The part of a layer's experts that one token is sent to."""
    for name in ("num_experts", "num_local_experts", "n_routed_experts"):
        count, used = getattr(config, name, None), getattr(config, "num_experts_per_tok", None)
        if count and used:
            return min(1.0, used / count)
    return 1.0


def _read_bits(config: PreTrainedConfig) -> int | None:
    """Bits of a quantized weight; None where weights are not quantized, or it is not said."""
    settings = getattr(config, "quantization_config", None)
    bits = settings.get("bits") if isinstance(settings, dict) else getattr(settings, "bits", None)
    return bits if isinstance(bits, int) and bits > 0 else None


def _count_embeddings(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])
