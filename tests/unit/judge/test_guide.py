"""The guided protocol over a scripted engine: what is written for the model, what stands, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import log

import pytest

from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.guided_text import close_open
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Generation, Judgment, PreferencePair

PAIR = PreferencePair(id="0", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),))


class Filling(ScriptedEngine):
    """Goes on with a text as `script` says; of choices the first is the likelier one."""

    def __init__(self, script: Callable[[str], str], opening: str = ""):
        super().__init__(["x"], "filling")
        self.script = script
        self.opening = opening
        self.asked: list[tuple[str, SamplingParams]] = []

    def find_opening(self, thinking: object) -> str:
        return self.opening

    def fills_sheets(self) -> bool:
        return False

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            going_on, own = request.going_on or Continuation(), request.choose_params(params)
            self.asked.append((going_on.start, own))
            if going_on.choices:
                told = tuple(zip(going_on.choices, (log(0.8), log(0.2)), strict=True))
                text = Generation(
                    text=going_on.choices[0], finish_reason="stop", completion_tokens=1, verdict_logprobs=told
                )
            else:
                written = self.script(going_on.start)
                ends = [written.find(stop) + len(stop) for stop in own.stop if stop in written]
                written = written[: min(ends)] if ends else written
                if not going_on.start:
                    written = self.opening + written
                text = Generation(text=written, finish_reason="stop", completion_tokens=5, prompt_tokens=9)
            yield request, (text,)


def judge(engine: Filling, family: str = "rubric", guide: str = "protocol", **more: object) -> Judgment:
    settings = JudgeSettings(guide=guide, order="given", **more)
    ((_, judgment),) = GenerativeJudge(engine, load_family(family), settings).run([PAIR])
    return judgment


def test_a_model_that_keeps_the_protocol_is_not_changed() -> None:
    text = "<type>Reasoning</type>\n\n<solution>\n4\n</solution>\n\n<eval>\nboth fine\n</eval>\n\n<answer>[[A]]</answer>"
    engine = Filling(lambda start: text.removeprefix(start))
    judgment = judge(engine)
    assert judgment.votes[0].generation.text == text and judgment.winner == "A"
    generation = judgment.votes[0].generation
    assert generation.is_forced and generation.completion_tokens == 1 + 5 + 5 + 1
    assert dict(generation.verdict_logprobs or ()) == {"A": log(0.8), "B": log(0.2)}
    assert judgment.votes[0].probability == pytest.approx(0.8)


def test_a_model_that_keeps_nothing_is_led_to_a_verdict() -> None:
    judgment = judge(Filling(lambda start: "I like <quote_A>both"), part_tokens=7)
    assert judgment.votes[0].generation.text == (
        "<type>Reasoning</type>\n\n"
        "<solution>\nI like <quote_A>both</quote_A>\n</solution>\n\n"
        "<eval>\nI like <quote_A>both</quote_A>\n</eval>\n\n"
        "<answer>[[A]]</answer>"
    )
    assert judgment.winner == "A" and judgment.trace.solution == "I like <quote_A>both</quote_A>"


def test_what_belongs_to_a_later_part_is_left_to_it() -> None:
    engine = Filling(
        lambda start: "4 <eval> yes </eval>" if start.endswith("<solution>\n") else "y <answer>[[B]]"
    )
    text = judge(engine).votes[0].generation.text
    assert "<solution>\n4\n</solution>\n\n<eval>\ny\n</eval>\n\n<answer>[[A]]</answer>" in text


def test_parts_have_their_budget_and_every_sample_its_seeds() -> None:
    engine = Filling(lambda start: "x")
    sampling = SamplingParams(temperature=1.0, num_samples=3, max_new_tokens=99)
    judgment = judge(engine, sampling=sampling, part_tokens=11)
    assert len(judgment.votes) == 3 and len(engine.asked) == 3 * 4
    assert {
        params.max_new_tokens
        for start, params in engine.asked
        if start.endswith(("<solution>\n", "<eval>\n"))
    } == {11}
    assert {params.num_samples for _, params in engine.asked} == {1}


def test_thinking_that_the_prompt_opens_comes_first() -> None:
    engine = Filling(lambda start: "hm, so it goes" if not start else "x", opening="<think>\n")
    text = judge(engine, "reasoning", sampling=SamplingParams(max_new_tokens=50)).votes[0].generation.text
    assert text.startswith("<think>\nhm, so it goes\n</think>\n\n") and text.endswith(
        "\n\n<answer>[[A]]</answer>"
    )


def test_a_family_without_parts_can_be_read_at_once() -> None:
    engine = Filling(lambda start: "never asked")
    assert judge(engine, "direct", part_tokens=0).votes[0].generation.text == "<answer>[[A]]</answer>"
    assert len(engine.asked) == 1


def test_a_verdict_is_forced_only_if_there_is_none() -> None:
    said = judge(Filling(lambda start: "B it is. <answer>[[B]]</answer>"), guide="verdict")
    assert said.winner == "B" and not said.votes[0].generation.is_forced
    forced = judge(Filling(lambda start: "<eval>\nA is <quote_A>short"), guide="verdict")
    assert forced.winner == "A" and forced.votes[0].generation.is_forced
    assert (
        forced.votes[0].generation.text
        == "<eval>\nA is <quote_A>short</quote_A>\n</eval>\n\n<answer>[[A]]</answer>"
    )


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("plain", "plain"),
        ("<eval>\n<quote_A>x</quote_A>\n</eval>", "<eval>\n<quote_A>x</quote_A>\n</eval>"),
        ("<rubric>\n1. x\n<justify>w", "<rubric>\n1. x\n<justify>w\n</justify>\n</rubric>"),
        ("<think>\nhm <eval> no", "<think>\nhm <eval> no\n</think>"),
        ("<think>\nhm\n</think>\n\n<eval>\nso", "<think>\nhm\n</think>\n\n<eval>\nso\n</eval>"),
    ],
)
def test_what_is_open_is_closed(text: str, closed: str) -> None:
    assert close_open(text) == closed


def test_engines_and_settings_that_cannot_be_guided() -> None:
    with pytest.raises(ConfigError, match="model 'plain' cannot be guided"):
        GenerativeJudge(
            ScriptedEngine(["x"], "plain"), load_family("rubric"), JudgeSettings(guide="protocol")
        )
    with pytest.raises(ConfigError, match="rates answers, which is not guided"):
        judge(Filling(lambda start: "x"), "rating")
    with pytest.raises(ConfigError, match="rule 'arena' does not read"):
        JudgeSettings(guide="verdict", rule="arena")
    with pytest.raises(ConfigError, match="guide is 'yes'"):
        JudgeSettings(guide="yes")
    with pytest.raises(ConfigError, match="part_tokens is -1"):
        JudgeSettings(part_tokens=-1)
