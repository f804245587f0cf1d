"""A packed row of documents as tensors, and the loss of a model on it.

Shapes: `T` tokens of the row, `N` positions that count, `W` model width, `V` vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.attention.forward import keep_logits
from rmr1.attention.packed import pack, packed_attention
from rmr1.attention.proof.attending import set_attention
from rmr1.attention.proof.probe import Pairs, Probe
from rmr1.attention.proof.training import Layout, RowPaths, prove_rows, read_states
from rmr1.train.group import gather
from rmr1.train.losses import sum_losses


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
    ids_1T = torch.tensor([ids], device=device)
    places_N = torch.tensor(places, dtype=torch.long, device=device)
    return Row(
        input_ids=ids_1T,
        position_ids=torch.tensor([positions], device=device),
        document_lengths=tuple(len(example.tokens) for example in examples),
        places=places_N,
        targets=ids_1T[0, places_N + 1],
    )


def pack_rows(examples: Sequence[Example], paths: RowPaths, row_tokens: int) -> list[list[int]]:
    """Indices of the documents of each row, which is one pass through the model: those that go alone have their own."""
    lengths = [len(example.tokens) for example in examples]
    joined = [place for place, length in enumerate(lengths) if paths.joins_within(length)]
    alone = [[place] for place, length in enumerate(lengths) if not paths.joins_within(length)]
    packed = pack([lengths[place] for place in joined], row_tokens)
    return alone + [[joined[place] for place in row] for row in packed]


def fill_in(examples: Sequence[Example]) -> Example:
    """A document of two tokens: what a process reads that only takes part."""
    return Example(tokens=examples[0].tokens[:2], num_prompt=1)


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
            counts_N = (row.places >= own.start) & (row.places < own.stop)
            if self.paths.turning is not None:
                self.paths.turning.reset()
            if counts_N.any():
                total = total + self._sum(
                    row.input_ids[:, own],
                    row.position_ids[:, own],
                    row.places[counts_N] - start,
                    row.targets[counts_N],
                    {},
                )
            start = own.stop
        return total

    def _sum(
        self,
        ids_1T: torch.Tensor,
        positions_1T: torch.Tensor,
        places_N: torch.Tensor,
        targets_N: torch.Tensor,
        kwargs: dict[str, Any],
    ) -> torch.Tensor:
        inputs: dict[str, Any] = {"input_ids": ids_1T, **kwargs}
        if self.paths.joins:  # a text alone is counted by the model itself, which may begin otherwise
            inputs["position_ids"] = positions_1T
        if self.paths.by_matrix:
            hidden_1TW = read_states(self.model, True, **inputs)
            head: Any = self.model.get_output_embeddings()
            return sum_losses(hidden_1TW[0, places_N], head.weight, targets_N)
        logits_NV = read_logits(self.model, places_N, **inputs)
        return torch.nn.functional.cross_entropy(logits_NV.float(), targets_N, reduction="sum")


def read_logits(model: PreTrainedModel, places_N: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """The model's own logits `[N, V]` at these places of a row."""
    keep = keep_logits(model, places_N)
    logits_NV: torch.Tensor = model(**inputs, use_cache=False, **keep).logits[0]
    return logits_NV if keep else logits_NV[places_N]


def agree(model: PreTrainedModel, paths: RowPaths) -> RowPaths:
    """The paths that all processes take: what one of them found wrong none of them does."""
    found = gather([(paths.joins, paths.by_matrix, paths.notes, model.config._attn_implementation)])
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
    lengths = row.document_lengths
    states_TW = read(input_ids=row.input_ids, position_ids=row.position_ids, document_lengths=lengths)
    return zip(states_TW.split(lengths), map(probe.alone, probe.texts), strict=True)
