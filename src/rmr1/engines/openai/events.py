"""Replies that come as server-sent events: put together as if they had come whole, and told to who listens meanwhile.

What is made of a reply in the end is therefore one thing (`rmr1.engines.openai.wire`), whichever way it came.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.openai.server import Adapted, ChatServer
from rmr1.engines.openai.wire import Choice, compose_text, load_json, read_message

STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
"""Fields that ask for events."""
_TELL_SECONDS = 0.04
"""How often a text is told at most."""


class StreamRefused(Adapted):
    """The same request is to be sent for a whole reply."""


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether a reply comes as events; a server may have sent it whole all the same."""
    return headers.get("Content-Type", "").lower().startswith("text/event-stream")


@dataclass(slots=True)
class EventReply:
    """A reply as far as its events have come."""

    _rest: bytes = b""
    _is_done: bool = False
    _whole: dict[str, Any] = field(default_factory=dict)
    _choices: dict[int, dict[str, Any]] = field(default_factory=dict)

    def feed(self, received: bytes) -> None:
        """Read on; bytes may end anywhere."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            name, _, value = line.strip().partition(b":")
            if name != b"data":
                continue
            if value.strip() == b"[DONE]":
                self._is_done = True
                continue
            try:
                event = load_json(value)
            except ValueError:
                event = {"error": "an event of the stream is not valid JSON"}
            if isinstance(event, dict):
                self._take(event)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing: it was said, or every text has its end, or an error came."""
        ended = [one.get("finish_reason") is not None for one in self._choices.values()]
        return self._is_done or "error" in self._whole or (bool(ended) and all(ended))

    @property
    def messages(self) -> dict[int, dict[str, Any]]:
        """The texts so far, by the number of their choice."""
        return {number: one["message"] for number, one in self._choices.items()}

    def assemble(self) -> bytes:
        """The body that the same reply would have had as one."""
        choices = (
            [] if "error" in self._whole else [self._choices[number] for number in sorted(self._choices)]
        )
        return json.dumps({**self._whole, "choices": choices}).encode()  # its numbers may be of any size

    def _take(self, event: dict[str, Any]) -> None:
        self._whole |= {
            name: value for name, value in event.items() if value is not None and name != "choices"
        }
        listed = event.get("choices")
        for place, part in enumerate(listed if isinstance(listed, list) else ()):
            if not isinstance(part, dict):
                continue
            told = part.get("index")
            number = told if isinstance(told, int) else place
            choice = self._choices.setdefault(number, {"index": number, "message": {}, "logprobs": {}})
            for name, value in part.items():
                if name in ("delta", "message", "logprobs"):
                    if isinstance(value, dict):
                        _extend(choice["logprobs" if name == "logprobs" else "message"], value)
                elif value is not None and name != "index":
                    choice[name] = value


def _extend(whole: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Put texts and lists behind those that are there; of everything else the last one holds."""
    for name, value in part.items():
        known = whole.get(name)
        is_more = name != "role" and isinstance(value, str | list) and isinstance(known, type(value))
        if value is not None:
            whole[name] = known + value if is_more else value


@dataclass(slots=True)
class Live:
    """Tells who listens to a request what its reply holds so far."""

    request: Request
    sample: int
    """The number of the reply's first text."""
    params: SamplingParams
    server: ChatServer
    reply: EventReply = field(default_factory=EventReply)
    _told_at: float = -1.0

    def take(self, received: bytes) -> None:
        """Read on."""
        self.reply.feed(received)
        listener, now = self.request.listener, time.monotonic()
        if listener is None or not listener.is_there or now < self._told_at + _TELL_SECONDS:
            return
        self._told_at = now
        for number, message in self.reply.messages.items():
            content, reasoning = read_message(message)
            # As if it were cut: thinking that is not over stays open.
            choice = Choice(content=content, reasoning=reasoning, finish_reason="length")
            text, *_ = compose_text(choice, thinking=self.params.thinking)
            if text:
                listener.hear(self.sample + number, 0, self.server.scrub_beginning(text))
