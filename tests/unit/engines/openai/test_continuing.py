"""What a begun text and its choices look like to a server, and what is read from its replies."""

from __future__ import annotations

from math import log

import pytest

pytest.importorskip("aiohttp")

from rmr1.engines.base import Continuation, SamplingParams
from rmr1.engines.openai.continuing import (
    WAYS,
    Manner,
    begin_text,
    loosen,
    open_thinking,
    read_choice,
    read_rest,
)
from rmr1.engines.openai.logprobs import TokenLogprobs
from rmr1.engines.openai.wire import Choice
from rmr1.engines.sheets import find_value, read_value

LABELS = Continuation(start="so\n\n<answer>[[", choices=("A]]</answer>", "B]]</answer>"))
USER = [{"role": "user", "content": "q"}]


def token(text: str, chance: float, **others: float) -> TokenLogprobs:
    listed = tuple((name.encode(), log(value)) for name, value in others.items())
    return TokenLogprobs(text.encode(), log(chance), ((text.encode(), log(chance)), *listed))


def test_every_way_ends_in_the_begun_text() -> None:
    for way, (fields, marks) in WAYS.items():
        shape = begin_text(USER, LABELS, Manner(way=way))
        assert shape.messages == [*USER, {"role": "assistant", "content": LABELS.start, **marks}]
        assert shape.fields == fields
    shape = begin_text(USER, Continuation(), Manner(way="continue_final_message"))
    assert shape.messages == USER and not shape.fields


def test_thinking_is_left_out_where_it_does_not_get_through() -> None:
    going_on = Continuation(start="<think>\nhm\n</think>\n\n<type>")
    for keeps_thinking, start in ((True, going_on.start), (False, "<type>")):
        shape = begin_text(USER, going_on, Manner(way="prefix", keeps_thinking=keeps_thinking))
        assert shape.messages[-1]["content"] == start


def test_a_choice_begun_earlier_holds_what_was_left_to_the_model() -> None:
    loose = loosen(LABELS)
    assert loose.start == "so\n\n" and loose.choices[1] == "<answer>[[B]]</answer>"
    assert loosen(Continuation(start="<type>", choices=("X",))).start == ""
    assert loosen(Continuation(start="so\n", choices=("X",))) == Continuation(start="so\n", choices=("X",))


def test_the_first_token_speaks_for_the_choices_that_it_begins() -> None:
    tokens = (TokenLogprobs(b"A", log(0.5), ((b"A", log(0.5)), (b"A]]", log(0.1)), (b"B]", log(0.3)))),)
    found = read_choice(Choice(content="A", tokens=tokens), LABELS)
    assert found is not None and found.text == "A]]</answer>" and found.mass == pytest.approx(0.9)
    assert dict(found.logprobs or ()) == pytest.approx({"A]]</answer>": log(0.6), "B]]</answer>": log(0.3)})
    # The likeliest one, whatever was drawn; one that is not named has the most that is left.
    found = read_choice(Choice(content="x", tokens=(token("x", 0.7, B=0.2),)), LABELS)
    assert found is not None and found.text == "B]]</answer>"
    assert dict(found.logprobs or ())["A]]</answer>"] == pytest.approx(log(0.1))


def test_a_choice_is_read_where_it_stands() -> None:
    loose = loosen(LABELS)
    tokens = (token("<answer>", 0.9), token("[[B", 0.6, **{"[[A": 0.3}), token("]]", 0.9))
    found = read_choice(Choice(content="<answer>[[B]]", tokens=tokens), loose)
    assert found is not None and found.text == "<answer>[[B]]</answer>" and found.mass == pytest.approx(0.9)
    assert found.behind(loose, LABELS).text == "B]]</answer>"
    for content, text in ((" B", "B]]</answer>"), ('{"choice": "B"}', "B]]</answer>"), ("B", "B]]</answer>")):
        found = read_choice(Choice(content=content), LABELS)
        assert found is not None and (found.text, found.logprobs) == (text, None)
    for content in ("", "Both", "Bob", "neither", "<answer>[[C]]"):
        assert read_choice(Choice(content=content), LABELS) is None
        assert read_choice(Choice(content=content), loose) is None


def test_a_part_ends_at_a_stop_string_or_in_a_loop() -> None:
    going_on = Continuation(start="<eval>\n", stop_at_loop=True)
    params = SamplingParams(stop=("</eval>", "<answer>"))
    assert read_rest(Choice(content="so </eval> and <answer>"), params, going_on) == ("so </eval>", "stop")
    assert read_rest(Choice(content="<eval>\nso", matched_stop="</eval>"), params, going_on)[0] == "so</eval>"
    assert read_rest(Choice(content="", reasoning="so", finish_reason="length"), params, going_on) == (
        "so",
        "length",
    )
    looped, reason = read_rest(Choice(content="no " * 900, finish_reason="length"), params, going_on)
    assert len(looped) < 400 and reason == "stop"


def test_thinking_that_the_prompt_opened_is_opened_again() -> None:
    assert open_thinking("hm\n</think>", "<think>\n", ()) == "<think>\nhm\n</think>"
    assert open_thinking("<think>\nhm", "<think>\n", ()) == "<think>\nhm"
    assert open_thinking("hm", "", ()) == "hm"


def test_a_sheet_is_read_also_if_it_is_cut() -> None:
    text = '{"work": "say \\"answer\\": \\"B\\" \\u00e9\\n", "answer": "A", "more": "cut \\u00'
    assert read_value(text, "work") == 'say "answer": "B" \u00e9\n'
    assert read_value(text, "answer") == "A" and text[slice(*(find_value(text, "answer") or ()))] == "A"
    assert read_value(text, "more") == "cut " and read_value(text, "none") is None
