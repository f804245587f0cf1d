"""Log-probabilities and entropies of completion tokens, without ever holding all logits.

Pure tensor maths but for the module at the end. Logits are computed a chunk of tokens at a time and again for
backward: what a token's gradient is scaled by is known only once the objective is. Kept between the two are
the hidden states and one number per token.

Shapes: `N` tokens, `W` model width, `V` vocabulary.
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

    Both of the distribution at `temperature` (above 0). The first is differentiable in `hidden_NW` and
    `weight_VW`, the second is not. `chunk` is the number of tokens at a time. Under autocast the products are
    in its type, softmax and sums in float32 always.
    """
    if chunk is None:
        chunk = max(1, CHUNK_LOGITS // weight_VW.shape[0])
    logprobs, entropies = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden_NW, weight_VW, targets_N, temperature, chunk
    )
    return logprobs, entropies


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        chunk: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        logprobs, entropies, sums = hidden.new_empty((3, len(targets)), dtype=torch.float32)
        with torch.autocast(device, enabled=False):
            matrix = weight.to(dtype)
            for start in range(0, len(targets), chunk):
                part = slice(start, start + chunk)
                logits = _compute_logits(hidden[part].to(dtype), matrix, temperature)
                sums[part] = torch.logsumexp(logits, dim=-1)
                logits -= sums[part, None]
                logprobs[part] = logits.gather(-1, targets[part, None])[:, 0]
                entropies[part] = -(logits.exp() * logits).sum(dim=-1)
        ctx.save_for_backward(hidden, weight, targets, sums)
        ctx.temperature, ctx.chunk, ctx.dtype = temperature, chunk, dtype
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, scale: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, targets, sums = ctx.saved_tensors
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        hidden_grad = torch.zeros_like(hidden) if wants_hidden else None
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        with torch.autocast(hidden.device.type, enabled=False):
            matrix = weight.to(ctx.dtype)
            for start in range(0, len(targets), ctx.chunk):
                part = slice(start, start + ctx.chunk)
                rows, wanted, factor = (
                    hidden[part].to(ctx.dtype),
                    targets[part],
                    scale[part] / ctx.temperature,
                )
                # d logprob / d logits = one-hot - softmax, written over the logits
                logits = _compute_logits(rows, matrix, ctx.temperature)
                logits.sub_(sums[part, None]).exp_().mul_(-factor[:, None])
                logits[torch.arange(len(wanted), device=wanted.device), wanted] += factor
                slope = logits.to(ctx.dtype)
                if hidden_grad is not None:
                    hidden_grad[part] = (slope @ matrix).to(hidden.dtype)
                if weight_grad is not None:
                    weight_grad += (slope.T @ rows).float()
        return hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype), None, None, None


def _compute_logits(rows: torch.Tensor, matrix: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = (rows @ matrix.T).float()
    return logits if temperature == 1.0 else logits.div_(temperature)


class GroupLogprobs(torch.nn.Module):
    """A causal language model whose forward gives the log-probabilities of a row's completion tokens.

    A module of its own so that data-parallel wrappers see the whole computation. `model` is the model that
    transformers knows, also where peft has put adapters into it; its forward is called inside `attention`.
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

    def forward(self, row: GroupRow) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies at the temperature, each `[N]` in the order of `row.targets`."""
        if self.paths.joins:
            # Other attention functions take the layout and leave it unread.
            assert attention_of(self.model) == NAME, "outside of shared_prompt_attention"
        longest = max(num_prompt + max(lengths) for num_prompt, lengths in row.layout)
        if self.paths.joins_within(longest):
            return self._read(row.input_ids, row.position_ids, row.places, row.targets, row.layout)
        parts = []
        for (prompt, own), targets in zip(
            _list_completions(row.layout), row.targets.split(row.lengths), strict=True
        ):
            ids = torch.cat([row.input_ids[:, prompt], row.input_ids[:, own]], dim=1)
            num_prompt = prompt.stop - prompt.start
            positions = torch.arange(ids.shape[1], device=ids.device)
            if self.paths.turning is not None:
                self.paths.turning.reset()
            layout = ((num_prompt, (own.stop - own.start,)),)
            parts.append(self._read(ids, positions[None], positions[num_prompt - 1 : -1], targets, layout))
        logprobs, entropies = zip(*parts, strict=True)
        return torch.cat(logprobs), torch.cat(entropies)

    def _read(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        places: torch.Tensor,
        targets: torch.Tensor,
        layout: GroupLayout,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        inputs: dict[str, Any] = {"input_ids": input_ids}
        if self.paths.joins:  # a text alone is counted by the model itself, which may begin otherwise
            inputs |= {"position_ids": position_ids, "group_layout": layout}
        if self.paths.by_matrix:
            hidden = read_states(self.model, True, **inputs)[0]
            head: Any = self.model.get_output_embeddings()
            return token_logprobs(
                hidden.index_select(0, places), head.weight, targets, temperature=self.temperature
            )
        logits = read_logits(self.model, places, **inputs).float() / self.temperature
        logprobs = logits.log_softmax(dim=-1)
        entropies = -(logprobs.exp() * logprobs).sum(dim=-1).detach()
        return logprobs.gather(-1, targets[:, None])[:, 0], entropies


def prove_groups(model: PreTrainedModel) -> RowPaths:
    """Check whether completions may share their prompt in this model (`rmr1.attention.proof.training`)."""
    return prove_rows(
        model,
        Layout(
            name="completions that share their prompt", attention=shared_prompt_attention, read=_read_groups
        ),
    )


def _read_groups(probe: Probe, read: Callable[..., torch.Tensor]) -> Pairs:
    row = build_group_row(
        [Group(prompt=group.prompt, completions=group.completions) for group in probe.groups], probe.device
    )
    found = read(input_ids=row.input_ids, position_ids=row.position_ids, group_layout=row.layout)
    for (prompt, own), text in zip(_list_completions(row.layout), probe.texts, strict=True):
        yield torch.cat([found[prompt], found[own]]), probe.alone(text)


def _list_completions(layout: GroupLayout) -> Iterator[tuple[slice, slice]]:
    """The slices of the row that hold each completion's prompt and the completion."""
    start = 0
    for num_prompt, lengths in layout:
        prompt = slice(start, start + num_prompt)
        start = prompt.stop
        for length in lengths:
            yield prompt, slice(start, start + length)
            start += length
