"""The paper's reward: +1 for the label, -1 for everything else."""

from __future__ import annotations

import pytest

from rmr1.errors import ConfigError
from rmr1.records import Verdict
from rmr1.rewards import reward_text, reward_verdict

A, B, TIE, NONE = "A", "B", "tie", None


@pytest.mark.parametrize(
    ("winner", "label", "reward"),
    [
        (A, "A", 1.0),
        (B, "A", -1.0),
        (TIE, "A", -1.0),
        (NONE, "A", -1.0),
        (A, "B", -1.0),
        (B, "B", 1.0),
        (TIE, "tie", 1.0),
        (A, "tie", -1.0),
        (NONE, "tie", -1.0),
    ],
)
def test_reward_verdict(winner, label, reward):
    assert reward_verdict(Verdict(winner=winner), label) == reward


@pytest.mark.parametrize("label", ["C", "a", "", None])
def test_other_labels_are_errors(label):
    with pytest.raises(ConfigError, match="has no reward"):
        reward_verdict(Verdict(winner="A"), label)


@pytest.mark.parametrize(
    ("text", "label", "reward"),
    [
        ("<eval>[[B]] is weak</eval> <answer>[[A]]</answer>", "A", 1.0),
        ("<eval>[[B]] is weak</eval> <answer>[[A]]</answer>", "B", -1.0),
        ("<answer>[[A]]</answer><answer>[[B]]</answer>", "A", -1.0),
        ("<answer>[[A]]</answer><answer>[[B]]</answer>", "B", -1.0),
        ("<answer>[[a]]</answer>", "A", -1.0),
        ("<answer>[[A]]</answer>" + "!" * 60, "A", -1.0),
        ("", "B", -1.0),
    ],
)
def test_reward_text_by_the_reward_rule(text, label, reward):
    assert reward_text(text, label) == reward


def test_reward_text_by_another_rule():
    trace = "not [[B]] </think> <answer>[[A]]</answer>"
    assert (reward_text(trace, "A"), reward_text(trace, "A", rule="published")) == (1.0, -1.0)
