"""A chat-completions server on 127.0.0.1 that misbehaves as it is told to, and counts what it bills.

A test gives it a function from a `Call` to an `Answer`. Calls are told apart by the text of their last
message, so one item can be followed over its tries.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from rmr1.engines import Request
from rmr1.messages import user
from rmr1.records import JudgePrompt

FAULTS = (
    "429 with a time",
    "429",
    "500",
    "hang",
    "reset",
    "invalid JSON",
    "no choices",
    "other model",
)
LOSSY = {"reset", "invalid JSON", "no choices"}
"""Faults that come after the model has run: billed, and of no use."""
ANSWERED = {"ok", "other model"}

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that reached the server."""

    item: str
    attempt: int
    """Number of calls for this item before this one."""
    body: dict[str, Any]
    headers: Mapping[str, str]
    at: float
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server does with a call."""

    status: int = 200
    body: Any = None
    """Sent as it is where it is bytes, piece by piece where it is a tuple of bytes, else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["whole", "hang", "reset"] = "whole"
    seconds: float = 0.0
    """Wait before it."""
    pause: float = 0.0
    """Wait between pieces."""
    is_billed: bool = False
    label: str = "ok"


Behaviour = Callable[[Call], Answer]


def completion(
    text: str | None = "<answer>[[A]]</answer>",
    *,
    choices: Sequence[Mapping[str, Any]] | None = None,
    model: str = "judge",
    usage: Mapping[str, int] | None = USAGE,
    finish_reason: str = "stop",
    message: Mapping[str, Any] | None = None,
    **choice: Any,
) -> dict[str, Any]:
    """The body of a good reply."""
    one = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": text, **(message or {})},
        **choice,
    }
    return {
        "id": "x",
        "object": "chat.completion",
        "model": model,
        "choices": [one] if choices is None else list(choices),
        **({"usage": dict(usage)} if usage else {}),
    }


def stream(*deltas: Mapping[str, Any] | str, is_whole: bool = True) -> tuple[bytes, ...]:
    """The body of a good reply as server-sent events, one for each delta; without `is_whole` its end is missing."""
    parts = [{"content": one} if isinstance(one, str) else dict(one) for one in deltas]
    events: list[Any] = [{"choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in parts]
    if is_whole:
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        events.append({"choices": [], "usage": USAGE})
    told = [{"object": "chat.completion.chunk", "model": "judge", **one} for one in events]
    return (
        *(b"data: " + json.dumps(one).encode() + b"\n\n" for one in told),
        *([b"data: [DONE]\n\n"] * is_whole),
    )


def good(**values: Any) -> Answer:
    return Answer(body=completion(**values), is_billed=True)


def busy(seconds: float) -> Answer:
    """A refusal that names a time."""
    return Answer(status=429, body={}, headers={"Retry-After": str(seconds)}, label="429")


def failure(status: int, message: str, **fields: Any) -> Answer:
    """An error in OpenAI's form."""
    return Answer(status=status, body={"error": {"message": message, **fields}}, label=str(status))


def misbehave(call: Call) -> Answer:
    """Each fault in a tenth of the calls, chosen by the item and the number of the try."""
    digest = hashlib.sha256(f"{call.item}/{call.attempt}".encode()).digest()
    choice = int.from_bytes(digest[:4], "big") % 10
    label = FAULTS[choice] if choice < len(FAULTS) else "ok"
    text = f"{call.item} <answer>[[A]]</answer>"
    whole = completion(text)
    answers = {
        "429 with a time": Answer(
            status=429, body={"error": {"message": "slow down"}}, headers={"retry-after": "0.05"}
        ),
        "429": failure(429, "slow down"),
        "500": Answer(status=500, body=b"<html><body>Internal error</body></html>"),
        "hang": Answer(kind="hang"),
        "reset": Answer(kind="reset", body=whole, is_billed=True),
        "invalid JSON": Answer(body=json.dumps(whole).encode()[:-20], is_billed=True),
        "no choices": Answer(body=completion(choices=[]), is_billed=True),
        "other model": Answer(body=completion(text, model="quite-another"), is_billed=True),
        "ok": Answer(body=whole, is_billed=True),
    }
    found = answers[label]
    return Answer(
        status=found.status,
        body=found.body,
        headers=found.headers,
        kind=found.kind,
        is_billed=found.is_billed,
        label=label,
    )


class FaultyServer:
    """Runs while it is entered; `calls`, `billed` and `most_active` tell what has happened."""

    def __init__(self, behaviour: Behaviour, *, models: Sequence[str] = ("judge",)):
        self.behaviour = behaviour
        self.models = models
        self.calls: list[Call] = []
        self.labels: dict[str, list[str]] = {}
        """Item -> what its calls met, in order."""
        self.billed: Counter[str] = Counter()
        self.most_active = 0
        self._active = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._attempts: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                listing = {"object": "list", "data": [{"id": name} for name in outer.models]}
                self.respond(Answer(body=listing))

            def do_POST(self) -> None:
                if outer._closing.is_set():
                    self.close_connection = True
                    return
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                call = outer.enter(body, dict(self.headers.items()), self.path)
                try:
                    answer = outer.decide(call)
                    if answer.kind == "hang":
                        outer._closing.wait()
                        self.close_connection = True
                        return
                    if answer.seconds:
                        outer._closing.wait(answer.seconds)
                finally:
                    outer.leave()
                self.respond(answer)

            def respond_in_pieces(self, answer: Answer) -> None:
                self.send_response(answer.status)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.close_connection = True
                for piece in answer.body:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    if answer.pause:
                        outer._closing.wait(answer.pause)

            def respond(self, answer: Answer) -> None:
                if isinstance(answer.body, tuple):
                    self.respond_in_pieces(answer)
                    return
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                if answer.kind == "reset":
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    # Closing with a linger time of 0 sends a reset.
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    return
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that hang up are part of the play

            def shutdown_request(self, request: Any) -> None:
                self.close_request(request)

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def num_active(self) -> int:
        """Calls that have come and are not answered yet, the one that asks among them."""
        return self._active

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer no more; what hangs is let go."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def enter(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Call:
        messages = body.get("messages", body.get("input"))
        content = body["state"] if messages is None else messages[-1]["content"]
        item = content if isinstance(content, str) else json.dumps(content)
        with self._lock:
            self._active += 1
            self.most_active = max(self.most_active, self._active)
            call = Call(
                item=item,
                attempt=self._attempts[item],
                body=body,
                headers={name.lower(): value for name, value in headers.items()},
                at=time.monotonic(),
                path=path,
            )
            self._attempts[item] += 1
            self.calls.append(call)
        return call

    def decide(self, call: Call) -> Answer:
        answer = self.behaviour(call)
        with self._lock:
            self.labels.setdefault(call.item, []).append(answer.label)
            self.billed[call.item] += answer.is_billed
        return answer

    def leave(self) -> None:
        with self._lock:
            self._active -= 1


def make_request(key: str, **values: Any) -> Request:
    """A request whose prompt is the key itself."""
    prompt = JudgePrompt(
        pair_id=key, family="rubric", order="given", messages=values.pop("messages", (user(key),))
    )
    return Request(key=key, prompt=prompt, **values)
