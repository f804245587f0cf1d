"""A cascade: a cheap reading decides where it may, the next one sees the rest, and what is left goes to a person.

    direct,rubric,votes:8                             three stages: two prompt families, and eight votes of the judge's own
    decisions:small@http://.../v1,rubric,votes:8      the first one asks another model (`rmr1.judge.stages`)

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

from rmr1.engines.base import Dated, Model
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.forecast.prices import Price
from rmr1.judge.ask import Asking, Steps
from rmr1.judge.base import unfinished_pairs
from rmr1.judge.calibrate import CascadeThresholds, identify_judge
from rmr1.judge.decision import DecisionJudge
from rmr1.judge.finish import Finish
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.routing import Routed, answer_together, route
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.selective import Floats, find_cascade
from rmr1.judge.settings import Placement
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment, Kind, PreferencePair, StageResult
from rmr1.store.runs import RunWriter
from rmr1.verdicts.probability import read_probability

StageJudge = GenerativeJudge | ScalarJudge | DecisionJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One way of asking."""

    name: str
    """The stage as it was written: `direct`, `votes:8`, `rubric@MODEL`."""
    judge: StageJudge
    """The judge that the stage is; several may have one and the same model."""


class CascadeJudge:
    """Judges a pair by the first stage that is sure enough of it."""

    kind: Kind = "pair"

    def __init__(
        self,
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
        self.stages = tuple(stages)
        self.thresholds = None if thresholds is None else tuple(thresholds)
        self.finish = finish or Finish()
        judges = {id(one.judge.model): one.judge for one in self.stages}
        self.models: tuple[Model, ...] = tuple(one.model for one in judges.values())
        """Those that are asked, each once."""
        self._streams = [one.answer for one in judges.values()]
        self._places = [list(judges).index(id(one.judge.model)) for one in self.stages]
        self.name = ", ".join(dict.fromkeys(one.name for one in self.models))
        placed = [one.judge.order for one in self.stages if one.judge.order is not None]
        self.order: Placement | None = placed[0] if placed else None

    @property
    def engine(self) -> Model | None:
        """The model, if all stages ask the same one."""
        return self.models[0] if len(self.models) == 1 else None

    @property
    def prices(self) -> dict[str, Price | None] | None:
        """Stage -> what a million tokens cost, or None if that is not known; stages that nobody bills are not in it.
        None if all ask the same model, whose price is that of all tokens."""
        if self.engine is not None:
            return None
        models = {one.name: one.judge.model for one in self.stages}
        return {name: model.price for name, model in models.items() if hasattr(model, "price")}

    def describe(self) -> dict[str, Any]:
        values = self._describe_stages()
        told = {} if self.thresholds is None else {"thresholds": list(self.thresholds)}
        return {**values, "settings": {**values["settings"], **told}}

    def describe_asking(self) -> dict[str, Any]:
        """`describe` without what is done besides asking: what decides a judgment, by which a cache knows it."""
        return self.describe()

    def _describe_stages(self) -> dict[str, Any]:
        stages = {one.name: one.judge.describe() for one in self.stages}
        settings = [one["settings"] for one in stages.values()]
        models = {name: one["model"] for name, one in stages.items()}
        return {
            "model_name": self.name,
            "model": {"stages": models} if len(self.models) > 1 else next(iter(models.values())),
            "prompt": {
                "family": "cascade",
                "families": {name: one["prompt"] for name, one in stages.items()},
            },
            "settings": {**settings[0], "cascade": settings},
        }

    def begin_run(self, stored: Mapping[str, object] | None) -> None:
        """Fix the time for the models whose chat templates write it; `stored` is what `describe` said of them."""
        several: Any = None if stored is None else stored.get("stages")
        for stage in self.stages:
            before = stored if several is None else several.get(stage.name)
            if isinstance(stage.judge.model, Dated):
                stage.judge.model.begin_run(before)

    def begin(self, run: RunWriter | None = None) -> Asking[Routed, Any]:
        return Asking(
            ask=self.finish.wrap(self._ask, self.describe_asking),
            answer=partial(answer_together, self._streams),
            models=self.models,
        )

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """
        Raises:
            ConfigError: an item has more than two answers.
            GenerationError, RunError: as for every judge.
        """
        return self.begin().run(unfinished_pairs(pairs, run), run)

    def _ask(self, key: str, pair: PreferencePair) -> Steps[Routed, Any]:
        if pair.others:
            raise ConfigError(f"{pair.id!r} has four answers; a cascade compares two")
        results: list[StageResult] = []
        is_estimated = False
        for number, stage in enumerate(self.stages):
            steps: Steps[Any, Any] = stage.judge.ask(key, pair)
            judgment = yield from route(self._places[number], steps)
            results.append(
                StageResult(
                    stage=stage.name,
                    winner=judgment.winner,
                    probability=read_probability(judgment),
                    completion_tokens=judgment.completion_tokens,
                    prompt_tokens=judgment.prompt_tokens,
                    problem=judgment.problem,
                    error=next(iter(list_failures(judgment)), None),
                )
            )
            is_estimated |= judgment.is_estimated
            if self._accepts(number, judgment):
                break
        else:
            if self.thresholds is not None and judgment.winner is not None:
                judgment = replace(judgment, winner=None, problem="abstained", confidence=None)
        return replace(
            judgment,
            stages=tuple(results),
            prompt_tokens=sum(one.prompt_tokens for one in results),
            completion_tokens=sum(one.completion_tokens for one in results),
            is_estimated=is_estimated,
        )

    def _accepts(self, number: int, judgment: Judgment) -> bool:
        if self.thresholds is None:
            return False
        threshold, sure = (
            self.thresholds[number],
            tell_confidence(judgment.winner, read_probability(judgment)),
        )
        return threshold is not None and sure is not None and sure >= threshold

    def place(self, order: Placement) -> CascadeJudge:
        stages = [replace(one, judge=one.judge.place(order)) for one in self.stages]
        return CascadeJudge(stages, thresholds=self.thresholds, finish=self.finish)

    def ask_answers(self) -> CascadeJudge:
        return self

    def close(self) -> None:
        self.finish.close()
        for model in self.models:
            model.close()


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
