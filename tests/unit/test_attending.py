"""The attention of a model is the right one of those it has, by what it computes and not by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PreTrainedModel,
    Qwen2ForSequenceClassification,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rmr1.engines.proof.attending import set_attention
from rmr1.engines.proof.judging import judging_paths
from rmr1.engines.proof.scoring import prove_scoring
from rmr1.errors import ConfigError
from rmr1.train.grpo.logprobs import prove_groups
from rmr1.train.row import Example, RowLoss, build_row, prove_packing
from tests.tiny_models import build_kind, build_scorer
from tests.zoo.configs import Case, build_model

ALIBI = Case(name="alibi", kind="falcon", changes={"alibi": True, "num_kv_heads": 4})
TEXT = torch.randint(5, 150, (1, 20), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("attention", "times"), [("sdpa", 1.0), ("eager", 2.0)])
@torch.no_grad()
def test_falcon_adds_alibi_once_by_sdpa_and_twice_written_out(attention: str, times: float) -> None:
    """Beside ALiBi by hand: slopes 1/4, 1/16, 1/64 and 1/256 of four heads, scaled as Falcon scales scores."""
    model: Any = build_model(ALIBI, attention=attention)
    layer = model.transformer.h[0].self_attention
    heard: list[tuple[torch.Tensor, torch.Tensor]] = []
    layer.register_forward_hook(lambda _, args, output: heard.append((args[0], output[0])))
    model(input_ids=TEXT, use_cache=False)
    ((hidden, found),) = heard
    length, heads, size = TEXT.shape[1], 4, 16
    fused = layer.query_key_value(hidden)[0].view(length, -1, size)
    query, key, value = fused[:, :heads], fused[:, heads], fused[:, heads + 1]
    scores = torch.einsum("qhd,kd->hqk", query, key)
    slopes = torch.tensor([1 / 4, 1 / 16, 1 / 64, 1 / 256])
    scores = (scores + times * slopes[:, None, None] * torch.arange(length)) / size**0.5
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(later, -torch.inf).softmax(dim=-1)
    wanted = layer.dense(torch.einsum("hqk,kd->qhd", weights, value).flatten(1))
    torch.testing.assert_close(found[0], wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("check", [judging_paths, prove_packing, prove_groups])
def test_a_bias_is_never_added_twice(check: Any) -> None:
    fast, written = build_model(ALIBI), build_model(ALIBI, attention="eager")
    assert fast.config._attn_implementation == "sdpa"
    assert not any("attention" in note.split(":")[1] for note in check(fast).notes)
    (note,) = (note for note in check(written).notes if "adds twice" in note)
    assert "FalconForCausalLM" in note and "'sdpa'" in note and "\n" not in note
    for model in (fast, written):
        assert model.config._attn_implementation == "sdpa"
    torch.testing.assert_close(
        written(input_ids=TEXT, use_cache=False).logits, fast(input_ids=TEXT, use_cache=False).logits
    )


def forgetful(module: torch.nn.Module, *args: Any, scaling: float | None = None, **kwargs: Any) -> Any:
    """Attention that leaves out half of the layer's scale."""
    assert scaling is not None
    return sdpa_attention_forward(module, *args, scaling=scaling / 2, **kwargs)


@pytest.fixture
def forgetful_name() -> Iterator[str]:
    AttentionInterface.register("forgetful", forgetful)
    AttentionMaskInterface.register("forgetful", AttentionMaskInterface()["sdpa"])
    yield "forgetful"
    for interface in (AttentionInterface, AttentionMaskInterface):
        del interface._global_mapping["forgetful"]


def told(model: PreTrainedModel, notes: tuple[str, ...]) -> None:
    (note,) = (note for note in notes if "'forgetful'" in note)
    assert "'eager' is taken" in note and type(model).__name__ in note and "\n" not in note
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("check", [judging_paths, prove_packing, prove_groups])
def test_attention_that_computes_otherwise_is_not_taken(
    check: Any, dtype: torch.dtype, forgetful_name: str
) -> None:
    model = build_kind("qwen2").to(dtype)
    set_attention(model, forgetful_name)
    told(model, check(model).notes)


def test_what_is_trained_is_the_written_out_model(forgetful_name: str) -> None:
    example = Example(tokens=TEXT[0].clamp(max=127).tolist(), num_prompt=5)
    losses = []
    for attention in ("eager", forgetful_name):
        model = build_kind("qwen2")
        set_attention(model, attention)
        losses.append(RowLoss(model)(build_row([example])).detach())
    torch.testing.assert_close(*losses)


def test_a_scorer_takes_the_right_attention_too(forgetful_name: str) -> None:
    model = build_scorer()
    assert isinstance(model, Qwen2ForSequenceClassification)
    set_attention(model, forgetful_name)

    def score(rows: Any, _: bool) -> torch.Tensor:
        return torch.cat([model(input_ids=torch.tensor([list(row)])).logits.float()[:, 0] for row in rows])

    told(model, prove_scoring(model, score, may_be_bare=True).notes)


@pytest.mark.parametrize("check", [prove_packing, prove_groups])
def test_a_library_that_does_not_train_a_length_is_refused_in_one_line(check: Any) -> None:
    model = build_model(Case(name="reformer", kind="reformer"))
    with pytest.raises(
        ConfigError, match=r"ReformerModelWithLMHead: a text of 71 tokens .* multiple"
    ) as caught:
        check(model)
    assert "\n" not in str(caught.value)
    assert not model.training and all(one.grad is None for one in model.parameters())


@pytest.mark.parametrize("check", [prove_packing, prove_groups])
def test_hidden_states_are_found_if_the_model_calls_itself_its_decoder(check: Any) -> None:
    model = build_model(Case(name="llama4", kind="llama4_text"))
    assert model.get_decoder() is model
    paths = check(model)
    assert (paths.joins, paths.by_matrix, paths.notes) == (True, True, ())
