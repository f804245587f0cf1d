"""What a model has read of a text, kept for when the text goes on: keys and values in pieces, within a bound of bytes.

A text that grows part by part is kept as the pieces in which it was read, so nothing is copied when a piece is added,
and texts that begin alike hold their beginning together. The memory is counted piece by piece, whoever holds it; a
piece for which no room is left is not kept, and what is not kept is read again.

Shapes: `K` key heads, `T` tokens, `D` head size.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

LayerPart = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer, `[K, T, D]` each."""


class Room:
    """Bytes that pieces may take."""

    def __init__(self, limit: int, evict: Callable[[int], None] | None = None):
        """`evict` is called with the bytes that are lacking and may let go of pieces."""
        self.limit = limit
        self.used = 0
        self._evict = evict

    def take(self, num_bytes: int) -> bool:
        """Count them as used; False if they are not to be had."""
        lacking = self.used + num_bytes - self.limit
        if lacking > 0 and self._evict is not None and num_bytes <= self.limit:
            self._evict(lacking)
        if self.used + num_bytes > self.limit:
            return False
        self.used += num_bytes
        return True

    def give(self, num_bytes: int) -> None:
        """Count them as free again."""
        self.used -= num_bytes


class Piece:
    """Keys and values of consecutive tokens in all layers; its bytes are given back when nobody holds it any more."""

    def __init__(self, layers: Sequence[LayerPart], room: Room, num_bytes: int):
        self.layers = tuple(layers)
        self.num_tokens = int(layers[0][0].shape[1])
        weakref.finalize(self, room.give, num_bytes).atexit = False


def keep_piece(layers: Sequence[LayerPart], room: Room) -> Piece | None:
    """A copy of these keys and values; None if there is no room for it."""
    num_bytes = sum(one.numel() * one.element_size() for both in layers for one in both)
    if not room.take(num_bytes):
        return None
    try:
        copies = [(keys.clone(), values.clone()) for keys, values in layers]
    except BaseException:
        room.give(num_bytes)
        raise
    return Piece(copies, room, num_bytes)


@dataclass(frozen=True, slots=True)
class Kept:
    """The keys and values of the first tokens of a text."""

    pieces: tuple[tuple[Piece, int], ...] = ()
    """Each with how many of its tokens count."""

    @property
    def num_tokens(self) -> int:
        return sum(count for _, count in self.pieces)

    def cut(self, num_tokens: int) -> Kept:
        """Those of the first so many tokens, or of all if they are fewer."""
        kept = []
        for piece, count in self.pieces:
            count = min(count, num_tokens)
            num_tokens -= count
            if count:
                kept.append((piece, count))
        return Kept(tuple(kept))

    def extend(self, piece: Piece) -> Kept:
        """Those of a text that goes on with the tokens of a piece."""
        return Kept((*self.pieces, (piece, piece.num_tokens)))

    def list_parts(self, layer: int) -> Iterator[LayerPart]:
        """Keys and values in one layer, piece by piece."""
        for piece, count in self.pieces:
            keys, values = piece.layers[layer]
            yield keys[:, :count], values[:, :count]
