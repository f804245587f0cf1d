"""Whether a base writes judgments that can be read."""

from __future__ import annotations

import pytest

from rmr1.data.runs import open_run
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.describe import describe_run
from rmr1.pipeline.check import require_verdicts
from rmr1.prompts import load_family
from rmr1.records import PreferencePair, assistant, user


def judge_into(folder, readable):
    """Eight pairs, of which the first `readable` get a verdict."""
    pairs = [
        PreferencePair(
            id=str(number),
            prompt=(user(f"Q{number}"),),
            response_a=(assistant("a"),),
            response_b=(assistant("b"),),
        )
        for number in range(8)
    ]

    def answer(prompt, sample):
        return "<answer>[[A]]</answer>" if int(prompt.pair_id) < readable else "Both are quite nice."

    judge = GenerativeJudge(ScriptedEngine(answer), load_family("rubric"), JudgeSettings())
    with open_run(folder, describe_run("judge", judge, data={})) as writer:
        for _ in judge.run(pairs, run=writer):
            pass
    return folder


def test_half_of_the_judgments_are_enough(tmp_path):
    require_verdicts(judge_into(tmp_path / "half", 4))
    with pytest.raises(
        ConfigError, match="3 of 8 judgments of the base have a verdict, fewer than half"
    ) as caught:
        require_verdicts(judge_into(tmp_path / "less", 3))
    assert "--teacher MODEL" in str(caught.value)
