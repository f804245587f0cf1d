"""Linear layers in oneDNN's order: the stock products, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf import reordered
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode
from rmr1.engines.hf.reordered import reordered_weights


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def model(request):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=request.param,
    )
    return Qwen2ForCausalLM(config).eval()


def sample(model):
    rows = [RowRequest(seed=seed) for seed in range(4)]
    requests = [
        PromptRequest(tokens=list(range(3, 3 + length)), max_new_tokens=12, rows=rows) for length in (40, 7)
    ]
    found = decode(model, requests, SamplingParams(temperature=1.0), end_tokens=(), with_logprobs=True)
    return [row for rows in found for row in rows]


def test_the_same_samples_and_log_probabilities(model):
    stock = sample(model)
    with reordered_weights(model) as count:
        # Of each layer the queries, the output and the three of the MLP; keys and values are too small; and the head.
        assert count == 2 * 5 + 1
        found = sample(model)
    assert [row.tokens for row in found] == [row.tokens for row in stock]
    for one, other in zip(found, stock, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert not [name for name, part in model.named_modules() if "forward" in vars(part)]


def test_new_weights_are_read_by_the_next_block(model):
    ids = torch.arange(5)[None]
    for _ in range(2):
        with torch.no_grad():
            model.lm_head.weight.mul_(2.0)
            expected = model(ids).logits
            with reordered_weights(model):
                found = model(ids).logits
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_is_not_float32_or_plain_stays(model):
    class Own(nn.Linear):
        pass

    with reordered_weights(model.bfloat16()) as count:
        assert count == 0
    with reordered_weights(nn.Sequential(Own(512, 512))) as count:
        assert count == 0
    plain = nn.Sequential(nn.Linear(512, 512))
    with torch.autocast("cpu", dtype=torch.bfloat16), reordered_weights(plain) as count:
        assert count == 0


@pytest.mark.parametrize("fault", ["missing", "wrong"])
def test_an_operator_that_is_missing_or_wrong_is_left_alone(fault, monkeypatch):
    def missing(*_):
        raise AttributeError("no such operator")

    def wrong(layer, order, values):
        return nn.functional.linear(values, layer.weight, layer.bias) * 1.01

    monkeypatch.setattr(reordered, "_multiply", missing if fault == "missing" else wrong)
    layer = nn.Linear(512, 512)
    values = torch.randn(3, 512)
    with reordered_weights(layer) as count:
        assert count == 0
        assert torch.equal(layer(values), nn.functional.linear(values, layer.weight, layer.bias))


def test_an_error_inside_leaves_the_model_as_it_was(model):
    with pytest.raises(ValueError, match="mine"), reordered_weights(model):
        raise ValueError("mine")
    assert not [name for name, part in model.named_modules() if "forward" in vars(part)]
