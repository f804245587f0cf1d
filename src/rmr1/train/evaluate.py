"""Figures of held-out examples, and the texts that a model in training writes.

Texts begin, end and are read as those of `rmr1 judge`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, Sampled, decode
from rmr1.engines.hf.reader import find_opening
from rmr1.engines.hf.tokens import Endings, TextStream
from rmr1.train.group import add_up, take_share
from rmr1.train.rendering import read_opening
from rmr1.train.row import Example, RowLoss, build_row, fill_in, pack_rows
from rmr1.train.sharding import Held
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.stop import StopWatcher


def sum_held_out(
    held: Held, loss: RowLoss, examples: Sequence[Example], *, row_tokens: int, device: torch.device
) -> tuple[float, int]:
    """Summed loss in nats over all processes, each of which reads its share, and the number of tokens it is of."""
    rows = pack_rows(examples, loss.paths, row_tokens)
    total = torch.zeros((), dtype=torch.float64)
    for place in take_share([float(sum(len(examples[one].tokens) for one in row)) for row in rows]):
        chosen = [fill_in(examples)] if place is None else [examples[one] for one in rows[place]]
        found = held.read(loss, build_row(chosen, device))
        if place is not None:
            total += found.cpu().double()
    return float(add_up(total)), sum(example.num_judged for example in examples)


class Prompt(NamedTuple):
    """A prompt to write after."""

    tokens: Sequence[int]
    max_new_tokens: int
    opening: str
    """The mark by which the prompt opens the thinking, or ""."""
    seeds: Sequence[int] = (0,)
    """The seed of each text that is wanted."""


def write_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    params: SamplingParams,
    *,
    end_tokens: Collection[int],
    rows: int,
    with_logprobs: bool = False,
) -> list[list[tuple[Sampled, str]]]:
    """The texts of each prompt; `rows` of them are written together, but always all of a prompt.

    The model must attend by its own function here, not by packed rows.
    """
    endings = Endings(tokenizer, params)
    found: list[list[tuple[Sampled, str]]] = [[] for _ in prompts]
    # Prompts of similar length go together; longest first, so that what does not fit shows at once.
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place].tokens))
    number = max(1, rows // params.num_samples)
    for start in range(0, len(order), number):
        places = order[start : start + number]
        batch = [prompts[place] for place in places]
        streams = [[TextStream(tokenizer, endings, StopWatcher()) for _ in one.seeds] for one in batch]
        requests = [
            PromptRequest(
                tokens=one.tokens,
                max_new_tokens=one.max_new_tokens,
                rows=[
                    RowRequest(seed=seed, watch=own.push) for seed, own in zip(one.seeds, group, strict=True)
                ],
            )
            for one, group in zip(batch, streams, strict=True)
        ]
        drawn = decode(model, requests, params, end_tokens=end_tokens, with_logprobs=with_logprobs)
        for place, one, group, sampled in zip(places, batch, streams, drawn, strict=True):
            texts = [finish_text(stream, one.opening) for stream in group]
            found[place] = list(zip(sampled, texts, strict=True))
    return found


def finish_text(stream: TextStream, opening: str) -> str:
    """The text as the judge stores it: with the mark of thinking that the prompt ended in."""
    text = stream.finish()
    return find_opening(opening, text) + text


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
    """The verdict of a judgment that is written for each prompt, greedily, and its number of tokens."""
    prompts = []
    for example in examples:
        tokens = list(example.tokens[: example.num_prompt])
        room = max_new_tokens if context is None else min(max_new_tokens, context - len(tokens))
        prompts.append(Prompt(tokens, max(1, room), read_opening(tokenizer, example)))
    written = write_texts(model, tokenizer, prompts, SamplingParams(), end_tokens=end_tokens, rows=batch_size)
    return [
        (parse_verdict(text, truncated=one.finish_reason == "length").winner, len(one.tokens))
        for ((one, text),) in written
    ]
