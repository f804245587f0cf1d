"""What was read of a text is kept in pieces, and counted."""

from __future__ import annotations

import gc

import pytest
import torch

from rmr1.attention.kept import Kept, Piece, Room, keep_piece

TOKEN_BYTES = 2 * 2 * (2 * 3) * 4
"""Two layers, keys and values, two heads of three numbers, four bytes each."""


def build_layers(num_tokens: int, start: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    numbers = torch.arange(start, start + num_tokens).float()[None, :, None].expand(2, num_tokens, 3)
    return [(numbers + 100 * layer, -numbers - 100 * layer) for layer in range(2)]


def keep(num_tokens: int, room: Room, start: int = 0) -> Piece:
    piece = keep_piece(build_layers(num_tokens, start), room)
    assert piece is not None
    return piece


def test_bytes_are_counted_piece_by_piece_and_given_back() -> None:
    room = Room(10 * TOKEN_BYTES)
    first = Kept().extend(keep(6, room))
    assert room.used == 6 * TOKEN_BYTES
    one, other = first.extend(keep(2, room)), first.extend(keep(1, room))
    assert room.used == 9 * TOKEN_BYTES  # the beginning is there once
    assert keep_piece(build_layers(2), room) is None and room.used == 9 * TOKEN_BYTES
    del first, one
    gc.collect()
    assert room.used == 7 * TOKEN_BYTES
    del other
    gc.collect()
    assert room.used == 0


def test_a_cut_text_is_its_first_tokens() -> None:
    room = Room(10**6)
    kept = Kept().extend(keep(4, room)).extend(keep(3, room, start=4))
    assert kept.num_tokens == 7
    for count in range(9):
        cut = kept.cut(count)
        assert cut.num_tokens == min(count, 7)
        for layer in range(2):
            parts = list(cut.list_parts(layer))
            keys = [one for part, _ in parts for one in part[0, :, 0].tolist()]
            values = [one for _, part in parts for one in part[1, :, 2].tolist()]
            assert keys == [100 * layer + place for place in range(min(count, 7))]
            assert values == [-one for one in keys]


def test_a_copy_is_kept_and_not_the_batch() -> None:
    layers = build_layers(4)
    batch = [(keys.clone(), values.clone()) for keys, values in layers]
    piece = keep_piece([(keys[:, 1:3], values[:, 1:3]) for keys, values in batch], Room(10**6))
    assert piece is not None and piece.num_tokens == 2
    for keys, values in batch:
        keys.zero_()
        values.zero_()
    assert piece.layers[0][0][0, :, 0].tolist() == [1, 2]
    assert piece.layers[0][0].untyped_storage().nbytes() == 2 * 2 * 3 * 4


@pytest.mark.parametrize("size", [3, 11])
def test_room_is_made_only_for_what_can_fit(size: int) -> None:
    asked: list[int] = []
    room = Room(10 * TOKEN_BYTES, asked.append)
    held = keep(8, room)
    assert keep_piece(build_layers(size), room) is None
    assert asked == ([] if size > 10 else [TOKEN_BYTES]) and held.num_tokens == 8
