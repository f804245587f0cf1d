"""Tiny random models and tokenizers trained on a few lines: whole engines in milliseconds, offline."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
)

from rmr1.attention.proof.judging import judging_paths

# Tensors this small gain nothing from threads, and lose much where the cores are busy.
torch.set_num_threads(1)

END = "<|im_end|>"
START = "<|im_start|>"
BEGIN = "<s>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ raise_exception('no tool turns here') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "<|im_start|>assistant\n{% if think %}<think>\n{% endif %}"
)
"""Refuses the role "tool"; opens the thinking part with `think=True`."""

SCORING_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ raise_exception('no tool turns here') }}{% endif %}"
    "{{ '\n' if not loop.first }}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_end|>{% endif %}"
)
"""Ends with the last turn's own text, so that a model's score can follow from its last character."""

CORPUS = (
    "You are a fair and careful judge. Two chatbots answered; decide which answer is better.",
    "<type>Chat</type> <rubric> 1. Helpfulness (60%) 2. Accuracy (40%) </rubric> <eval> </eval>",
    "<quote_A>Paris is the capital</quote_A> <summary_B>says it is Lyon</summary_B> <think> </think>",
    "The quick brown fox jumps over the lazy dog, 0123456789 times: hello, world!",
)
MERGES: dict[str, tuple[str, ...]] = {
    "split": (),
    "letter": ("[[", "]]", "</answer>", "<answer>"),
    "left": ("[[A", "[[B", "]]", "</", "answer", ">"),
    "right": ("[[", "A]]</", "B]]</"),
    "whole": ("[[A]]", "[[B]]"),
    "lopsided": ("[[A]]", "[[", "]]"),
}
"""Ways to write `[[A]]`: each name is a tokenizer in which these texts are one token."""


def build_tokenizer(
    style: str = "split", *, begin: bool = False, vocab_size: int = 400
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer. `begin` adds `<s>` to whatever is encoded, and to the template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", BEGIN, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([word for line in CORPUS for word in line.split()], trainer)
    # Whole words that are no control tokens: looked up before anything is merged.
    core.add_tokens([AddedToken(word, normalized=False) for word in MERGES[style]])
    if begin:
        core.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, core.token_to_id(BEGIN))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token=BEGIN, eos_token=END, model_max_length=512
    )
    tokenizer.chat_template = ("{{ bos_token }}" if begin else "") + CHAT_TEMPLATE
    return tokenizer


def build_sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """Llama's manner: blanks written as U+2581, unknown bytes as `<0x41>`, first blank dropped."""
    alphabet = sorted({char for line in CORPUS for char in line if char not in " é"} | set("[]/<>AB"))
    pieces = ["<unk>", BEGIN, START, END]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += ["▁", *(char for char in alphabet), "▁A", "▁B"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    core = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[("▁", "A"), ("▁", "B")], byte_fallback=True, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens([START, END, BEGIN])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token=BEGIN, eos_token=END
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(
    kind: str = "qwen2", *, vocab_size: int = 512, seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """Two layers of width 32 with grouped-query attention, random weights, float32."""
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 1,
        "eos_token_id": None,
        "pad_token_id": None,
        # Far from zero, so that the next token depends on all that came before.
        "initializer_range": 0.4,
        **changes,
    }
    torch.manual_seed(seed)
    if kind == "qwen2":
        model: PreTrainedModel = Qwen2ForCausalLM(Qwen2Config(**settings))
    else:
        model = LlamaForCausalLM(LlamaConfig(**settings))
    return model.eval()


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {}),
    "llama": ("llama", {}),
    "gemma": ("gemma", {"head_dim": 8}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "mistral, short window": ("mistral", {"sliding_window": 8}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gemma2": ("gemma2", {"head_dim": 8, "query_pre_attn_scalar": 8}),
    "gemma4": (
        "gemma4_text",
        {
            "head_dim": 8,
            "global_head_dim": 8,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 128,
            "final_logit_softcapping": 30.0,
            "sliding_window": 8,
            "num_kv_shared_layers": 0,
        },
    ),
    "granite": ("granite", {"logits_scaling": 2.0}),
    "phi": ("phi", {}),
    "nemotron": ("nemotron", {}),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "mamba": ("mamba", {"state_size": 8}),
    "rwkv": ("rwkv", {"attention_hidden_size": 32}),
    "minimax": (
        "minimax",
        {
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "block_size": 8,
            "layer_types": ["linear_attention", "full_attention"],
        },
    ),
    "falcon_h1": (
        "falcon_h1",
        {
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "lm_head_multiplier": 0.5,
        },
    ),
    "qwen2_moe, window": (
        "qwen2_moe",
        {
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "use_sliding_window": True,
            "sliding_window": 100,
            "max_window_layers": 2,
        },
    ),
    "phimoe, window": ("phimoe", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 100}),
    "dynamic rope": (
        "llama",
        {
            "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
            "max_position_embeddings": 32,
        },
    ),
    "longrope": (
        "phi3",
        {
            "sliding_window": None,
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "short_factor": [1.0] * 4,
                "long_factor": [4.0] * 4,
                "original_max_position_embeddings": 32,
            },
        },
    ),
}
"""Kinds of models by what is particular about them: transformers' name, and settings beside the common ones."""


