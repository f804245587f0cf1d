"""A packed row gives what its documents give one at a time: loss and the gradient of every parameter."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from rmr1.attention.packed import NAME, pack, packed_attention, share_rows
from rmr1.errors import ConfigError
from rmr1.train.row import Example, Row, RowLoss, build_row
from tests.tiny_models import build_model

RAGGED = ((7, 5), (41, 1), (1, 23), (19, 30), (3, 2))
"""Tokens of prompt and judgment of each document."""


def make_examples(shapes=RAGGED, *, vocab_size: int = 512, seed: int = 0) -> list[Example]:
    draw = random.Random(seed)
    return [
        Example(tokens=tuple(draw.randrange(vocab_size) for _ in range(prompt + own)), num_prompt=prompt)
        for prompt, own in shapes
    ]


def measure(module: RowLoss, rows: list[Row]) -> tuple[float, dict[str, torch.Tensor]]:
    module.zero_grad()
    loss = torch.stack([module(row) for row in rows]).sum()
    loss.backward()
    return loss.item(), {
        name: parameter.grad.clone()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def expect_equal(found, wanted, *, tolerance: float = 1e-5) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=tolerance)
    assert found[1].keys() == wanted[1].keys() and wanted[1]
    for name, gradient in wanted[1].items():
        distance = (found[1][name] - gradient).norm() / gradient.norm().clamp(min=1e-12)
        assert distance < tolerance, name


def one_at_a_time(model: PreTrainedModel, examples: list[Example]):
    """The model's own attention and output layer, one document per forward."""
    model.zero_grad()
    total = torch.zeros(())
    for example in examples:
        ids = torch.tensor([example.tokens])
        logits = model(input_ids=ids, use_cache=False).logits[0, example.num_prompt - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(
            logits, ids[0, example.num_prompt :], reduction="sum"
        )
    total.backward()
    return total.item(), {
        f"model.{name}": parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_packed_equals_one_document_at_a_time(kind: str, checkpointing: bool, is_tied: bool) -> None:
    model = build_model(kind, initializer_range=0.1, tie_word_embeddings=is_tied).train()
    examples = make_examples()
    wanted = one_at_a_time(model, examples)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with packed_attention(model):
        assert model.config._attn_implementation == NAME
        expect_equal(measure(RowLoss(model), [build_row(examples)]), wanted)
        split = [build_row(examples[:2]), build_row(examples[2:])]
        expect_equal(measure(RowLoss(model), split), wanted)
    assert model.config._attn_implementation == "sdpa"


def test_packed_equals_the_stock_function_under_a_full_mask() -> None:
    model = build_model(initializer_range=0.1).train()
    row = build_row(make_examples())
    module = RowLoss(model)
    document = torch.repeat_interleave(torch.arange(len(RAGGED)), torch.tensor(row.document_lengths))
    mask = (document[:, None] == document[None, :]).tril()[None, None]
    hidden = model.model(input_ids=row.input_ids, attention_mask=mask, position_ids=row.position_ids)[0]
    logits = model.lm_head(hidden[0, row.places])
    loss = torch.nn.functional.cross_entropy(logits, row.targets, reduction="sum")
    loss.backward()
    wanted = loss.item(), {name: one.grad.clone() for name, one in module.named_parameters()}
    with packed_attention(model):
        expect_equal(measure(module, [row]), wanted)


def test_packed_adapters_equal_one_document_at_a_time() -> None:
    peft = pytest.importorskip("peft")
    model = build_model(initializer_range=0.1)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    ).train()
    base = adapted.get_base_model()
    examples = make_examples()
    wanted = one_at_a_time(base, examples)
    assert all("lora" in name for name in wanted[1])
    for checkpointing in (False, True):
        if checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": False})
        with packed_attention(base):
            expect_equal(measure(RowLoss(base), [build_row(examples)]), wanted)


def test_sliding_windows_are_kept() -> None:
    model = build_model(initializer_range=0.1, use_sliding_window=True, sliding_window=8, max_window_layers=1)
    examples = make_examples()
    wanted = one_at_a_time(model, examples)
    with packed_attention(model):
        expect_equal(measure(RowLoss(model), [build_row(examples)]), wanted)


def test_a_document_does_not_see_its_neighbours() -> None:
    model = build_model().eval()
    first, second = make_examples(((6, 4), (5, 6)))
    other = Example(tokens=tuple(reversed(first.tokens)), num_prompt=6)
    with packed_attention(model), torch.no_grad():
        hidden = [
            model.model(
                input_ids=row.input_ids,
                position_ids=row.position_ids,
                document_lengths=row.document_lengths,
                use_cache=False,
            )[0][0, 10:]
            for row in (build_row([first, second]), build_row([other, second]))
        ]
    assert torch.equal(*hidden)


def test_what_a_row_holds() -> None:
    row = build_row([Example(tokens=(5, 6, 7), num_prompt=1), Example(tokens=(8, 9), num_prompt=1)])
    assert row.input_ids.tolist() == [[5, 6, 7, 8, 9]]
    assert row.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert row.places.tolist() == [0, 1, 3] and row.targets.tolist() == [6, 7, 9]
    assert row.document_lengths == (3, 2)


def test_lengths_that_do_not_fill_the_row_are_refused() -> None:
    model = build_model()
    with packed_attention(model), pytest.raises(ConfigError, match="documents of 3 tokens in a row of 4"):
        model.model(input_ids=torch.tensor([[1, 2, 3, 4]]), document_lengths=(3,), use_cache=False)


def test_first_fit_decreasing() -> None:
    assert pack([3, 5, 2, 4], row_tokens=7) == [[1, 2], [3, 0]]
    assert pack([9, 1, 9], row_tokens=4) == [[0], [2], [1]]
    assert pack([], row_tokens=4) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(10, 60))
def test_packing_loses_nothing_and_keeps_the_budget(lengths: list[int], row_tokens: int) -> None:
    rows = pack(lengths, row_tokens)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(len(row) == 1 or sum(lengths[index] for index in row) <= row_tokens for row in rows)
    # First fit: what opens a row did not fit into any row before it.
    for later in range(1, len(rows)):
        opener = lengths[rows[later][0]]
        for row in rows[:later]:
            bigger = [index for index in row if (-lengths[index], index) < (-opener, rows[later][0])]
            assert sum(lengths[index] for index in bigger) + opener > row_tokens


def test_rows_are_shared_evenly() -> None:
    shares = share_rows([4.0, 3.0, 2.0, 1.0, 6.0], 2)
    assert shares == [[4, 2], [0, 1, 3]]
    assert share_rows([1.0], 3) == [[0], [], []]
