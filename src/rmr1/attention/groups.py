"""Several groups in one row, each prompt once with its completions after it.

    prompt 1 | completion | completion | ... | prompt 2 | completion | ...

A completion counts its positions on from its prompt, as in a row of its own.

Shapes: `T` tokens of the row, `N` completion tokens in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from rmr1.attention.packed import pack

GroupLayout = tuple[tuple[int, tuple[int, ...]], ...]
"""Per group of a row, in order: tokens of the prompt, and of each completion."""


class Segment(NamedTuple):
    """A prompt or a completion of a row."""

    prompt: int
    """The number of its prompt's segment, which is its own if it is a prompt."""
    first: int
    """Its first position: the number of the tokens before it that it sees."""
    length: int


def list_segments(layout: GroupLayout) -> list[Segment]:
    """The segments of a row, in order."""
    segments: list[Segment] = []
    for num_prompt, lengths in layout:
        prompt = len(segments)
        segments.append(Segment(prompt, 0, num_prompt))
        segments += [Segment(prompt, num_prompt, length) for length in lengths]
    return segments


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tokens of one prompt and of its completions: at least one, each of at least one token."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return len(self.prompt) + self.num_sampled

    @property
    def num_sampled(self) -> int:
        """Tokens of all completions."""
        return sum(map(len, self.completions))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """Groups one after the other."""

    input_ids: torch.Tensor
    """`[1, T]`"""
    position_ids: torch.Tensor
    """`[1, T]`, from 0 in each prompt, from the prompt's length in each completion."""
    layout: GroupLayout
    places: torch.Tensor
    """`[N]`: the place of the hidden state from which a completion token is predicted; a completion's first is
    predicted from the prompt's last."""
    targets: torch.Tensor
    """`[N]`: the completion tokens."""
    lengths: tuple[int, ...]
    """Tokens of each completion of all groups, in order; they sum to `N`."""


def build_group_row(groups: Sequence[Group], device: torch.device | str = "cpu") -> GroupRow:
    """The row of these groups, in this order."""
    ids: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    targets: list[int] = []
    layout = []
    for group in groups:
        num_prompt = len(group.prompt)
        ids += group.prompt
        positions += range(num_prompt)
        last = len(ids) - 1
        for completion in group.completions:
            start = len(ids)
            places += [last, *range(start, start + len(completion) - 1)]
            ids += completion
            positions += range(num_prompt, num_prompt + len(completion))
            targets += completion
        layout.append((num_prompt, tuple(map(len, group.completions))))
    return GroupRow(
        input_ids=torch.tensor([ids], dtype=torch.long, device=device),
        position_ids=torch.tensor([positions], dtype=torch.long, device=device),
        layout=tuple(layout),
        places=torch.tensor(places, dtype=torch.long, device=device),
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        lengths=tuple(length for _, lengths in layout for length in lengths),
    )


def pack_groups(groups: Sequence[Group], row_tokens: int) -> list[list[int]]:
    """Indices of the groups of each row, as `rmr1.attention.packed.pack`; a group is never divided."""
    return pack([group.num_tokens for group in groups], row_tokens)
