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

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rmr1.engines.base import Engine, Recorded, Request
from rmr1.errors import ConfigError
from rmr1.judge.ask import Ask, ask_all, ask_prompts
from rmr1.judge.base import PairJudge, unfinished_pairs
from rmr1.judge.compare import conclude, decide
from rmr1.judge.generative import GenerativeJudge, describe_family
from rmr1.judge.listwise import cast_choice, places_for
from rmr1.judge.pointwise import cast_rating, mean_rating, rating_rule
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.prompts import PromptFamily, load_family, render_prompt
from rmr1.prompts.families import FOUR_WAY, RATING
from rmr1.records import (
    RATED,
    RATED_PUBLISHED,
    Generation,
    JudgePrompt,
    Judgment,
    Order,
    PreferencePair,
    Problem,
    Vote,
)
from rmr1.store.runs import RunWriter


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
        special_tokens = self.settings.all_control_tokens(self.engine.special_tokens())

        def ask(key: str, pair: PreferencePair) -> Ask[Request, tuple[Generation, ...]]:
            asked = render_asks(pair, key, self.settings, self.rating, self.choice, special_tokens)
            return ask_prompts(
                key,
                tuple(asked),
                seed=self.settings.seed,
                cast=self._cast_choice if pair.others else self._cast_rating,
                conclude=partial(self._conclude, pair),
            )

        def pass_over(key: str, pair: PreferencePair) -> None:
            if isinstance(self.engine, Recorded):
                for order in _orders_of(pair, key, self.settings):
                    self.engine.pass_over(pair.id, order, self.settings.sampling)

        return ask_all(
            (ask(key, pair) for key, pair in unfinished_pairs(pairs, run, on_finished=pass_over)),
            lambda requests: self.engine.generate(requests, self.settings.sampling),
            engine=self.engine,
            run=run,
        )

    def close(self) -> None:
        self.engine.close()

    def _cast_choice(self, generation: Generation, prompt: JudgePrompt, sample: int) -> Vote:
        return cast_choice(
            generation,
            order=prompt.order,
            sample=sample,
            rule=self.settings.rule,
            thinking=self.settings.sampling.thinking,
        )

    def _cast_rating(self, generation: Generation, prompt: JudgePrompt, sample: int) -> Vote:
        verdict = cast_rating(generation, rule=self.settings.rule, thinking=self.settings.sampling.thinking)
        return Vote(order=prompt.order, sample=sample, generation=generation, verdict=verdict)

    def _conclude(self, pair: PreferencePair, votes: Sequence[Vote], seconds: float) -> Judgment:
        family, rule = self.choice, self.settings.rule
        if not pair.others:
            family, rule = self.rating, rating_rule(rule)
        assert family is not None
        return _decide(conclude(pair, votes, seconds, family=family.name, rule=rule))


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
    if pair.others and choice is None:
        raise ConfigError(f"{pair.id!r} has four answers; prompt family {rating.name!r} rates one alone")
    family = choice if pair.others and choice is not None else rating
    for order in _orders_of(pair, key, settings):
        yield render_prompt(pair, family, order=order, special_tokens=special_tokens)


def _orders_of(pair: PreferencePair, key: str, settings: JudgeSettings) -> tuple[Order, ...]:
    if pair.others:
        return places_for(settings.order, seed=settings.seed, key=key)
    return ("given",) if pair.response_a == pair.response_b else ("given", "swapped")


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
