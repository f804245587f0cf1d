"""A packed row of documents as tensors, and the loss of a model on it.

Shapes: `T` tokens of the row, `N` positions that count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.attention.forward import keep_logits
from rmr1.attention.packed import packed_attention
from rmr1.attention.proof.attending import set_attention
from rmr1.attention.proof.probe import Pairs, Probe
from rmr1.attention.proof.training import Layout, RowPaths, prove_rows, read_states
from rmr1.train.losses import sum_losses
from rmr1.train.processes import gather


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

    A module of its own so that data-parallel wrappers see the whole computation. `model` is the one that transformers
    knows, adapters inside.
    """

    def __init__(self, model: PreTrainedModel, paths: RowPaths | None = None):
        """`paths` are those of `prove_packing(model)`, which is called unless they are given."""
        super().__init__()
        self.paths = prove_packing(model) if paths is None else paths
        self.model = model

    def attention(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the model takes rows of several documents, if its paths say that they are right."""
        return packed_attention(self.model) if self.paths.joins else contextlib.nullcontext()

    def forward(self, row: Row) -> torch.Tensor:
        """Sum of the cross-entropies of the counting tokens, float32."""
        if self.paths.joins_within(max(row.document_lengths)):
            lengths = row.document_lengths
            kwargs = {"document_lengths": lengths} if len(lengths) > 1 else {}
            return self._sum(row.input_ids, row.position_ids, row.places, row.targets, kwargs)
        total = torch.zeros((), device=row.input_ids.device)
        start = 0
        for length in row.document_lengths:
            own = slice(start, start + length)
            counts = (row.places >= own.start) & (row.places < own.stop)
            if self.paths.turning is not None:
                self.paths.turning.reset()
            if counts.any():
                total = total + self._sum(
                    row.input_ids[:, own],
                    row.position_ids[:, own],
                    row.places[counts] - start,
                    row.targets[counts],
                    {},
                )
            start = own.stop
        return total

    def _sum(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        places: torch.Tensor,
        targets: torch.Tensor,
        kwargs: dict[str, Any],
    ) -> torch.Tensor:
        inputs: dict[str, Any] = {"input_ids": input_ids, **kwargs}
        if self.paths.joins:  # a text alone is counted by the model itself, which may begin otherwise
            inputs["position_ids"] = position_ids
        if self.paths.by_matrix:
            hidden = read_states(self.model, True, **inputs)
            head: Any = self.model.get_output_embeddings()
            return sum_losses(hidden[0, places], head.weight, targets)
        logits = read_logits(self.model, places, **inputs)
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def read_logits(model: PreTrainedModel, places: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """The model's own logits `[N, V]` at these places of a row."""
    keep = keep_logits(model, places)
    logits: torch.Tensor = model(**inputs, use_cache=False, **keep).logits[0]
    return logits if keep else logits[places]


def agree(accelerator: Any, model: PreTrainedModel, paths: RowPaths) -> RowPaths:
    """The paths that all processes take: what one of them found wrong none of them does."""
    found = gather(
        accelerator, [(paths.joins, paths.by_matrix, paths.notes, model.config._attn_implementation)]
    )
    if any(attention == "eager" for *_, attention in found):
        set_attention(model, "eager")
    return replace(
        paths,
        joins=all(joins for joins, *_ in found),
        by_matrix=all(by_matrix for _, by_matrix, *_ in found),
        notes=tuple(dict.fromkeys(note for _, _, notes, _ in found for note in notes)),
    )


def prove_packing(model: PreTrainedModel, *, packs: bool = True) -> RowPaths:
    """Check whether rows of several documents are right for this model (`rmr1.attention.proof.training`)."""
    return prove_rows(
        model, Layout(name="packed rows", attention=packed_attention, read=_read_packed) if packs else None
    )


def _read_packed(probe: Probe, read: Callable[..., torch.Tensor]) -> Pairs:
    examples = [Example(tokens=text, num_prompt=1) for text in probe.texts]
    row = build_row(examples, probe.device)
    found = read(
        input_ids=row.input_ids, position_ids=row.position_ids, document_lengths=row.document_lengths
    )
    parts = found.split(row.document_lengths)
    return zip(parts, map(probe.alone, probe.texts), strict=True)
