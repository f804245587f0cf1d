"""Tasks -> samples: the policy writes judgments, and how likely each of their tokens was is kept.

One sampling loop serves judging and training (`rmr1.engines.hf.decode`). A text goes on to the end of the turn, as a
judge's does, so that where to stop is reinforced too. Every sample has a seed of its own (`make_seed`), so neither
batches nor the number of processes change what is sampled (up to rounding).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.base import SamplingParams, derive_seed
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode
from rmr1.engines.hf.reader import find_opening
from rmr1.engines.hf.tokens import Endings, TextStream
from rmr1.rewards import Judged, read_sample
from rmr1.train.grpo.tasks import Task
from rmr1.verdicts.stop import StopWatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One judgment that was written."""

    tokens: list[int]
    """Tokens with the end token, if one was sampled; at least one."""
    logprobs: list[float]
    """Log-probability of each token under the distribution that it was drawn from."""
    text: str
    """The text as the judge stores it: without the end token, with the mark of thinking that the prompt ended in."""
    is_cut: bool
    """The token limit came before the end token."""

    def judge(self, task: Task) -> Judged:
        """The sample as rewards see it."""
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
        found: list[list[Sample]] = [[] for _ in tasks]
        params = SamplingParams(temperature=temperature, num_samples=samples)
        try:
            # Prompts of similar length go together; longest first, so that what does not fit shows at once.
            order = sorted(range(len(tasks)), key=lambda place: (-len(tasks[place].tokens), place))
            number = max(1, self._rows // samples)
            for start in range(0, len(order), number):
                places = order[start : start + number]
                batch = [tasks[place] for place in places]
                drawn = self._sample_batch(batch, params, seed, with_logprobs)
                for place, one in zip(places, drawn, strict=True):
                    found[place] = one
        finally:
            self._model.train(was_training)
        return found

    def _sample_batch(
        self, tasks: Sequence[Task], params: SamplingParams, seed: str, with_logprobs: bool
    ) -> Iterator[list[Sample]]:
        endings = Endings(self._tokenizer, params)
        streams = [
            [TextStream(self._tokenizer, endings, StopWatcher()) for _ in range(params.num_samples)]
            for _ in tasks
        ]
        requests = [
            PromptRequest(
                tokens=task.tokens,
                max_new_tokens=task.prepared.max_new_tokens,
                rows=[
                    RowRequest(seed=make_seed(seed, task, number), watch=stream.push)
                    for number, stream in enumerate(rows)
                ],
            )
            for task, rows in zip(tasks, streams, strict=True)
        ]
        drawn = decode(
            self._model, requests, params, end_tokens=self._end_tokens, with_logprobs=with_logprobs
        )
        for task, rows, group in zip(tasks, streams, drawn, strict=True):
            yield [
                make_sample(task, stream, one.tokens, one.logprobs, is_cut=one.finish_reason == "length")
                for stream, one in zip(rows, group, strict=True)
            ]


def make_sample(
    task: Task, stream: TextStream, tokens: list[int], logprobs: list[float], *, is_cut: bool
) -> Sample:
    """The sample of a text that has ended."""
    text = stream.finish()
    opening = find_opening(task.prepared.opening, text)
    return Sample(tokens=tokens, logprobs=logprobs, text=opening + text, is_cut=is_cut)


def make_seed(seed: str, task: Task, number: int) -> int:
    """The seed of one sample, of the rollout, the epoch, the prompt and the sample's number.

    A rollout that passes the end of an epoch has some prompts twice, and different samples of them.
    """
    name = f"{seed}/{task.epoch}/{task.place}/{task.prompt.order}"
    digest = hashlib.sha256(name.encode()).digest()
    return derive_seed(int.from_bytes(digest[:8], "big"), number)
