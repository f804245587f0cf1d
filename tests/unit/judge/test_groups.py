"""A judge asked about a group: rewards, anchors, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1 import Judge
from rmr1.errors import ConfigError, DataError
from rmr1.judge.groups import reward_group
from rmr1.records import JudgePrompt
from rmr1.rewards.strengths import Result, fit_strengths, place_among

from .test_ranking import Counting, ask, choose_best, judge, shown

ANSWERS = ["good 3", "good 9", "good 5"]


def always_first(prompt: JudgePrompt, sample: int) -> str:
    return "<answer>[[A]]</answer>"


def silent_about(*numbers: int) -> Callable[[JudgePrompt, int], str]:
    def script(prompt: JudgePrompt, sample: int) -> str:
        return "Well." if set(shown(prompt)) & set(numbers) else choose_best(prompt, sample)

    return script


def test_win_rates_of_a_group() -> None:
    engine = Counting()
    found = judge(engine).group_rewards("q", ANSWERS)
    assert found.rewards == (-0.5, 0.5, 0.0) and found.problems == (None,) * 3
    assert (found.failed, found.undecided) == (0, 0)
    assert found.spent.comparisons == 3 and found.spent.texts == engine.num_asked == 6  # both orders
    biased = judge(Counting(always_first)).group_rewards("q", ANSWERS)
    assert biased.rewards == (0.0, 0.0, 0.0) and biased.undecided == 3


def test_strengths_of_a_group() -> None:
    found = judge().group_rewards("q", ANSWERS, method="bradley_terry")
    fitted = fit_strengths(
        3,
        [
            Result(answers=(0, 1), winner=1),
            Result(answers=(0, 2), winner=2),
            Result(answers=(1, 2), winner=1),
        ],
    )
    assert found.rewards == pytest.approx(fitted.values, abs=1e-6)
    assert sum(found.rewards) == pytest.approx(0)  # type: ignore[arg-type]
    twice = judge().group_rewards("q", [*ANSWERS, "good 9"], method="bradley_terry").rewards
    assert twice[1] == twice[3] and sum(twice) == pytest.approx(0)  # type: ignore[arg-type]


def test_rewards_against_a_reference() -> None:
    engine = Counting()
    one = judge(engine)
    found = one.group_rewards("q", ANSWERS, method="reference", baseline="good 5")
    assert found.rewards == (-0.5, 0.5, 0.0)
    assert found.spent.comparisons == 2  # the third is the reference itself
    assert one.group_rewards("q", ["good 7"], method="reference", baseline="good 5").rewards == (0.5,)


def test_a_comparison_that_fails_counts_for_nothing() -> None:
    found = judge(Counting(silent_about(5))).group_rewards("q", ANSWERS)
    assert found.rewards == (-0.5, 0.5, None) and found.problems == (None, None, "no_verdict")
    assert found.failed == 2
    strong = judge(Counting(silent_about(5))).group_rewards("q", ANSWERS, method="bradley_terry")
    assert strong.rewards[2] is None and strong.rewards[0] == pytest.approx(-strong.rewards[1])  # type: ignore[operator]
    none = judge(Counting(silent_about(5))).group_rewards("q", ANSWERS, method="reference", baseline="good 4")
    assert none.rewards == (-0.5, 0.5, None) and none.problems[2] == "no_verdict"

    def one_order(prompt: JudgePrompt, sample: int) -> str:
        return choose_best(prompt, sample) if prompt.order == "given" else "Well."

    half = judge(Counting(one_order)).group_rewards("q", ANSWERS)
    assert half.rewards == (None,) * 3 and half.failed == 3


def test_equal_answers_are_not_asked_about() -> None:
    engine = Counting()
    one = judge(engine)
    assert one.group_rewards("q", ["good 1"] * 3).rewards == (0.0, 0.0, 0.0)
    assert one.group_rewards("q", ["good 1"] * 3, method="bradley_terry").rewards == (0.0, 0.0, 0.0)
    assert engine.num_asked == 0
    mixed = one.group_rewards("q", ["good 1", "good 2", "good 1"])
    assert mixed.rewards == (-0.25, 0.5, -0.25) and engine.num_asked == 2


@settings(max_examples=20, deadline=None)
@given(st.permutations(["good 1", "good 1x", "good 2", "good 4", "good 4x"]))
def test_the_sequence_of_a_group_does_not_matter(answers: list[str]) -> None:
    def script(prompt: JudgePrompt, sample: int) -> str:
        text = prompt.messages[-1].text
        return f"<answer>[[{'AB'[sum(text.encode()) % 2]}]]</answer>"  # noise, the same for the same prompt

    names = sorted(answers)
    for method in ("win_rate", "bradley_terry"):
        found = judge(Counting(script)).group_rewards("q", answers, method=method).rewards
        first = judge(Counting(script)).group_rewards("q", names, method=method).rewards
        assert dict(zip(answers, found, strict=True)) == pytest.approx(
            dict(zip(names, first, strict=True)), abs=1e-6
        )


def test_the_cache_gives_the_same_rewards(tmp_path: Path) -> None:
    for method, baseline in (("win_rate", None), ("bradley_terry", None), ("reference", "good 4")):
        plain = judge().group_rewards("q", ANSWERS, method=method, baseline=baseline)
        first = judge(cache=tmp_path / method).group_rewards("q", ANSWERS, method=method, baseline=baseline)
        engine = Counting()
        again = judge(engine, cache=tmp_path / method).group_rewards(
            "q", ANSWERS[::-1], method=method, baseline=baseline
        )
        assert plain.rewards == first.rewards == again.rewards[::-1]
        assert engine.num_asked == 0 and again.spent.cached == again.spent.comparisons == 3


@pytest.mark.parametrize(
    ("answers", "more", "text"),
    [
        (["good 1"], {}, "1 answer: to compare needs 2 or more"),
        ([], {}, "0 answers: to compare needs 2 or more"),
        (["good 1", ""], {}, r"'answers\[1\]' is empty"),
        ([], {"method": "reference", "baseline": "x"}, "0 answers: to compare needs 1 or more"),
        (["good 1", "good 2"], {"method": "reference", "baseline": " "}, "is empty"),
        (["good 1", "good 2"], {"method": "reference"}, "method='reference' needs a reference answer; pass baseline="),
        (["good 1", "good 2"], {"baseline": "x"}, "compares the answers with one another; leave out baseline="),
        (["good 1", "good 2"], {"method": "winrate"}, "method='winrate' is unknown; did you mean win_rate"),
        (["good 1", "good 2"], {"method": "bradley_terry", "prior_sd": -1}, "prior_sd is -1; expected more than 0"),
    ],
)  # fmt: skip
def test_bad_groups_are_refused_in_one_line(answers: list[str], more: dict[str, object], text: str) -> None:
    engine = Counting()
    with pytest.raises((ConfigError, DataError), match=text):
        judge(engine).group_rewards("q", answers, **more)  # type: ignore[arg-type]


def test_what_was_calibrated_in_one_order_is_not_asked_in_two() -> None:
    one = judge(cascade=["direct", "rubric"]).pair_judge
    one.thresholds = (0.9, None)  # type: ignore[attr-defined]
    with pytest.raises(
        ConfigError, match=r"asked in both orders, and judge 'counting' was calibrated in one; .*order='both'"
    ):
        reward_group(one, ask(1, 2))
    both = judge(cascade=["direct", "rubric"], order="both")
    assert both.group_rewards("q", ANSWERS).rewards == (-0.5, 0.5, 0.0)


def test_an_answer_is_measured_by_anchors(tmp_path: Path) -> None:
    engine = Counting()
    one = judge(engine, cache=tmp_path)
    anchors = one.fit_anchors("q", ["good 2", "good 6", "good 4"])
    assert anchors.strengths[0] < anchors.strengths[2] < anchors.strengths[1]
    assert sum(anchors.strengths) == pytest.approx(0, abs=1e-9) and anchors.spent.comparisons == 3
    found = one.score_against("q", "good 5", anchors)
    strength, error = place_among(anchors.strengths, [1.0, 0.0, 1.0])
    assert (found.strength, found.error) == (strength, error)
    asked = engine.num_asked
    again = one.score_against("q", "good 5", anchors)
    assert (again.strength, again.spent.cached, engine.num_asked) == (found.strength, 3, asked)
    best, worst = (one.score_against("q", f"good {good}", anchors).strength for good in (9, 1))
    assert best > found.strength > worst  # type: ignore[operator]
    same = one.score_against("q", "good 4", anchors)
    assert same.strength == pytest.approx(place_among(anchors.strengths, [1.0, 0.0, 0.5])[0])
    assert same.spent.comparisons == 2


def test_anchors_that_mean_nothing_are_refused() -> None:
    one = judge()
    anchors = one.fit_anchors("q", ANSWERS)
    with pytest.raises(DataError, match="the anchors are answers to another question"):
        one.score_against("another", "good 1", anchors)
    with pytest.raises(
        ConfigError, match=r"fitted with another judge: prompt\.family was 'direct', now 'rubric'"
    ):
        Judge(Counting(), family="rubric").score_against("q", "good 1", anchors)
    with pytest.raises(DataError, match="all anchors are the same answer"):
        one.fit_anchors("q", ["good 1", "good 1"])
    with pytest.raises(DataError, match=r"answers\[2\] is no anchor: no comparison of it has a verdict"):
        judge(Counting(silent_about(5))).fit_anchors("q", ANSWERS)
    quiet = silent_about(7)
    quiet.__qualname__ = choose_best.__qualname__  # the same judge, but for this answer
    silent = judge(Counting(quiet))
    found = silent.score_against("q", "good 7", anchors)
    assert (found.strength, found.error, found.problem, found.failed) == (None, None, "no_verdict", 3)
