"""A tiny random model for every causal architecture of the installed transformers, and variants of many.

Sizes are set by the names that configurations use for them, nested ones too; what a kind needs beyond that is in
`OVERRIDES`. Weights are redrawn so large that attention is far from uniform, and every border (window, original
length of a rope, cap) is one that the texts of `tests.zoo.truth` cross.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 160
FIRST_TOKEN = 5
"""Smaller ones are control tokens."""

_WIDTH, _HEADS, _HEAD, _LAYERS, _INNER = 64, 4, 16, 4, 96
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "pad_vocab_size"), VOCABULARY),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim", "lru_width"),
        _WIDTH,
    ),
    **dict.fromkeys(
        (
            "intermediate_size",
            "ffn_dim",
            "n_inner",
            "d_ff",
            "ffn_hidden_size",
            "dim_ff",
            "decoder_ffn_dim",
            "encoder_ffn_dim",
            "feed_forward_size",
            "intermediate_size_mlp",
            "feed_forward_proj_dim",
            "hidden_dim",
        ),
        _INNER,
    ),
    **dict.fromkeys(
        (
            "num_hidden_layers",
            "n_layer",
            "n_layers",
            "num_layers",
            "decoder_layers",
            "encoder_layers",
            "num_decoder_layers",
            "num_encoder_layers",
        ),
        _LAYERS,
    ),
    **dict.fromkeys(
        (
            "num_attention_heads",
            "n_head",
            "n_heads",
            "num_heads",
            "decoder_attention_heads",
            "encoder_attention_heads",
            "num_decoder_attention_heads",
            "num_encoder_attention_heads",
            "swa_num_attention_heads",
        ),
        _HEADS,
    ),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(
        ("head_dim", "kv_channels", "attention_head_dim", "d_kv", "dim_head", "swa_head_dim"), _HEAD
    ),
    **dict.fromkeys(("v_head_dim", "swa_v_head_dim", "qk_nope_head_dim"), _HEAD),
    "qk_rope_head_dim": 8,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    **dict.fromkeys(
        (
            "num_experts",
            "num_local_experts",
            "n_routed_experts",
            "moe_num_experts",
        ),
        4,
    ),
    **dict.fromkeys(
        ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "moe_top_k", "top_k_experts"), 2
    ),
    **dict.fromkeys(
        ("n_group", "topk_group", "n_shared_experts", "moe_num_shared_experts", "num_shared_experts"), 1
    ),
    **dict.fromkeys(
        (
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
            "expert_ffn_hidden_size",
            "shared_intermediate_size",
            "moe_shared_expert_intermediate_size",
        ),
        32,
    ),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"), 1),
    **dict.fromkeys(
        (
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            "max_sequence_length",
            "max_seq_len",
            "seq_length",
        ),
        512,
    ),
    **dict.fromkeys(("sliding_window", "attention_window_size", "window_size", "local_attention"), 8),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "mamba_state_dim"), 8),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups"), 1),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size"), 16),
    **dict.fromkeys(("mamba_expand", "expand"), 2),
    **dict.fromkeys(("mamba_n_heads", "n_mamba_heads", "mamba_num_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), 4),
    **dict.fromkeys(("linear_num_key_heads",), 2),
    **dict.fromkeys(("linear_num_value_heads", "linear_num_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), 8),
    **dict.fromkeys(("index_head_dim",), 16),
    **dict.fromkeys(("index_n_heads",), 2),
    **dict.fromkeys(("index_topk",), 12),
    "hidden_size_per_layer_input": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
    "logit_scale": 0.5,
    "logits_scaling": 2.0,
    "embedding_multiplier": 1.5,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.4,
    "lm_head_multiplier": 0.5,
    "key_multiplier": 0.7,
    "is_decoder": True,
    "query_pre_attn_scalar": 16,
    "router_jitter_noise": 0.0,
    "input_jitter_noise": 0.0,
    "use_kernels": False,
    "output_router_logits": False,
    "use_cache": True,
}
_SKIPPED = frozenset({"attn_logit_softcapping", "final_logit_softcapping", "q_lora_rank", "sliding_window"})
"""Left as they are where the default is none."""

Changes = Mapping[str, Any]

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
OVERRIDES: dict[str, dict[str, Any]] = {
    "codegen": {"rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "bamba": {"attn_layer_indices": [1, 3]},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": dict(_ROPE), "sliding_attention": dict(_ROPE)},
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0] * 4,
        "laurel_rank": 8,
    },
    "lfm2": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "falcon_h1": {"mamba_d_ssm": 128},
    "falcon": {"num_kv_heads": 4},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "minimax": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
        "adapter_rank": 8,
    },
    "zaya": {
        "num_experts_per_tok": 1,
        "router_hidden_size": 16,
        "sliding_window": 8,
        "layer_types": ["hybrid", "hybrid_sliding"] * 2,
    },
    "reformer": {"axial_pos_embds": False},
    "xmod": {"default_language": "en_XX"},
    "xlnet": {"max_position_embeddings": None, "attn_type": "uni"},
    "qwen2_moe": {"use_sliding_window": True, "max_window_layers": 2, "sliding_window": 8},
    "ctrl": {"dff": 96},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
        "hc_count": 2,
        "hc_lowrank": 8,
    },
}
"""By the name of the architecture; a key of a mapping is a nested configuration, its value what is set there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model of the zoo."""

    name: str
    """`gemma2+sdpa`: the architecture, and what is changed."""
    kind: str
    """As transformers' mapping names it."""
    changes: Changes = field(default_factory=dict)
    attention: str | None = None
    """Which the product's model is loaded with; None for the library's choice."""


