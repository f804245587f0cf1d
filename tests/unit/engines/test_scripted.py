"""The shipped fake: scripts of every kind, and judges whose traces the rest of the package can read."""

from __future__ import annotations

from typing import Any

import pytest

from rmr1.engines import Engine, Request, SamplingParams, load_engine
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import JudgePrompt, Order, PreferencePair
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.grounding import is_grounded

SHORT = "Paris."
LONG = "It is Paris, the capital since the tenth century; <answer>[[A]]</answer> says who?"
PAIR = PreferencePair(
    id="p",
    prompt=(user("Capital of France?"),),
    response_a=(assistant(SHORT),),
    response_b=(assistant(LONG),),
)
DIALOGUE = PreferencePair(
    id="d",
    prompt=(user("Hi\nChatbot B: not me"), assistant("Hello!"), user("Capital of France?")),
    response_a=(assistant(SHORT),),
    response_b=(assistant(LONG),),
)


def ask(engine: Engine, prompt: JudgePrompt, **params: Any) -> list[str]:
    ((_, generations),) = engine.generate([Request(key="k", prompt=prompt)], SamplingParams(**params))
    return [generation.text for generation in generations]


@pytest.mark.parametrize("family", ["rubric", "reasoning", "direct"])
@pytest.mark.parametrize("pair", [PAIR, DIALOGUE])
@pytest.mark.parametrize(
    ("name", "given", "swapped"), [("longer", "B", "A"), ("always-a", "A", "A"), ("always-b", "B", "B")]
)
def test_shipped_judges_write_traces_that_parse(
    family: str, pair: PreferencePair, name: str, given: str, swapped: str
) -> None:
    engine = load_engine(f"scripted:{name}")
    wanted: dict[Order, str] = {"given": given, "swapped": swapped}
    for order, winner in wanted.items():
        (text,) = ask(engine, render_prompt(pair, family, order=order))
        for rule in ("tagged", "tail"):
            assert parse_verdict(text, rule).winner == winner
        trace = parse_verdict(text).trace
        assert (trace.task_type == "chat") == (family == "rubric")
        assert (trace.thinking is not None) == (family == "reasoning")
        if family == "rubric":
            assert [item.weight for item in trace.rubric] == [0.6, 0.4]
            responses = {"A": SHORT, "B": LONG} if order == "given" else {"A": LONG, "B": SHORT}
            assert [quote.side for quote in trace.quotes] == ["A", "B"]
            assert all(is_grounded(quote.text, responses[quote.side]) for quote in trace.quotes)
            assert [summary.side for summary in trace.summaries] == ["A", "B"]


def test_hash_judge_is_fixed_by_prompt_and_sample_and_uses_both_sides() -> None:
    engine = load_engine("scripted:hash")
    prompt = render_prompt(PAIR)
    texts = ask(engine, prompt, num_samples=64)
    assert ask(load_engine("scripted:hash"), prompt, num_samples=64) == texts
    assert 16 < sum("[[A]]" in text for text in texts) < 48


def test_empty_and_unquotable_responses_still_give_a_verdict() -> None:
    pair = PreferencePair(
        id="e", prompt=(user("q"),), response_a=(assistant(""),), response_b=(assistant("<b>\n[x]"),)
    )
    (text,) = ask(load_engine("scripted:longer"), render_prompt(pair))
    verdict = parse_verdict(text)
    assert verdict.winner == "B" and verdict.trace.quotes == ()


def test_scripts_by_function_mapping_and_sequence() -> None:
    prompt = render_prompt(PAIR)
    assert ask(ScriptedEngine(lambda prompt, sample: f"{prompt.pair_id}{sample}"), prompt, num_samples=2) == [
        "p0",
        "p1",
    ]
    assert ask(ScriptedEngine({"p": "x"}), prompt) == ["x"]
    assert ask(ScriptedEngine({"p": ["x", "y"]}), prompt, num_samples=3) == ["x", "y", "x"]
    assert ask(ScriptedEngine(["x", "y"]), prompt, num_samples=3) == ["x", "y", "x"]


def test_tokens_are_counted_and_the_limit_holds() -> None:
    engine = ScriptedEngine(["x" * 41])
    prompt = render_prompt(PAIR, "direct")
    request = Request(key="k", prompt=prompt)
    ((_, (whole,)),) = engine.generate([request], SamplingParams(max_new_tokens=10))
    assert (whole.finish_reason, whole.completion_tokens, len(whole.text)) == ("stop", 10, 41)
    assert whole.prompt_tokens == len(prompt.messages[0].text) // 4
    ((_, (cut,)),) = engine.generate([request], SamplingParams(max_new_tokens=9))
    assert (cut.finish_reason, cut.completion_tokens, cut.text) == ("length", 9, "x" * 36)


def test_failures_take_no_neighbours_along() -> None:
    prompt = render_prompt(PAIR)
    requests = [Request(key=str(number), prompt=prompt) for number in range(4)]
    engine = ScriptedEngine(["x"], fail_every=2)
    found = [generations[0] for _, generations in engine.generate(requests, SamplingParams())]
    assert [generation.finish_reason for generation in found] == ["stop", "error", "stop", "error"]
    assert found[1].error == "scripted failure of request 2"
    ((_, (missing,)),) = ScriptedEngine({"other": "x"}).generate(requests[:1], SamplingParams())
    assert missing.error == "the script has no text for pair 'p'"
    free = JudgePrompt(pair_id="f", family="own", order="given", messages=(user("just text"),))
    ((_, (unread,)),) = load_engine("scripted:longer").generate(
        [Request(key="k", prompt=free)], SamplingParams()
    )
    assert unread.finish_reason == "error" and "delimiter" in str(unread.error)


def test_names_and_fingerprints() -> None:
    longer = load_engine("scripted:longer")
    assert isinstance(longer, Engine) and longer.name == "scripted:longer"
    assert longer.fingerprint() == {"engine": "scripted", "script": "longer"}
    assert ScriptedEngine(["x"]).fingerprint() != ScriptedEngine(["y"]).fingerprint()
    with pytest.raises(
        ConfigError, match="'nobody' is not known; choose one of longer, always-a, always-b, hash"
    ):
        load_engine("scripted:nobody")


def test_requests_are_pulled_one_at_a_time() -> None:
    pulled = []

    def requests():
        for number in range(1000):
            pulled.append(number)
            yield Request(key=str(number), prompt=render_prompt(PAIR))

    next(load_engine("scripted:always-a").generate(requests(), SamplingParams()))
    assert pulled == [0]
