"""Cascades: which stage decides, what is stored, thresholds from a run, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log

import pytest

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError, DataError
from rmr1.judge import JudgeSettings
from rmr1.judge.cascade import CascadeJudge, fit_thresholds
from rmr1.judge.load import load_judge, plan_stages
from rmr1.judge.summary import Tally
from rmr1.messages import assistant, user
from rmr1.records import Generation, PreferencePair
from rmr1.store.keys import seed_for


class Sure(ScriptedEngine):
    """Names A, as surely as the pair's number says; more surely by the family `rubric`, most by votes."""

    def __init__(self) -> None:
        super().__init__(["[[A]]"], "sure")
        self.asked: list[str] = []

    def generate(self, requests, params: SamplingParams) -> Iterator[tuple[Request, tuple[Generation, ...]]]:  # type: ignore[no-untyped-def]
        for request in requests:
            family, samples = request.prompt.family, request.list_samples(params)
            self.asked.append(f"{family}*{len(samples)}")
            base = {"direct": 0.5, "rubric": 0.6}[family] + (0.2 if len(samples) > 1 else 0)
            sure = min(0.99, base + int(request.prompt.pair_id) / 400)
            logprobs = (("A", log(sure)), ("B", log(1 - sure)))
            if request.prompt.order == "swapped":
                logprobs = (("B", log(sure)), ("A", log(1 - sure)))
            letter = "A" if request.prompt.order == "given" else "B"
            text = Generation(
                text=f"<answer>[[{letter}]]</answer>",
                finish_reason="stop",
                prompt_tokens=10,
                completion_tokens=3,
                verdict_logprobs=logprobs,
            )
            yield request, (text,) * len(samples)


def make_pairs(number: int, wrong_below: int = 0) -> Iterator[PreferencePair]:
    for index in range(number):
        yield PreferencePair(
            id=str(index),
            prompt=(user(f"q{index}"),),
            response_a=(assistant("a"),),
            response_b=(assistant("b"),),
            label="B" if index < wrong_below and seed_for(0, str(index)) % 3 else "A",
        )


def make_judge(thresholds: list[float | None] | None = None) -> CascadeJudge:
    judge = load_judge(Sure(), family="rubric", cascade=["direct", "rubric", "votes:4"])
    assert isinstance(judge, CascadeJudge)
    judge.thresholds = None if thresholds is None else tuple(thresholds)
    return judge


def test_without_thresholds_every_stage_is_asked_and_the_last_decides() -> None:
    judge = make_judge()
    judgments = [one for _, one in judge.run(make_pairs(3))]
    for one in judgments:
        assert [result.stage for result in one.stages] == ["direct", "rubric", "votes:4"]
        assert one.winner == "A" and len(one.votes) == 4
        assert (one.prompt_tokens, one.completion_tokens) == (30, 3 + 3 + 12)
    assert sorted(judge.engine.asked) == sorted(["direct*1", "rubric*1", "rubric*4"] * 3)


def test_a_pair_goes_as_far_as_it_has_to() -> None:
    judge = make_judge([0.7, 0.75, 0.85])
    judgments = {one.pair.id: one for _, one in judge.run(make_pairs(100))}
    tally = Tally()
    for number in range(100):
        one = judgments[str(number)]
        sure = number / 400
        stages = 1 if 0.5 + sure >= 0.7 else 2 if 0.6 + sure >= 0.75 else 3
        assert len(one.stages) == stages
        is_left = stages == 3 and 0.8 + sure < 0.85
        assert (one.winner, one.problem) == ((None, "abstained") if is_left else ("A", None))
        tally.add(one)
    summary = tally.summary()
    assert sum(summary["stages"].values()) + summary["problems"]["abstained"] == 100
    assert summary["problems"]["abstained"] == 20 and summary["stages"]["direct"] == 20


def test_a_stage_without_threshold_accepts_nothing() -> None:
    judgments = [one for _, one in make_judge([None, 0.6, 0.6]).run(make_pairs(5))]
    assert {len(one.stages) for one in judgments} == {2}
    assert {one.problem for _, one in make_judge([None, None, None]).run(make_pairs(2))} == {"abstained"}


def test_thresholds_of_a_run_keep_their_promise_on_it() -> None:
    judge = make_judge()
    judgments = [one for _, one in judge.run(make_pairs(300, wrong_below=60))]
    fitted = fit_thresholds(judgments, judge.describe(), risk=0.1, delta=0.1)
    assert fitted.stages == ("direct", "rubric", "votes:4") and fitted.pairs == 300
    assert fitted.thresholds[0] is not None and fitted.accepted[0] > 200
    assert all(wrong <= 0.1 * accepted for wrong, accepted in zip(fitted.wrong, fitted.accepted, strict=True))
    again = make_judge(list(fitted.thresholds))
    decided = [one for _, one in again.run(make_pairs(300, wrong_below=60)) if len(one.stages) == 1]
    assert len(decided) == fitted.accepted[0]


def test_runs_that_thresholds_cannot_be_fitted_on() -> None:
    judge = make_judge()
    judgments = [one for _, one in judge.run(make_pairs(40))]
    with pytest.raises(DataError, match="no labelled pair was asked about in stages"):
        fit_thresholds([replace(one, stages=()) for one in judgments], {}, risk=0.1, delta=0.1)
    shorter = replace(judgments[1], stages=judgments[1].stages[:1])
    with pytest.raises(DataError, match="was asked about by direct, others by direct, rubric, votes:4"):
        fit_thresholds([judgments[0], shorter], {}, risk=0.1, delta=0.1)
    silent = [
        replace(one, stages=tuple(replace(result, probability=None) for result in one.stages))
        for one in judgments
    ]
    with pytest.raises(DataError, match="stage 'direct' tells no probability of any of 40 labelled pairs"):
        fit_thresholds(silent, judge.describe(), risk=0.1, delta=0.1)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["rubric"], "no stage to pass a pair on to"),
        (["rubric", "rubric"], "a stage stands twice"),
        (["rubric", "votes:1"], "votes:K with K of 2 or more"),
        (["rubric", "rating"], "shows 1 answers, not 2"),
        (["rubric", "nothing"], "'nothing' is not known"),
    ],
)
def test_stages_that_are_none(names: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        plan_stages(names, Sure(), "rubric", JudgeSettings())
