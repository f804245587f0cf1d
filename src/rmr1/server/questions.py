"""Questions that are no pair: the judge's model thinks about an input, names an option, and the probability is read where
it names it. For general models; a judge that was trained on pairs alone has never seen such a prompt."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Any

from rmr1.engines.base import Guidable, Request
from rmr1.judge.ask import Ask, write_together
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.guide import guided
from rmr1.judge.guided_text import Guide
from rmr1.messages import Messages
from rmr1.prompts.question import FAMILY, name_options, render_choice
from rmr1.records import NO_TEXT, Generation, JudgePrompt
from rmr1.server.service import Service, ServiceError
from rmr1.server.worker import Askings
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import seed_for
from rmr1.verdicts.kinds import read_verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question about an input."""

    input: Messages
    question: str
    options: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same for the same question."""
        said = [[dump_record(one) for one in self.input], self.question, list(self.options)]
        return f"question/{hashlib.blake2b(dumps(said), digest_size=16).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the model decided."""

    shares: tuple[float, ...] | None
    """The probability of each option, which sum to 1; None if the model named none."""
    generation: Generation


async def decide(service: Service, asked: Asked) -> Decided:
    """What the judge's model says.

    Raises:
        ServiceError: it is not one model that writes, tells no probabilities, or gave no answer.
    """
    if not isinstance(service.judge, GenerativeJudge):
        raise ServiceError(422, "unsupported_question", f"{service.judge.name} is not one model that writes")

    def make(askings: Askings) -> Ask[Any, Any]:
        assert isinstance(askings.judge, GenerativeJudge)
        return Ask(key=asked.key, steps=_ask(askings.judge, asked))

    generation: Generation = await service.hear(asyncio.wrap_future(service.submit(asked.key, make)))
    if generation.finish_reason in NO_TEXT:
        raise ServiceError(
            502, "generation_failed", generation.error or "the engine gave no answer", retry_after=1
        )
    settings = service.judge.settings
    verdict = read_verdict(
        generation.text,
        labels=name_options(len(asked.options)),
        truncated=generation.finish_reason == "length",
        thinking=settings.sampling.thinking,
    )
    if verdict.winner is None:
        return Decided(shares=None, generation=generation)
    if generation.verdict_logprobs is None:
        raise ServiceError(
            422, "no_probability", f"{service.judge.name} tells no probabilities of what it names"
        )
    return Decided(shares=share(generation.verdict_logprobs), generation=generation)


def share(logprobs: Sequence[tuple[str, float]]) -> tuple[float, ...]:
    """Probabilities that sum to 1.

    >>> share([("A", -1.0), ("B", -1.0)])
    (0.5, 0.5)
    """
    highest = max(value for _, value in logprobs)
    weights = [exp(value - highest) for _, value in logprobs]
    return tuple(weight / sum(weights) for weight in weights)


def _ask(judge: GenerativeJudge, asked: Asked) -> Generator[tuple[Request, ...], Any, Any]:
    settings, engine = judge.settings, judge.engine
    prompt = JudgePrompt(
        pair_id=asked.key,
        family=FAMILY,
        order="given",
        messages=render_choice(
            asked.input,
            asked.question,
            asked.options,
            special_tokens=settings.all_control_tokens(engine.special_tokens()),
        ),
        labels=name_options(len(asked.options)),
    )
    params = replace(settings.sampling, num_samples=1, stop_at_verdict=False, verdict_logprobs=True)
    if settings.guide is None or not isinstance(engine, Guidable):
        seed = seed_for(settings.seed, "sampling", asked.key)
        ((generation,),) = yield (Request(key=asked.key, prompt=prompt, seed=seed, params=params),)
        return generation
    guide = Guide(
        is_typed=False,
        by_sheet=engine.fills_sheets(),
        opening=engine.find_opening(params.thinking),
        thinking=params.thinking,
        part_tokens=settings.part_tokens,
        rule="tagged",
    )
    is_free = settings.guide == "verdict"
    write = guided(guide, asked.key, seed=settings.seed, params=params, is_free=is_free)
    (generation,) = yield from write_together([write(prompt, 0)])
    return generation
