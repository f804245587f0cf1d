"""A judge that writes before it decides: an engine, prompt families and settings.

A family that shows two answers compares them ("pair"), one that shows one answer rates each alone ("rating"), and
`choice`, if there is one, shows the four answers of an item that has `others` at once ("choice"). Of several samples
the majority counts, and of ratings the mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from rmr1.engines.base import Engine, Guidable, Recorded, Request
from rmr1.errors import ConfigError
from rmr1.judge.alarm import Alarm
from rmr1.judge.ask import Steps, Write, ask_all, ask_prompts
from rmr1.judge.base import Items, unfinished_pairs
from rmr1.judge.finish import Finish
from rmr1.judge.guide import Guide, guided, is_typed
from rmr1.judge.placement import list_placements, render_prompts
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.votes import cast_answer, conclude
from rmr1.prompts import PromptFamily, load_family
from rmr1.prompts.families import FOUR_WAY, RATING
from rmr1.records import Generation, Judgment, Kind, Order, PreferencePair
from rmr1.store.runs import RunWriter

_KINDS: dict[int, Kind] = {1: "rating", 2: "pair", 4: "choice"}
"""Answers that a family shows at a time -> what is asked with it."""


class GenerativeJudge:
    """Judges by what a model writes. An `AdaptableJudge`."""

    def __init__(
        self,
        engine: Engine,
        family: PromptFamily,
        settings: JudgeSettings,
        *,
        choice: PromptFamily | None = None,
        finish: Finish | None = None,
    ):
        for one, wanted in ((family, (1, 2)), (choice, (4,))):
            if one is not None and one.num_answers not in wanted:
                expected = " or ".join(map(str, wanted))
                raise ConfigError(
                    f"prompt family {one.name!r} shows {one.num_answers} answers at a time, not {expected}"
                )
        check_guidable(engine, settings)
        self.engine = engine
        self.family = family
        self.choice = choice
        self.settings = settings
        self.finish = finish or Finish()
        self.name = engine.name
        self.kind: Kind = _KINDS[family.num_answers]
        self.order: Placement | None = settings.order if self.kind == "pair" or choice is not None else None

    def describe(self) -> dict[str, Any]:
        values = self.describe_asking()
        return {**values, "settings": {**values["settings"], **self.finish.describe()}}

    def describe_asking(self) -> dict[str, Any]:
        """`describe` without what is done besides asking: what decides a judgment, by which a cache knows it."""
        prompt: dict[str, Any] = describe_family(self.family)
        if self.choice is not None:
            prompt["choice"] = describe_family(self.choice)
        return {
            # What was typed is told but not compared: a folder may be named in many ways.
            "model_name": self.engine.name,
            "model": self.engine.fingerprint(),
            "prompt": prompt,
            "settings": self.settings.describe(),
        }

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        def pass_over(key: str, pair: PreferencePair) -> None:
            if isinstance(self.engine, Recorded):
                kind, _ = find_way(pair, self.family, self.choice)
                for order, side in list_placements(kind, pair, key, self.settings):
                    slot: Order = "swapped" if side == "B" else order
                    self.engine.pass_over(pair.id, slot, self.settings.sampling)

        return self.judge_items(unfinished_pairs(pairs, run, on_finished=pass_over), run=run)

    def judge_items(
        self, items: Items, *, run: RunWriter | None = None, alarm: Alarm | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """`run` for items whose keys are known, of which none is finished; with an `alarm` of one's own."""
        special_tokens = self.settings.all_control_tokens(self.engine.special_tokens())
        sampling = self.settings.sampling

        def ask(key: str, pair: PreferencePair) -> Steps[Request, tuple[Generation, ...]]:
            settings = self.settings
            kind, family = find_way(pair, self.family, self.choice)
            vote_by = settings.vote_by if kind == "pair" else "majority"
            return ask_prompts(
                key,
                tuple(render_prompts(kind, pair, key, settings, family, special_tokens)),
                seed=settings.seed,
                params=sampling,
                stop_votes=None if kind == "rating" else settings.stop_votes,
                write=choose_writing(self.engine, settings, family, kind, key),
                cast=partial(cast_answer, kind=kind, rule=settings.rule, thinking=sampling.thinking),
                conclude=partial(
                    conclude, pair, kind=kind, family=family.name, rule=settings.rule, vote_by=vote_by
                ),
            )

        return ask_all(
            self.finish.wrap(items, ask, self.describe_asking),
            lambda requests: self.engine.generate(requests, sampling),
            engine=self.engine,
            run=run,
            alarm=alarm,
        )

    def place(self, order: Placement) -> GenerativeJudge:
        settings = replace(self.settings, order=order)
        return GenerativeJudge(self.engine, self.family, settings, choice=self.choice, finish=self.finish)

    def ask_answers(self) -> GenerativeJudge:
        if self.kind == "rating" and self.choice is not None:
            return self
        rating = self.family if self.kind == "rating" else load_family(RATING)
        choice = load_family(FOUR_WAY)
        return GenerativeJudge(self.engine, rating, self.settings, choice=choice, finish=self.finish)

    def close(self) -> None:
        self.finish.close()
        self.engine.close()


def find_way(
    pair: PreferencePair, family: PromptFamily, choice: PromptFamily | None
) -> tuple[Kind, PromptFamily]:
    """What is asked about an item, and with which family."""
    if not pair.others or (choice is None and family.num_answers == 2):
        return _KINDS[family.num_answers], family
    if choice is None:
        raise ConfigError(f"{pair.id!r} has four answers; prompt family {family.name!r} rates one alone")
    return "choice", choice


def check_guidable(engine: Engine, settings: JudgeSettings) -> None:
    """
    Raises:
        ConfigError: texts are to be guided, and the engine does not go on with one that was begun.
    """
    if settings.guide is not None and not isinstance(engine, Guidable):
        raise ConfigError(
            f"model {engine.name!r} cannot be guided: its engine does not go on with a text that was begun; use a "
            "local model (a folder or name, or vllm:), or leave the guide out"
        )


def choose_writing(
    engine: Engine, settings: JudgeSettings, family: PromptFamily, kind: Kind, key: str
) -> Write | None:
    """How an item's texts are guided; None if they are not.

    Raises:
        ConfigError: they are to be, and answers are rated.
    """
    if settings.guide is None or not isinstance(engine, Guidable):
        return None
    if kind == "rating":
        raise ConfigError(
            f"prompt family {family.name!r} rates answers, which is not guided; leave the guide out"
        )
    sampling = settings.sampling
    guide = Guide(
        is_typed=is_typed(family),
        opening=engine.find_opening(sampling.thinking),
        thinking=sampling.thinking,
        part_tokens=settings.part_tokens,
        rule=settings.rule,
    )
    return guided(guide, key, seed=settings.seed, params=sampling, is_free=settings.guide == "verdict")


def describe_family(family: PromptFamily) -> dict[str, Any]:
    """What run.json keeps of a prompt family: all of it."""
    texts = {name: getattr(family, name) for name in ("digest", "system", "single", "multi")}
    return {"family": family.name, **texts}
