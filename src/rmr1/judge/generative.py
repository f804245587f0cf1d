"""A judge that writes before it decides: an engine, prompt families and settings.

A family that shows two answers compares them ("pair"), one that shows one answer rates each alone ("rating"), and
`choice`, if there is one, shows the four answers of an item that has `others` at once ("choice"). Of several samples
the majority counts, and of ratings the mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rmr1.engines.base import Engine, Guidable, Recorded, Request
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.ask import Asking, Steps, Write, ask_prompts
from rmr1.judge.base import unfinished_pairs
from rmr1.judge.finish import Finish
from rmr1.judge.guide import guided, is_typed
from rmr1.judge.guided_text import Guide
from rmr1.judge.one_model import OneModelJudge
from rmr1.judge.placement import list_placements, render_prompts
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.shared import RubricWriter, join_criteria, judge_without
from rmr1.judge.votes import cast_answer, conclude
from rmr1.prompts import PromptFamily, load_family
from rmr1.prompts.families import FOUR_WAY, RATING, RUBRIC_WRITER
from rmr1.prompts.render import check_criteria_place
from rmr1.records import Generation, Judgment, Kind, PreferencePair, RubricItem
from rmr1.store.rubrics import RubricKeeper
from rmr1.store.runs import RunWriter

KINDS: dict[int, Kind] = {1: "rating", 2: "pair", 4: "choice"}
"""Answers that a family shows at a time -> what is asked with it."""


class GenerativeJudge(OneModelJudge[Request, tuple[Generation, ...]]):
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
        check_criteria_place(family, is_given=settings.gives_criteria)
        if choice is not None and settings.gives_criteria:
            raise ConfigError(
                f"prompt family {choice.name!r} has no place for criteria; leave them out, or ask about pairs"
            )
        if settings.share_rubric and isinstance(engine, Recorded):
            raise ConfigError(
                f"model {engine.name!r} is a recording, which holds no rubrics that could be shared; leave "
                f"{name_option('share_rubric', True)} out"
            )
        self.writer = load_family(RUBRIC_WRITER) if settings.share_rubric else None
        self.rubrics = RubricKeeper()
        self.engine = engine
        self.family = family
        self.choice = choice
        self.settings = settings
        self.finish = finish or Finish()
        self.name = engine.name
        self.kind: Kind = KINDS[family.num_answers]
        self.order: Placement | None = settings.order if self.kind == "pair" or choice is not None else None
        self._control_tokens: tuple[str, ...] | None = None

    def describe_asking(self) -> dict[str, Any]:
        prompt: dict[str, Any] = describe_family(self.family)
        if self.choice is not None:
            prompt["choice"] = describe_family(self.choice)
        if self.writer is not None:
            prompt["rubric_writer"] = describe_family(self.writer)
        return {
            # What was typed is told but not compared: a folder may be named in many ways.
            "model_name": self.engine.name,
            "model": self.engine.fingerprint(),
            "prompt": prompt,
            "settings": self.settings.describe(),
        }

    def begin(self, run: RunWriter | None = None) -> Asking[Request, tuple[Generation, ...]]:
        """How pairs are asked about from now on; shared rubrics are kept in the folder of a run."""
        if self.writer is None:
            return super().begin(run)
        writer = RubricWriter(
            engine=self.engine,
            family=self.writer,
            settings=self.settings,
            keeper=self.rubrics if run is None else RubricKeeper(run.folder),
            special_tokens=self._list_control_tokens(),
        )
        ask = self.finish.wrap(
            partial(self._ask_by_shared, writer), self.describe_asking, accepts=writer.accepts
        )
        return Asking(ask=ask, answer=self.answer, models=(self.engine,))

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        def pass_over(key: str, pair: PreferencePair) -> None:
            if isinstance(self.engine, Recorded):
                kind, _ = find_way(pair, self.family, self.choice)
                for order, side in list_placements(kind, pair, key, self.settings):
                    slot = "swapped" if side == "B" else order
                    self.engine.pass_over(pair.id, slot, self.settings.sampling)

        return self.begin(run).run(unfinished_pairs(pairs, run, on_finished=pass_over), run)

    @property
    def model(self) -> Engine:
        return self.engine

    def ask(
        self, key: str, pair: PreferencePair, criteria: Sequence[RubricItem] | None = None
    ) -> Steps[Request, tuple[Generation, ...]]:
        """The steps in which a pair is asked about, by its key; by the settings' criteria unless others are given."""
        settings, sampling = self.settings, self.settings.sampling
        criteria = settings.criteria if criteria is None else criteria
        kind, family = find_way(pair, self.family, self.choice)
        special_tokens = self._list_control_tokens()
        return ask_prompts(
            key,
            tuple(render_prompts(kind, pair, key, settings, family, special_tokens, criteria)),
            seed=settings.seed,
            params=sampling,
            stop_votes=None if kind == "rating" else settings.stop_votes,
            write=choose_writing(self.engine, settings, family, kind, key),
            cast=partial(cast_answer, kind=kind, rule=settings.rule, thinking=sampling.thinking),
            conclude=partial(
                conclude,
                pair,
                kind=kind,
                family=family.name,
                rule=settings.rule,
                vote_by=settings.vote_by if kind == "pair" else "majority",
                criteria=criteria,
            ),
        )

    def _ask_by_shared(
        self, writer: RubricWriter, key: str, pair: PreferencePair
    ) -> Steps[Request, tuple[Generation, ...]]:
        rubric, usage = yield from writer.ask(key, pair)
        if rubric.criteria:
            judgment = yield from self.ask(key, pair, join_criteria(rubric.criteria, self.settings.criteria))
        else:
            judgment = judge_without(pair, rubric, family=self.family.name, rule=self.settings.rule)
        return replace(
            judgment,
            prompt_tokens=judgment.prompt_tokens + usage.prompt_tokens,
            completion_tokens=judgment.completion_tokens + usage.completion_tokens,
            is_estimated=judgment.is_estimated or usage.is_estimated,
        )

    def _list_control_tokens(self) -> tuple[str, ...]:
        if self._control_tokens is None:
            self._control_tokens = self.settings.all_control_tokens(self.engine.special_tokens())
        return self._control_tokens

    def answer(self, requests: Iterator[Request]) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        return self.engine.generate(requests, self.settings.sampling)

    def place(self, order: Placement) -> GenerativeJudge:
        settings = replace(self.settings, order=order)
        return GenerativeJudge(self.engine, self.family, settings, choice=self.choice, finish=self.finish)

    def ask_answers(self) -> GenerativeJudge:
        if self.settings.gives_criteria:
            raise ConfigError(
                "criteria are for pairs: answers that are rated alone, and choices among four, have no place for them; "
                "leave them out, or ask about pairs"
            )
        if self.kind == "rating" and self.choice is not None:
            return self
        rating = self.family if self.kind == "rating" else load_family(RATING)
        choice = load_family(FOUR_WAY)
        return GenerativeJudge(self.engine, rating, self.settings, choice=choice, finish=self.finish)


