"""A judge that scores: each answer gets a number from a scalar reward model, and the higher one wins.

By the Bradley-Terry model, which such models are trained under, sigmoid(score difference) is the probability that the
winner is the better answer; that is the judgment's confidence. Equal scores are a tie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import exp
from typing import Any

from rmr1.engines.base import Score, Scorer, ScoreRequest
from rmr1.judge.ask import Steps, ask_once
from rmr1.judge.finish import Finish
from rmr1.judge.one_model import OneModelJudge
from rmr1.judge.settings import Placement
from rmr1.records import Generation, Judgment, Kind, PreferencePair, Verdict, Vote

FAMILY = "scalar"
RULE = "scores"


class ScalarJudge(OneModelJudge[ScoreRequest, Score]):
    """Judges pairs by the scores of a scalar reward model."""

    kind: Kind = "score"
    order: Placement | None = None

    def __init__(self, scorer: Scorer):
        self.scorer = scorer
        self.finish = Finish()
        self.name = scorer.name

    def describe_asking(self) -> dict[str, Any]:
        return {
            "model_name": self.name,
            "model": self.scorer.fingerprint(),
            "prompt": {"family": FAMILY},
            "settings": {"rule": RULE},
        }

    @property
    def model(self) -> Scorer:
        return self.scorer

    def ask(self, key: str, pair: PreferencePair) -> Steps[ScoreRequest, Score]:
        requests = tuple(
            ScoreRequest(key=f"{key}/{side}", pair_id=pair.id, messages=(*pair.prompt, *response))
            for side, response in (("A", pair.response_a), ("B", pair.response_b))
        )
        return ask_once(requests, partial(conclude, pair, model=self.name))

    def answer(self, requests: Iterator[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        return self.scorer.score(requests)

    def place(self, order: Placement) -> ScalarJudge:
        return self

    def ask_answers(self) -> ScalarJudge:
        return self


def conclude(
    pair: PreferencePair, scores_ab: Sequence[Score], seconds: float = 0.0, *, model: str
) -> Judgment:
    """The judgment that two scores give.

    If one is missing, it holds one vote without text, whose generation says why, as it does for judges that write.
    """
    a, b = scores_ab
    winner = confidence = scores = None
    votes: tuple[Vote, ...] = ()
    if a.value is not None and b.value is not None:
        scores = (a.value, b.value)
        winner = "tie" if a.value == b.value else "A" if a.value > b.value else "B"
        confidence = None if winner == "tie" else 1 / (1 + exp(-abs(a.value - b.value)))
        problem = None
    else:
        failed = a if a.value is None else b
        problem = failed.problem or "generation_failed"
        if problem == "generation_failed":
            tokens, error = failed.prompt_tokens, failed.error
            generation = Generation(
                text="", finish_reason="error", prompt_tokens=tokens, model=model, error=error
            )
            verdict = Verdict(winner=None, problem=problem)
            votes = (Vote(order="given", sample=0, generation=generation, verdict=verdict),)
    return Judgment(
        pair=pair,
        family=FAMILY,
        rule=RULE,
        kind="score",
        winner=winner,
        problem=problem,
        confidence=confidence,
        votes=votes,
        scores=scores,
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        seconds=seconds,
    )
