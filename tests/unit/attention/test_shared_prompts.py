"""Rows that share their prompt's keys and values give what rows with copies of their own give."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from rmr1.attention import shared_cache as shared
from rmr1.attention.decode import attend
from rmr1.attention.proof.judging import judging_paths
from rmr1.attention.shared_cache import SharedPrompts, attend_shared, build_cache
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, Sampled, decode
from rmr1.errors import GenerationError
from tests import tiny_models

GREEDY = SamplingParams()
SAMPLED = SamplingParams(temperature=1.0, top_p=0.95)

ROWS = [(1, 2), (7, 3), (50, 4), (33, 1), (33, 4), (12, 2)]
"""(tokens, samples) of the prompts of a ragged batch."""


@pytest.fixture(params=["flash", "plain"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(shared, "_flash_for_cpu", None)


SPANS: list[list[int]] = []
"""What the fixture `spans` records."""


def build_model(*args: Any, **changes: Any) -> Any:
    """A model that has passed its self-check, which shares prompts too."""
    model = tiny_models.build_model(*args, **changes)
    judging_paths(model)
    SPANS.clear()
    return model


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Share whatever can be shared, and record each time how many rows each prompt has."""
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 0})
    found = SPANS
    found.clear()
    set_rows = SharedPrompts._set_rows

    def recorded(self: SharedPrompts, prompt_of_row: list[int]) -> None:
        set_rows(self, prompt_of_row)
        counts = dict(self._present)
        found.append([counts.get(prompt, 0) for prompt in range(len(self._mask_BT))])

    monkeypatch.setattr(SharedPrompts, "_set_rows", recorded)
    return found


def build_requests(shape: Sequence[tuple[int, int]] = ROWS, *, limit: int = 24) -> list[PromptRequest]:
    """Rows end after 1 to 30 tokens of their own, most before the limit."""
    draw = random.Random(3)

    def end_after(count: int) -> Any:
        left = iter(range(count - 1, -1, -1))
        return lambda token: next(left) == 0

    return [
        PromptRequest(
            tokens=[draw.randrange(512) for _ in range(tokens)],
            max_new_tokens=limit,
            rows=[
                RowRequest(
                    seed=100 * index + sample,
                    watch=end_after(draw.randint(1, 30)),
                    probe=lambda token: (token, 3) if token % 2 else None,
                )
                for sample in range(samples)
            ],
        )
        for index, (tokens, samples) in enumerate(shape)
    ]


def run(model: Any, requests: Sequence[PromptRequest], params: SamplingParams) -> list[list[Sampled]]:
    return decode(model, requests, params, end_tokens=frozenset({5}), with_logprobs=True)


def assert_equal(found: list[list[Sampled]], expected: list[list[Sampled]]) -> None:
    assert [[row.tokens for row in rows] for rows in found] == [
        [row.tokens for row in rows] for rows in expected
    ]
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.probes.keys() == other.probes.keys()
        for place, values in one.probes.items():
            assert values == pytest.approx(other.probes[place], abs=1e-4)


