"""Held-out figures: the loss, and whether judgments that are written end in the right verdict."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.attention.packed import pack
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode
from rmr1.engines.hf.reader import find_opening
from rmr1.engines.hf.tokens import Endings, TextStream
from rmr1.train.rendering import read_opening
from rmr1.train.row import Example, build_row
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.stop import StopWatcher


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


def judge_examples(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    end_tokens: Collection[int],
    max_new_tokens: int,
    batch_size: int,
    context: int | None,
) -> list[tuple[str | None, int]]:
    """The verdict of a judgment that is written for each prompt, greedily, and its number of tokens.

    Texts begin, end and are read as those of `rmr1 judge`. The model must attend by its own function here, not by
    packed rows.
    """
    params = SamplingParams()
    endings = Endings(tokenizer, params)
    order = sorted(range(len(examples)), key=lambda place: -examples[place].num_prompt)
    found: dict[int, tuple[str | None, int]] = {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        chosen = [examples[place] for place in places]
        streams = [TextStream(tokenizer, endings, StopWatcher()) for _ in chosen]
        requests = []
        for example, stream in zip(chosen, streams, strict=True):
            room = max_new_tokens if context is None else min(max_new_tokens, context - example.num_prompt)
            requests.append(
                PromptRequest(
                    tokens=list(example.tokens[: example.num_prompt]),
                    max_new_tokens=max(1, room),
                    rows=[RowRequest(watch=stream.push)],
                )
            )
        drawn = decode(model, requests, params, end_tokens=end_tokens)
        for place, example, stream, (sampled,) in zip(places, chosen, streams, drawn, strict=True):
            text = stream.finish()
            text = find_opening(read_opening(tokenizer, example), text) + text
            verdict = parse_verdict(text, truncated=sampled.finish_reason == "length")
            found[place] = verdict.winner, len(sampled.tokens)
    return [found[place] for place in range(len(examples))]
