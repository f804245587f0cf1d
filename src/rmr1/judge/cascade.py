"""A cascade: a cheap reading decides where it may, the next one sees the rest, and what is left goes to a person.

    direct,rubric,votes:8      three stages: two prompt families, and eight votes of the judge's own

A stage decides a pair if its confidence in the winner, P(A) or P(B), reaches the stage's threshold. The thresholds come
from `rmr1.judge.selective`, fitted on a run that asked every stage about every labelled pair. A cascade without
thresholds is such a run: it asks every stage, and the last one's verdict stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.alarm import Alarm
from rmr1.judge.ask import Steps, ask_all, ask_prompts
from rmr1.judge.base import Items, unfinished_pairs
from rmr1.judge.calibrate import CascadeThresholds, identify_judge
from rmr1.judge.finish import Finish
from rmr1.judge.generative import check_guidable, choose_writing, describe_family
from rmr1.judge.placement import render_prompts
from rmr1.judge.selective import Floats, find_cascade
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.votes import cast_answer, conclude
from rmr1.prompts import PromptFamily, load_family
from rmr1.records import Generation, Judgment, Kind, PreferencePair, StageResult
from rmr1.store.runs import RunWriter
from rmr1.verdicts.probability import read_probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One way of asking."""

    name: str
    """The stage as it was written: `direct`, `votes:8`."""
    family: PromptFamily
    settings: JudgeSettings

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "prompt": describe_family(self.family), **self.settings.describe()}


def read_stages(names: Sequence[str], family: PromptFamily, settings: JudgeSettings) -> tuple[Stage, ...]:
    """The stages that are named: `votes:K` is K votes with `family`, every other name a prompt family, asked once.

    Raises:
        ConfigError: a name is unknown, there is one stage only, or a family shows another number of answers than two.
    """
    if len(names) < 2:
        raise ConfigError(
            f"a cascade of {', '.join(names) or 'nothing'} has no stage to pass a pair on to; name two or more"
        )
    if len(set(names)) < len(names):
        raise ConfigError(f"cascade {','.join(names)}: a stage stands twice")
    sampling = settings.sampling
    found = []
    for name in names:
        kind, colon, number = name.partition(":")
        one, votes = family, 1
        if kind == "votes" and colon:
            if not number.isdecimal() or int(number) < 2:
                raise ConfigError(f"stage {name!r}: expected votes:K with K of 2 or more")
            votes = int(number)
        else:
            one = load_family(name)
        if one.num_answers != 2:
            raise ConfigError(
                f"stage {name!r}: prompt family {one.name!r} shows {one.num_answers} answers, not 2"
            )
        temperature = (sampling.temperature or 1.0) if votes > 1 else 0.0
        params = replace(sampling, num_samples=votes, temperature=temperature, verdict_logprobs=True)
        stop = settings.stop_votes if votes > 1 else None
        found.append(
            Stage(name=name, family=one, settings=replace(settings, sampling=params, stop_votes=stop))
        )
    return tuple(found)


