"""Rankings by a judge: what decides, what is asked, what a folder keeps."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1 import Judge
from rmr1.data.ids import OwnId
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.judge.ranking.contest import Contest
from rmr1.judge.ranking.export import foresee_pairs, preference_row
from rmr1.judge.ranking.methods import METHODS
from rmr1.judge.ranking.run import read_rankings
from rmr1.messages import assistant, user
from rmr1.records import Candidates, JudgePrompt
from rmr1.store.runs import read_judgments, read_summary


def shown(prompt: JudgePrompt) -> list[int]:
    """How good the answers are that a prompt shows: `good 7`."""
    found = [part.split("]")[0].split()[0] for part in prompt.messages[-1].text.split("good ")[1:]]
    return [int(one) for one in found]


def choose_best(prompt: JudgePrompt, sample: int) -> str:
    good = shown(prompt)
    best = [place for place, one in enumerate(good) if one == max(good)]
    return f"<answer>[[{'ABCD'[best[0]] if len(best) == 1 else 'tie'}]]</answer>"


class Counting(ScriptedEngine):
    """A scripted engine that knows how many texts it wrote."""

    def __init__(self, script: Callable[[JudgePrompt, int], str] = choose_best):
        super().__init__(script, "counting")
        self.num_asked = 0

    def _answer(self, prompt, sample, params):  # type: ignore[no-untyped-def]
        self.num_asked += 1
        return super()._answer(prompt, sample, params)


def ask(*good: int, id: str = "q", best: int | None = None) -> Candidates:
    return Candidates(
        id=id,
        prompt=(user(f"question {id}"),),
        responses=tuple((assistant(f"good {one}"),) for one in good),
        best=best,
    )


def judge(engine: ScriptedEngine | None = None, **more: object) -> Judge:
    return Judge(engine or Counting(), family="direct", **more)  # type: ignore[arg-type]


def values(candidates: Candidates, places: tuple[int, ...]) -> list[int]:
    return sorted(int(candidates.responses[place][0].text.split()[1]) for place in places)


@pytest.mark.parametrize("method", METHODS)
def test_the_best_answer_is_first_and_the_counts_are_told(method: str) -> None:
    engine = Counting()
    found = judge(engine).rank(ask(3, 9, 4, 7, 1, 8, 2, 6), method=method)
    assert found.order[0] == (1,) == (found.best,)
    assert found.spent.comparisons == found.spent.texts == engine.num_asked > 0
    assert found.spent.prompt_tokens > found.spent.completion_tokens > 0
    assert sorted(place for group in found.order for place in group) == list(range(8))
    known = [one for one in found.strengths if one is not None]
    assert len(known) == 8 and sum(known) == pytest.approx(0, abs=1e-6) and found.cycles == ()
    if method in ("round_robin", "pivot"):
        assert [values(found.candidates, group) for group in found.order] == [
            [one] for one in (9, 8, 7, 6, 4, 3, 2, 1)
        ]
    assert found.find_ends() is not None and found.find_ends()[0] == 1  # type: ignore[index]


@settings(max_examples=25, deadline=None)
@given(st.permutations([5, 5, 1, 2, 8, 8, 3]), st.sampled_from(list(METHODS)), st.integers(0, 3))
def test_where_an_answer_stands_does_not_matter_beyond_the_seed(
    order: list[int], method: str, seed: int
) -> None:
    """Answers that the judge cannot tell apart are among them."""

    def hash_judge(prompt: JudgePrompt, sample: int) -> str:
        good = shown(prompt)
        return f"<answer>[[{'ABCD'[sum(good) % len(good)]}]]</answer>"

    texts = [f"good {one} copy {number}" for number, one in enumerate([5, 5, 1, 2, 8, 8, 3])]

    def rank(places: list[int]) -> tuple[object, ...]:
        question = Candidates(
            id="q", prompt=(user("q"),), responses=tuple((assistant(texts[one]),) for one in places)
        )
        found = judge(Counting(hash_judge), seed=seed).rank(question, method=method)
        named = [sorted(places[place] for place in group) for group in found.order]
        strong = sorted(zip(places, found.strengths, strict=True))
        return named, strong, found.spent, found.ties

    shuffled = list(range(7))
    random.Random(str(order)).shuffle(shuffled)
    first, second = rank(list(range(7))), rank(shuffled)
    assert first[0] == second[0] and first[2:] == second[2:]
    for (one, strength), (other, again) in zip(first[1], second[1], strict=True):  # type: ignore[call-overload]
        assert one == other and strength == pytest.approx(again, abs=1e-6)


def test_another_seed_draws_another_sequence() -> None:
    question = ask(*range(8))
    drawn = {Contest(question, seed).places for seed in range(6)}
    assert len(drawn) > 3
    assert Contest(question, 1).places == Contest(question, 1).places


def test_equal_answers_tie_without_being_asked() -> None:
    engine = Counting()
    found = judge(engine).rank("q", ["good 3", "good 5", "good 3"])
    assert found.order == ((1,), (0, 2)) and found.strengths[0] == found.strengths[2]
    assert found.spent.comparisons == engine.num_asked == 1
    same = judge(engine).rank("q", ["good 3", "good 3"])
    assert same.order == ((0, 1),) and same.strengths == (None, None) and same.spent.comparisons == 0
    assert same.best is None and same.find_ends() is None and engine.num_asked == 1


def test_missing_verdicts_ties_and_contradictions_are_counted_and_told_apart() -> None:
    def script(prompt: JudgePrompt, sample: int) -> str:
        good = shown(prompt)
        if 0 in good:
            return "I cannot say."
        if set(good) == {1, 2}:
            return "<answer>[[A]]</answer>"  # whichever stands first
        if set(good) == {3, 4}:
            return "<answer>[[tie]]</answer>"
        return choose_best(prompt, sample)

    found = judge(Counting(script), order="both", rule="tagged").rank(
        ask(0, 1, 2, 3, 4), method="round_robin"
    )
    assert found.without_verdict == {"no_verdict": 4} and found.ties == 1
    assert found.unranked == (0,) and found.strengths[0] is None and found.errors[0] is None
    assert found.splits == 1
    assert found.order[-1] == (1, 2)
    assert found.strengths[1] == pytest.approx(found.strengths[2])
    assert found.spent.texts == 20 and found.spent.comparisons == 10


def test_a_judge_without_any_verdict_ranks_nothing() -> None:
    found = judge(Counting(lambda *_: "no idea")).rank(ask(1, 2, 3))
    assert found.order == () and found.unranked == (0, 1, 2) and found.strengths == (None,) * 3
    assert found.find_ends() is None and preference_row(found) is None and found.best is None


def test_scalar_models_and_cascades_rank_and_cannot_show_four() -> None:
    cascade = judge(cascade=["direct", "rubric"])
    assert cascade.rank(ask(1, 5, 3)).order[0] == (1,)
    rated = Judge(Counting(), family="rating")
    for one in (cascade, rated):
        with pytest.raises(
            ConfigError, match="shows four answers at once, and judge 'counting' has no family"
        ):
            one.rank(ask(1, 2), method="listwise")
    with pytest.raises(ConfigError, match="method='swis' is unknown; did you mean swiss"):
        judge().rank(ask(1, 2), method="swis")


def test_bad_lists_are_refused_in_one_line() -> None:
    one = judge()
    with pytest.raises(DataError, match="1 answer: to compare needs 2 or more"):
        one.rank("q", ["good 1"])
    with pytest.raises(DataError, match=r"^'answers\[1\]' is empty"):
        one.rank("q", ["good 1", "  "])
    with pytest.raises(DataError, match="answers is a text; expected a list of answers"):
        one.rank("q", "good 1")
    with pytest.raises(DataError, match=r"'responses\[0\]' is empty; leave it out"):
        one.rank(replace(ask(1, 2), responses=((assistant(""),), (assistant("x"),))))
    with pytest.raises(DataError, match="a question is str; expected Candidates"):
        one.rank_all(["q"])


def test_a_folder_keeps_comparisons_and_rankings(tmp_path: Path) -> None:
    engine, questions = (
        Counting(),
        [ask(1, 5, 3, 4, id="a"), ask(2, 9, id="b", best=1), ask(2, 9, id="b", best=1)],
    )
    with judge(engine) as one:
        first = list(one.rank_all(questions, run=tmp_path / "r", method="knockout"))
        assert engine.num_asked == 3 + 1  # equal rows share their comparisons
        again = list(one.rank_all(questions, run=tmp_path / "r", method="knockout"))
        assert again == first and engine.num_asked == 4
        assert [*read_rankings(tmp_path / "r")] == first
        wider = list(one.rank_all(questions, run=tmp_path / "r", method="round_robin"))
        assert engine.num_asked == 6 + 1  # the three that the knockout did not need
        assert [*read_rankings(tmp_path / "r")] == wider
        more = list(one.rank_all([ask(7, 8, id="c"), *questions], run=tmp_path / "r", method="round_robin"))
        assert engine.num_asked == 8 and more[1:] == wider
        summary = read_summary(tmp_path / "r")
        assert summary["items"] == 8 == sum(1 for _ in read_judgments(tmp_path / "r"))
        assert summary["ranking"]["questions"] == 4 and summary["ranking"]["right"] == 2
        assert summary["ranking"]["labelled"] == 2 and summary["ranking"]["method"] == "round_robin"
        keys = [json.loads(line)["key"] for line in (tmp_path / "r/rankings.jsonl").read_text().splitlines()]
        assert len(set(keys)) == 4 and keys[3] == f"{keys[2]}-1"
        with pytest.raises(RunError, match="finished items are not in the data as they were judged"):
            list(one.rank_all([ask(1, 5, 3, id="a")], run=tmp_path / "r"))
    with pytest.raises(RunError, match=r"was made in another way: settings\.seed was 0, now 1"):
        list(judge(seed=1).rank_all(questions, run=tmp_path / "r"))


def test_a_stop_at_any_moment_loses_nothing_that_was_judged(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    questions = [ask(*random.Random(number).sample(range(50), 8), id=str(number)) for number in range(3)]
    whole = list(judge().rank_all(questions, method="pivot"))
    for limit in (0, 1, 7, 20):
        folder, engine = tmp_path / str(limit), Counting()

        def script(prompt: JudgePrompt, sample: int, *, limit: int = limit, engine: Counting = engine) -> str:
            if engine.num_asked > limit:
                raise Stop
            return choose_best(prompt, sample)

        script.__qualname__ = choose_best.__qualname__
        engine._script = script
        with pytest.raises(Stop), judge(engine) as one:
            list(one.rank_all(questions, run=folder, method="pivot"))
        assert not (folder / "rankings.jsonl").exists()
        rest = Counting()
        with judge(rest) as one:
            assert list(one.rank_all(questions, run=folder, method="pivot")) == whole
        asked = sum(found.spent.comparisons for found in whole)
        assert sum(1 for _ in read_judgments(folder)) == asked and rest.num_asked == asked - limit


def test_what_failed_is_asked_again_when_that_is_wanted(tmp_path: Path) -> None:
    engine = ScriptedEngine(choose_best, "counting", fail_every=2)
    questions = [ask(4, 2, 3, id="a")]
    (found,) = judge(engine).rank_all(questions, run=tmp_path, method="round_robin")
    assert found.without_verdict == {"generation_failed": 1} and found.spent.comparisons == 3
    with pytest.raises(ConfigError, match="retry_failed=True is for a run"):
        judge().rank_all(questions, retry_failed=True)
    whole = ScriptedEngine(choose_best, "counting")
    (again,) = judge(whole).rank_all(questions, run=tmp_path, method="round_robin", retry_failed=True)
    assert again.without_verdict == {} and again.order == ((0,), (2,), (1,))


def test_a_cache_answers_and_is_told(tmp_path: Path) -> None:
    question = ask(3, 1, 2)
    first = judge(cache=tmp_path).rank(question, method="round_robin")
    engine = Counting()
    second = judge(engine, cache=tmp_path).rank(question, method="round_robin")
    assert engine.num_asked == 0 and second.spent.cached == 3 and second.spent.prompt_tokens == 0
    assert (second.order, second.strengths) == (first.order, first.strengths)


@pytest.mark.parametrize("id", ["q1", OwnId("gsm8k:12"), "file:3"])
def test_the_place_of_a_question_in_its_file_is_no_part_of_its_pairs(id: str) -> None:
    from rmr1.judge.ranking.waves import name_item

    question = ask(1, 2, 3)
    pair = Contest(replace(question, id=id), 0).pair((0, 1))
    moved = Contest(replace(question, id="file:9"), 0).pair((0, 1))
    assert (name_item(pair) == name_item(moved)) is (id == "file:3")
    assert isinstance(pair.id, OwnId) is isinstance(id, OwnId) and pair.id.startswith(f"{id}/")


def test_best_and_worst_become_a_preference() -> None:
    found = judge().rank(ask(2, 9, 4), method="round_robin")
    assert preference_row(found) == {
        "prompt": [{"role": "user", "content": "question q"}],
        "chosen": [{"role": "assistant", "content": "good 9"}],
        "rejected": [{"role": "assistant", "content": "good 2"}],
    }


def test_what_will_be_asked_is_foreseen_as_far_as_it_can_be() -> None:
    questions = [ask(*range(8), id="a"), ask(1, 1, id="b"), ask(1, 2, id="c")]

    def count(method: str) -> Iterator[int]:
        yield sum(1 for _ in foresee_pairs(questions, method=method, seed=0))

    assert [next(count(method)) for method in ("round_robin", "knockout")] == [28 + 1, 7 + 1]
    assert next(count("swiss")) == 16 + 1 and 7 < next(count("pivot")) < 29
