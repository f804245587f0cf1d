"""A model of a recipe's shape, with first weights."""

from __future__ import annotations

import math
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
    if recipe.copying:
        start_copying(model)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model


@torch.no_grad()
def start_copying(model: Any) -> None:
    """Set first weights with which the model copies: an induction circuit (Olsson et al. 2022), in rough form.

    Two heads of layer 0 look one and two tokens back: their queries and keys are constants (the biases),
    turned against each other by that distance's rotary angles. A head of layer 1 looks for a place whose
    preceding token is the present one, by slowly turning dimensions only, and adds the token found there to
    the stream. The rest of the model is as small as usual.
    """
    config = model.config
    width, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    half = size // 2
    theta = config.rope_parameters["rope_theta"]
    angles = theta ** -(torch.arange(half) / half)
    bases, back, found = (torch.nn.init.orthogonal_(torch.empty(size, width)) for _ in range(3))
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=1 / math.sqrt(width))
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn

    strength = torch.where(torch.arange(half) < half // 2, 7.0, 0.0)
    first.k_proj.weight[:size] = 0
    first.k_proj.bias[:half] = strength
    for head, distance in enumerate((1, 2)):
        rows = slice(head * size, (head + 1) * size)
        first.q_proj.weight[rows] = 0
        first.q_proj.bias[rows] = torch.cat(
            [strength * torch.cos(distance * angles), -strength * torch.sin(distance * angles)]
        )
        first.o_proj.weight[:, rows] = 0.2 * (back if distance == 1 else found).T
    first.v_proj.weight[:size] = bases

    slow = torch.arange(size) % half >= half // 2
    second.q_proj.weight[:size] = 2.4 * bases * slow[:, None]
    second.k_proj.weight[:size] = 2.4 * back * slow[:, None]
    second.v_proj.weight[:size] = bases
    second.o_proj.weight[:, :size] = 0.5 * bases.T
