"""The self-check: what is right for a model stays fast, what is not takes the slow way or is said, never computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from rmr1.attention.groups import Group, build_group_row
from rmr1.attention.proof.ask import ask_layers, find_turning
from rmr1.attention.proof.judging import judging_paths
from rmr1.attention.proof.probe import Probe, undisturbed
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode, score_tokens
from rmr1.errors import ConfigError
from rmr1.train.grpo.logprobs import GroupLogprobs, prove_groups
from rmr1.train.row import Example, RowLoss, build_row, prove_packing
from tests.tiny_models import build_kind

EXACT = ("qwen2", "llama", "gemma", "qwen3", "mixtral")
LENGTHS = ((12, 5), (5, 9), (20, 4), (7, 7))
"""Tokens of prompt and answer of the texts of a batch."""
LONG = ((24, 16), (5, 9), (30, 12), (7, 7))
"""Beyond 32 tokens and below."""

PACKS: dict[str, tuple[bool, bool]] = {
    "gemma2": (False, False),
    "gemma4": (True, False),
    "granite": (True, False),
    "phi": (True, False),
    "nemotron": (False, True),
    "lfm2": (False, True),
    "mamba": (False, True),
    "rwkv": (False, True),
    "minimax": (False, True),
    "falcon_h1": (False, False),
    "qwen2_moe, window": (False, True),
    "phimoe, window": (False, True),
    "mistral, short window": (True, True),
}
"""Whether texts share a row, and whether logits are hidden states times a matrix."""


def make_texts(lengths: Any = LENGTHS) -> list[tuple[list[int], list[int]]]:
    draw = torch.Generator().manual_seed(1)
    return [
        tuple(torch.randint(3, 128, (size,), generator=draw).tolist() for size in pair)  # type: ignore[misc]
        for pair in lengths
    ]


@torch.no_grad()
def score_alone(model: PreTrainedModel, prompt: list[int], own: list[int]) -> torch.Tensor:
    """Log-probabilities of `own` after `prompt`, by the model itself."""
    if (turning := find_turning(model)) is not None:
        turning.reset()  # rotations that remember the longest text forget it
    logits = model(input_ids=torch.tensor([[*prompt, *own]]), use_cache=False).logits[0].float()
    logprobs = logits[len(prompt) - 1 : -1].log_softmax(dim=-1)
    return logprobs.gather(-1, torch.tensor(own)[:, None])[:, 0]


@torch.no_grad()
def score_next(model: PreTrainedModel, text: list[int]) -> torch.Tensor:
    """Log-probabilities of the token after `text`, by the model itself."""
    if (turning := find_turning(model)) is not None:
        turning.reset()
    return model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].float().log_softmax(dim=-1)


@pytest.mark.parametrize("name", EXACT)
def test_exact_models_take_the_fast_ways(name: str) -> None:
    model = build_kind(name)
    paths = judging_paths(model)
    assert (paths.padding, paths.shares, paths.caches, paths.notes) == ("right", True, True, ())
    for found in (prove_packing(model), prove_groups(model)):
        assert (found.joins, found.by_matrix, found.notes) == (True, True, ())


@pytest.mark.parametrize("name", PACKS)
def test_what_a_row_may_not_do_is_found(name: str) -> None:
    model = build_kind(name)
    joins, by_matrix = PACKS[name]
    for found in (prove_packing(model), prove_groups(model)):
        assert (found.joins, found.by_matrix) == (joins, by_matrix)
        assert len(found.notes) >= (not joins) + (not by_matrix)
        assert all(type(model).__name__ in note and "\n" not in note for note in found.notes)


@pytest.mark.parametrize("name", [*EXACT, *PACKS, "dynamic rope", "longrope"])
def test_the_loss_of_a_row_is_that_of_its_texts(name: str) -> None:
    texts = make_texts(LONG if "rope" in name else LENGTHS)
    model = build_kind(name)
    module = RowLoss(model)
    row = build_row([Example(tokens=(*prompt, *own), num_prompt=len(prompt)) for prompt, own in texts])
    with module.attention():
        found = module(row)
    wanted = -sum(float(score_alone(model, *text).sum()) for text in texts)
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-5)
    found.backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


@pytest.mark.parametrize("name", [*EXACT, *PACKS, "dynamic rope", "longrope"])
def test_completions_have_the_logprobs_of_texts_alone(name: str) -> None:
    prompts = make_texts(((12, 1), (24, 1)))
    endings = [own for _, own in make_texts(((1, 5), (1, 9), (1, 12)))]
    groups = [Group(prompt=prompt, completions=endings) for prompt, _ in prompts]
    model = build_kind(name)
    module = GroupLogprobs(model)
    with module.attention(), torch.no_grad():
        found, entropies = module(build_group_row(groups))
    wanted = torch.cat(
        [score_alone(model, list(one.prompt), list(own)) for one in groups for own in one.completions]
    )
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)
    assert (entropies > 0).all()


@pytest.mark.parametrize("name", [*EXACT, *PACKS, "dynamic rope", "longrope"])
def test_what_is_written_has_the_logprobs_of_texts_alone(name: str) -> None:
    model = build_kind(name)
    requests = [
        PromptRequest(
            tokens=prompt,
            max_new_tokens=14,
            rows=[
                RowRequest(seed=10 * len(prompt) + sample, watch=end_after(6 + 4 * sample))
                for sample in range(3)
            ],
        )
        for prompt, _ in make_texts(((12, 1), (5, 1), (24, 1)))
    ]
    drawn = decode(model, requests, SamplingParams(temperature=1.0), end_tokens=(), with_logprobs=True)
    for request, rows in zip(requests, drawn, strict=True):
        for row in rows:
            # Each token by the text so far, on which rotations may depend.
            before = [[*request.tokens, *row.tokens[:place]] for place in range(len(row.tokens))]
            pairs = zip(before, row.tokens, strict=True)
            wanted = torch.stack([score_next(model, text)[token] for text, token in pairs])
            torch.testing.assert_close(torch.tensor(row.logprobs), wanted, atol=2e-4, rtol=0)
    prompt, own = make_texts()[0]
    spellings = [own, own[:2]]
    for values, spelling in zip(score_tokens(model, prompt, spellings), spellings, strict=True):
        torch.testing.assert_close(
            torch.tensor(values), score_alone(model, prompt, spelling), atol=2e-4, rtol=0
        )


def end_after(count: int) -> Callable[[int], bool]:
    left = iter(range(count - 1, -1, -1))
    return lambda token: next(left) == 0


@pytest.mark.parametrize("name", ["mamba", "rwkv", "minimax"])
def test_slow_ways_of_writing_are_told_in_one_line(name: str) -> None:
    (note,) = judging_paths(build_kind(name)).notes
    assert "one at a time" in note and "\n" not in note


def test_dropped_caps_take_attention_that_is_written_out() -> None:
    """Their scores are far too small for the cap to show: large ones are put to the layers."""
    model = build_kind("gemma2", initializer_range=0.02)
    assert model.config._attn_implementation == "sdpa"
    (note,) = judging_paths(model).notes
    assert "'eager'" in note and model.config._attn_implementation == "eager"


def test_a_window_beyond_every_probe_is_asked_for() -> None:
    text = list(range(5, 25))
    told, hidden = build_kind("mistral, short window", sliding_window=100), build_kind("phimoe, window")
    for model, tells in ((told, True), (hidden, False)):
        with undisturbed(model):
            layers = ask_layers(model, text)
        assert layers.is_asked and not layers.see_all(256)
        assert layers.tell_windows(256) is tells
        assert layers.see_all(100) and layers.tell_windows(100)  # no text is long enough to meet it


@pytest.mark.parametrize("name", ["dynamic rope", "longrope"])
def test_rotations_that_depend_on_the_length_are_asked_for(name: str) -> None:
    model = build_kind(name)
    turning = find_turning(model)
    assert turning is not None and turning.border == 32
    assert not turning.is_changed(20) and turning.is_changed(33)
    assert turning.is_changed(40) is (name == "dynamic rope")
    assert judging_paths(model).within(32).turning is None
    assert judging_paths(model).within(33).padding == "none"
    for other in EXACT:
        assert find_turning(build_kind(other)) is None


@pytest.mark.parametrize("name", ["qwen2", "llama", "gemma"])
def test_rounding_to_16_bits_is_no_fault(name: str) -> None:
    for seed in range(10):
        model = build_kind(name, seed=seed, initializer_range=0.25, num_hidden_layers=4).to(torch.bfloat16)
        assert judging_paths(model).notes == ()
        assert prove_packing(model).notes == prove_groups(model).notes == ()


@pytest.mark.parametrize("name", ["lfm2", "nemotron"])
def test_lost_state_is_a_fault_in_16_bits_too(name: str) -> None:
    assert not prove_packing(build_kind(name).to(torch.bfloat16)).joins


def test_a_model_that_looks_ahead_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_kind("qwen2")
    forward = model.forward

    def ahead(**inputs: Any) -> Any:
        found = forward(**inputs)
        found.logits = found.logits + found.logits.mean(dim=1, keepdim=True)
        return found

    monkeypatch.setattr(model, "forward", ahead)
    with pytest.raises(ConfigError, match=r"Qwen2ForCausalLM: .* depends on later ones") as caught:
        judging_paths(model)
    assert "\n" not in str(caught.value)


def test_one_token_that_is_ill_conditioned_hides_no_other() -> None:
    model = build_kind("qwen2")
    with undisturbed(model):
        probe = Probe(model, lambda ids: model(input_ids=ids, use_cache=False).logits)
        noise = torch.cat([probe.alone(text).noise for text in probe.texts])
    assert float(noise.min()) > 9e-7
    assert probe.noise < 1e-5


def test_the_check_leaves_nothing_behind() -> None:
    model = build_kind("qwen2", attention_dropout=0.5).train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    judging_paths(model)
    prove_packing(model)
    prove_groups(model)
    assert torch.equal(torch.rand(4), wanted)
    assert [module.training for module in model.modules()] == modes
    assert all(one.grad is None for one in model.parameters())
    assert model.config._attn_implementation == "sdpa"
    assert not model.get_input_embeddings()._forward_hooks


def test_a_model_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_kind("qwen2")
    first = judging_paths(model)
    monkeypatch.setattr(model, "forward", None)
    assert judging_paths(model) is first