class CascadeJudge:
    """Judges a pair by the first stage that is sure enough of it."""

    kind: Kind = "pair"

    def __init__(
        self,
        engine: Engine,
        stages: Sequence[Stage],
        *,
        thresholds: Sequence[float | None] | None = None,
        finish: Finish | None = None,
    ):
        """
        Args:
            thresholds: each stage's lowest confidence that is accepted, or None if it accepts nothing; by default the
                last stage accepts everything and the others nothing.
        """
        check_guidable(engine, stages[0].settings)
        self.engine = engine
        self.stages = tuple(stages)
        self.thresholds = None if thresholds is None else tuple(thresholds)
        self.finish = finish or Finish()
        self.name = engine.name
        self.order: Placement | None = self.stages[0].settings.order

    def describe(self) -> dict[str, Any]:
        values = self._describe_stages()
        told = {} if self.thresholds is None else {"thresholds": list(self.thresholds)}
        return {**values, "settings": {**values["settings"], **told}}

    def describe_asking(self) -> dict[str, Any]:
        """`describe` without what is done besides asking: what decides a judgment, by which a cache knows it."""
        return self.describe()

    def _describe_stages(self) -> dict[str, Any]:
        first = self.stages[0].settings
        return {
            "model_name": self.engine.name,
            "model": self.engine.fingerprint(),
            "prompt": {
                "family": "cascade",
                "families": {one.name: describe_family(one.family) for one in self.stages},
            },
            "settings": {**first.describe(), "cascade": [one.settings.describe() for one in self.stages]},
        }

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """
        Raises:
            ConfigError: an item has more than two answers.
            GenerationError, RunError: as for every judge.
        """
        return self.judge_items(unfinished_pairs(pairs, run), run=run)

    def judge_items(
        self, items: Items, *, run: RunWriter | None = None, alarm: Alarm | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """`run` for items whose keys are known, of which none is finished; with an `alarm` of one's own."""
        special = {
            one.name: one.settings.all_control_tokens(self.engine.special_tokens()) for one in self.stages
        }

        def ask(key: str, pair: PreferencePair) -> Steps[Request, tuple[Generation, ...]]:
            if pair.others:
                raise ConfigError(f"{pair.id!r} has four answers; a cascade compares two")
            results: list[StageResult] = []
            tokens = [0, 0]
            for number, stage in enumerate(self.stages):
                judgment = yield from self._ask_stage(stage, key, pair, special[stage.name])
                results.append(
                    StageResult(
                        stage=stage.name,
                        winner=judgment.winner,
                        probability=read_probability(judgment),
                        completion_tokens=judgment.completion_tokens,
                    )
                )
                tokens[0] += judgment.prompt_tokens
                tokens[1] += judgment.completion_tokens
                if self._accepts(number, judgment):
                    break
            else:
                if self.thresholds is not None and judgment.winner is not None:
                    judgment = replace(judgment, winner=None, problem="abstained", confidence=None)
            return replace(
                judgment, stages=tuple(results), prompt_tokens=tokens[0], completion_tokens=tokens[1]
            )

        return ask_all(
            self.finish.wrap(items, ask, self.describe_asking),
            lambda requests: self.engine.generate(requests, SamplingParams()),
            engine=self.engine,
            run=run,
            alarm=alarm,
        )

    def _accepts(self, number: int, judgment: Judgment) -> bool:
        if self.thresholds is None:
            return False
        threshold, sure = (
            self.thresholds[number],
            tell_confidence(judgment.winner, read_probability(judgment)),
        )
        return threshold is not None and sure is not None and sure >= threshold

    def _ask_stage(
        self, stage: Stage, key: str, pair: PreferencePair, special_tokens: tuple[str, ...]
    ) -> Steps[Request, tuple[Generation, ...]]:
        settings = stage.settings
        return ask_prompts(
            key,
            tuple(render_prompts("pair", pair, key, settings, stage.family, special_tokens)),
            seed=settings.seed,
            params=settings.sampling,
            stop_votes=settings.stop_votes,
            write=choose_writing(self.engine, settings, stage.family, "pair", key),
            cast=partial(cast_answer, kind="pair", rule=settings.rule, thinking=settings.sampling.thinking),
            conclude=partial(
                conclude,
                pair,
                kind="pair",
                family=stage.family.name,
                rule=settings.rule,
                vote_by=settings.vote_by,
            ),
        )

    def place(self, order: Placement) -> CascadeJudge:
        stages = [replace(one, settings=replace(one.settings, order=order)) for one in self.stages]
        return CascadeJudge(self.engine, stages, thresholds=self.thresholds, finish=self.finish)

    def ask_answers(self) -> CascadeJudge:
        return self

    def close(self) -> None:
        self.finish.close()
        self.engine.close()


def tell_confidence(winner: str | None, probability: float | None) -> float | None:
    """The probability of the side that won; None of a tie, of no winner, and if it is not known."""
    if probability is None or winner not in ("A", "B"):
        return None
    return probability if winner == "A" else 1 - probability


def read_results(judgments: Iterable[Judgment]) -> tuple[tuple[str, ...], Floats, Floats]:
    """(stages' names, confidence_SI, correct_SI) of labelled pairs that every stage was asked about; the confidence is
    NaN where a stage says nothing.

    Raises:
        DataError: no labelled pair was asked about by every stage, or they were asked by different ones.
    """
    names: tuple[str, ...] = ()
    confidences, corrects = [], []
    for judgment in judgments:
        label = judgment.pair.label
        if label not in ("A", "B") or not judgment.stages:
            continue
        found = tuple(one.stage for one in judgment.stages)
        names = names or found
        if found != names:
            raise DataError(
                f"pair {judgment.pair.id!r} was asked about by {', '.join(found)}, others by {', '.join(names)}; "
                "thresholds are fitted on a run without any"
            )
        sure = [tell_confidence(one.winner, one.probability) for one in judgment.stages]
        confidences.append([np.nan if one is None else one for one in sure])
        corrects.append([float(one.winner == label) for one in judgment.stages])
    if not confidences:
        raise DataError(
            f"no labelled pair was asked about in stages; judge labelled pairs with {name_option('cascade')} first"
        )
    return names, np.array(confidences).T, np.array(corrects).T


def fit_thresholds(
    judgments: Iterable[Judgment], described: Mapping[str, Any], *, risk: float, delta: float
) -> CascadeThresholds:
    """Thresholds for the cascade that was asked in all its stages about labelled pairs.

    Raises:
        DataError: as `read_results`; or a stage tells no probability of any pair.
        ConfigError: `risk` or `delta` is not in (0, 1).
    """
    names, confidence_SI, correct_SI = read_results(judgments)
    for name, confidence_I in zip(names, confidence_SI, strict=True):
        if np.isnan(confidence_I).all():
            raise DataError(
                f"stage {name!r} tells no probability of any of {len(confidence_I)} labelled pairs: it gave no "
                "verdict, or the engine reports no log-probabilities"
            )
    found = find_cascade(confidence_SI, correct_SI, risk=risk, delta=delta)
    return CascadeThresholds(
        thresholds=tuple(None if one is None else one.confidence for one in found),
        stages=names,
        risk=risk,
        delta=delta,
        judge=identify_judge(described),
        pairs=confidence_SI.shape[1],
        accepted=tuple(0 if one is None else one.accepted for one in found),
        wrong=tuple(0 if one is None else int(one.wrong) for one in found),
    )
