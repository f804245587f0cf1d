"""Any OpenAI-compatible chat-completions server as an engine: vLLM, SGLang, llama.cpp, Ollama, hosted.

Requests run on an event loop in a thread of their own while `generate` is open; prompts are rendered
and results handed out in the caller's thread. At most `concurrency` HTTP requests, as many that wait for another
try, and a few rendered or finished ones beside them are held, so memory stays flat.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.names import split_server
from rmr1.engines.openai.limits import Pacer
from rmr1.engines.options import Count, Pause, Positive, Size, checking
from rmr1.errors import ConfigError, GenerationError
from rmr1.forecast.prices import choose_price
from rmr1.plugins import require
from rmr1.records import Generation, Usage

with require("an OpenAI-compatible server", "api"):
    from rmr1.engines.openai.continuing import Manner
    from rmr1.engines.openai.guiding import Finding, find_manner
    from rmr1.engines.openai.server import ChatServer, Patience, check_url
    from rmr1.engines.openai.session import ChatSession

_READ_AHEAD = 8
_LOOK_AGAIN_SECONDS = 0.05

OPENAI_URL = "https://api.openai.com/v1"
URL_VARIABLE = "OPENAI_BASE_URL"


def parse_openai_name(rest: str, scheme: str = "openai") -> tuple[str, str]:
    """`NAME@URL` as `(name, base_url)`; the name may hold slashes and "@". Without a URL it is that of
    OPENAI_BASE_URL, else OpenAI's own.

        >>> parse_openai_name("org/model@http://127.0.0.1:8000/v1")
        ('org/model', 'http://127.0.0.1:8000/v1')
    """
    name, url = split_server(rest)
    if name and url is not None:
        return name, check_url(url)
    if not name.strip() or url is not None or "@" in name or "://" in name:
        # The text is not repeated: what stands before an "@" may be a password.
        raise ConfigError(
            f"a model on a server is named {scheme}:NAME@URL, such as {scheme}:my-model@http://127.0.0.1:8000/v1, or "
            f"{scheme}:NAME alone for OpenAI's own or the server of {URL_VARIABLE}"
        )
    own = os.environ.get(URL_VARIABLE, "").strip()
    if not own:
        return name, OPENAI_URL
    try:
        return name, check_url(own)
    except ConfigError as error:
        raise ConfigError(f"{URL_VARIABLE}: {error}") from None


class OpenAIEngine:
    """Answers requests with a model that a chat-completions server holds."""

    @checking("openai")
    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        concurrency: Positive = 32,
        requests_per_minute: Size | None = None,
        tokens_per_minute: Size | None = None,
        timeout_seconds: Size = 600.0,
        max_retries: Count = 6,
        backoff_seconds: Pause = 1.0,
        max_backoff_seconds: Pause = 60.0,
        connect_seconds: Pause = 5.0,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        use_max_completion_tokens: bool | None = None,
        price_in: float | None = None,
        price_out: float | None = None,
    ):
        """Prepare to ask `name` at `base_url`, which usually ends in `/v1`; nothing is sent yet.

        Args:
            concurrency: most HTTP requests at a time; fewer while the server refuses some.
            tokens_per_minute: of prompts and answers together.
            timeout_seconds: for one try, from sending to the last byte of the reply. A server that asks
                to wait longer than this and than `max_backoff_seconds` is not waited for.
            backoff_seconds: wait after the first failed try; doubles up to `max_backoff_seconds`.
            connect_seconds: how long a server that was never reached is tried.
            extra_body: further fields of the request; they go before our own.
            api_key_env: the environment variable that holds the key. If it is not set no key is sent, which suits
                local servers; OpenAI's own is not asked without.
            use_max_completion_tokens: which of its two names the length limit has; None finds out.
            price_in: USD per million prompt tokens, `price_out` per million completion tokens; by default the list
                prices of a known hosted model.
        """
        if not name:
            raise ConfigError("the model's name is empty; expected openai:NAME@URL")
        is_hosted = urlsplit(base_url).hostname == urlsplit(OPENAI_URL).hostname
        if is_hosted and not os.environ.get(api_key_env, "").strip():
            raise ConfigError(
                f"{api_key_env} is not set, and OpenAI's own server takes no request without a key: export "
                f"{api_key_env}=KEY; for another server write openai:NAME@URL or set {URL_VARIABLE}"
            )
        self._server = ChatServer(
            name,
            base_url,
            concurrency=concurrency,
            patience=Patience(
                timeout_seconds=timeout_seconds,
                max_retries=max_retries,
                backoff_seconds=backoff_seconds,
                max_backoff_seconds=max_backoff_seconds,
                connect_seconds=connect_seconds,
            ),
            pacer=Pacer(requests_per_minute, tokens_per_minute),
            use_max_completion_tokens=use_max_completion_tokens,
            extra_body=extra_body or {},
            extra_headers=extra_headers or {},
            api_key_env=api_key_env,
        )
        self.name = f"openai:{name}@{self._server.base_url}"
        self.price = choose_price(name, price_in, price_out)
        self._sessions: set[ChatSession] = set()
        self._finding: Finding | None = None
        self._finding_lock = RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found out about the server."""
        return tuple(self._server.notes.values())

    @property
    def advice(self) -> str | None:
        """What to try if it never gives a usable answer; None if the URL looks as most do."""
        url = self._server.base_url
        if re.search(r"/v\d\w*$", urlsplit(url).path):
            return None
        return f"the URL does not end in a version, as most do: is it openai:{self._server.model}@{url}/v1?"

    @property
    def usage(self) -> Usage:
        """All tokens of all replies, those that could not be used included."""
        return self._server.usage

    def fingerprint(self) -> dict[str, object]:
        """Model, server and extra fields; not the key, nor how fast the server is asked."""
        return {
            "engine": "openai",
            "name": self._server.model,
            "base_url": self._server.base_url,
            "extra_body": self._server.extra_body,
        }

    def special_tokens(self) -> tuple[str, ...]:
        """None: a server does not tell them."""
        return ()

    def find_opening(self, thinking: Sequence[tuple[str, str]]) -> str:
        """See `rmr1.engines.base.Guidable`; found out from what the model writes."""
        return self._find_manner(thinking).opening

    def fills_sheets(self) -> bool:
        """See `rmr1.engines.base.Guidable`."""
        return self._find_manner(()).manner is None

    def _find_manner(self, thinking: Sequence[tuple[str, str]]) -> Finding:
        """How the server can be guided, which is asked once."""

        def ask(manner: Manner | None, requests: Sequence[Request]) -> list[Generation]:
            self._server.manner = manner
            answers = {request.key: one for request, (one,) in self.generate(requests, SamplingParams())}
            return [answers[request.key] for request in requests]

        with self._finding_lock:
            if self._finding is None:
                found = find_manner(ask, self.name, thinking, lambda: self.usage)
                self._server.manner = found.manner
                self._server.note(found.note)
                self._finding = found
            return self._finding

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield each request with its generations as the server answers; closing the iterator cancels what is in flight."""
        if params.stop_at_verdict:
            self._server.note("a server's texts are not stopped at the verdict: they come whole")

        def look(request: Request) -> None:
            is_known = self._finding is not None or self._server.manner is not None
            if request.going_on is not None and not is_known:
                self._find_manner(params.thinking)

        yield from self.stream(requests, lambda server: ChatSession(server, params), look)

    def stream(
        self,
        requests: Iterable[Request],
        open_session: Callable[[ChatServer], ChatSession],
        look: Callable[[Request], None] = lambda _: None,
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield what a session makes of each request, at which `look` may look first; it ends with the iterator."""
        source = iter(requests)
        most = self._server.concurrency
        room = most + min(_READ_AHEAD, most)
        num_in_flight = 0
        session = open_session(self._server)
        self._sessions.add(session)
        try:
            while True:
                # One new request for each that left, and more only while nothing waits to be handed out.
                is_dry = False
                while num_in_flight < room + min(session.num_waiting, most):
                    request = next(source, None)
                    if request is None:
                        is_dry = True
                        break
                    look(request)
                    num_in_flight += 1
                    session.submit(request)
                    if not session.outcomes.empty():
                        break
                if not num_in_flight:
                    return
                outcome = None
                with suppress(Empty):
                    # A source that had nothing may have more before anything is answered.
                    outcome = session.outcomes.get(timeout=_LOOK_AGAIN_SECONDS if is_dry else None)
                if outcome is None:
                    continue
                if isinstance(outcome, BaseException):
                    raise outcome
                num_in_flight -= 1
                yield outcome
        finally:
            session.stop()
            self._sessions.discard(session)

    def close(self) -> None:
        """Cancel what is in flight; an iterator that is still open raises `GenerationError`."""
        for session in tuple(self._sessions):
            session.fail(GenerationError(f"{self.name}: the engine was closed"))
