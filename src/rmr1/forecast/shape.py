"""A decoder's sizes, and the arithmetic of passing texts through it: what estimates are made from.

Counted are the matrices of the layers, the two products of attention, and the output layer at completion
tokens; norms, rotations, activation functions and the embedding's look-up are left out. A multiplication with
its addition counts as two operations. Pure: nothing is loaded or asked for.

Shapes: `W` width, `A` query heads times their size, `K` key heads times their size, `M` inner width of the MLP,
`V` vocabulary, `L` layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmr1.errors import ConfigError

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A decoder with gated MLPs and grouped attention: Qwen2, Qwen3, Llama, Mistral."""

    layers: int
    hidden: int
    """`W`"""
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """`M`"""
    vocabulary: int
    tied: bool = False
    """Embedding and output layer are one matrix."""
    biased: bool = False
    """Queries, keys and values have biases, as in Qwen2."""
    has_head: bool = True
    """The model has an output layer over its vocabulary, and so is no scalar model."""
    counted: tuple[int, int] | None = None
    """Parameters in all, and those that a token is multiplied by in the layers, counted in a model of another kind."""

    @property
    def attention_width(self) -> int:
        """`A`"""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """`K`"""
        return self.kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Numbers of all layers' matrices: those that a token is multiplied by."""
        if self.counted is not None:
            return self.counted[1]
        attention = 2 * self.hidden * (self.attention_width + self.kv_width)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_parameters(self) -> int:
        """Numbers of the output layer."""
        return self.vocabulary * self.hidden if self.has_head else 0

    @property
    def cache_width(self) -> int:
        """Numbers that one token of one text keeps: its keys and values of all layers."""
        return 2 * self.layers * self.kv_width

    def parameters(self) -> int:
        """All of them, norms and biases too."""
        if self.counted is not None:
            return self.counted[0]
        tables = (2 if self.has_head and not self.tied else 1) * self.vocabulary * self.hidden
        biases = self.layers * (self.attention_width + 2 * self.kv_width) if self.biased else 0
        return tables + self.layer_parameters + biases + (2 * self.layers + 1) * self.hidden

    def adapter_parameters(self, rank: int) -> int:
        """Numbers of low-rank adapters of all matrices of the layers."""
        sides = (
            2 * (self.hidden + self.attention_width)
            + 2 * (self.hidden + self.kv_width)
            + 3 * (self.hidden + self.intermediate)
        )
        return self.layers * rank * sides


def read_shape(config: Any, *, counted: tuple[int, int] | None = None, has_head: bool = True) -> ModelShape:
    """The sizes that a transformers configuration names. A model whose parameters were `counted` may be of any kind.

    Raises:
        ConfigError: it does not describe a decoder of this kind.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    what = f"a model of type {getattr(text, 'model_type', 'unknown')!r} cannot be estimated"
    if counted is None and any(getattr(text, name, None) for name in EXPERTS):
        raise ConfigError(f"{what}: it is a mixture of experts")

    def read(name: str) -> int:
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
        if counted is None:
            raise ConfigError(f"{what}: its configuration names no {name}")
        return 1

    hidden, heads = read("hidden_size"), read("num_attention_heads")
    return ModelShape(
        layers=read("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=getattr(text, "head_dim", None) or hidden // heads,
        intermediate=read("intermediate_size"),
        vocabulary=read("vocab_size"),
        tied=bool(getattr(text, "tie_word_embeddings", False)),
        # Qwen2's configuration has no key for them.
        biased=bool(getattr(text, "attention_bias", getattr(text, "model_type", None) == "qwen2")),
        has_head=has_head,
        counted=counted,
    )


def _qwen2(layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int) -> ModelShape:
    return ModelShape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=128,
        intermediate=intermediate,
        vocabulary=152064,
        biased=True,
    )


_7B = _qwen2(28, 3584, 28, 4, 18944)
_14B = _qwen2(48, 5120, 40, 8, 13824)
_32B = _qwen2(64, 5120, 40, 8, 27648)

PUBLISHED: dict[str, ModelShape] = {
    "Qwen/Qwen2.5-7B-Instruct": _7B,
    "Qwen/Qwen2.5-14B-Instruct": _14B,
    "Qwen/Qwen2.5-32B-Instruct": _32B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": _7B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": _14B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": _32B,
}
"""The bases of RM-R1's six models, for machines that cannot ask for their configurations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Operations of one forward pass."""

    body: float
    """Layers, attention included."""
    head: float
    """Output layer."""

    @property
    def total(self) -> float:
        return self.body + self.head


def count_row_flops(shape: ModelShape, *, prompt: float, new: float, samples: int) -> Flops:
    """Forward of a group in which every completion of `new` tokens stands behind a prompt of its own."""
    one = count_group_flops(shape, prompt=prompt, new=new, samples=1)
    return Flops(body=samples * one.body, head=samples * one.head)


def count_group_flops(shape: ModelShape, *, prompt: float, new: float, samples: int) -> Flops:
    """Forward of a group whose prompt is computed once: `prompt + samples * new` tokens.

    Prompt tokens attend causally, completion tokens to the whole prompt and causally to what their own
    completion has before them.
    """
    pairs = prompt * prompt / 2 + samples * new * (prompt + new / 2)
    return Flops(
        body=2 * shape.layer_parameters * (prompt + samples * new) + count_attention_flops(shape, pairs),
        head=2 * shape.head_parameters * samples * new,
    )


def count_attention_flops(shape: ModelShape, pairs: float) -> float:
    """Scores and weighted sums of so many pairs of a query and a key in each layer."""
    return 4 * shape.layers * shape.attention_width * pairs


def compute_saving(shape: ModelShape, *, prompt: float, new: float, samples: int) -> float:
    """How many times the arithmetic of a shared prompt the rows take with their own."""
    rows = count_row_flops(shape, prompt=prompt, new=new, samples=samples)
    return rows.total / count_group_flops(shape, prompt=prompt, new=new, samples=samples).total