def build_kind(name: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random model of one of `KINDS`, of two layers and width 32, float32."""
    kind, settings = KINDS[name]
    common: dict[str, Any] = {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[kind](**{**common, **settings, **changes})
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model.eval()


def build_scorer(*, vocab_size: int = 512, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A scalar reward model of random weights, shaped as `build_model`; `num_labels` is 1."""
    config = build_model(vocab_size=vocab_size, **{"num_labels": 1, **changes}).config
    torch.manual_seed(seed)
    return Qwen2ForSequenceClassification(config).eval()


def build_digit_scorer(tokenizer: PreTrainedTokenizerFast, **changes: Any) -> PreTrainedModel:
    """A reward model whose score is the conversation's last digit where it ends in one, else 0.

    A conversation that holds `#` anywhere scores NaN. Layers add nothing; the final norm turns the last
    token's embedding, which is c times a unit vector, into sqrt(width) times that vector.
    """
    model: Any = build_scorer(vocab_size=len(tokenizer), **changes)
    width = model.config.hidden_size
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        embedding = model.get_input_embeddings().weight
        embedding.zero_()
        embedding[:, width - 1] = 1.0
        for token in range(len(tokenizer)):
            text = str(tokenizer.decode([token]))
            if "#" in text:
                embedding[token] = float("nan")
            elif text[-1:].isascii() and text[-1:].isdigit():
                embedding[token] = 0.0
                embedding[token, int(text[-1])] = 2.0
        model.score.weight.zero_()
        model.score.weight[0, :10] = torch.arange(10.0) / width**0.5
    return model


def save_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None) -> Path:
    """A model folder as the engine reads it."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def force_tokens(model: PreTrainedModel, tokens: Sequence[int], *, prompt_length: int | None = None) -> None:
    """Make the model write `tokens` after its prompt, and keep its other log-probabilities random.

    The forward pass is the real one; the wanted token's logit is raised above the highest. Positions
    are counted from `prompt_length`, which is by default the length of the first pass.
    """
    judging_paths(model)  # checked and remembered before it lies
    plan = list(tokens)
    state: dict[str, Any] = {"prompt": prompt_length}
    forward = model.forward

    def forced(*args: Any, **kwargs: Any) -> Any:
        outputs = forward(*args, **kwargs)
        positions = kwargs.get("position_ids")
        if positions is None:
            ids = kwargs["input_ids"]
            positions = torch.arange(ids.shape[1]).expand(ids.shape[0], -1)
        if state["prompt"] is None:
            state["prompt"] = int(positions[0, -1]) + 1
        logits = outputs.logits
        places = positions[:, -logits.shape[1] :] + 1 - state["prompt"]
        for row in range(logits.shape[0]):
            for column in range(logits.shape[1]):
                place = int(places[row, column])
                if 0 <= place < len(plan):
                    logits[row, column, plan[place]] = logits[row, column].max() + 1.0
        return outputs

    forced.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    model.forward = forced  # type: ignore[method-assign]
