"""One pass: prompts to a teacher, judgments into the pass's file as they come, and what they take from the budget."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

from rmr1.distill.budget import Meter
from rmr1.distill.items import Item
from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.forecast.numbers import CHARS_PER_TOKEN
from rmr1.judge.alarm import Alarm
from rmr1.judge.ask import Ask, ask_all, ask_once
from rmr1.judge.votes import cast_vote, conclude
from rmr1.records import Generation, JudgePrompt, Judgment
from rmr1.store.keys import seed_for
from rmr1.store.runs import RunWriter

RULE = "tagged"


class Question(NamedTuple):
    """One request of a pass."""

    item: Item
    prompt: JudgePrompt

    @property
    def num_chars(self) -> int:
        return sum(len(message.text) for message in self.prompt.messages)

    @property
    def num_tokens(self) -> int:
        """The number that is reckoned from the characters."""
        return math.ceil(self.num_chars / CHARS_PER_TOKEN)


class PassSettings(NamedTuple):
    """How a pass is asked."""

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
    """Yield `(key, judgment)` for every question, until the questions or the budget end."""
    source = iter(questions)
    waiting: list[Question] = []
    """The question that has to wait for those in flight."""
    params = settings.params

    def asks() -> Iterator[Ask[Request, tuple[Generation, ...]]]:
        while (question := waiting.pop() if waiting else next(source, None)) is not None:
            item = question.item
            if not meter.reserve(
                item.key, question.num_chars, params.max_new_tokens, num_samples=params.num_samples
            ):
                waiting.append(question)
                return
            request = Request(
                key=f"{item.key}/{item.order}/{settings.number}",
                prompt=question.prompt,
                seed=settings.sampling_seed(item),
            )
            yield Ask(key=item.key, steps=ask_once((request,), partial(finish, question)))

    def finish(question: Question, answers: Sequence[tuple[Generation, ...]]) -> Judgment:
        item, (generations,) = question.item, answers
        judgment = read_texts(item, generations, settings)
        meter.settle(item.key, question.num_chars, judgment.prompt_tokens, judgment.completion_tokens)
        return judgment

    while True:
        num_asked = 0
        answers = ask_all(
            asks(), lambda requests: engine.generate(requests, params), models=(engine,), run=run, alarm=alarm
        )
        with closing(answers):
            for one in answers:
                num_asked += 1
                yield one
        if not waiting or not num_asked:
            meter.is_exhausted = bool(waiting)
            return


def read_texts(
    item: Item, generations: tuple[Generation, ...], settings: PassSettings, *, seconds: float = 0.0
) -> Judgment:
    """A pair's texts as its judgment."""
    votes = [
        cast_vote(
            generation,
            order=item.order,
            sample=sample,
            rule=RULE,
            labels=("A", "B"),
            thinking=settings.params.thinking,
        )
        for sample, generation in enumerate(generations)
    ]
    return conclude(item.pair, votes, seconds, family=settings.family, rule=RULE)
