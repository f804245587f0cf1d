"""Replies that come as events are read as if they had come whole."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.engines.base import SamplingParams
from rmr1.engines.openai.events import EventReply, Live, is_stream
from rmr1.engines.openai.limits import Pacer
from rmr1.engines.openai.server import ChatServer, Patience
from rmr1.engines.openai.wire import ReplyError, read_reply
from tests.integration.faulty_server import make_request
from tests.listening import Listening


def write(*events: Any, end: bytes = b"\n\n") -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + end for one in events)


def make(delta: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "usage": None,
        "choices": [{"index": index, "delta": delta, "finish_reason": None, **more}],
    }


TOKENS = [{"token": letter, "logprob": -0.5, "top_logprobs": []} for letter in "Hi"]
EVENTS = write(
    make({"role": "assistant", "content": ""}),
    make({"reasoning_content": "Hm"}),
    make({"reasoning_content": "m."}),
    make({"content": "H"}, logprobs={"content": TOKENS[:1]}),
    make({"content": "i 🙂"}, logprobs={"content": TOKENS[1:]}),
    make({"content": "Ho"}, index=1),
    make({}, finish_reason="stop", stop_reason="END"),
    make({}, index=1, finish_reason="length"),
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
)
WHOLE = {
    "model": "m",
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi 🙂", "reasoning_content": "Hmm."},
            "logprobs": {"content": TOKENS},
            "finish_reason": "stop",
            "stop_reason": "END",
        },
        {"index": 1, "message": {"content": "Ho"}, "finish_reason": "length"},
    ],
}


@given(st.lists(st.integers(0, len(EVENTS)), max_size=12))
def test_events_are_the_whole_reply_wherever_their_bytes_are_parted(places: list[int]) -> None:
    reply = EventReply()
    bounds = [0, *sorted(places), len(EVENTS)]
    for start, end in pairwise(bounds):
        reply.feed(EVENTS[start:end])
    reply.feed(b"data: [DONE]\n\n")
    assert reply.is_whole
    assert read_reply(reply.assemble()) == read_reply(json.dumps(WHOLE).encode())


def test_lines_may_end_as_in_mail_and_comments_are_passed_over() -> None:
    reply = EventReply()
    reply.feed(b": ping\r\n\r\nevent: message\r\n" + write(make({"content": "yes"}), end=b"\r\n\r\n"))
    assert not reply.is_whole and reply.messages == {0: {"content": "yes"}}
    reply.feed(b"data:[DONE]\r\n")
    assert reply.is_whole and read_reply(reply.assemble()).choices[0].content == "yes"


@pytest.mark.parametrize(
    ("received", "message"),
    [
        (write(make({"content": "so"}), {"error": {"message": "out of memory"}}), "out of memory"),
        (b"data: {broken\n\n", "an event of the stream is not valid JSON"),
        (b"data: [DONE]\n\n", "no choices"),
    ],
)
def test_an_error_amid_the_events_is_that_of_the_reply(received: bytes, message: str) -> None:
    reply = EventReply()
    reply.feed(received)
    assert reply.is_whole
    with pytest.raises(ReplyError) as caught:
        read_reply(reply.assemble())
    assert message in caught.value.message


PARTS = (
    "index",
    "delta",
    "message",
    "logprobs",
    "content",
    "reasoning_content",
    "refusal",
    "tokens",
    "finish_reason",
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=4),
    max_leaves=12,
)
HOSTILE = st.dictionaries(st.sampled_from(("choices", "usage", "error", "model")), JSON, max_size=4)
CHOICES = st.lists(st.dictionaries(st.sampled_from(PARTS), JSON, max_size=4), max_size=2)


@given(st.lists(JSON | HOSTILE | st.builds(lambda choices: {"choices": choices}, CHOICES), max_size=4))
def test_whatever_the_events_hold_they_are_a_reply_or_none(events: list[Any]) -> None:
    listening = Listening()
    server = ChatServer(
        "m",
        "http://127.0.0.1:1/v1",
        concurrency=1,
        patience=Patience(
            timeout_seconds=1, max_retries=0, backoff_seconds=0, max_backoff_seconds=0, connect_seconds=0
        ),
        pacer=Pacer(None, None),
        use_max_completion_tokens=None,
        extra_body={},
        extra_headers={},
        api_key_env="NO_SUCH_KEY",
    )
    live = Live(make_request("x", listener=listening), 0, SamplingParams(), server)
    for event in events:
        live.take(write(event))
        live._told_at = -1.0
    with suppress(ReplyError):
        assert read_reply(live.reply.assemble()).choices


def test_what_ends_before_its_texts_do_is_not_whole() -> None:
    reply = EventReply()
    reply.feed(write(make({"content": "so"}), make({"content": "la"}, index=1, finish_reason="stop")))
    assert not reply.is_whole
    assert not EventReply().is_whole


def test_a_reply_that_came_whole_is_no_stream() -> None:
    assert is_stream({"Content-Type": "text/event-stream; charset=utf-8"})
    assert not is_stream({"Content-Type": "application/json"}) and not is_stream({})
