"""A model of a recipe's shape, with first weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rmr1.train.recipe import ScratchRecipe


def build_model(recipe: ScratchRecipe, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """The model in float32, the same for the same recipe, tokenizer and seed."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.hidden_size,
        "head_dim": recipe.hidden_size // recipe.heads,
        "intermediate_size": recipe.intermediate_size,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "max_position_embeddings": recipe.context,
        "rope_parameters": {"rope_type": "default", "rope_theta": recipe.rope_theta},
        "tie_word_embeddings": recipe.tied,
        "initializer_range": recipe.initializer_range,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": "float32",
    }
    model: PreTrainedModel
    if recipe.architecture == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape, attention_bias=True))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**shape))
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model