def find_way(
    pair: PreferencePair, family: PromptFamily, choice: PromptFamily | None
) -> tuple[Kind, PromptFamily]:
    """What is asked about an item, and with which family."""
    if not pair.others or (choice is None and family.num_answers == 2):
        return KINDS[family.num_answers], family
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
            "local model (a folder or name, or vllm:) or a server (openai:), or leave the guide out"
        )


def choose_writing(
    engine: Engine, settings: JudgeSettings, family: PromptFamily, kind: Kind, key: str
) -> Write | None:
    """How an item's texts are guided; None if they are not. Raises as `choose_guide`."""
    guide = choose_guide(engine, settings, family, kind)
    if guide is None:
        return None
    is_free = settings.guide == "verdict"
    return guided(guide, key, seed=settings.seed, params=settings.sampling, is_free=is_free)


def choose_guide(engine: object, settings: JudgeSettings, family: PromptFamily, kind: Kind) -> Guide | None:
    """The guide of a family's texts, by an engine or by what reads its prompts; None if they are not guided.

    Raises:
        ConfigError: they are to be, and answers are rated.
    """
    if settings.guide is None or not isinstance(engine, Guidable):
        return None
    if kind == "rating":
        raise ConfigError(
            f"prompt family {family.name!r} rates answers, which is not guided; leave the guide out"
        )
    return Guide(
        is_typed=is_typed(family),
        by_sheet=engine.fills_sheets(),
        opening=engine.find_opening(settings.sampling.thinking),
        thinking=settings.sampling.thinking,
        part_tokens=settings.part_tokens,
        rule=settings.rule,
    )


def describe_family(family: PromptFamily) -> dict[str, Any]:
    """What run.json keeps of a prompt family: all of it."""
    texts = {name: getattr(family, name) for name in ("digest", "system", "single", "multi")}
    return {"family": family.name, **texts}
