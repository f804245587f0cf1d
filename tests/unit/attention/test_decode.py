"""The decoding attention is the stock one without its copies."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rmr1.attention.decode import attend, grouped_attention

ROWS, HEADS, SIZE, TOKENS = 3, 6, 8, 11


@pytest.mark.parametrize("key_heads", [1, 2, 3, 6])
@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize("mask", ["none", "boolean", "added", "per head"])
def test_it_equals_the_stock_function(key_heads: int, queries: int, mask: str) -> None:
    torch.manual_seed(0)
    query = torch.randn(ROWS, HEADS, queries, SIZE)
    key, value = torch.randn(2, ROWS, key_heads, TOKENS, SIZE).unbind()
    keep = torch.rand(ROWS, 1, queries, TOKENS) > 0.3
    keep[..., -1] = True
    given = {
        "none": None,
        "boolean": keep,
        "added": torch.where(keep, 0.0, float("-inf")),
        "per head": torch.randn(ROWS, HEADS, queries, TOKENS),
    }[mask]
    module = SimpleNamespace(num_key_value_groups=HEADS // key_heads, is_causal=True)
    found, _ = attend(module, query, key, value, given, scaling=0.3)  # type: ignore[arg-type]
    wanted, _ = sdpa_attention_forward(module, query, key, value, given, scaling=0.3)  # type: ignore[arg-type]
    assert found.shape == (ROWS, queries, HEADS, SIZE)
    torch.testing.assert_close(found, wanted)


def test_the_model_is_left_as_it_was() -> None:
    config = Qwen2Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    model = Qwen2ForCausalLM(config)
    assert model.config._attn_implementation == "sdpa"

    def fail() -> None:
        with grouped_attention(model):
            assert model.config._attn_implementation == "rmr1_grouped"
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    with grouped_attention(model):
        assert model.config._attn_implementation == "eager"
