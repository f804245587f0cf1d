"""A judge that is not asked pair by pair: each answer alone for a rating, or four at once for the best.

What comes in are pairs all the same, and what goes out are ordinary judgments, so run folders, resuming,
showing and scoring need nothing of their own:

- A pair is judged by two prompts of a pointwise family, each showing one answer. The judgment holds both
  ratings as `scores`, and the votes behind them: order "given" rated A alone, "swapped" rated B alone.
  Two equal answers are asked about once. Of several samples the mean of their ratings counts.
- A pair with `others` is judged by one prompt of a listwise family. The judgment's winner is one of A to D;
  the votes' order says where the pair's A stood.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rmr1.data.keys import seed_for
from rmr1.data.runs import RunWriter
from rmr1.engines.base import Engine, Request
from rmr1.errors import ConfigError
from rmr1.judge.base import PairJudge, unfinished_pairs
from rmr1.judge.choices import cast_choice, places_for
from rmr1.judge.compare import count_usage, decide
from rmr1.judge.generative import GenerativeJudge, describe_family
from rmr1.judge.ratings import cast_rating, mean_rating, rating_rule
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.prompts import PromptFamily, load_family, render_prompt
from rmr1.prompts.families import FOUR_WAY, RATING
from rmr1.records import (
    RATED,
    RATED_PUBLISHED,
    JudgePrompt,
    Judgment,
    Order,
    PreferencePair,
    Problem,
    Usage,
    Vote,
)


@dataclass(slots=True)
class _InFlight:
    pair: PreferencePair
    orders: tuple[Order, ...]
    started: float
    votes: dict[Order, tuple[Vote, ...]] = field(default_factory=dict)


class AnswerJudge:
    """Rates answers alone, and chooses among four. A `PairJudge`."""

    def __init__(
        self,
        engine: Engine,
        settings: JudgeSettings,
        *,
        rating: PromptFamily,
        choice: PromptFamily | None = None,
    ):
        """`choice` is needed for pairs with `others` only.

        Raises:
            ConfigError: a family shows another number of answers.
        """
        for family, wanted in ((rating, 1), (choice, 4)):
            if family is not None and family.num_answers != wanted:
                raise ConfigError(
                    f"prompt family {family.name!r} shows {family.num_answers} answers at a time, not {wanted}"
                )
        self.engine = engine
        self.settings = settings
        self.rating = rating
        self.choice = choice
        self.name = engine.name
        self.order: Placement | None = None if choice is None else settings.order

    def describe(self) -> dict[str, Any]:
        prompt: dict[str, Any] = describe_family(self.rating)
        if self.choice is not None:
            prompt["choice"] = describe_family(self.choice)
        return {
            "model_name": self.engine.name,
            "model": self.engine.fingerprint(),
            "prompt": prompt,
            "settings": self.settings.describe(),
        }

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """
        Raises:
            ConfigError: a pair has `others`, and there is no family that chooses.
            GenerationError, RunError: as for every judge.
        """
        in_flight: dict[str, _InFlight] = {}
        special_tokens = self.settings.all_control_tokens(self.engine.special_tokens())
        seed = self.settings.seed

        def requests() -> Iterator[Request]:
            for key, pair in unfinished_pairs(pairs, run):
                prompts = list(
                    render_asks(pair, key, self.settings, self.rating, self.choice, special_tokens)
                )
                orders = tuple(prompt.order for prompt in prompts)
                in_flight[key] = _InFlight(pair, orders, time.perf_counter())
                for prompt in prompts:
                    yield Request(
                        key=f"{key}/{prompt.order}",
                        prompt=prompt,
                        seed=seed_for(seed, "sampling", key, prompt.order),
                    )

        for request, generations in self.engine.generate(requests(), self.settings.sampling):
            key, _, _ = request.key.rpartition("/")
            item, order = in_flight[key], request.prompt.order
            rule = self.settings.rule
            if item.pair.others:
                votes = [
                    cast_choice(one, order=order, sample=sample, rule=rule)
                    for sample, one in enumerate(generations)
                ]
            else:
                votes = [
                    Vote(order=order, sample=sample, generation=one, verdict=cast_rating(one, rule=rule))
                    for sample, one in enumerate(generations)
                ]
            item.votes[order] = tuple(votes)
            if len(item.votes) < len(item.orders):
                continue
            judgment = self._conclude(in_flight.pop(key))
            if run is not None:
                run.append(key, judgment)
            yield key, judgment

    def close(self) -> None:
        self.engine.close()

    def _conclude(self, item: _InFlight) -> Judgment:
        family = self.choice if item.pair.others else self.rating
        assert family is not None
        usage = sum((count_usage(item.votes[order]) for order in item.orders), Usage())
        judgment = Judgment(
            pair=item.pair,
            family=family.name,
            rule=self.settings.rule if item.pair.others else rating_rule(self.settings.rule),
            winner=None,
            votes=tuple(vote for order in item.orders for vote in item.votes[order]),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            is_estimated=usage.is_estimated,
            seconds=round(time.perf_counter() - item.started, 4),
        )
        return _decide(judgment)


def render_asks(
    pair: PreferencePair,
    key: str,
    settings: JudgeSettings,
    rating: PromptFamily,
    choice: PromptFamily | None,
    special_tokens: tuple[str, ...] = (),
) -> Iterator[JudgePrompt]:
    """The prompts that an item needs: one per answer, or one that shows all four.

    Raises:
        ConfigError: there are four answers and no family that chooses among them.
    """
    orders: tuple[Order, ...]
    if pair.others:
        if choice is None:
            raise ConfigError(f"{pair.id!r} has four answers; prompt family {rating.name!r} rates one alone")
        family, orders = choice, places_for(settings.order, seed=settings.seed, key=key)
    else:
        family = rating
        orders = ("given",) if pair.response_a == pair.response_b else ("given", "swapped")
    for order in orders:
        yield render_prompt(pair, family, order=order, special_tokens=special_tokens)


def _decide(judgment: Judgment) -> Judgment:
    """`judgment` with what its votes add up to."""
    if judgment.pair.others:
        decision = decide(judgment.votes)
        return replace(
            judgment, winner=decision.winner, problem=decision.problem, confidence=decision.confidence
        )
    given = [vote for vote in judgment.votes if vote.order == "given"]
    swapped = [vote for vote in judgment.votes if vote.order == "swapped"] or given
    a, b = mean_rating(given), mean_rating(swapped)
    if a is None or b is None:
        failed = Counter(vote.verdict.problem for vote in (given if a is None else swapped))
        problem: Problem = failed.most_common(1)[0][0] or "no_ratings"
        return replace(judgment, winner=None, problem=problem, scores=None)
    winner = "tie" if a == b else "A" if a > b else "B"
    return replace(judgment, winner=winner, problem=None, scores=(a, b))


def is_about_answers(judgment: Judgment) -> bool:
    """Whether an `AnswerJudge` made it."""
    return bool(judgment.pair.others) or judgment.rule in (RATED, RATED_PUBLISHED)


def reread_answers(judgment: Judgment, rule: str) -> Judgment:
    """The judgment that the same texts give by another verdict rule.

    Raises:
        ConfigError: the rule is unknown.
    """
    if judgment.pair.others:
        votes = tuple(
            cast_choice(vote.generation, order=vote.order, sample=vote.sample, rule=rule)
            for vote in judgment.votes
        )
        return _decide(replace(judgment, votes=votes, rule=rule))
    votes = tuple(replace(vote, verdict=cast_rating(vote.generation, rule=rule)) for vote in judgment.votes)
    return _decide(replace(judgment, votes=votes, rule=rating_rule(rule)))


def ask_answers(judge: PairJudge) -> PairJudge:
    """The same model, asked about each answer alone and about four at once; a scalar judge does so anyway.

    Raises:
        ConfigError: it is a judge of one's own that takes pairs only.
    """
    if isinstance(judge, ScalarJudge) or (isinstance(judge, AnswerJudge) and judge.choice is not None):
        return judge
    if isinstance(judge, AnswerJudge):
        return AnswerJudge(judge.engine, judge.settings, rating=judge.rating, choice=load_family(FOUR_WAY))
    if isinstance(judge, GenerativeJudge):
        return AnswerJudge(
            judge.engine, judge.settings, rating=load_family(RATING), choice=load_family(FOUR_WAY)
        )
    raise ConfigError(f"judge {judge.name!r} compares two answers and can be asked in no other way")
