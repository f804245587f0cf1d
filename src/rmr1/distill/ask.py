"""One pass: prompts to a teacher, judgments into the pass's file as they come.

The engine pulls requests and hands out texts in whatever order they finish; each is on disk before it is yielded. A
stop at any moment loses only what was in flight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from rmr1.data.keys import seed_for
from rmr1.data.runs import RunWriter
from rmr1.distill.alarm import Alarm
from rmr1.distill.budget import Meter
from rmr1.distill.items import Item
from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.judge.compare import cast_vote, count_usage, decide
from rmr1.judge.estimate import CHARS_PER_TOKEN
from rmr1.records import Generation, JudgePrompt, Judgment

RULE = "tagged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request of a pass."""

    item: Item
    prompt: JudgePrompt

    @property
    def num_chars(self) -> int:
        return sum(len(message.text) for message in self.prompt.messages)

    @property
    def num_tokens(self) -> int:
        """By its characters."""
        return math.ceil(self.num_chars / CHARS_PER_TOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How one pass is asked."""

    number: int
    family: str
    seed: int
    params: SamplingParams

    def sampling_seed(self, item: Item) -> int:
        return seed_for(self.seed, f"pass{self.number}", item.key, item.order)


def ask_teacher(
    questions: Iterable[Question],
    engine: Engine,
    settings: PassSettings,
    *,
    run: RunWriter,
    meter: Meter,
    alarm: Alarm,
) -> Generator[tuple[str, Judgment], None, None]:
    """Yield `(key, judgment)` for every question, until the questions or the budget end, or the alarm is raised.

    Raises:
        GenerationError: the engine as a whole failed. What was finished is stored.
        RunError: a judgment could not be stored.
    """
    source = iter(questions)
    waiting: list[Question] = []
    """The question that has to wait for those in flight."""
    while True:
        in_flight: dict[str, tuple[Question, float]] = {}
        num_asked = 0

        def requests(in_flight: dict[str, tuple[Question, float]] = in_flight) -> Iterator[Request]:
            while True:
                question = waiting.pop() if waiting else next(source, None)
                if question is None:
                    return
                key = question.item.key
                params = settings.params
                if not meter.reserve(
                    key, question.num_chars, params.max_new_tokens, num_samples=params.num_samples
                ):
                    waiting.append(question)
                    return
                in_flight[key] = question, time.perf_counter()
                yield Request(
                    key=f"{key}/{question.item.order}/{settings.number}",
                    prompt=question.prompt,
                    seed=settings.sampling_seed(question.item),
                    tags={"key": key},
                )

        for request, generations in engine.generate(requests(), settings.params):
            num_asked += 1
            question, started = in_flight.pop(request.tags["key"])
            judgment = conclude(
                question.item, generations, settings, seconds=round(time.perf_counter() - started, 4)
            )
            run.append(question.item.key, judgment)
            meter.settle(
                question.item.key, question.num_chars, judgment.prompt_tokens, judgment.completion_tokens
            )
            alarm.update(judgment)
            yield question.item.key, judgment
            if alarm.is_raised:
                return
        if not waiting:
            return
        if not num_asked:
            meter.is_exhausted = True
            return


def conclude(
    item: Item, generations: tuple[Generation, ...], settings: PassSettings, *, seconds: float = 0.0
) -> Judgment:
    """The record of a pair's texts."""
    votes = tuple(
        cast_vote(generation, order=item.order, sample=sample, rule=RULE, labels=("A", "B"))
        for sample, generation in enumerate(generations)
    )
    decision = decide(votes)
    usage = count_usage(votes)
    return Judgment(
        pair=item.pair,
        family=settings.family,
        rule=RULE,
        winner=decision.winner,
        problem=decision.problem,
        confidence=decision.confidence,
        votes=votes,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_estimated=usage.is_estimated,
        seconds=seconds,
    )
