"""Log-probabilities and entropies of completion tokens, without ever holding all logits.

Logits are computed a chunk of tokens at a time and again for backward: what a token's gradient is scaled by is known
only once the objective is. Kept between the two are the hidden states and one number per token.

Shapes: `T` tokens of a row, `N` completion tokens of it, `C` those of a chunk, `W` model width, `V` vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.attention.groups import Group, GroupLayout, GroupRow, build_group_row
from rmr1.attention.proof.probe import Pairs, Probe, attention_of
from rmr1.attention.proof.training import Layout, RowPaths, prove_rows, read_states
from rmr1.attention.shared_prompt import NAME, shared_prompt_attention
from rmr1.forecast.memory import CHUNK_LOGITS
from rmr1.train.row import read_logits


def token_logprobs(
    hidden_NW: torch.Tensor,
    weight_VW: torch.Tensor,
    targets_N: torch.Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target, and the entropy it was drawn from, in nats: two `[N]`, float32.

    Both of the distribution at `temperature` (above 0). The first is differentiable in `hidden_NW` and `weight_VW`,
    the second is not. `chunk` is the number of tokens at a time. Under autocast the products are in its type, softmax
    and sums in float32 always.
    """
    if chunk is None:
        chunk = max(1, CHUNK_LOGITS // weight_VW.shape[0])
    logprobs_N, entropies_N = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden_NW, weight_VW, targets_N, temperature, chunk
    )
    return logprobs_N, entropies_N


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NW: torch.Tensor,
        weight_VW: torch.Tensor,
        targets_N: torch.Tensor,
        temperature: float,
        chunk: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        device = hidden_NW.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_NW.dtype
        logprobs_N, entropies_N, sums_N = hidden_NW.new_empty((3, len(targets_N)), dtype=torch.float32)
        with torch.autocast(device, enabled=False):
            matrix_VW = weight_VW.to(dtype)
            for start in range(0, len(targets_N), chunk):
                part = slice(start, start + chunk)
                logits_CV = _compute_logits(hidden_NW[part].to(dtype), matrix_VW, temperature)
                sums_N[part] = torch.logsumexp(logits_CV, dim=-1)
                logits_CV -= sums_N[part, None]
                logprobs_N[part] = logits_CV.gather(-1, targets_N[part, None])[:, 0]
                entropies_N[part] = -(logits_CV.exp() * logits_CV).sum(dim=-1)
        ctx.save_for_backward(hidden_NW, weight_VW, targets_N, sums_N)
        ctx.temperature, ctx.chunk, ctx.dtype = temperature, chunk, dtype
        ctx.mark_non_differentiable(entropies_N)
        return logprobs_N, entropies_N

    @staticmethod
    def backward(ctx: Any, scale_N: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_NW, weight_VW, targets_N, sums_N = ctx.saved_tensors
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        hidden_grad_NW = torch.zeros_like(hidden_NW) if wants_hidden else None
        weight_grad_VW = torch.zeros_like(weight_VW, dtype=torch.float32) if wants_weight else None
        with torch.autocast(hidden_NW.device.type, enabled=False):
            matrix_VW = weight_VW.to(ctx.dtype)
            for start in range(0, len(targets_N), ctx.chunk):
                part = slice(start, start + ctx.chunk)
                hidden_CW, targets_C = hidden_NW[part].to(ctx.dtype), targets_N[part]
                factor_C = scale_N[part] / ctx.temperature
                # d logprob / d logits = one-hot - softmax, written over the logits
                logits_CV = _compute_logits(hidden_CW, matrix_VW, ctx.temperature)
                logits_CV.sub_(sums_N[part, None]).exp_().mul_(-factor_C[:, None])
                logits_CV[torch.arange(len(targets_C), device=targets_C.device), targets_C] += factor_C
                slope_CV = logits_CV.to(ctx.dtype)
                if hidden_grad_NW is not None:
                    hidden_grad_NW[part] = (slope_CV @ matrix_VW).to(hidden_NW.dtype)
                if weight_grad_VW is not None:
                    weight_grad_VW += (slope_CV.T @ hidden_CW).float()
        weight_grad_VW = None if weight_grad_VW is None else weight_grad_VW.to(weight_VW.dtype)
        return hidden_grad_NW, weight_grad_VW, None, None, None


def _compute_logits(hidden_CW: torch.Tensor, matrix_VW: torch.Tensor, temperature: float) -> torch.Tensor:
    logits_CV = (hidden_CW @ matrix_VW.T).float()
    return logits_CV if temperature == 1.0 else logits_CV.div_(temperature)


class GroupLogprobs(torch.nn.Module):
    """A causal language model whose forward gives the log-probabilities of a row's completion tokens.

    `model` is the one that transformers knows, adapters inside; its forward is called inside `attention`.
    """

    def __init__(self, model: PreTrainedModel, *, temperature: float = 1.0, paths: RowPaths | None = None):
        """`paths` are those of `prove_groups(model)`, which is called unless they are given."""
        super().__init__()
        self.paths = prove_groups(model) if paths is None else paths
        self.model = model
        self.temperature = temperature

    def attention(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the model takes rows of groups, if its paths say that they are right."""
        return shared_prompt_attention(self.model) if self.paths.joins else contextlib.nullcontext()

    def forward(self, row: GroupRow, *, is_alone: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies at the temperature, each `[N]` in the order of `row.targets`.

        Completions go through the model together if that is right for it, but with `is_alone` one by one.
        """
        if self.paths.joins:
            # Other attention functions take the layout and leave it unread.
            assert attention_of(self.model) == NAME, "outside of shared_prompt_attention"
        longest = max(num_prompt + max(lengths) for num_prompt, lengths in row.layout)
        if not is_alone and self.paths.joins_within(longest):
            return self._read(row.input_ids, row.position_ids, row.places, row.targets, row.layout)
        parts = []
        for (prompt, own), targets_N in zip(
            _list_completions(row.layout), row.targets.split(row.lengths), strict=True
        ):
            ids_1T = torch.cat([row.input_ids[:, prompt], row.input_ids[:, own]], dim=1)
            num_prompt = prompt.stop - prompt.start
            positions_T = torch.arange(ids_1T.shape[1], device=ids_1T.device)
            if self.paths.turning is not None:
                self.paths.turning.reset()
            layout = ((num_prompt, (own.stop - own.start,)),)
            places_N = positions_T[num_prompt - 1 : -1]
            parts.append(self._read(ids_1T, positions_T[None], places_N, targets_N, layout))
        logprobs, entropies = zip(*parts, strict=True)
        return torch.cat(logprobs), torch.cat(entropies)

    def _read(
        self,
        ids_1T: torch.Tensor,
        positions_1T: torch.Tensor,
        places_N: torch.Tensor,
        targets_N: torch.Tensor,
        layout: GroupLayout,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        inputs: dict[str, Any] = {"input_ids": ids_1T}
        if self.paths.joins:  # a text alone is counted by the model itself, which may begin otherwise
            inputs |= {"position_ids": positions_1T, "group_layout": layout}
        if self.paths.by_matrix:
            hidden_TW = read_states(self.model, True, **inputs)[0]
            head: Any = self.model.get_output_embeddings()
            return token_logprobs(
                hidden_TW.index_select(0, places_N), head.weight, targets_N, temperature=self.temperature
            )
        logits_NV = read_logits(self.model, places_N, **inputs).float() / self.temperature
        logprobs_NV = logits_NV.log_softmax(dim=-1)
        entropies_N = -(logprobs_NV.exp() * logprobs_NV).sum(dim=-1).detach()
        return logprobs_NV.gather(-1, targets_N[:, None])[:, 0], entropies_N


def prove_groups(model: PreTrainedModel) -> RowPaths:
    """Check whether completions may share their prompt in this model (`rmr1.attention.proof.training`)."""
    name = "completions that share their prompt"
    return prove_rows(model, Layout(name=name, attention=shared_prompt_attention, read=_read_groups))


def _read_groups(probe: Probe, read: Callable[..., torch.Tensor]) -> Pairs:
    row = build_group_row(
        [Group(prompt=group.prompt, completions=group.completions) for group in probe.groups], probe.device
    )
    states_TW = read(input_ids=row.input_ids, position_ids=row.position_ids, group_layout=row.layout)
    for (prompt, own), text in zip(_list_completions(row.layout), probe.texts, strict=True):
        yield torch.cat([states_TW[prompt], states_TW[own]]), probe.alone(text)


def _list_completions(layout: GroupLayout) -> Iterator[tuple[slice, slice]]:
    """The slices of the row that hold each completion's prompt and the completion."""
    start = 0
    for num_prompt, lengths in layout:
        prompt = slice(start, start + num_prompt)
        start = prompt.stop
        for length in lengths:
            yield prompt, slice(start, start + length)
            start += length
