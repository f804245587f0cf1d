"""Whether a base writes judgments that can be read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.identity import describe_run
from rmr1.messages import assistant, user
from rmr1.pipeline.check import require_verdicts
from rmr1.prompts import load_family
from rmr1.records import PreferencePair
from rmr1.store.runs import open_run


class Failing(ScriptedEngine):
    """Every text ends for one reason."""

    def __init__(self, script, reason):
        super().__init__(script)
        self._reason = reason

    def generate(self, requests, params):
        for request, texts in super().generate(requests, params):
            yield request, tuple(replace(one, finish_reason=self._reason) for one in texts)


def judge_into(folder, readable, reason="stop"):
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

    judge = GenerativeJudge(Failing(answer, reason), load_family("rubric"), JudgeSettings())
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
    assert "(no_verdict 5)" in str(caught.value)
    assert "distil first (--teacher MODEL" in str(caught.value)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("skipped", "(prompt_too_long 8), so there is little to reinforce; the base's context has no room"),
        ("length", "(truncated 8), so there is little to reinforce; set grpo.rollout.max_new_tokens"),
        ("error", "(generation_failed 8), so there is little to reinforce; the engine failed"),
    ],
)
def test_the_advice_follows_the_problem(tmp_path, reason, told):
    with pytest.raises(ConfigError) as caught:
        require_verdicts(judge_into(tmp_path / "run", 0, reason))
    assert told in str(caught.value)
