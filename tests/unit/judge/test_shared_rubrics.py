"""A rubric for each question: asked once, given to every pair, order and vote, and kept by run and cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from rmr1 import Judge
from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import DataError, GenerationError
from rmr1.judge import GenerativeJudge
from rmr1.judge.shared import join_criteria
from rmr1.judge.summary import Tally
from rmr1.messages import assistant, user
from rmr1.records import Generation, JudgePrompt, Judgment, PreferencePair, RubricItem
from rmr1.store.keys import question_digest, seed_for
from rmr1.store.rubrics import RUBRICS_FILE, RubricKeeper, SharedRubric
from rmr1.store.runs import open_run, read_judgments

VERDICT = "<score_1>A: 8, B: 6</score_1> <score_2>A: 3, B: 3</score_2> <answer>[[A]]</answer>"


def make_pairs(questions: int = 3, each: int = 4) -> list[PreferencePair]:
    return [
        PreferencePair(
            id=f"{question}-{number}",
            prompt=(user(f"question {question}"),),
            response_a=(assistant(f"a{number}"),),
            response_b=(assistant("b"),),
            label="A",
        )
        for number in range(each)
        for question in range(questions)
    ]


class Model(ScriptedEngine):
    """Writes another rubric every time it is asked for one, and takes so many requests at once."""

    def __init__(self, *, window: int = 1, rubric: str | None = None, fails: int = 0, stops: int = 0):
        super().__init__(self._write, "model")
        self._identity = "model"
        self.window, self.rubric, self.fails, self.stops = window, rubric, fails, stops
        self.asked: list[Request] = []

    @property
    def rubrics(self) -> list[Request]:
        return [one for one in self.asked if one.prompt.family == "rubric_writer"]

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        stream = iter(requests)
        while window := list(islice(stream, self.window)):
            for request in reversed(window):
                self.asked.append(request)
                if self.stops and len(self.asked) > self.stops:
                    raise GenerationError("the machine has gone")
                if request.prompt.family == "rubric_writer" and len(self.rubrics) <= self.fails:
                    yield request, (self._failure(request.prompt, "busy"),)
                    continue
                samples = request.list_samples(params)
                chosen = request.choose_params(params)
                yield request, tuple(self._answer(request.prompt, one, chosen) for one in samples)

    def _write(self, prompt: JudgePrompt, sample: int) -> str:
        if prompt.family != "rubric_writer":
            return VERDICT
        if self.rubric is not None:
            return self.rubric
        number = len(self.rubrics)
        return f"I think.\n<rubric>\n1. Truth {number} (60%)\n2. Tone {number} (40%)\n</rubric>"


def rubrics_by_question(judgments: Iterable[Judgment]) -> dict[str, set[tuple[str, ...]]]:
    found: dict[str, set[tuple[str, ...]]] = {}
    for one in judgments:
        found.setdefault(one.pair.prompt[0].text, set()).add(tuple(item.text for item in one.criteria))
    return found


def judge_all(
    model: Model, pairs: Sequence[PreferencePair], folder: Path | None = None, **more: Any
) -> list[Judgment]:
    judge = Judge(model, share_rubric=True, **more)
    return list(judge.judge(pairs, run=folder))


@pytest.mark.parametrize("window", [1, 2, 7, 100])
def test_a_question_is_asked_about_once(window: int) -> None:
    model, pairs = Model(window=window), make_pairs()
    found = judge_all(model, pairs, order="both", sampling=SamplingParams(num_samples=3, temperature=1.0))
    assert [one.pair.id for one in found] == [one.id for one in pairs]
    assert len(model.rubrics) == 3
    shown = rubrics_by_question(found)
    assert len(shown) == 3 and all(len(rubrics) == 1 for rubrics in shown.values())
    assert len({rubric for rubrics in shown.values() for rubric in rubrics}) == 3
    for judgment in found:
        assert judgment.winner is None and judgment.problem == "split_vote"  # always its A, in both orders
        assert len(judgment.votes) == 6 and all(len(vote.trace.scores) == 2 for vote in judgment.votes)
    for request in model.asked:
        text = request.prompt.messages[-1].text
        if request.prompt.family == "rubric_writer":
            assert "question" in text and "a0" not in text and request.params is not None
            assert request.params.num_samples == 1
        else:
            (criteria,) = shown[text.partition("[Client Question]\n")[2].partition("\n")[0]]
            assert f"1. {criteria[0]} (weight 60%)\n2. {criteria[1]} (weight 40%)" in text


def test_its_tokens_are_counted_once() -> None:
    model, tally = Model(window=100), Tally()
    for one in judge_all(model, make_pairs()):
        tally.add(one)
    written = sum(len(model._write(one.prompt, 0)) // 4 for one in model.asked)
    assert abs(tally.completion_tokens - written) <= len(model.rubrics)
    assert tally.summary()["criteria"] == {"texts": 12, "complete": 12, "asked": 24, "scored": 24}


def test_the_seed_follows_from_the_run_and_the_question() -> None:
    model, pairs = Model(), make_pairs(1, 1)
    judge_all(model, pairs, seed=5)
    assert [one.seed for one in model.rubrics] == [seed_for(5, "rubric", question_digest(pairs[0]))]


def test_several_calls_of_a_judge_share_too() -> None:
    model = Model()
    judge = Judge(model, share_rubric=True)
    found = [judge.compare("q", "a", answer) for answer in ("b", "c")] + [judge.compare("r", "a", "b")]
    assert len(model.rubrics) == 2 and found[0].criteria == found[1].criteria != found[2].criteria


@pytest.mark.parametrize("stops", [1, 2, 5, 8, 14])
def test_a_stopped_run_goes_on_with_its_rubrics(stops: int, tmp_path: Path) -> None:
    pairs = make_pairs()
    with pytest.raises(GenerationError):
        judge_all(Model(stops=stops), pairs, tmp_path / "run")
    first = (tmp_path / "run" / RUBRICS_FILE).read_bytes()
    model = Model()
    found = judge_all(model, pairs, tmp_path / "run")
    stored = (tmp_path / "run" / RUBRICS_FILE).read_bytes()
    assert stored.startswith(first) and stored.count(b"\n") == 3
    assert len(model.rubrics) == 3 - first.count(b"\n")
    assert all(len(rubrics) == 1 for rubrics in rubrics_by_question(found).values())
    assert [one for _, one in read_judgments(tmp_path / "run")] and len(found) == 12


def test_a_torn_line_of_rubrics_is_written_anew(tmp_path: Path) -> None:
    pairs = make_pairs(2, 1)
    judge_all(Model(), pairs, tmp_path / "run")
    file = tmp_path / "run" / RUBRICS_FILE
    whole = file.read_bytes()
    (tmp_path / "run" / "judgments.jsonl").write_bytes(b"")
    first = whole.index(b"\n") + 1
    for cut in (first, first + 1, len(whole) - 1):
        file.write_bytes(whole[:cut])
        model = Model()
        judge_all(model, pairs, tmp_path / "run")
        assert len(model.rubrics) == 1 and file.read_bytes().startswith(whole[:first])
        assert [json.loads(line)["key"] for line in file.read_bytes().splitlines()] == [
            json.loads(line)["key"] for line in whole.splitlines()
        ]
        (tmp_path / "run" / "judgments.jsonl").write_bytes(b"")
    file.write_bytes(b"nonsense\n")
    with pytest.raises(DataError, match=r"rubrics.jsonl:1: not valid JSON"):
        judge_all(Model(), pairs, tmp_path / "run")


@pytest.mark.parametrize(
    ("rubric", "most"),
    [
        ("It depends.", 8192),
        ("1. Truth (60%)\n2. Tone (40%)", 8192),
        ("<rubric>\nwhatever serves best\n</rubric>", 8192),
        ("<rubric>\n1. Truth (60%)\n2. Tone (40%)\n", 5),
    ],
)
def test_a_rubric_that_cannot_be_read_is_a_counted_problem(rubric: str, most: int, tmp_path: Path) -> None:
    model = Model(rubric=rubric)
    found = judge_all(model, make_pairs(), tmp_path / "run", sampling=SamplingParams(max_new_tokens=most))
    assert len(model.asked) == len(model.rubrics) == 3  # nothing is judged without one
    for one in found:
        assert (one.winner, one.problem, one.criteria) == (None, "no_rubric", ())
        assert rubric.startswith(one.votes[0].generation.text) and "could not be read" in str(one)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["problems"] == {"no_rubric": 12} and "criteria" not in summary
    again = Model()
    sampling = SamplingParams(max_new_tokens=most)
    assert judge_all(again, make_pairs(), tmp_path / "run", sampling=sampling) and again.asked == []


def test_a_request_that_failed_is_made_again(tmp_path: Path) -> None:
    model, pairs = Model(fails=1), make_pairs(1, 3)
    found = judge_all(model, pairs, tmp_path / "run")
    assert [one.problem for one in found] == ["generation_failed", None, None]
    assert found[0].votes[0].generation.error == "busy" and len(model.rubrics) == 2
    judge = Judge(model, share_rubric=True)
    again = list(judge.judge(pairs, run=tmp_path / "run", retry_failed=True))
    assert [one.winner for one in again] == ["A"] * 3 or {one.problem for one in again} == {None}
    assert len({one.criteria for one in again}) == 1 and len(model.rubrics) == 2


def test_an_overlong_question_is_told_as_such() -> None:
    class Short(Model):
        def _answer(self, prompt: JudgePrompt, sample: int, params: SamplingParams) -> Generation:
            return Generation(text="", finish_reason="skipped", error="prompt of 9 tokens")

    assert {one.problem for one in judge_all(Short(), make_pairs(1, 2))} == {"prompt_too_long"}


def test_the_cache_keeps_judgments_with_their_rubrics(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = judge_all(Model(), make_pairs(1, 2), cache=cache)
    assert judge_all(again := Model(), make_pairs(1, 2), cache=cache) and again.asked == []
    # a run that has taken a rubric from the cache goes by it for new pairs too
    wider = judge_all(model := Model(), make_pairs(1, 4), tmp_path / "run", cache=cache)
    assert model.rubrics == [] and {one.criteria for one in wider} == {first[0].criteria}
    assert [one.is_cached for one in wider] == [True, True, False, False]
    # another seed asks for other rubrics
    assert judge_all(other := Model(), make_pairs(1, 2), cache=cache, seed=1) and len(other.rubrics) == 1


def test_a_cached_judgment_by_another_rubric_is_not_taken(tmp_path: Path) -> None:
    (pair,), cache = make_pairs(1, 1), tmp_path / "cache"
    judge_all(Model(rubric="<rubric>\n1. Old (100%)\n</rubric>"), [pair], cache=cache)
    judge = Judge(Model(), share_rubric=True, cache=cache)
    assert isinstance(judge.pair_judge, GenerativeJudge)
    description = judge.pair_judge.describe()
    with open_run(tmp_path / "run", description) as writer:
        own = RubricKeeper(writer.folder)
        rubric = SharedRubric(criteria=judge_all(Model(), [pair])[0].criteria)
        own.keep(question_digest(pair), rubric)
        ((_, found),) = judge.pair_judge.run([pair], run=writer)
    assert found.criteria == rubric.criteria and not found.is_cached


def test_a_users_criteria_stand_behind_each_rubric(tmp_path: Path) -> None:
    model = Model()
    (one, two) = judge_all(model, make_pairs(2, 1), criteria=["Is it kind?"], cache=tmp_path / "cache")
    assert [item.text for item in one.criteria] == ["Truth 1", "Tone 1", "Is it kind?"]
    # 60% and 40% of two thirds, and one third for the third
    assert [item.weight for item in one.criteria] == pytest.approx([0.4, 0.4 * 2 / 3, 1 / 3])
    assert two.criteria[0].text == "Truth 2" and two.criteria[2] == one.criteria[2]
    # the writer sees the question alone
    assert all("kind" not in request.prompt.messages[-1].text for request in model.rubrics)
    # what went by a rubric and by criteria is not taken for one that went by a rubric alone, nor as a rubric
    assert [one.is_cached for one in judge_all(Model(), make_pairs(2, 1), cache=tmp_path / "cache")] == [
        False
    ] * 2


def test_joined_weights_are_those_of_the_parts() -> None:
    plain = (RubricItem(text="a"), RubricItem(text="b"))
    assert [one.weight for one in join_criteria(plain, (RubricItem(text="c"),))] == [None] * 3
    weighed = (RubricItem(text="c", weight=0.75), RubricItem(text="d", weight=0.25))
    found = [one.weight for one in join_criteria(plain, weighed)]
    assert found == [0.25, 0.25, 0.375, 0.125]
    assert join_criteria((), weighed) == () and join_criteria(plain, ()) == plain


class Guidable(Model):
    """A local model that goes on with what was begun."""

    def find_opening(self, thinking: Sequence[tuple[str, str]]) -> str:
        return ""

    def fills_sheets(self) -> bool:
        return False

    def _answer(self, prompt: JudgePrompt, sample: int, params: SamplingParams) -> Generation:
        request = self.asked[-1]
        going_on = request.going_on or Continuation()
        if going_on.choices:
            told = tuple((one, -1.0) for one in going_on.choices)
            return Generation(
                text=going_on.choices[0], finish_reason="stop", completion_tokens=1, verdict_logprobs=told
            )
        if going_on.start == "<rubric>\n":
            return Generation(text="1. Truth (100%)", finish_reason="length", completion_tokens=9)
        if going_on.start.endswith("A:"):
            text = " 7,"
        elif going_on.start.endswith("B:"):
            text = " well"
        else:
            text = f" fine <quote_A>a{params.stop[0]}"
        return Generation(text=text, finish_reason="stop", completion_tokens=2)


def test_guided_judgments_have_the_lines_of_scores_written_for_them() -> None:
    found = judge_all(model := Guidable(), make_pairs(1, 2), guide="protocol")
    assert len(model.rubrics) == 1 and found[0].criteria[0].text == "Truth"
    assert found[0].reasoning == (
        "<eval>\n1. fine <quote_A>a</quote_A>\n<score_1>A: 7, B: 1</score_1>\n</eval>\n\n<answer>[[A]]</answer>"
    )
    assert [(one.a, one.b) for one in found[0].votes[0].verdict.trace.scores] == [(7, 1)]
    brief = judge_all(Guidable(), make_pairs(1, 1), guide="protocol", part_tokens=0)
    assert brief[0].reasoning.startswith("<eval>\n<score_1>A: 7, B: 1</score_1>\n</eval>")
