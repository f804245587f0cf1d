"""The judge that scores, with scores given by hand: winners, ties, confidence, problems, resuming."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1 import Judge
from rmr1.engines.base import SamplingParams, Score, Scorer, ScoreRequest
from rmr1.errors import ConfigError
from rmr1.judge import JudgeSettings, PairJudge, ScalarJudge
from rmr1.judge.identity import describe_run
from rmr1.judge.load import load_judge
from rmr1.messages import assistant, user
from rmr1.records import Judgment, PreferencePair
from rmr1.store.runs import open_run, read_judgments


class TableScorer:
    """Scores an answer by a table, and hands scores back in reverse within windows of four."""

    name = "table"

    def __init__(self, table: dict[str, Score | float] | None = None):
        self.table = table or {}
        self.seen: list[str] = []
        self.is_closed = False

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "table"}

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        window: list[ScoreRequest] = []
        for request in requests:
            window.append(request)
            if len(window) == 4:
                yield from self._answer(window)
                window = []
        yield from self._answer(window)

    def close(self) -> None:
        self.is_closed = True

    def _answer(self, window: list[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        for request in reversed(window):
            text = request.messages[-1].text
            self.seen.append(text)
            found = self.table.get(text, float(len(text)))
            yield request, found if isinstance(found, Score) else Score(value=found, prompt_tokens=3)


def pair(a: str, b: str, *, id: str = "0", label: Any = None) -> PreferencePair:
    return PreferencePair(
        id=id, prompt=(user("q"),), response_a=(assistant(a),), response_b=(assistant(b),), label=label
    )


def judge_one(a: Score | float, b: Score | float) -> Judgment:
    scorer = TableScorer({"one": a, "two": b})
    ((_, judgment),) = ScalarJudge(scorer).run([pair("one", "two", label="A")])
    return judgment


@pytest.mark.parametrize(
    ("a", "b", "winner", "confidence"),
    [
        (1.0, -1.0, "A", 0.8807970779778823),  # 1 / (1 + e^-2)
        (-1.0, 1.0, "B", 0.8807970779778823),
        (0.0, 1.0986122886681098, "B", 0.75),  # ln 3 is odds of three to one
        (2.5, 2.5, "tie", None),
        (0.0, -0.0, "tie", None),
        (4000.0, -4000.0, "A", 1.0),
    ],
)
def test_the_higher_score_wins(a: float, b: float, winner: str, confidence: float | None) -> None:
    judgment = judge_one(a, b)
    assert (judgment.winner, judgment.problem, judgment.scores) == (winner, None, (a, b))
    assert judgment.confidence == (None if confidence is None else pytest.approx(confidence, rel=1e-12))
    assert (judgment.votes, judgment.orders, judgment.family, judgment.rule) == ((), (), "scalar", "scores")
    assert (judgment.prompt_tokens, judgment.completion_tokens) == (6, 0)
    assert judgment.correct is (winner == "A")


def test_what_has_no_score_has_no_winner_and_is_no_tie() -> None:
    overlong = Score(value=None, prompt_tokens=99, problem="prompt_too_long", error="99 tokens")
    judgment = judge_one(1.0, overlong)
    assert (judgment.winner, judgment.problem, judgment.scores) == (None, "prompt_too_long", None)
    assert (judgment.prompt_tokens, judgment.votes, judgment.confidence) == (102, (), None)
    nothing = Score(value=None, prompt_tokens=4, problem="no_ratings", error="nan")
    assert judge_one(nothing, overlong).problem == "no_ratings"
    assert judge_one(overlong, nothing).problem == "prompt_too_long"


def test_a_failure_keeps_its_reason() -> None:
    failed = Score(value=None, problem="generation_failed", error="the template refuses it")
    judgment = judge_one(1.0, failed)
    assert (judgment.winner, judgment.problem, judgment.scores) == (None, "generation_failed", None)
    (vote,) = judgment.votes
    assert (vote.generation.finish_reason, vote.generation.error) == ("error", "the template refuses it")
    assert vote.winner is None


def test_swapping_a_pair_swaps_winner_and_scores() -> None:
    one = pair("short", "longer answer", label="B")
    ((_, given),) = ScalarJudge(TableScorer()).run([one])
    ((_, swapped),) = ScalarJudge(TableScorer()).run([one.swap()])
    assert (given.winner, given.scores) == ("B", (5.0, 13.0))
    assert (swapped.winner, swapped.scores) == ("A", (13.0, 5.0))
    assert given.confidence == swapped.confidence and given.correct and swapped.correct


def test_the_whole_conversation_is_scored() -> None:
    turns = (assistant("first"), user("more"), assistant("second"))
    long = PreferencePair(
        id="0", prompt=(user("q"),), response_a=turns, response_b=(assistant("only"),), label="A"
    )
    seen: list[tuple[str, ...]] = []

    class Watcher(TableScorer):
        def _answer(self, window: list[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
            seen.extend(tuple(message.text for message in request.messages) for request in window)
            return super()._answer(window)

    ((_, judgment),) = ScalarJudge(Watcher()).run([long])
    assert seen == [("q", "first", "more", "second"), ("q", "only")]
    assert judgment.scores == (6.0, 4.0)


def test_pairs_are_pulled_as_they_are_needed() -> None:
    pulled = 0

    def endless() -> Iterator[PreferencePair]:
        nonlocal pulled
        while True:
            pulled += 1
            yield pair("a", "bb", id=str(pulled))

    judgments = ScalarJudge(TableScorer()).run(endless())
    for _ in range(10):
        next(judgments)
    assert pulled <= 12


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    pairs = [pair("a" * n, "bb", id=str(n), label="A") for n in range(1, 6)] * 2  # each occurs twice
    judge = ScalarJudge(TableScorer())
    description = describe_run("judge", judge, data=None)
    with open_run(tmp_path / "whole", description) as writer:
        whole = dict(judge.run(pairs, run=writer))
    assert len(whole) == 10
    with open_run(tmp_path / "parts", description) as writer:
        started = judge.run(pairs, run=writer)
        first = [next(started) for _ in range(3)]
    scorer = TableScorer()
    with open_run(tmp_path / "parts", description) as writer:
        assert writer.num_resumed == 3
        rest = list(ScalarJudge(scorer).run(pairs, run=writer))
    assert len(scorer.seen) == 14 and len({key for key, _ in first + rest}) == 10
    stored = dict(read_judgments(tmp_path / "parts"))

    def outcome(judgments: dict[str, Judgment]) -> dict[str, Any]:
        return {key: (one.pair, one.winner, one.scores, one.confidence) for key, one in judgments.items()}

    assert outcome(stored) == outcome(whole)


def test_the_description_names_the_model_and_the_rule() -> None:
    described = describe_run("judge", ScalarJudge(TableScorer()), data=None)
    assert (described["model_name"], described["model"]) == ("table", {"engine": "table"})
    assert described["settings"] == {"rule": "scores"} and described["prompt"] == {"family": "scalar"}
    json.dumps(described)


def test_the_python_face_takes_a_whole_judge() -> None:
    scorer = TableScorer()
    inner = ScalarJudge(scorer)
    assert isinstance(inner, PairJudge) and isinstance(scorer, Scorer)
    judge = Judge(inner)
    assert judge.compare("q", "short", "longer").winner == "B"
    judge.close()
    assert scorer.is_closed
    for wrong in ({"family": "direct"}, {"rule": "tail"}, {"sampling": SamplingParams(temperature=1.0)}):
        with pytest.raises(ConfigError, match="has its settings already"):
            Judge(inner, **wrong)
    with pytest.raises(ConfigError, match="options device were given for 'table', which is loaded"):
        Judge(inner, options={"device": "cpu"})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"family": "rubric"}, "family"),
        ({"settings": JudgeSettings(rule="tail")}, "rule"),
        (
            {"settings": JudgeSettings(sampling=SamplingParams(temperature=0.7, num_samples=4))},
            "temperature, num_samples",
        ),
    ],
)
def test_settings_that_mean_nothing_to_a_score_are_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], named: str
) -> None:
    monkeypatch.setattr("rmr1.judge.load.is_scorer", lambda model, options: True)
    monkeypatch.setattr("rmr1.judge.load.load_scorer", lambda model, options: TableScorer())
    with pytest.raises(ConfigError, match=rf"'m' is a scalar reward model: .*; leave {named} out$"):
        load_judge("m", **arguments)
    both = load_judge("m", settings=JudgeSettings(order="both", seed=3))
    assert isinstance(both, ScalarJudge) and both.order is None
