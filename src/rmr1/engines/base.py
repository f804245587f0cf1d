"""The engine protocol: prompts in, generations out as they finish; and its like for models that score.

Answers come in whatever order they finish; engines read ahead only as far as they need to form batches, so memory
stays flat however long the stream is. A request that cannot be answered comes back as a `Generation` with
`finish_reason` "error" or "skipped" and the reason in `error`; it never takes its neighbours with it. What stops the
engine as a whole raises `GenerationError` or `CheckpointError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rmr1.engines.sheets import Sheet
from rmr1.messages import Messages
from rmr1.records import Generation, JudgePrompt, Order, Problem

UNWANTED = "nobody waits for it any more"
"""The error of a text that was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample. The defaults are greedy with the response limit of RM-R1's training."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    max_new_tokens: int = 8192
    num_samples: int = 1
    """Samples per prompt; the prompt is computed once for all of them."""
    stop: tuple[str, ...] = ()
    """Strings that end a text wherever they occur; the string itself is kept. By default the model ends its turn."""
    stop_at_verdict: bool = False
    """End a text at its final verdict: behind the thinking, alone on its line, outside quotations and code."""
    thinking: tuple[tuple[str, str], ...] = ()
    """The user's own forms of thinking, as (opening, closing) marks, beside those of `rmr1.prompts.thinking`."""
    verdict_logprobs: bool = False
    """Report the log-probabilities of the verdict letters (`Generation.verdict_logprobs`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A text that was begun and is to go on (`Guidable`)."""

    start: str = ""
    """What is written so far, behind the mark by which the prompt may have opened the thinking."""
    choices: tuple[str, ...] = ()
    """Ways to go on, of which the likeliest is taken; by default a text is written."""
    stop_at_loop: bool = False
    """End the text at an n-gram that repeats itself (`rmr1.engines.loops.is_loop`)."""


class Listener(Protocol):
    """Somebody who reads the texts of a request while they are written. Engines call it from their own threads."""

    @property
    def is_there(self) -> bool:
        """Whether anybody reads now; if not, nothing has to be told."""
        ...

    def hear(self, sample: int, start: int, delta: str) -> None:
        """Take in what was written of the sample of a number: `delta` follows the first `start` characters of the
        generation's text, and what was told behind them is taken back. It returns at once, however slow the reader is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt for the engine, `num_samples` texts of the settings wanted, or those that `samples` numbers."""

    key: str
    """Unique among the requests in flight."""
    prompt: JudgePrompt
    seed: int = 0
    """Sampling seed of this item; sample i uses a seed derived from it and i."""
    params: SamplingParams | None = None
    """How to sample for this one, instead of as for the others."""
    going_on: Continuation | None = None
    """How the text goes on, if it is not to be written from its beginning. Tokens of the start count for nothing."""
    goes_on: bool = False
    """Whether a request of the same key may come that goes on with the text; what was read of it may then be kept."""
    sheet: Sheet | None = None
    """What is to be filled instead of a text; the generation's text is the JSON as it was written, whole or cut."""
    is_wanted: Callable[[], bool] | None = None
    """Says whether somebody still waits for the texts; None: always. It is asked now and then, from the engine's
    threads, and texts that nobody waits for end as failures (`UNWANTED`)."""
    listener: Listener | None = None
    """Who is told of the texts as they are written, by engines that can; texts are the same with and without."""
    samples: range | None = None
    """Numbers of the samples that are wanted, if they are asked for in several waves; at least one."""

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for the texts any more."""
        return self.is_wanted is not None and not self.is_wanted()

    @property
    def is_heard(self) -> bool:
        """Whether somebody reads the texts while they are written."""
        return self.listener is not None and self.listener.is_there

    def choose_params(self, params: SamplingParams) -> SamplingParams:
        """Its own settings, or else these."""
        return params if self.params is None else self.params

    def list_samples(self, params: SamplingParams) -> range:
        """The numbers of the samples that are wanted."""
        return range(self.choose_params(params).num_samples) if self.samples is None else self.samples


class Model(Protocol):
    """What every engine and every scalar reward model offers. `name` is stored with the run."""

    name: str

    def fingerprint(self) -> dict[str, object]:
        """What identifies the model and settings; a run resumes only under an equal one."""
        ...

    def close(self) -> None:
        """Release the model, the connection or the file."""
        ...


@runtime_checkable
class Engine(Model, Protocol):
    """What every engine offers."""

    def special_tokens(self) -> tuple[str, ...]:
        """Control tokens of the model's tokenizer, which the renderer neutralises in user text."""
        ...

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield `(request, generations)` as they finish, one generation for each of the request's samples.

        A stream that has no request at hand may have one again when an answer was yielded, or later: it is asked
        for more as long as something is in flight, and the engine ends when nothing is.
        """
        ...


@runtime_checkable
class Guidable(Protocol):
    """An engine that goes on with a text that was begun (`Request.going_on`).

    Of `choices` the generation's text is the likeliest one, and `verdict_logprobs` holds (choice, log-probability) of
    each: of the first token in which it differs from the others, all of them being split into tokens behind the start.
    """

    def find_opening(self, thinking: Sequence[tuple[str, str]]) -> str:
        """The mark by which the chat template opens the thinking at the end of a prompt; "" if it does not.

        Raises:
            ConfigError: the engine asks a server, and that can neither go on with a text nor fill a sheet.
            GenerationError: it could not be found out.
        """
        ...

    def fills_sheets(self) -> bool:
        """Whether it is guided by `Request.sheet` alone: it does not go on with a text. Raises as `find_opening`."""
        ...


@runtime_checkable
class Dated(Protocol):
    """An engine or scorer whose chat template may write the time."""

    def begin_run(self, stored: Mapping[str, object] | None) -> None:
        """Fix that time: now, or as it was for the run that goes on, whose fingerprint was `stored`."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """An engine whose texts are used up in the sequence of the data."""

    def pass_over(self, pair_id: str, slot: Order, params: SamplingParams) -> None:
        """Take the texts of an item that a run holds already, as if it had been asked for; see `JudgePrompt.slot`."""
        ...


@runtime_checkable
class Decider(Model, Protocol):
    """A model that chooses between the answers of a prompt and writes nothing.

    Its generations have no text; `verdict_logprobs` holds the log-probability of each of the prompt's labels, and
    `verdict_mass` their total probability, or None if the server does not tell it.
    """

    least_label_mass: float
    """A smaller `verdict_mass`, in [0, 1], is no verdict."""

    def decide(self, requests: Iterable[Request]) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield each request with its one generation as they finish."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One conversation for the scorer, the answer to be scored at its end."""

    key: str
    """Unique among the requests in flight."""
    pair_id: str
    messages: Messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a scalar reward model says of one conversation."""

    value: float | None
    """Finite, on the model's own scale; None if there is none, for which `problem` is the reason."""
    prompt_tokens: int = 0
    problem: Problem | None = None
    error: str | None = None


@runtime_checkable
class Scorer(Model, Protocol):
    """What every scalar reward model offers."""

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        """Yield `(request, score)` as they finish. Equal conversations that follow each other directly
        get equal scores, to the last bit."""
        ...


def is_scalar(architectures: Iterable[str]) -> bool:
    """Whether a checkpoint with these architectures gives an answer a number."""
    return any(name.endswith("ForSequenceClassification") or "RewardModel" in name for name in architectures)


def derive_seed(seed: int, sample: int, *, bits: int = 53) -> int:
    """The seed of one sample of a request, in [0, 2**bits): the same everywhere, and exact in JSON."""
    digest = hashlib.sha256(f"{seed}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)
