"""Layers that choose among tokens are checked while they choose, also if they take all of a short text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from rmr1.attention.decode import grouped_attention
from rmr1.attention.proof.judging import judging_paths
from rmr1.attention.proof.probe import Probe, undisturbed
from rmr1.attention.proof.selecting import HIDDEN, find_choices
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode
from rmr1.train.row import prove_packing
from tests.zoo.configs import Case, build_model

TOKENS = range(5, 160)
SPARSE = {"layer_types": ["full_attention", "minimax_m3_sparse"] * 2, "index_n_heads": 2}


def build(kind: str, **changes: Any) -> PreTrainedModel:
    return build_model(Case(name=kind, kind=kind, changes=changes))


@pytest.mark.parametrize(
    ("kind", "changes", "number", "stretch"),
    [
        ("deepseek_v32", {"index_topk": 2048}, 1, 1),  # its router is another call
        ("qwen4_exp_text", {}, 1, 1),
        ("minimax_m3_vl_text", {**SPARSE, "index_block_size": 8, "index_topk_blocks": 16}, 1, 1),
        # 1,100 tokens are 9 blocks; three are 366.7 tokens, 15.3 times 24
        ("minimax_m3_vl_text", {**SPARSE, "index_block_size": 128, "index_topk_blocks": 16}, 1, 16),
        ("doge", {"keep_window_size": 12}, 1, 1),
        ("deepseek_v3", {}, 0, 1),
        ("mixtral", {}, 0, 1),
        ("llama", {}, 0, 1),
    ],
)
def test_what_chooses_among_tokens_is_told_from_what_chooses_experts(
    kind: str, changes: dict[str, Any], number: int, stretch: int
) -> None:
    with torch.no_grad():
        choices = find_choices(build(kind, **changes), TOKENS, 4096)
    assert (len(choices.places), choices.stretch, choices.is_hidden) == (number, stretch, False)


def test_a_choice_that_begins_in_long_texts_is_found_by_running_one() -> None:
    model = build("doge", keep_window_size=200)
    with torch.no_grad():
        assert not find_choices(model, TOKENS, 200).is_hidden  # no text is long enough
        assert find_choices(model, TOKENS, 300).is_hidden
    paths = judging_paths(model)
    assert paths.padding == "none" and not paths.caches and HIDDEN in paths.notes[-1]
    proven = prove_packing(model)
    assert not proven.joins and HIDDEN in proven.notes[-1]


@pytest.mark.parametrize(("kind", "kept"), [("deepseek_v32", 64), ("glm_moe_dsa", 12), ("glm_moe_dsa", 2048)])
def test_sparse_attention_stays_sparse_however_much_it_keeps(kind: str, kept: int) -> None:
    """These kinds choose only if their attention is called 'eager' or 'sdpa', and are dense under any other name."""
    model = build(kind, index_topk=kept, index_n_heads=16)
    paths = judging_paths(model)
    assert not paths.groups and not paths.shares and paths.caches
    (note,) = paths.notes
    assert "its library's is taken" in note and "\n" not in note
    prompt = [5 + (7 * place) % 150 for place in range(90)]
    request = PromptRequest(tokens=prompt, max_new_tokens=6, rows=[RowRequest(), RowRequest(seed=1)])
    drawn = decode(
        model, [request], SamplingParams(temperature=1.0), end_tokens=frozenset(), with_logprobs=True
    )
    for row in drawn[0]:
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *row.tokens]])
            every = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        wanted = every[range(6), row.tokens]
        torch.testing.assert_close(torch.tensor(row.logprobs), wanted, atol=1e-4, rtol=1e-4)


def test_ties_that_fall_otherwise_in_longer_texts_are_seen_though_short_texts_are_kept_whole() -> None:
    model = build("deepseek_v32", index_topk=2048, index_n_heads=2)  # of two heads both scores are often 0
    with pytest.raises(ValueError, match="depends on later ones"):
        judging_paths(model)


def test_a_probe_reads_texts_by_the_library_whatever_the_model_attends_by() -> None:
    model = build("deepseek_v32", index_topk=4, index_n_heads=16)
    with undisturbed(model):
        with grouped_attention(model):
            probe = Probe(model, lambda ids: model(input_ids=ids, use_cache=False).logits)
            truth = probe.alone(probe.texts[0])
            dense = probe.read(probe.texts[0])
            assert model.config._attn_implementation == "rmr1_grouped"
        same = model(input_ids=torch.tensor([probe.texts[0]]), use_cache=False).logits[0]
    torch.testing.assert_close(truth.numbers, same)
    assert float((dense - same).abs().max()) > 0.1