def build_config(kind: str, changes: Changes | None = None) -> PreTrainedConfig:
    """The small configuration of an architecture."""
    config = _shrink(CONFIG_MAPPING[kind], _join(OVERRIDES.get(kind, {}), changes or {}))
    text = config.get_text_config()
    for one in (config, text):
        for name, value in vars(one).items():
            if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float):
                setattr(one, name, 0.0)
    return config


def build_model(case: Case, *, attention: str | None = None, seed: int = 0) -> PreTrainedModel:
    """The model of a case, in float32 and for evaluation; the same weights for the same seed, whatever it attends by."""
    chosen = attention or case.attention
    config = build_config(case.kind, case.changes)
    torch.manual_seed(seed)
    kwargs = {} if chosen is None else {"attn_implementation": chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **kwargs)
    redraw(model, seed)
    return model.eval()


@torch.no_grad()
def redraw(model: torch.nn.Module, seed: int = 0) -> None:
    """Weights so large that the next token depends on all that came before; what is no matrix moves a little."""
    generator = torch.Generator().manual_seed(seed)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() < 2 or "A_log" in name or (min(weight.shape[-2:]) == 1 and "conv" not in name):
            weight.add_(0.1 * noise)
        elif id(weight) in tables or "conv" in name:
            weight.copy_(0.5 * noise)
        else:
            weight.copy_(0.2 * noise)


def _shrink(factory: type[PreTrainedConfig], changes: Changes) -> PreTrainedConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = factory()
    sizes: dict[str, Any] = {}
    for name, value in _SIZES.items():
        if _is_settable(factory, plain, name):
            sizes[name] = value
    for name, nested in (getattr(factory, "sub_configs", None) or {}).items():
        own = changes.get(name, {})
        kind = type(getattr(plain, name, None))
        if isinstance(own, Mapping) and issubclass(kind, PreTrainedConfig):
            sizes[name] = _shrink(kind, own).to_dict()
        elif getattr(plain, name, None) is not None and inspect.isclass(nested):
            sizes.pop(name, None)
    nested_names = set(getattr(factory, "sub_configs", None) or ())
    settings = {**sizes, **{key: value for key, value in changes.items() if key not in nested_names}}
    settings = {key: value for key, value in settings.items() if value is not _LEFT}
    if "qk_rope_head_dim" in settings and "head_dim" in settings:
        settings["head_dim"] = settings["qk_rope_head_dim"]
    if "qk_rope_head_dim" in settings and "num_key_value_heads" in settings:
        settings["num_key_value_heads"] = settings["num_attention_heads"]  # latent attention has as many
    kinds = list(dict.fromkeys(getattr(plain, "layer_types", None) or ()))
    if kinds and "layer_types" not in settings and _is_settable(factory, plain, "layer_types"):
        number = settings.get("num_hidden_layers", _LAYERS)
        cycle = (kinds * number)[: max(number, len(kinds))]
        settings["layer_types"] = cycle
        for name in ("num_hidden_layers", "n_layer", "num_layers"):
            if name in settings:
                settings[name] = len(cycle)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return factory(**settings)


def _is_settable(factory: type[PreTrainedConfig], plain: PreTrainedConfig, name: str) -> bool:
    """Whether the configuration has such a setting, and uses it."""
    own = getattr(factory, "attribute_map", {}).get(name, name)
    if isinstance(getattr(factory, own, None), property):
        return False
    try:
        return hasattr(plain, own) and not (name in _SKIPPED and getattr(plain, own) is None)
    except Exception:  # an attribute that every layer has its own of
        return True


_LEFT = object()
"""As the value of a change: the default stays."""


def _join(first: Changes, second: Changes) -> dict[str, Any]:
    found = dict(first)
    for key, value in second.items():
        own = found.get(key)
        found[key] = (
            _join(own, value)
            if isinstance(own, Mapping) and isinstance(value, Mapping) and not _is_rope(key)
            else value
        )
    return found


