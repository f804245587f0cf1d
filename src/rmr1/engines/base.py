"""The engine protocol: prompts in, generations out as they finish.

The caller never knows which engine runs. It hands over a stream of `Request` and receives
`(key, generations)` in whatever order they finish; engines read ahead only as far as they need to
form batches, so memory stays flat however long the stream is. A request that cannot be answered
comes back as a `Generation` with `finish_reason` "error" or "skipped" and the reason in `error`; it
never takes its neighbours with it. What stops the engine as a whole raises `GenerationError` or
`CheckpointError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rmr1.records import Generation, JudgePrompt


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
    stop: tuple[str, ...] = ("</answer>",)
    """Strings that end a text; the string itself is kept."""
    verdict_logprobs: bool = False
    """Report the log-probabilities of the verdict letters (`Generation.verdict_logprobs`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt for the engine, `num_samples` texts wanted."""

    key: str
    """Comes back with the generations; unique among the requests in flight."""
    prompt: JudgePrompt
    seed: int = 0
    """Sampling seed of this item; sample i uses a seed derived from it and i."""
    tags: dict[str, str] = field(default_factory=dict, compare=False)
    """Free for the caller; engines pass it through untouched."""


@runtime_checkable
class Engine(Protocol):
    """What every engine offers. `name` is stored with the run."""

    name: str

    def fingerprint(self) -> dict[str, object]:
        """What identifies the model and settings; a run resumes only under an equal one."""
        ...

    def special_tokens(self) -> tuple[str, ...]:
        """Control tokens of the model's tokenizer, which the renderer neutralises in user text."""
        ...

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield `(request, generations)` as they finish, `num_samples` generations each."""
        ...

    def close(self) -> None:
        """Release the model, the connection or the file."""
        ...
