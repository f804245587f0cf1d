"""A judge that chooses: a decision endpoint gives the probability that either answer is the better one, and no reasons.

It is asked one question with two choices (prompt family `decision`, or one of the user's that asks for no text), in one
order or in both. Each read is a vote without a text, whose `verdict_logprobs` hold the two probabilities; so a judgment
tells its probability, its consistency and its position bias as those of a judge that writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from rmr1.engines.base import Decider, Request, SamplingParams
from rmr1.errors import ConfigError
from rmr1.judge.ask import Steps, ask_prompts
from rmr1.judge.finish import Finish
from rmr1.judge.generative import describe_family
from rmr1.judge.one_model import OneModelJudge
from rmr1.judge.placement import render_prompts
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.votes import DECISION_RULE, cast_decision, conclude
from rmr1.prompts import PromptFamily
from rmr1.records import Generation, Kind, PreferencePair

_ASKS_FOR_TEXT = re.compile(r"\[\[[AB]\]\]|<answer>")
_PARAMS = SamplingParams(max_new_tokens=1, verdict_logprobs=True)


class DecisionJudge(OneModelJudge[Request, tuple[Generation, ...]]):
    """Judges pairs by the probabilities of a decision endpoint. An `AdaptableJudge`."""

    kind: Kind = "pair"

    def __init__(
        self, model: Decider, family: PromptFamily, settings: JudgeSettings, *, finish: Finish | None = None
    ):
        """Only order, seed, `vote_by` and control tokens of the settings count.

        Raises:
            ConfigError: the family asks for a text, or shows another number of answers than two.
        """
        check_decision_family(family)
        self.engine = model
        self.family = family
        self.settings = settings
        self.finish = finish or Finish()
        self.name = model.name
        self.order: Placement | None = settings.order

    @property
    def model(self) -> Decider:
        return self.engine

    def describe_asking(self) -> dict[str, Any]:
        return {
            "model_name": self.name,
            "model": self.model.fingerprint(),
            "prompt": describe_family(self.family),
            "settings": describe_decision(self.settings),
        }

    def ask(self, key: str, pair: PreferencePair) -> Steps[Request, tuple[Generation, ...]]:
        """The steps in which a pair is asked about, by its key.

        Raises:
            ConfigError: the item has four answers.
        """
        if pair.others:
            raise ConfigError(f"{pair.id!r} has four answers; {self.name} is asked about two")
        settings, family = self.settings, self.family
        control_tokens = settings.all_control_tokens(())
        return ask_prompts(
            key,
            tuple(render_prompts("pair", pair, key, settings, family, control_tokens)),
            seed=settings.seed,
            params=_PARAMS,
            cast=partial(cast_decision, least_mass=self.model.least_label_mass),
            conclude=partial(
                conclude, pair, family=family.name, rule=DECISION_RULE, vote_by=settings.vote_by
            ),
        )

    def answer(self, requests: Iterator[Request]) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        return self.model.decide(requests)

    def place(self, order: Placement) -> DecisionJudge:
        settings = replace(self.settings, order=order)
        return DecisionJudge(self.model, self.family, settings, finish=self.finish)

    def ask_answers(self) -> DecisionJudge:
        return self


def describe_decision(settings: JudgeSettings) -> dict[str, Any]:
    """The settings that count for a decision endpoint."""
    names = ("order", "seed", "vote_by", "control_tokens")
    return {"rule": DECISION_RULE, **{name: getattr(settings, name) for name in names}}


def check_decision_family(family: PromptFamily) -> None:
    """
    Raises:
        ConfigError: the family asks for a text, or shows another number of answers than two.
    """
    if family.num_answers != 2:
        raise ConfigError(
            f"prompt family {family.name!r} shows {family.num_answers} answers; a decision endpoint is asked about 2"
        )
    if any(_ASKS_FOR_TEXT.search(text or "") for text in (family.system, family.single, family.multi)):
        raise ConfigError(
            f"prompt family {family.name!r} asks for a verdict in writing, and a decision endpoint writes nothing; leave "
            "the family out, or name one whose texts ask which response is better and for no answer tag"
        )
