"""Whole models: a packed row of groups against one row per completion through the stock attention."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from rmr1.attention.groups import Group, build_group_row, pack_groups
from rmr1.attention.shared_prompt import shared_prompt_attention
from rmr1.train.grpo.logprobs import GroupLogprobs
from tests.tiny_models import build_model

RAGGED = ((7, (5, 1, 12)), (41, (40, 3, 1, 17)), (12, (2, 2)))
SINGLE = ((9, (6,)),)
ONE_TOKEN = ((5, (1, 1, 1)), (1, (1,)))

Found = tuple[torch.Tensor, dict[str, torch.Tensor]]


def build(kind: str, **changes: Any) -> PreTrainedModel:
    if kind != "qwen3":
        return build_model(kind, initializer_range=0.1, **changes).train()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.1,
        **changes,
    )
    return Qwen3ForCausalLM(config).train()


def make_groups(shapes: Any, seed: int = 0) -> list[Group]:
    draw = random.Random(seed)

    def tokens(length: int) -> list[int]:
        return [draw.randrange(512) for _ in range(length)]

    return [
        Group(prompt=tokens(prompt), completions=[tokens(length) for length in lengths])
        for prompt, lengths in shapes
    ]


def make_weights(groups: list[Group]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(sum(group.num_sampled for group in groups), generator=generator)


def finish(model: PreTrainedModel, logprobs: torch.Tensor, groups: list[Group]) -> Found:
    """The log-probabilities, and the gradients of their sum under random weights."""
    model.zero_grad()
    (logprobs * make_weights(groups)).sum().backward()
    grads = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    return logprobs.detach(), grads


def one_at_a_time(model: PreTrainedModel, groups: list[Group], temperature: float = 1.0) -> Found:
    """The model's own attention and output layer, [prompt | completion] per forward."""
    assert model.config._attn_implementation == "sdpa"
    parts = []
    for group in groups:
        for completion in group.completions:
            ids = torch.tensor([[*group.prompt, *completion]])
            logits = model(input_ids=ids, use_cache=False).logits[0, len(group.prompt) - 1 : -1]
            logprobs = (logits / temperature).log_softmax(dim=-1)
            parts.append(logprobs.gather(-1, torch.tensor(completion)[:, None])[:, 0])
    return finish(model, torch.cat(parts), groups)


def packed(model: PreTrainedModel, groups: list[Group], **kwargs: Any) -> Found:
    with shared_prompt_attention(model):
        logprobs, entropies = GroupLogprobs(model, **kwargs)(build_group_row(groups))
        assert entropies.shape == logprobs.shape and not entropies.requires_grad
        return finish(model, logprobs, groups)


def expect_equal(found: Found, wanted: Found) -> None:
    assert (found[0] - wanted[0]).abs().max() < 1e-4
    assert found[1].keys() == wanted[1].keys() and wanted[1]
    for name, gradient in wanted[1].items():
        distance = (found[1][name] - gradient).norm() / gradient.norm().clamp(min=1e-12)
        # A bias of the keys moves no softmax: its gradient is nothing but rounding.
        assert distance < 1e-4 or (name.endswith("k_proj.bias") and gradient.norm() < 1e-3), name


@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_packed_equals_one_completion_at_a_time(kind: str, checkpointing: bool, is_tied: bool) -> None:
    model = build(kind, tie_word_embeddings=is_tied)
    groups = make_groups(RAGGED)
    wanted = one_at_a_time(model, groups)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    expect_equal(packed(model, groups), wanted)


@pytest.mark.parametrize("shapes", [SINGLE, ONE_TOKEN], ids=["one completion", "one token each"])
def test_small_groups(shapes: Any) -> None:
    model = build("qwen3")
    groups = make_groups(shapes)
    expect_equal(packed(model, groups), one_at_a_time(model, groups))


def test_temperature() -> None:
    model = build("llama")
    groups = make_groups(RAGGED)
    expect_equal(packed(model, groups, temperature=0.6), one_at_a_time(model, groups, 0.6))


def test_how_groups_are_packed_changes_nothing() -> None:
    model = build("llama")
    groups = make_groups(RAGGED)
    whole = packed(model, groups)[0].split([group.num_sampled for group in groups])
    rows = pack_groups(groups, 50)
    assert len(rows) == 2
    for row in rows:
        alone = packed(model, [groups[index] for index in row])[0]
        assert torch.allclose(alone, torch.cat([whole[index] for index in row]), atol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_adapters(checkpointing: bool) -> None:
    peft = pytest.importorskip("peft")
    model = build("qwen3", tie_word_embeddings=False)
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = peft.get_peft_model(model, config).train()
    base = adapted.get_base_model()
    groups = make_groups(RAGGED)
    wanted = one_at_a_time(base, groups)
    assert all("lora" in name for name in wanted[1])
    if checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    expect_equal(packed(base, groups), wanted)
    # The reference of a policy with adapters is the model without them, in the same row.
    with adapted.disable_adapter(), torch.no_grad():
        row = build_group_row(groups)
        with shared_prompt_attention(base):
            reference, _ = GroupLogprobs(base)(row)
        tokens = torch.tensor([[*groups[0].prompt, *groups[0].completions[0]]])
        logprobs = base(input_ids=tokens).logits[0, 6:-1].log_softmax(dim=-1)
    assert torch.allclose(reference[:5], logprobs.gather(-1, tokens[0, 7:, None])[:, 0], atol=1e-4)
    assert (reference - wanted[0]).abs().max() > 1e-2


def test_packed_equals_the_stock_function_under_a_full_mask() -> None:
    model = build("qwen2")
    groups = make_groups(RAGGED)
    row = build_group_row(groups)
    # Tokens of a group see its prompt (branch 0) and their own branch.
    owner = [
        (index, branch)
        for index, (prompt, lengths) in enumerate(row.layout)
        for branch, length in enumerate((prompt, *lengths))
        for _ in range(length)
    ]
    mask = torch.tensor(
        [[one[0] == other[0] and other[1] in (0, one[1]) for other in owner] for one in owner]
    ).tril()[None, None]
    hidden = model.model(input_ids=row.input_ids, attention_mask=mask, position_ids=row.position_ids)[0]
    logprobs = model.lm_head(hidden[0, row.places]).log_softmax(dim=-1)
    wanted = finish(model, logprobs.gather(-1, row.targets[:, None])[:, 0], groups)
    expect_equal(packed(model, groups), wanted)


def test_sliding_windows_are_kept() -> None:
    model = build("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1)
    groups = make_groups(RAGGED)
    expect_equal(packed(model, groups), one_at_a_time(model, groups))


def count_saved(compute: Any) -> int:
    """Numbers kept for backward, each piece of memory once, parameters among them."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(one: torch.Tensor) -> torch.Tensor:
        kept[one.untyped_storage().data_ptr()] = one.untyped_storage()
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        compute()
    return sum(storage.nbytes() for storage in kept.values())


def test_less_is_kept_for_backward() -> None:
    model = build("qwen3")
    groups = make_groups(((160, (20,) * 8),))
    rows = [torch.tensor([[*groups[0].prompt, *one]]) for one in groups[0].completions]
    outputs: list[Any] = []
    alone = count_saved(lambda: outputs.extend(model.model(input_ids=ids, use_cache=False) for ids in rows))
    with shared_prompt_attention(model):
        module = GroupLogprobs(model)
        together = count_saved(lambda: outputs.append(module(build_group_row(groups))))
    # 8 * 180 tokens against 160 + 8 * 20, a ratio of 4.5; the parameters count on both sides.
    assert alone > 3 * together
