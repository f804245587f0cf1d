"""The decode loop: a model and token prompts in, sampled tokens out. Knows nothing of text.

A prompt is computed once; its samples then share its keys and values, or get copies of them if that
costs less (`rmr1.attention.forward`). Prompts of a batch are counted from their own first token and never see
padding, so what a prompt gives does not depend on its neighbours (up to rounding). Rows that are finished
leave the batch when they are a quarter of it.

Randomness is one number in [0, 1) per row and step, from a generator of the row's own seed, looked up
in the cumulative distribution: a sample depends on its prompt and its seed alone.

Shapes: `B` prompts of a batch, `R` rows alive (B times samples at first), `T` tokens, `V` vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rmr1.attention.decode import grouped_attention
from rmr1.attention.forward import Forward, keep_logits
from rmr1.attention.kept import Kept, Room
from rmr1.attention.proof.judging import judging_paths
from rmr1.devices import widest_float
from rmr1.engines.base import SamplingParams
from rmr1.errors import GenerationError

_COMPACT_SHARE = 0.25
"""Share of finished rows at which the rest is copied together."""

_FEW = 1024
"""Number of likeliest tokens among which top-p is tried before the whole vocabulary is sorted."""

Watch = Callable[[int], bool]
"""Takes each token of a row in turn, the end token excepted; True ends the row."""

Probe = Callable[[int], Sequence[int] | None]
"""Gives, for a sampled token, the tokens whose log-probabilities are wanted at its place, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRequest:
    """One sample that is wanted of a prompt."""

    seed: int = 0
    watch: Watch | None = None
    probe: Probe | None = None
    forced: Sequence[int] = ()
    """Tokens that the row takes instead of choosing any; it ends with them."""
    keeps: bool = False
    """Whether what was read of the text is to be kept (`Sampled.kept`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRequest:
    """One prompt, of at least one token, and the samples wanted of it."""

    tokens: Sequence[int]
    max_new_tokens: int
    rows: Sequence[RowRequest]
    begun: Kept | None = None
    """What is kept of it, fewer tokens than it has; used if all prompts of the batch have some."""


@dataclass(slots=True, kw_only=True)
class Sampled:
    """What one row gave."""

    tokens: list[int] = field(default_factory=list)
    """Those that were sampled, with the end token if there is one."""
    logprobs: list[float] = field(default_factory=list)
    """The log-probability of each token under the tempered distribution, before top-k and top-p (at
    temperature 0: under the model's own). Empty unless asked for."""
    probes: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """Index in `tokens` -> the probed tokens' log-probabilities there, at temperature 1."""
    finish_reason: str = "length"
    """"stop" (end token, or the row's watch) or "length"."""
    kept: Kept | None = None
    """What was read of the prompt and of `tokens`, the last of which is read by nobody; less of it if there was no
    room, and None if it was not asked for or the model does not allow it."""


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[PromptRequest],
    params: SamplingParams,
    *,
    end_tokens: Collection[int],
    with_logprobs: bool = False,
    room: Room | None = None,
) -> list[list[Sampled]]:
    """Sample every row of every prompt. Of `params` only temperature, top_p and top_k are read; `room` is where texts
    are kept."""
    longest = max((len(one.tokens) + one.max_new_tokens for one in prompts), default=0)
    paths = judging_paths(model).within(longest)
    size = max(1, len(prompts)) if paths.padding != "none" else 1
    sampled: list[list[Sampled]] = []
    with grouped_attention(model) if paths.groups else nullcontext():
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            sampled += _sample(Forward(model, paths), batch, params, end_tokens, with_logprobs, room)
    return sampled


def _sample(
    forward: Forward,
    prompts: Sequence[PromptRequest],
    params: SamplingParams,
    end_tokens: Collection[int],
    with_logprobs: bool,
    room: Room | None,
) -> list[list[Sampled]]:
    rows_of = [[_Row(prompt, request) for request in prompt.rows] for prompt in prompts]
    rows = [row for own in rows_of for row in own]
    begun = [prompt.begun for prompt in prompts if prompt.begun is not None]
    logits_RV = forward.prefill(
        [prompt.tokens for prompt in prompts],
        may_share=len(rows) > len(prompts),
        begun=begun if len(begun) == len(prompts) and forward.can_go_on else (),
    )
    if logits_RV.isnan().any():
        raise GenerationError("the model's outputs are not numbers; load it with dtype bfloat16 or float32")
    if room is not None and forward.can_go_on:
        for index, own in enumerate(rows_of):
            if keeping := [row for row in own if row.request.keeps]:
                kept = forward.keep_prompt(index, room)
                for row in keeping:
                    row.sampled.kept = kept
    source = [index for index, prompt in enumerate(prompts) for _ in prompt.rows]
    if source != list(range(len(prompts))):
        logits_RV = logits_RV[source]
        forward.repeat(source)
    scale = params.temperature if params.temperature > 0 else 1.0
    while True:
        draws = [row.draw() for row in rows] if params.temperature > 0 else None
        tokens_R = choose_tokens(logits_RV, params, draws)
        for index, row in enumerate(rows):
            if row.request.forced and not row.is_done:
                tokens_R[index] = row.request.forced[len(row.sampled.tokens)]
        logprobs = _pick(logits_RV / scale, tokens_R[:, None])[:, 0].tolist() if with_logprobs else []
        for index, (row, token) in enumerate(zip(rows, tokens_R.tolist(), strict=True)):
            if row.is_done:
                continue
            if with_logprobs:
                row.sampled.logprobs.append(logprobs[index])
            if row.request.probe is not None and (wanted := row.request.probe(token)):
                ids = torch.tensor(wanted, dtype=torch.long, device=logits_RV.device)
                row.sampled.probes[len(row.sampled.tokens)] = tuple(_pick(logits_RV[index], ids).tolist())
            row.push(token, end_tokens)
            if row.is_done and room is not None and (kept := row.whole_prompt) is not None:
                row.sampled.kept = forward.keep_row(index, len(row.sampled.tokens) - 1, kept, room)
        alive = [index for index, row in enumerate(rows) if not row.is_done]
        if not alive:
            return [[row.sampled for row in own] for own in rows_of]
        if len(rows) - len(alive) >= _COMPACT_SHARE * len(rows):
            rows = [rows[index] for index in alive]
            tokens_R = tokens_R[alive]
            forward.select(alive)
        logits_RV = forward.step(tokens_R)


