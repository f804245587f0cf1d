"""Shared-prompt attention against attention under the mask written out in full."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from rmr1.attention import shared_prompt as attention
from rmr1.attention.flex import build_block_mask, build_mask
from rmr1.attention.groups import GroupLayout
from rmr1.attention.merged import attend_merged
from rmr1.attention.shared_prompt import NAME, attend, shared_prompt_attention
from rmr1.errors import ConfigError
from tests.tiny_models import build_model

LAYOUTS: dict[str, GroupLayout] = {
    "even": ((9, (4, 4, 4)),),
    "ragged": ((7, (5, 1, 12)), (41, (3, 30)), (1, (2, 6, 1))),
    "one completion": ((5, (8,)),),
    "one token each": ((1, (1, 1)),),
    "a prompt alone": ((6, ()), (3, (2,))),
    "longer than a block": ((150, (140, 20)), (70, (200,))),
}
QUERY_HEADS, KEY_HEADS, SIZE = 4, 2, 8

every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())


def write_out(layout: GroupLayout, window: int | None = None) -> torch.Tensor:
    """`[T, T]`: who sees whom, group by group and completion by completion."""
    num_tokens = sum(num_prompt + sum(lengths) for num_prompt, lengths in layout)
    mask = torch.zeros(num_tokens, num_tokens, dtype=torch.bool)
    start = 0
    for num_prompt, lengths in layout:
        prompt = list(range(start, start + num_prompt))
        start += num_prompt
        documents = [prompt]
        for length in lengths:
            documents.append(prompt + list(range(start, start + length)))
            start += length
        for document in documents:
            for position, query in enumerate(document):
                first = 0 if window is None else max(0, position - window + 1)
                mask[query, document[first : position + 1]] = True
    return mask


def draw(layout: GroupLayout, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(0)
    num_tokens = sum(num_prompt + sum(lengths) for num_prompt, lengths in layout)
    return [
        # As models hand them over: heads inside, then moved outside.
        torch.randn(1, num_tokens, heads, SIZE, dtype=dtype, requires_grad=True)
        for heads in (QUERY_HEADS, KEY_HEADS, KEY_HEADS)
    ]


def run(inputs: list[torch.Tensor], layout: GroupLayout, **kwargs: Any) -> list[torch.Tensor]:
    """Output and gradients of `attend`."""
    heads = [one.transpose(1, 2) for one in inputs]
    out, weights = attend(torch.nn.Module(), *heads, None, group_layout=layout, **kwargs)
    assert weights is None and out.is_contiguous()
    return [out, *torch.autograd.grad((out * out.detach().cos()).sum(), inputs)]


def run_in_full(
    inputs: list[torch.Tensor], mask: torch.Tensor, scaling: float | None = None
) -> list[torch.Tensor]:
    query, key, value = (one.transpose(1, 2) for one in inputs)
    key, value = (one.repeat_interleave(QUERY_HEADS // KEY_HEADS, dim=1) for one in (key, value))
    scores = query @ key.transpose(-1, -2) * (SIZE**-0.5 if scaling is None else scaling)
    out = (scores.masked_fill(~mask, float("-inf")).softmax(dim=-1) @ value).transpose(1, 2)
    return [out, *torch.autograd.grad((out * out.detach().cos()).sum(), inputs)]


def expect_close(found: list[torch.Tensor], wanted: list[torch.Tensor], tolerance: float = 1e-10) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < tolerance


@pytest.fixture(params=["merged", "joined"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "joined":
        monkeypatch.setattr(attention, "can_merge", lambda *args: False)
    return request.param


@every_layout
def test_equals_the_mask_written_out(layout: GroupLayout, way: str) -> None:
    inputs = draw(layout)
    expect_close(run(inputs, layout), run_in_full(inputs, write_out(layout)))


def test_scaling_is_kept(way: str) -> None:
    layout = LAYOUTS["ragged"]
    inputs = draw(layout)
    expect_close(run(inputs, layout, scaling=0.9), run_in_full(inputs, write_out(layout), 0.9))


@pytest.mark.parametrize("window", [1, 4, 9, 40, 71])
def test_sliding_windows_are_kept(window: int) -> None:
    # The longest document is 71 tokens: 41 of a prompt and 30 of a completion.
    layout = LAYOUTS["ragged"]
    inputs = draw(layout)
    found = run(inputs, layout, sliding_window=window)
    expect_close(found, run_in_full(inputs, write_out(layout, window)))


def test_a_window_that_hides_nothing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LAYOUTS["ragged"]
    inputs = draw(layout)
    calls: list[GroupLayout] = []

    def watch(*args: Any) -> torch.Tensor:
        calls.append(args[3])
        return attend_merged(*args)

    monkeypatch.setattr(attention, "attend_merged", watch)
    run(inputs, layout, sliding_window=70)
    assert not calls
    run(inputs, layout, sliding_window=71)
    assert calls == [layout]


def test_extreme_scores_stay_exact(way: str) -> None:
    # Nearly all weight on one key: of the prompt for some queries, of the completion for others.
    layout = LAYOUTS["ragged"]
    inputs = draw(layout)
    expect_close(run(inputs, layout, scaling=60.0), run_in_full(inputs, write_out(layout), 60.0), 1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_are_kept(dtype: torch.dtype, way: str) -> None:
    layout = LAYOUTS["ragged"]
    inputs = draw(layout, dtype)
    found = run(inputs, layout)
    assert all(one.dtype == dtype for one in found)
    exact = run_in_full([one.detach().double().requires_grad_() for one in inputs], write_out(layout))
    for one, other in zip(found, exact, strict=True):
        assert (one.double() - other).norm() / other.norm() < (1e-6 if dtype == torch.float32 else 2e-2)


def test_mixed_types_under_autocast(way: str) -> None:
    # Models that normalise queries and keys hand these over in float32.
    layout = LAYOUTS["even"]
    query, key, value = (one.transpose(1, 2) for one in draw(layout, torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = attend(torch.nn.Module(), query, key, value.bfloat16(), None, group_layout=layout)
    assert out.dtype == torch.bfloat16


def test_completions_do_not_see_each_other() -> None:
    layout: GroupLayout = ((6, (5, 4)), (3, (2,)))
    inputs = [one.detach() for one in draw(layout)]
    heads = [one.transpose(1, 2) for one in inputs]
    before, _ = attend(torch.nn.Module(), *heads, None, group_layout=layout)
    for one in inputs:
        one[:, 6:11] = 7.0
    after, _ = attend(torch.nn.Module(), *heads, None, group_layout=layout)
    assert torch.equal(before[:, :6], after[:, :6]) and torch.equal(before[:, 11:], after[:, 11:])
    assert not torch.equal(before[:, 6:11], after[:, 6:11])


def test_kept_for_backward_is_the_row_and_no_more() -> None:
    layout: GroupLayout = ((64, (16,) * 8),)
    num_tokens = 64 + 16 * 8
    inputs = draw(layout)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda one: sizes.append(one.numel()) or one, lambda one: one
    ):
        attend_merged(*[one.transpose(1, 2) for one in inputs], layout, None)
    # Queries and output, keys and values, one sum per query; neither masks nor copies of the prompt.
    assert sum(sizes) == num_tokens * (2 * QUERY_HEADS * SIZE + 2 * KEY_HEADS * SIZE + QUERY_HEADS)


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_other_kinds_of_attention_are_refused(name: str) -> None:
    layout = LAYOUTS["even"]
    with pytest.raises(ConfigError, match=name):
        run(draw(layout), layout, **{name: 30.0})


def test_rows_that_are_none_are_refused() -> None:
    layout = LAYOUTS["even"]
    heads = [one.transpose(1, 2) for one in draw(layout)]
    with pytest.raises(ConfigError, match="groups of 6 tokens in a row of 21"):
        attend(torch.nn.Module(), *heads, None, group_layout=((5, (1,)),))
    with pytest.raises(ConfigError, match="pass group_layout"):
        attend(torch.nn.Module(), *heads, None)
    with pytest.raises(ConfigError, match="without a mask"):
        attend(torch.nn.Module(), *heads, torch.zeros(1), group_layout=layout)


def test_the_model_attends_as_before_afterwards() -> None:
    model = build_model()
    with contextlib.suppress(KeyError), shared_prompt_attention(model):
        assert model.config._attn_implementation == NAME
        raise KeyError
    assert model.config._attn_implementation == "sdpa"
    model._supports_attention_backend = False
    with pytest.raises(ConfigError, match="Qwen2ForCausalLM"), shared_prompt_attention(model):
        pass


@every_layout
@pytest.mark.parametrize("window", [None, 1, 9, 40])
def test_the_mask_of_the_compiled_kernel(layout: GroupLayout, window: int | None) -> None:
    wanted = write_out(layout, window)
    places = torch.arange(len(wanted))
    is_seen = build_mask(layout, window, torch.device("cpu"))
    assert torch.equal(is_seen(0, 0, places[:, None], places[None, :]), wanted)


@every_layout
@pytest.mark.parametrize("window", [None, 40])
def test_the_blocks_of_the_compiled_kernel(layout: GroupLayout, window: int | None) -> None:
    blocks = build_block_mask(layout, window, torch.device("cpu"))
    num_tokens = len(write_out(layout))
    stock = create_block_mask(
        build_mask(layout, window, torch.device("cpu")), None, None, num_tokens, num_tokens, device="cpu"
    )
    assert blocks.shape == stock.shape == (1, 1, num_tokens, num_tokens)
    assert torch.equal(blocks.to_dense(), stock.to_dense())
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(blocks, name), getattr(stock, name)), name
    for name in ("kv_indices", "full_kv_indices", "q_indices", "full_q_indices"):
        assert torch.equal(getattr(blocks, name), getattr(stock, name)), name


def test_the_blocks_of_a_layout_are_built_once() -> None:
    device = torch.device("cpu")
    again: GroupLayout = ((9, (4, 4, 4)),)
    assert build_block_mask(LAYOUTS["even"], None, device) is build_block_mask(again, None, device)
    assert build_block_mask(again, None, device) is not build_block_mask(again, 5, device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_kernel_equals_the_mask_written_out(dtype: torch.dtype, window: int | None) -> None:
    layout = LAYOUTS["longer than a block"]
    # Kernels want heads of at least 16.
    small = [torch.cat([one.detach()] * 2, dim=-1) for one in draw(layout)]
    inputs = [one.to("cuda", dtype).requires_grad_() for one in small]
    exact = [one.requires_grad_() for one in small]
    found = run(inputs, layout, scaling=0.25, sliding_window=window)
    wanted = run_in_full(exact, write_out(layout, window), 0.25)
    for one, other in zip(found, wanted, strict=True):
        distance = (one.double().cpu() - other).norm() / other.norm()
        assert distance < (2e-3 if dtype == torch.float32 else 3e-2)