def _is_rope(key: str) -> bool:
    return key in ("rope_parameters", "rope_scaling")


def list_cases() -> list[Case]:
    """Every registered architecture, and the variants."""
    plain = [
        Case(name=kind, kind=kind)
        for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if kind in CONFIG_MAPPING_NAMES
    ]
    return [*plain, *list_variants()]


_NEAR, _FAR = 8, 48
"""Borders: one that every text crosses, and one that only the longest cross."""


def list_variants() -> list[Case]:
    """Settings that checkpoints of a kind have and its default configuration has not."""
    found = []

    def add(kinds: str, name: str, attention: str | None = None, **changes: Any) -> None:
        for kind in kinds.split():
            found.append(Case(name=f"{kind}+{name}", kind=kind, changes=changes, attention=attention))

    add("gemma2 gemma3_text gpt_oss llama mistral", "eager", "eager")
    add("gemma2 vaultgemma", "sdpa", "sdpa")
    add("llama qwen2 gemma granite gpt2 phi", "untied", tie_word_embeddings=False)
    add("llama qwen2 qwen3 mistral olmo2 stablelm", "tied", tie_word_embeddings=True)
    for name, window in (("window", _NEAR), ("far-window", _FAR)):
        add(
            "mistral mixtral starcoder2 phi3 phimoe ministral minimax gemma2 gpt_oss",
            name,
            sliding_window=window,
        )
        add(
            "qwen2 qwen3 qwen2_moe", name, use_sliding_window=True, sliding_window=window, max_window_layers=2
        )
        add("qwen3_moe", name, use_sliding_window=True, sliding_window=window)
        add("cohere2 gemma3_text olmo3 exaone4 gemma4_text afmoe smollm3", name, sliding_window=window)
        add("llama4_text", name, attention_chunk_size=window)
        add("gpt_neo modernbert-decoder recurrent_gemma", name, window_size=window)
    for name, border in (("", 16), ("far-", _FAR)):
        dynamic = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
        add(
            "llama qwen2 mistral falcon gpt_neox stablelm persimmon",
            f"{name}dynamic",
            rope_parameters=dynamic,
            max_position_embeddings=border,
        )
        long = {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0 + 0.05 * place for place in range(8)],
            "long_factor": [1.5 + 0.7 * place for place in range(8)],
            "factor": 512 / border,
            "original_max_position_embeddings": border,
        }
        add(
            "phi3 llama qwen2",
            f"{name}longrope",
            rope_parameters=long,
            original_max_position_embeddings=border,
        )
        yarn = {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": border,
        }
        add("llama qwen2 qwen3 olmo3 gpt_oss", f"{name}yarn", rope_parameters=yarn)
    llama3 = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    add("llama", "llama3", rope_parameters=llama3)
    add(
        "llama qwen2", "linear", rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    )
    add("llama", "biased", attention_bias=True, mlp_bias=True)
    add("falcon", "alibi", alibi=True, num_kv_heads=4)
    add("falcon", "new", new_decoder_architecture=True, num_kv_heads=2)
    add("mpt", "scaled", logit_scale=0.5)
    add("gemma2", "uncapped", attn_logit_softcapping=None, final_logit_softcapping=None)
    add("gemma2", "capped-scores", final_logit_softcapping=None)
    add("gemma2", "large-caps", attn_logit_softcapping=50.0, final_logit_softcapping=30.0)
    add("cohere", "unscaled", logit_scale=1.0)
    add("granite", "unscaled", logits_scaling=1.0)
    add("olmo", "clipped", clip_qkv=1.0)
    add("stablelm", "parallel", use_parallel_residual=True, qk_layernorm=True)
    add("gpt_neox", "serial", use_parallel_residual=False)
    add("opt", "projected", word_embed_proj_dim=32)
    add("opt", "after", do_layer_norm_before=False)
    add("gpt_bigcode", "many", multi_query=False)
    for name, number in (
        ("few-chosen", 12),
        ("many-chosen", 2048),
    ):  # of enough heads that no two scores are both 0
        add("deepseek_v32 glm_moe_dsa hy_v4 axk2 deepseek_v4", name, index_topk=number, index_n_heads=16)
        add("doge", name, keep_window_size=number)
    for blocks, size in ((2, 8), (16, 8), (16, 128)):
        layers = ["full_attention", "minimax_m3_sparse"] * 2
        add(
            "minimax_m3_vl_text",
            f"{blocks}-blocks-of-{size}",
            layer_types=layers,
            index_block_size=size,
            index_topk_blocks=blocks,
            index_n_heads=2,
        )
    return [one for one in found if one.kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES]
