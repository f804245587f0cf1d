"""Held-out figures: the loss, and whether judgments that are written end in the right verdict."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.base import SamplingParams
from rmr1.engines.decode import PromptRequest, RowRequest, decode
from rmr1.engines.tokens import decode_tokens
from rmr1.train.packing import pack
from rmr1.train.row import Example, build_row
from rmr1.verdicts import parse_verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictCounts:
    """Of written judgments."""

    items: int
    correct: int
    unparsed: int
    tokens: int


@torch.no_grad()
def sum_held_out(
    module: torch.nn.Module, examples: Sequence[Example], *, row_tokens: int, device: torch.device
) -> tuple[float, int]:
    """Summed loss in nats, and the number of tokens it is of. `module` is a `RowLoss`, wrapped or not."""
    total, count = 0.0, 0
    for places in pack([len(example.tokens) for example in examples], row_tokens):
        chosen = [examples[place] for place in places]
        total += float(module(build_row(chosen, device)))
        count += sum(example.num_judged for example in chosen)
    return total, count


def count_verdicts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    end_tokens: Collection[int],
    max_new_tokens: int,
    batch_size: int,
    context: int | None,
) -> VerdictCounts:
    """Write a judgment for each prompt, greedily, and compare its verdict with the example's label.

    The model must attend by its own function here, not by packed rows.
    """
    order = sorted(range(len(examples)), key=lambda place: -examples[place].num_prompt)
    correct = unparsed = tokens = 0
    for start in range(0, len(order), batch_size):
        chosen = [examples[place] for place in order[start : start + batch_size]]
        requests = []
        for example in chosen:
            room = max_new_tokens if context is None else min(max_new_tokens, context - example.num_prompt)
            requests.append(
                PromptRequest(
                    tokens=list(example.tokens[: example.num_prompt]),
                    max_new_tokens=max(1, room),
                    rows=[RowRequest()],
                )
            )
        for example, (sampled,) in zip(
            chosen, decode(model, requests, SamplingParams(), end_tokens=end_tokens), strict=True
        ):
            own = sampled.tokens
            if own and own[-1] in end_tokens:
                own = own[:-1]
            verdict = parse_verdict(
                decode_tokens(tokenizer, own), truncated=sampled.finish_reason == "length"
            )
            correct += verdict.winner is not None and verdict.winner == example.label
            unparsed += verdict.winner is None
            tokens += len(sampled.tokens)
    return VerdictCounts(items=len(examples), correct=correct, unparsed=unparsed, tokens=tokens)