def test_sharing_under_autocast(
    kernel: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # Rotated keys and queries come in float32 there, values in 16 bits.
    model = build_model("qwen2", num_key_value_heads=2)
    exact = run(model, build_requests(limit=2), SAMPLED)
    spans = request.getfixturevalue("spans")
    with torch.autocast("cpu", torch.bfloat16):
        found = run(model, build_requests(limit=2), SAMPLED)
    assert spans[0] == [samples for _, samples in ROWS]
    # Rounding to 8 bits may now and then choose the neighbouring token, after which rows differ.
    alike = [
        (one, other)
        for one, other in zip(chain(*found), chain(*exact), strict=True)
        if one.tokens == other.tokens
    ]
    assert len(alike) > 0.6 * sum(samples for _, samples in ROWS)
    for one, other in alike:
        assert one.logprobs == pytest.approx(other.logprobs, abs=0.25)


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_sharing_changes_no_token(
    key_heads: int, params: SamplingParams, kernel: None, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    model = build_model("llama" if key_heads == 1 else "qwen2", num_key_value_heads=key_heads)
    copied = run(model, build_requests(), params)
    spans = request.getfixturevalue("spans")
    assert_equal(run(model, build_requests(), params), copied)
    assert spans[0] == [samples for _, samples in ROWS]
    # Rows leave several times, unevenly; in the end a prompt is without any while others go on.
    assert len(spans) > 3
    assert any(0 in counts for counts in spans)
    lengths = {len(row.tokens) for rows in copied for row in rows}
    assert len(lengths) > 8


def test_prompts_without_padding_are_shared_too(spans: list[list[int]]) -> None:
    model = build_model()
    together = run(model, build_requests([(20, 3), (20, 3)]), SAMPLED)
    assert spans[0] == [3, 3]
    alone = [run(model, [request], SAMPLED)[0] for request in build_requests([(20, 3), (20, 3)])]
    assert_equal(together, alone)


def test_a_row_that_shares_equals_one_on_its_own(spans: list[list[int]]) -> None:
    model = build_model()
    (rows,) = run(model, [PromptRequest(tokens=[7, 8, 9], max_new_tokens=140, rows=build_rows(3))], SAMPLED)
    assert spans == [[3]]
    for seed, row in enumerate(rows):
        single = [RowRequest(seed=seed)]
        ((alone,),) = run(model, [PromptRequest(tokens=[7, 8, 9], max_new_tokens=140, rows=single)], SAMPLED)
        assert_equal([[row]], [[alone]])
    assert len(spans) == 1


def build_rows(count: int) -> list[RowRequest]:
    return [RowRequest(seed=seed) for seed in range(count)]


def test_a_prompt_that_nobody_wants_samples_of(spans: list[list[int]]) -> None:
    model = build_model()
    wanted = PromptRequest(tokens=[4, 5, 6], max_new_tokens=5, rows=build_rows(3))
    nobody = PromptRequest(tokens=[9], max_new_tokens=5, rows=[])
    expected = run(model, [wanted], SAMPLED)
    assert_equal(run(model, [nobody, wanted], SAMPLED), [[], *expected])
    assert spans == [[3], [0, 3]]


def test_one_row_each_and_short_prompts_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 heads of 8 in float32: a token's keys and values are 128 bytes."""
    shares: list[int] = []
    share = SharedPrompts.share

    def recorded(self: SharedPrompts, source: Sequence[int]) -> None:
        shares.append(len(source))
        share(self, source)

    model = build_model()
    monkeypatch.setattr(SharedPrompts, "share", recorded)
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 1})
    run(model, build_requests([(9, 1), (30, 1)]), GREEDY)
    assert shares == []
    # (3 - 1) x 10 tokens and (2 - 1) x 20 are spared: 40 x 128 bytes over two prompts.
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 2561})
    run(model, build_requests([(10, 3), (20, 2)]), GREEDY)
    assert shares == []
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 2560})
    run(model, build_requests([(10, 3), (20, 2)]), GREEDY)
    assert shares == [5]
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 1 << 40})
    run(model, build_requests([(10, 3), (20, 2)]), GREEDY)
    assert shares == [5]


