"""Tasks -> samples: the policy writes judgments, and how likely each of their tokens was is kept.

A text goes on to the end of the turn, as a judge's does, so that where to stop is reinforced too. Every sample has a
seed of its own, so neither batches nor the number of processes change what is sampled (up to rounding).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.base import SamplingParams, derive_seed
from rmr1.rewards import Judged, read_sample
from rmr1.train.evaluate import Prompt, write_texts
from rmr1.train.grpo.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One judgment that was written."""

    tokens: list[int]
    """Tokens with the end token, if one was sampled; at least one."""
    logprobs: list[float]
    """Log-probability of each token under the distribution that it was drawn from."""
    text: str
    """The text as the judge stores it, without the end token."""
    is_cut: bool
    """The token limit came before the end token."""

    def judge(self, task: Task) -> Judged:
        number = len(self.tokens)
        return read_sample(
            self.text, prompt=task.prompt, pair=task.pair, num_tokens=number, is_cut=self.is_cut
        )


class Sampler:
    """Samples from a model that this process holds, as it stands at each call."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        end_tokens: Collection[int],
        rows: int,
    ):
        """`rows` samples are decoded together, but always all of a prompt."""
        self._model = model
        self._tokenizer = tokenizer
        self._end_tokens = frozenset(end_tokens)
        self._rows = rows

    def sample(
        self,
        tasks: Sequence[Task],
        *,
        samples: int,
        temperature: float,
        seed: str = "",
        with_logprobs: bool = True,
    ) -> list[list[Sample]]:
        """So many judgments of each task; temperature 0 is greedy."""
        was_training = self._model.training
        self._model.eval()
        prompts = [
            Prompt(
                task.tokens,
                task.prepared.max_new_tokens,
                task.prepared.opening,
                [make_seed(seed, task, number) for number in range(samples)],
            )
            for task in tasks
        ]
        try:
            found = write_texts(
                self._model,
                self._tokenizer,
                prompts,
                SamplingParams(temperature=temperature, num_samples=samples),
                end_tokens=self._end_tokens,
                rows=self._rows,
                with_logprobs=with_logprobs,
            )
        finally:
            self._model.train(was_training)
        return [
            [
                Sample(
                    tokens=one.tokens,
                    logprobs=one.logprobs,
                    text=text,
                    is_cut=one.finish_reason == "length",
                )
                for one, text in group
            ]
            for group in found
        ]


def list_costs(tasks: Sequence[Task]) -> list[float]:
    """About what sampling takes for each task, by which tasks are divided over processes: the tokens it may come to."""
    return [float(len(task.tokens) + task.prepared.max_new_tokens) for task in tasks]


def make_seed(seed: str, task: Task, number: int) -> int:
    """The seed of one sample, of the rollout, the epoch, the prompt and the sample's number.

    A rollout that passes the end of an epoch has some prompts twice, and different samples of them.
    """
    name = f"{seed}/{task.epoch}/{task.place}/{task.prompt.order}"
    digest = hashlib.sha256(name.encode()).digest()
    return derive_seed(int.from_bytes(digest[:8], "big"), number)
