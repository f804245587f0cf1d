"""Texts that go on from what was kept say what they say when all of it is read again."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from rmr1.attention.kept import Kept, Room, keep_piece
from rmr1.attention.proof.judging import judging_paths
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.continuing import KeptTexts
from rmr1.engines.hf.decode import PromptRequest, RowRequest, Sampled, decode, score_tokens
from tests.tiny_models import build_kind, build_model

DRAWN = SamplingParams(temperature=1.0)
GOES_ON = ("qwen2", "llama", "gemma", "qwen3", "mixtral", "granite", "phi", "nemotron")
READS_AGAIN = ("gemma2", "gemma4", "lfm2", "mamba", "rwkv", "minimax", "falcon_h1", "mistral, short window")
"""Layers that keep less than everything, or something else."""
PROMPTS = [[7, 8], list(range(20, 50)), [60, 2, 17] * 4, [9] * 5]
WIDE = Room(1 << 30)


def write(
    model: Any, prompts: Sequence[PromptRequest], room: Room | None = None, params: SamplingParams = DRAWN
) -> list[list[Sampled]]:
    return decode(model, prompts, params, end_tokens=(), with_logprobs=True, room=room)


def begin(model: Any, limits: Sequence[int], room: Room) -> list[tuple[list[int], Kept | None]]:
    """A text of each prompt, and what is kept of it."""
    requests = [
        PromptRequest(tokens=prompt, max_new_tokens=limit, rows=[RowRequest(seed=limit, keeps=True)])
        for prompt, limit in zip(PROMPTS, limits, strict=True)
    ]
    texts = write(model, requests, room)
    return [([*prompt, *row.tokens], row.kept) for prompt, (row,) in zip(PROMPTS, texts, strict=True)]


def assert_same(found: list[list[Sampled]], wanted: list[list[Sampled]]) -> None:
    for rows, others in zip(found, wanted, strict=True):
        for one, other in zip(rows, others, strict=True):
            assert one.tokens == other.tokens
            torch.testing.assert_close(
                torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=2e-4, rtol=0
            )


@pytest.mark.parametrize("name", GOES_ON)
def test_what_follows_is_the_same(name: str) -> None:
    """Texts of different lengths, of which the last tokens come otherwise, and rows that end one after the other."""
    model = build_kind(name)
    assert judging_paths(model).continues and judging_paths(model).notes == ()
    begun = begin(model, [9, 1, 14, 4], WIDE)
    for (text, kept), prompt in zip(begun, PROMPTS, strict=True):
        assert kept is not None and kept.num_tokens == len(text) - 1 >= len(prompt)
    for repeats in (1, 3):
        requests = []
        for number, (text, kept) in enumerate(begun):
            assert kept is not None
            same = kept.cut(kept.num_tokens - number)  # as if the seam had been split otherwise
            text = [*text[: same.num_tokens], *range(3, 5 + number)]
            rows = [RowRequest(seed=seed, keeps=True) for seed in range(repeats)]
            requests.append(PromptRequest(tokens=text, max_new_tokens=5 + 2 * number, rows=rows, begun=same))
        found = write(model, requests, WIDE)
        assert_same(found, write(model, [replace(one, begun=None) for one in requests]))
        # And on from there, one of them alone.
        for request, rows in zip(requests, found, strict=True):
            assert rows[-1].kept is not None
            text = [*request.tokens, *rows[-1].tokens, 11]
            assert rows[-1].kept.num_tokens == len(text) - 2
            last = PromptRequest(
                tokens=text, max_new_tokens=4, rows=[RowRequest(seed=1)], begun=rows[-1].kept
            )
            assert_same(write(model, [last]), write(model, [replace(last, begun=None)]))


@pytest.mark.parametrize("name", READS_AGAIN)
def test_what_cannot_be_kept_is_read_again(name: str) -> None:
    model = build_kind(name)
    assert not judging_paths(model).continues
    assert [kept for _, kept in begin(model, [3, 4, 5, 6], WIDE)] == [None] * 4


@pytest.mark.parametrize("name", ["dynamic rope", "longrope"])
def test_nothing_is_kept_of_texts_whose_positions_turn_otherwise(name: str) -> None:
    model = build_kind(name)
    begun = begin(model, [3, 3, 3, 3], WIDE)  # the longest is beyond the border of 32 tokens
    assert [kept for _, kept in begun] == [None] * 4
    short = PromptRequest(tokens=PROMPTS[0], max_new_tokens=3, rows=[RowRequest(keeps=True)])
    ((row,),) = write(model, [short], WIDE)
    assert row.kept is not None
    text = [*PROMPTS[0], *row.tokens]
    for more in (3, 60):
        longer = PromptRequest(tokens=text, max_new_tokens=more, rows=[RowRequest()], begun=row.kept)
        assert_same(write(model, [longer]), write(model, [replace(longer, begun=None)]))


def test_rows_of_a_prompt_hold_its_beginning_together() -> None:
    model, room = build_model("qwen2"), Room(1 << 30)
    rows = [RowRequest(seed=seed, keeps=True) for seed in range(4)]
    ((*texts,),) = write(model, [PromptRequest(tokens=PROMPTS[1], max_new_tokens=6, rows=rows)], room)
    pieces = [text.kept.pieces for text in texts if text.kept is not None]
    assert len({id(own[0][0]) for own in pieces}) == 1 and len({id(own[1][0]) for own in pieces}) == 4
    each = room.used / (len(PROMPTS[1]) + 4 * 5)
    room.limit = int(each * (len(PROMPTS[1]) + 5))
    del pieces, texts
    gc.collect()
    assert room.used == 0
    ((*texts,),) = write(model, [PromptRequest(tokens=PROMPTS[1], max_new_tokens=6, rows=rows)], room)
    assert [text.kept.num_tokens for text in texts if text.kept is not None] == [35, 30, 30, 30]


def test_what_follows_a_beginning_without_room_is_not_kept() -> None:
    model, room = build_model("qwen2"), Room(1 << 30)
    kept = begin(model, [4, 4, 4, 4], room)[0][1]
    assert kept is not None
    gc.collect()
    token = room.used // kept.num_tokens
    room.limit = room.used + 4 * token  # for what is written, not for what is left to read
    text = [*PROMPTS[0], *range(90, 120)]
    rest = PromptRequest(
        tokens=text, max_new_tokens=3, rows=[RowRequest(keeps=True)], begun=kept.cut(len(PROMPTS[0]))
    )
    ((row,),) = write(model, [rest], room)
    assert row.kept is not None and row.kept.num_tokens == len(PROMPTS[0])


def test_forced_rows_have_the_logprobs_of_a_full_pass() -> None:
    model = build_model("llama")
    spellings = [[5, 9, 300], [5, 10], [80]]
    rows = [RowRequest(forced=one, probe=lambda token: (token,)) for one in spellings]
    request = PromptRequest(tokens=PROMPTS[2], max_new_tokens=3, rows=rows)
    ((*found,),) = decode(model, [request], SamplingParams(), end_tokens=(9, 300))
    assert [row.tokens for row in found] == spellings
    for row, wanted in zip(found, score_tokens(model, PROMPTS[2], spellings), strict=True):
        assert [row.probes[place][0] for place in range(len(wanted))] == pytest.approx(wanted, abs=1e-4)


def keep(num_tokens: int, texts: KeptTexts) -> Kept | None:
    piece = keep_piece([(torch.zeros(1, num_tokens, 1), torch.zeros(1, num_tokens, 1))], texts.room)
    return None if piece is None else Kept().extend(piece)


def test_what_both_begin_with_is_taken_once() -> None:
    texts = KeptTexts(1000)
    texts.put("a", [1, 2, 3, 4, 5], keep(4, texts))
    kept = texts.take("a", [1, 2, 9, 4, 5])
    assert kept is not None and kept.num_tokens == 2 and texts.num_spared == 2
    assert texts.take("a", [1, 2, 9, 4, 5]) is None and texts.take("b", [1]) is None
    texts.put("a", [1, 2, 3, 4], keep(4, texts))
    kept = texts.take("a", [1, 2, 3, 4])
    assert kept is not None and kept.num_tokens == 3  # the last token's logits are wanted
    texts.put("a", [1, 2, 3], keep(3, texts))
    assert texts.take("a", [7, 2, 3]) is None
    texts.put("a", [1, 2, 3], None)
    assert texts.take("a", [1, 2, 3]) is None


def test_texts_that_nobody_went_on_with_make_room() -> None:
    texts = KeptTexts(10 * 8)
    texts.begin_round()
    texts.put("old", [1] * 6, keep(6, texts))
    texts.begin_round()
    texts.put("young", [1] * 4, keep(4, texts))
    assert keep(1, texts) is None  # "old" may still be asked for
    texts.begin_round()
    texts.put("new", [1] * 6, keep(6, texts))
    assert texts.take("old", [1] * 6) is None
    assert texts.take("young", [1] * 9) is not None and texts.take("new", [1] * 9) is not None
