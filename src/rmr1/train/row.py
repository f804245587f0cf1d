"""A packed row of documents as tensors, and the loss of a model on it.

Shapes: `T` tokens of the row, `N` positions that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.errors import ConfigError
from rmr1.train.losses import sum_losses

_SCALED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models whose output layer is more than one matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One document: a prompt, and the judge's own turn."""

    tokens: Sequence[int]
    num_prompt: int
    """Tokens of the prompt, which has no loss; at least one."""
    label: str | None = None
    """The right verdict (prompt frame), where it is known."""

    @property
    def num_judged(self) -> int:
        return len(self.tokens) - self.num_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Documents one after the other."""

    input_ids: torch.Tensor
    """`[1, T]`"""
    position_ids: torch.Tensor
    """`[1, T]`, from 0 in each document."""
    document_lengths: tuple[int, ...]
    places: torch.Tensor
    """`[N]`: where the hidden state stands from which a counting token is predicted."""
    targets: torch.Tensor
    """`[N]`: those tokens."""


def build_row(examples: Sequence[Example], device: torch.device | str = "cpu") -> Row:
    """The row of these documents, in this order."""
    ids: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    for example in examples:
        start = len(ids)
        ids += example.tokens
        positions += range(len(example.tokens))
        places += range(start + example.num_prompt - 1, start + len(example.tokens) - 1)
    input_ids = torch.tensor([ids], device=device)
    found = torch.tensor(places, dtype=torch.long, device=device)
    return Row(
        input_ids=input_ids,
        position_ids=torch.tensor([positions], device=device),
        document_lengths=tuple(len(example.tokens) for example in examples),
        places=found,
        targets=input_ids[0, found + 1],
    )


class RowLoss(torch.nn.Module):
    """A causal language model whose forward gives the summed loss of a row.

    A module of its own so that data-parallel wrappers see the whole computation. `model` is the model that
    transformers knows, also where peft has put adapters into it.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        check_head(model)
        self.model = model

    def forward(self, row: Row) -> torch.Tensor:
        """Sum of the cross-entropies of the counting tokens, float32."""
        kwargs: dict[str, Any] = {}
        if len(row.document_lengths) > 1:
            kwargs["document_lengths"] = row.document_lengths
        hidden = self.model.get_decoder()(
            input_ids=row.input_ids, position_ids=row.position_ids, use_cache=False, **kwargs
        )[0]
        head: Any = self.model.get_output_embeddings()
        return sum_losses(hidden[0, row.places], head.weight, row.targets)


def check_head(model: PreTrainedModel) -> None:
    """Raises ConfigError where the model's logits are not its hidden states times one matrix."""
    head: Any = model.get_output_embeddings()
    scaled = [
        name for name in _SCALED_LOGITS if getattr(model.config, name, None) not in (None, 1, 1.0, False)
    ]
    if type(head) is not torch.nn.Linear or head.bias is not None or scaled:
        what = f"its config sets {scaled[0]}" if scaled else f"its output layer is {type(head).__name__}"
        raise ConfigError(
            f"{type(model).__name__} cannot be trained here: {what}, expected a plain matrix; "
            "leave lm_head out of lora.target_modules, or choose another model"
        )