@pytest.mark.parametrize("why", ["window", "eager", "no keywords", "keywords dropped", "keys changed"])
def test_what_cannot_be_shared_is_copied(
    why: str, spans: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    model: Any = build_model(**(changes if why == "window" else {}))
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 1 << 40})
    expected = run(model, build_requests(), SAMPLED)
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 0})
    if why == "eager":
        model.set_attn_implementation("eager")
    forward = model.forward
    if why == "no keywords":

        def narrow(
            input_ids: Any, attention_mask: Any, position_ids: Any, past_key_values: Any, use_cache: bool
        ) -> Any:
            return forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=use_cache,
            )

        monkeypatch.setattr(model, "forward", narrow)
    if why == "keywords dropped":

        def deaf(*args: Any, shared_prompts: Any = None, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

        monkeypatch.setattr(model, "forward", deaf)
    if why == "keys changed":
        attention = model.model.layers[1].self_attn
        within = attention.forward

        class Cloning:
            """A cache between the layer and ours, which hands on other tensors."""

            def __init__(self, cache: Any):
                self.cache = cache

            def update(self, *args: Any, **kwargs: Any) -> Any:
                return tuple(one.clone() for one in self.cache.update(*args, **kwargs))

        def cloning(*args: Any, past_key_values: Any = None, **kwargs: Any) -> Any:
            return within(*args, past_key_values=Cloning(past_key_values), **kwargs)

        monkeypatch.setattr(attention, "forward", cloning)
    assert_equal(run(model, build_requests(), SAMPLED), expected)
    assert spans == []


@pytest.mark.parametrize(
    "others",
    [
        {"attention_mask": torch.ones(2, 1, 3, 3)},
        {"attention_mask": torch.ones(2, 4, 3, 3, dtype=torch.bool)},
        {"attention_mask": torch.tensor([True, True, False]).expand(2, 1, 3, 3)},
        {"attention_mask": None},
        {"sliding_window": 4},
        {"softcap": 30.0},
        {"dropout": 0.1},
    ],
)
def test_layers_that_do_more_are_not_shared(others: dict[str, Any]) -> None:
    """The batch has one padded prompt, so a layer that is given no mask would see padding."""
    model = build_model(num_hidden_layers=1)
    mask = torch.tensor([[1, 1, 1], [0, 1, 1]])
    seen = mask[:, None, None].bool().expand(2, 1, 3, 3)
    for more, allowed in (({}, True), (others, False)):
        cache = build_cache(model)
        prompts = SharedPrompts(cache, mask)
        key, value = cache.update(torch.randn(2, 2, 3, 8), torch.randn(2, 2, 3, 8), 0)
        module: Any = SimpleNamespace(layer_idx=0, is_causal=True, num_key_value_groups=2)
        arguments: dict[str, Any] = {"attention_mask": seen, **more}
        dropout = arguments.pop("dropout", 0.0)
        prompts.check_layer(module, key, value, arguments.pop("attention_mask"), dropout, arguments)
        assert bool(prompts._fitting) is allowed


def test_a_mask_over_what_was_written_is_refused(spans: list[list[int]]) -> None:
    cache = build_cache(build_model(num_hidden_layers=1))
    mask = torch.ones(1, 3, dtype=torch.long)
    prompts = SharedPrompts(cache, mask)
    module: Any = SimpleNamespace(layer_idx=0, is_causal=True, num_key_value_groups=2)
    key, value = cache.update(torch.randn(1, 2, 3, 8), torch.randn(1, 2, 3, 8), 0)
    attend(module, torch.randn(1, 4, 3, 8), key, value, None, shared_prompts=prompts)
    assert prompts.is_worth_sharing([0, 0])
    prompts.share([0, 0])
    key, value = cache.update(torch.randn(2, 2, 1, 8), torch.randn(2, 2, 1, 8), 0)
    assert key.shape == (2, 2, 1, 8)
    query, seen = torch.randn(2, 4, 1, 8), torch.ones(2, 1, 1, 1, dtype=torch.bool)
    with pytest.raises(GenerationError, match="masks tokens"):
        attend(module, query, key, value, seen, shared_prompts=prompts)
    found, _ = attend(module, query, key, value, None, shared_prompts=prompts)
    assert found.shape == (2, 1, 4, 8)


@pytest.mark.parametrize("key_heads", [1, 2, 6])
@pytest.mark.parametrize("value_size", [8, 4])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_attention_equals_that_over_copies(
    key_heads: int, value_size: int, scaling: float | None, kernel: None
) -> None:
    torch.manual_seed(0)
    lengths, counts = [11, 1, 40], [3, 1, 2]
    rows, heads, size, own = sum(counts), 6, 8, 5
    query = torch.randn(rows, heads, 1, size) * 3
    key, value = torch.randn(rows, key_heads, own, size), torch.randn(rows, key_heads, own, value_size)
    parts = [
        ((torch.randn(1, key_heads, n, size), torch.randn(1, key_heads, n, value_size)), count)
        for n, count in zip(lengths, counts, strict=True)
    ]
    found = attend_shared(query, key, value, parts, scaling)
    assert found.shape == (rows, 1, heads, value_size)
    row = 0
    for (keys, values), count in parts:
        for _ in range(count):
            wanted = scaled_dot_product_attention(
                query[row],
                torch.cat([keys[0], key[row]], dim=1).repeat_interleave(heads // key_heads, dim=0),
                torch.cat([values[0], value[row]], dim=1).repeat_interleave(heads // key_heads, dim=0),
                scale=scaling,
            )
            torch.testing.assert_close(found[row, 0], wanted[:, 0])
            row += 1


def test_attention_in_16_bits_is_as_exact_as_they_are(kernel: None) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, n, 8) for heads, n in ((4, 1), (2, 9), (2, 9)))
    part = torch.randn(1, 2, 30, 8), torch.randn(1, 2, 30, 8)
    whole = attend_shared(query, key, value, [(part, 2)], None)
    halved = attend_shared(
        query.bfloat16(),
        key.bfloat16(),
        value.bfloat16(),
        [((part[0].bfloat16(), part[1].bfloat16()), 2)],
        None,
    )
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(halved.float(), whole, atol=0.03, rtol=0.03)


def test_scores_far_apart_leave_nothing_undefined(kernel: None) -> None:
    """All weight on the prompt's first key, then all on the row's own: scores of 100 and -100."""
    query = torch.tensor([10.0, 0.0]).expand(1, 1, 1, 2)
    part = torch.tensor([[[[10.0, 0.0], [0.0, 0.0]]]]), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    own = torch.tensor([[[[-10.0, 0.0]]]]), torch.tensor([[[[5.0, 6.0]]]])
    assert attend_shared(query, *own, [(part, 1)], 1.0).flatten().tolist() == [1.0, 2.0]
    assert attend_shared(-query, *own, [(part, 1)], 1.0).flatten().tolist() == [5.0, 6.0]