def choose_tokens(
    logits_RV: torch.Tensor, params: SamplingParams, draws: Sequence[float] | None
) -> torch.Tensor:
    """One token per row: the likeliest if `draws` is None, else the one at that cumulative share.

    Top-k comes before top-p; top-p keeps the fewest likeliest tokens whose share reaches it.
    """
    if draws is None:
        return logits_RV.argmax(dim=-1)
    scaled_RV = logits_RV / params.temperature
    if 0 < params.top_k < scaled_RV.shape[-1]:
        least_R1 = scaled_RV.topk(params.top_k, dim=-1).values[:, -1:]
        scaled_RV = scaled_RV.masked_fill(scaled_RV < least_R1, float("-inf"))
    probs_RV = scaled_RV.softmax(dim=-1)
    if params.top_p < 1:
        ordered, places = probs_RV.topk(min(_FEW, probs_RV.shape[-1]), dim=-1)
        if bool((ordered.sum(dim=-1) < params.top_p).any()):
            ordered, places = probs_RV.sort(dim=-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= params.top_p, 0.0)
        probs_RV = torch.zeros_like(probs_RV).scatter(-1, places, ordered)
    # Rounding must not depend on the device, and one kind of GPU has no numbers of 64 bits.
    wide_RV = probs_RV if widest_float(probs_RV.device) == torch.float64 else probs_RV.cpu()
    share_RV = wide_RV.double().cumsum(dim=-1)
    # Kept below the total, so that rounding cannot reach past the last token with any share.
    draws_R = torch.tensor(draws, dtype=share_RV.dtype, device=share_RV.device)
    wanted_R1 = draws_R[:, None] * share_RV[:, -1:] * (1 - 1e-12)
    return torch.searchsorted(share_RV, wanted_R1, right=True)[:, 0].to(logits_RV.device)


@torch.inference_mode()
def score_tokens(
    model: PreTrainedModel, prefix: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Log-probabilities of the tokens of each continuation after `prefix`, at temperature 1.

    `prefix` and every continuation hold at least one token.
    """
    longest = max(map(len, continuations))
    paths = judging_paths(model).within(len(prefix) + longest)
    if paths.padding != "right" and len({*map(len, continuations)}) > 1:
        return [score_tokens(model, prefix, [one])[0] for one in continuations]
    if paths.turning is not None:
        paths.turning.reset()
    # Padding stands on the right, where causal attention never looks.
    texts = [torch.tensor([*prefix, *tokens]) for tokens in continuations]
    ids_RT = pad_sequence(texts, batch_first=True).to(model.device)
    outputs = model(input_ids=ids_RT, use_cache=False, **keep_logits(model, longest + 1))
    logits_RTV = outputs.logits[:, -longest - 1 : -1].float()
    picked_RT = _pick(logits_RTV, ids_RT[:, len(prefix) :, None])[..., 0]
    return [row[: len(tokens)] for row, tokens in zip(picked_RT.tolist(), continuations, strict=True)]


class _Row:
    def __init__(self, prompt: PromptRequest, request: RowRequest):
        self.request = request
        self._num_prompt = len(prompt.tokens)
        self.sampled = Sampled()
        self.is_done = False
        self.draw = random.Random(request.seed).random
        self._max_new_tokens = len(request.forced) or prompt.max_new_tokens

    @property
    def whole_prompt(self) -> Kept | None:
        """What is kept of the prompt, if that is all of it, so that more can follow."""
        kept = self.sampled.kept
        return kept if kept is not None and kept.num_tokens == self._num_prompt else None

    def push(self, token: int, end_tokens: Collection[int]) -> None:
        self.sampled.tokens.append(token)
        if self.request.forced:
            self.is_done = len(self.sampled.tokens) >= self._max_new_tokens
        elif token in end_tokens or (self.request.watch is not None and self.request.watch(token)):
            self.sampled.finish_reason = "stop"
            self.is_done = True
        elif len(self.sampled.tokens) >= self._max_new_tokens:
            self.is_done = True


def _pick(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of `ids` along the last dimension."""
    return logits.gather(-1, ids) - logits.logsumexp(dim=-1, keepdim=True)
