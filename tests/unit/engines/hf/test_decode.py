"""The decode loop on tiny random models: exact against the library's own, whatever the batch."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from rmr1.attention.shared_cache import GrowingLayer, build_cache
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, Sampled, choose_tokens, decode, score_tokens
from rmr1.errors import GenerationError
from tests.tiny_models import build_model

GREEDY = SamplingParams()
KINDS = ["qwen2", "llama"]
PROMPTS = [[7], [5, 6, 7, 8, 9], list(range(20, 60)), [300, 2, 17] * 4]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    return build_model(request.param)


def prompt(tokens: Sequence[int], *seeds: int, limit: int = 24, **row: Any) -> PromptRequest:
    rows = [RowRequest(seed=seed, **row) for seed in seeds or (0,)]
    return PromptRequest(tokens=tokens, max_new_tokens=limit, rows=rows)


def run(
    model: Any, *prompts: PromptRequest, params: SamplingParams = GREEDY, end: Sequence[int] = (), **more: Any
) -> list[list[Sampled]]:
    return decode(model, prompts, params, end_tokens=frozenset(end), **more)


def library_greedy(model: Any, tokens: Sequence[int], limit: int, end: int | None = None) -> list[int]:
    ids = torch.tensor([list(tokens)])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=0,
    )
    return output[0, len(tokens) :].tolist()


def test_greedy_is_the_librarys_alone_and_in_a_batch(model: Any) -> None:
    expected = [library_greedy(model, tokens, 24) for tokens in PROMPTS]
    assert len({tuple(tokens) for tokens in expected}) == len(expected)
    assert all(len(set(tokens)) > 5 for tokens in expected)
    assert [run(model, prompt(tokens))[0][0].tokens for tokens in PROMPTS] == expected
    assert [rows[0].tokens for rows in run(model, *map(prompt, PROMPTS))] == expected
    assert [rows[0].tokens for rows in run(model, *map(prompt, reversed(PROMPTS)))] == expected[::-1]


def test_rows_that_end_early_leave_the_others_alone(model: Any) -> None:
    """Limits of 1, 3, 9 and 24 make the batch shrink three times."""
    expected = [library_greedy(model, tokens, 24) for tokens in PROMPTS]
    limits = [3, 24, 1, 9]
    batch = [prompt(tokens, limit=limit) for tokens, limit in zip(PROMPTS, limits, strict=True)]
    found = run(model, *batch)
    assert [rows[0].tokens for rows in found] == [
        tokens[:limit] for tokens, limit in zip(expected, limits, strict=True)
    ]
    assert {rows[0].finish_reason for rows in found} == {"length"}


def test_end_tokens_end_a_row_and_are_kept(model: Any) -> None:
    plain = library_greedy(model, PROMPTS[1], 24)
    end = plain[5]
    at = plain.index(end)
    assert library_greedy(model, PROMPTS[1], 24, end) == plain[: at + 1]
    ended, _ = run(model, prompt(PROMPTS[1]), prompt(PROMPTS[2]), end=[end, 511])
    assert (ended[0].tokens, ended[0].finish_reason) == (plain[: at + 1], "stop")
    (exactly,) = run(model, prompt(PROMPTS[1], limit=at + 1), end=[end])
    assert exactly[0].finish_reason == "stop"


def test_watch_sees_every_token_and_ends_its_row_only(model: Any) -> None:
    plain = [library_greedy(model, tokens, 12) for tokens in PROMPTS[:2]]
    seen: list[int] = []

    def watch(token: int) -> bool:
        seen.append(token)
        return len(seen) == 4

    first, second = run(model, prompt(PROMPTS[0], limit=12, watch=watch), prompt(PROMPTS[1], limit=12))
    assert seen == plain[0][:4] == first[0].tokens
    assert (first[0].finish_reason, second[0].finish_reason) == ("stop", "length")
    assert second[0].tokens == plain[1]


SAMPLING = [
    SamplingParams(temperature=1.0),
    SamplingParams(temperature=0.7, top_p=0.9),
    SamplingParams(temperature=1.3, top_k=12),
    SamplingParams(temperature=1.0, top_k=30, top_p=0.8),
]


@pytest.mark.parametrize("params", SAMPLING)
def test_a_sample_depends_on_its_prompt_and_seed_alone(model: Any, params: SamplingParams) -> None:
    alone = {
        (index, seed): run(model, prompt(tokens, seed), params=params)[0][0].tokens
        for index, tokens in enumerate(PROMPTS)
        for seed in (1, 2)
    }
    together = run(model, *(prompt(tokens, 2, 1, 2) for tokens in PROMPTS), params=params)
    for index, rows in enumerate(together):
        assert [row.tokens for row in rows] == [alone[index, 2], alone[index, 1], alone[index, 2]]
        assert alone[index, 1] != alone[index, 2]


def test_seeds_do_not_matter_to_greedy(model: Any) -> None:
    (rows,) = run(model, prompt(PROMPTS[2], 1, 2, 3))
    assert rows[0].tokens == rows[1].tokens == rows[2].tokens == library_greedy(model, PROMPTS[2], 24)


def test_a_prompt_is_computed_once_for_its_samples(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    forward = model.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        shapes.append(tuple(kwargs["input_ids"].shape))
        outputs = forward(*args, **kwargs)
        assert outputs.logits.shape[1] == 1
        return outputs

    counted.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", counted)
    run(model, prompt(PROMPTS[2], *range(8), limit=5), params=SAMPLING[0])
    assert shapes == [(1, 40)] + [(8, 1)] * 4
    shapes.clear()
    # Two of eight rows end after the first token: a quarter, so the batch shrinks; the next one waits.
    limits = [1, 1, 2, 4, 4, 4, 4, 4]
    run(model, *(prompt([9, index + 1], limit=limit) for index, limit in enumerate(limits)))
    assert shapes == [(8, 2), (6, 1), (6, 1), (6, 1)]


def test_logprobs_are_those_of_a_full_pass(model: Any) -> None:
    for params in (GREEDY, SAMPLING[0], SAMPLING[1]):
        batch = [prompt(tokens, 1, 2, limit=10) for tokens in PROMPTS]
        for request, rows in zip(batch, run(model, *batch, params=params, with_logprobs=True), strict=True):
            for row in rows:
                whole = torch.tensor([[*request.tokens, *row.tokens]])
                logits = model(input_ids=whole).logits[0, len(request.tokens) - 1 : -1]
                expected = (logits / (params.temperature or 1.0)).log_softmax(dim=-1)
                expected = expected[torch.arange(len(row.tokens)), torch.tensor(row.tokens)]
                torch.testing.assert_close(torch.tensor(row.logprobs), expected, atol=1e-4, rtol=1e-4)


def test_probes_are_read_at_temperature_one(model: Any) -> None:
    request = prompt(PROMPTS[1], 3, limit=8, probe=lambda token: (token, 11, 12))
    ((row,), _) = run(model, request, prompt(PROMPTS[2]), params=SAMPLING[3])
    whole = torch.tensor([[*PROMPTS[1], *row.tokens]])
    expected = model(input_ids=whole).logits[0].log_softmax(dim=-1).detach()
    assert sorted(row.probes) == list(range(8))
    for index, values in row.probes.items():
        place = expected[len(PROMPTS[1]) - 1 + index]
        torch.testing.assert_close(
            torch.tensor(values), place[[row.tokens[index], 11, 12]], atol=1e-4, rtol=1e-4
        )


def test_score_tokens_is_a_full_pass_per_continuation(model: Any) -> None:
    continuations = [[4], [5, 6, 7], [8, 9]]
    for scores, tokens in zip(score_tokens(model, PROMPTS[2], continuations), continuations, strict=True):
        whole = torch.tensor([[*PROMPTS[2], *tokens]])
        expected = model(input_ids=whole).logits[0].log_softmax(dim=-1).detach()
        wanted = [float(expected[len(PROMPTS[2]) - 1 + index, token]) for index, token in enumerate(tokens)]
        assert scores == pytest.approx(wanted, abs=1e-4)


def test_sliding_windows_are_left_to_the_library() -> None:
    model = build_model(use_sliding_window=True, sliding_window=8, max_window_layers=1)
    kinds = [type(layer).__name__ for layer in build_cache(model).layers]
    assert kinds == ["GrowingLayer", "DynamicSlidingWindowLayer"]
    expected = [library_greedy(model, tokens, 20) for tokens in PROMPTS]
    assert [
        rows[0].tokens for rows in run(model, *(prompt(tokens, limit=20) for tokens in PROMPTS))
    ] == expected


def test_outputs_that_are_no_numbers_are_refused() -> None:
    model: Any = build_model()
    with torch.no_grad():
        model.get_input_embeddings().weight[9] = float("nan")
    with pytest.raises(GenerationError, match="not numbers"):
        run(model, prompt([9]))


def test_growing_layer_equals_the_stock_one() -> None:
    torch.manual_seed(0)
    ours: Any = GrowingLayer()
    stock: Any = DynamicLayer()
    for index in range(400):
        if index in (3, 200):
            rows = torch.tensor([1, 0, 1, 1] if index == 3 else [2, 0])
            ours.reorder_cache(rows)
            stock.reorder_cache(rows)
        count = stock.keys.shape[0] if index else 2
        length = 7 if index == 0 else 1
        keys, values = torch.randn(count, 2, length, 4), torch.randn(count, 2, length, 4)
        for found, expected in zip(ours.update(keys, values), stock.update(keys, values), strict=True):
            assert torch.equal(found, expected)
    assert ours.get_seq_length() == 406


LOGITS = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        # cumulative shares .5 .7 .9 1
        ({}, {0.0: 0, 0.49: 0, 0.51: 1, 0.69: 1, 0.71: 2, 0.91: 3, 0.999999: 3}),
        ({"top_k": 1}, {0.0: 0, 0.999999: 0}),
        # .5 of .7: .714
        ({"top_p": 0.6}, {0.7: 0, 0.72: 1, 0.999999: 1}),
        ({"top_p": 0.5}, {0.999999: 0}),
        ({"top_p": 1e-9}, {0.999999: 0}),
        ({"top_p": 0.95}, {0.91: 3}),
        # squares .25 .04 .04 .01 of .34
        ({"temperature": 0.5}, {0.73: 0, 0.74: 1, 0.86: 2, 0.98: 3}),
        # two tied tokens are both among the two likeliest: .5 .2 .2 of .9
        ({"top_k": 2}, {0.55: 0, 0.56: 1, 0.78: 2, 0.999999: 2}),
    ],
)
def test_choose_tokens(params: dict[str, float], expected: dict[float, int]) -> None:
    settings = SamplingParams(**{"temperature": 1.0, **params})  # type: ignore[arg-type]
    for draw, token in expected.items():
        assert choose_tokens(LOGITS, settings, [draw]).tolist() == [token], draw


def test_choose_tokens_never_takes_what_has_no_share() -> None:
    logits = torch.tensor([[0.0, 0.0, float("-inf"), float("-inf")]])
    assert choose_tokens(logits, SamplingParams(temperature=1.0), [1.0 - 2**-53]).tolist() == [1]
    logits = torch.tensor([[float("-inf"), float("-inf"), 0.0, 0.0]])
    assert choose_tokens(logits, SamplingParams(temperature=1.0), [0.0]).tolist() == [2]


def test_top_p_looks_beyond_the_few_likeliest_where_it_must() -> None:
    logits = torch.zeros(1, 4000)
    found = choose_tokens(
        logits.expand(100, -1), SamplingParams(temperature=1.0, top_p=0.5), [i / 100 for i in range(100)]
    )
    assert len(set(found.tolist())) == 100
    peaked = logits.clone()
    peaked[0, 3999] = 20.0
    assert choose_tokens(peaked, SamplingParams(temperature=1.0, top_p=0.5), [0.99]).tolist() == [3999]


def test_samples_follow_the_distribution() -> None:
    draws = [(index + 0.5) / 10_000 for index in range(10_000)]
    tokens = choose_tokens(LOGITS.expand(10_000, -1), SamplingParams(temperature=1.0), draws)
    counts = Counter(tokens.tolist())
    assert [counts[token] for token in range(4)] == pytest.approx([5000, 2000, 2000, 1000], abs=2)
