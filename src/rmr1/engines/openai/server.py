"""What is known of one chat-completions server: its address and key, its dialect, and what it has used.

One `ChatServer` outlives the `generate` calls of its engine, which may run in several threads.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from rmr1.engines.base import SamplingParams
from rmr1.engines.openai.limits import Pacer, Throttle
from rmr1.engines.openai.wire import ADAPTABLE, Dialect, Problem, adapt, refuse_choices
from rmr1.errors import ConfigError, GenerationError
from rmr1.records import Usage

_LOGGER = logging.getLogger("rmr1.engines.openai")
_FIRST_GUESS_TOKENS = 1024
"""Completion tokens reserved before any reply has told how many there are."""
_MIN_KEY_CHARS = 12
_RESERVED_KEYS = {"model", "messages", "n", "stream", "stream_options"}
_SECRET = re.compile(
    r"api[-_]?key|authorization|secret|passw|cookie|credential|(?:^|[-_])token$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, and how often, a request is tried. Times in seconds."""

    timeout_seconds: float
    """For one try, from sending to the last byte of the reply."""
    max_retries: int
    """Tries after the first one."""
    backoff_seconds: float
    max_backoff_seconds: float
    connect_seconds: float
    """How long a server that was never reached is tried."""


class ChatServer:
    """One model at one address."""

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        concurrency: int,
        patience: Patience,
        pacer: Pacer,
        dialect: Dialect,
        is_length_fixed: bool,
        extra_body: Mapping[str, Any],
        extra_headers: Mapping[str, str],
        api_key_env: str,
    ):
        """`is_length_fixed`: the user has chosen the name of the length limit.

        Raises:
            ConfigError: the URL, the key or an extra field is not usable.
        """
        self.model = model
        self.base_url = check_url(base_url)
        self.concurrency = concurrency
        self.patience = patience
        self.pacer = pacer
        self.throttle = Throttle(
            concurrency,
            hold_seconds=patience.backoff_seconds,
            max_hold_seconds=patience.max_backoff_seconds,
        )
        self.dialect = dialect
        self.extra_body = _check_extra_body(extra_body)
        self._is_length_fixed = is_length_fixed
        self._extra_headers = _check_headers(extra_headers)
        self._key_variable = api_key_env
        self._key = _read_key(api_key_env)
        self._accepted: set[tuple[str, str]] = set()
        self._notes: dict[str, None] = {}
        self._lock = Lock()
        self._tls_context: ssl.SSLContext | None = None
        self._usage = Usage()
        self._num_answers = 0
        self.last_contact: float | None = None
        """When the server last sent a status, whatever it was; `time.monotonic`."""
        self.has_answered = False
        """Whether there was a usable reply."""

    @property
    def is_local(self) -> bool:
        return urlsplit(self.base_url).hostname in ("localhost", "127.0.0.1", "::1")

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    @property
    def usage(self) -> Usage:
        return self._usage

    def headers(self) -> dict[str, str]:
        """Headers of every request, the key among them."""
        headers = {"content-type": "application/json", **self._extra_headers}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        return headers

    def tls_context(self) -> ssl.SSLContext:
        """The certificates to trust: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else httpx's own."""
        # Reading them takes longer than a request; made once.
        with self._lock:
            if self._tls_context is None:
                try:
                    self._tls_context = httpx.create_ssl_context(trust_env=not self.is_local)
                except (OSError, ValueError) as error:
                    raise GenerationError(f"the TLS certificates cannot be read: {error}") from None
            return self._tls_context

    def key_hint(self) -> str:
        """What to do where the server refuses the key."""
        if not self._key:
            return f"set the environment variable {self._key_variable} to a key"
        return f"check the key in the environment variable {self._key_variable}"

    def scrub(self, received: bytes) -> bytes:
        """What the server sent, without the key, which servers like to repeat in their messages."""
        # A placeholder such as "ollama" is no secret, and a text may hold it.
        return received.replace(self._key.encode(), b"***") if len(self._key) >= _MIN_KEY_CHARS else received

    def note(self, text: str) -> None:
        """Remember and log something about the server, once."""
        with self._lock:
            if text in self._notes:
                return
            self._notes[text] = None
        _LOGGER.warning("%s at %s: %s", self.model, self.base_url, text)

    def guess_tokens(self, num_prompt_tokens: int, num_choices: int, params: SamplingParams) -> int:
        """Tokens that a request will use, by the mean of the answers so far."""
        with self._lock:
            mean = self._usage.completion_tokens // self._num_answers if self._num_answers else None
        expected = _FIRST_GUESS_TOKENS if mean is None else mean
        return num_prompt_tokens + num_choices * min(expected, params.max_new_tokens)

    def count(self, usage: Usage | None, *, num_choices: int, guess: int) -> None:
        """Add what a reply used, and correct the pace by it."""
        if usage is None:
            return
        with self._lock:
            self._usage = self._usage + usage
            self._num_answers += num_choices
        self.pacer.correct(usage.prompt_tokens + usage.completion_tokens - guess)

    def touch(self) -> None:
        """The server has sent something."""
        self.last_contact = time.monotonic()

    def accept(self, body: Mapping[str, Any]) -> None:
        """The server takes these parameters: a later error is about something else."""
        self.has_answered = True
        self._accepted.update(_parameter(key, body[key]) for key in ADAPTABLE if key in body)

    def learn(self, problem: Problem, body: Mapping[str, Any], sent: Dialect) -> bool:
        """Adapt to a problem; True where the request may be sent again in another form.

        `sent` is the dialect that `body` was written in.
        """
        if self.dialect != sent:
            return True  # another request has met it first
        ours = [
            key
            for key in ADAPTABLE
            if key in body
            and key not in self.extra_body
            and _parameter(key, body[key]) not in self._accepted
            and not (self._is_length_fixed and key.startswith("max_"))
        ]
        learnt = adapt(sent, problem, body, ours=ours)
        if learnt is None:
            return False
        self.dialect = learnt[0]
        self.note(f"{learnt[1]}, because the server said: {problem}")
        return True

    def learn_single(self, temperature: float) -> None:
        """Samples are asked for one by one from now on."""
        self.dialect = refuse_choices(self.dialect, temperature)
        self.note("samples are asked for one by one, because the server gave fewer choices than asked for")

    def learn_no_usage(self) -> None:
        """The server counts no tokens."""
        self.note(
            "its replies do not say how many tokens they took: tokens and cost are estimates from characters"
        )

    def learn_name(self, served: str) -> None:
        """The model's name in a reply; noted where it is another model's."""
        one, other = (name.rstrip("/").rpartition("/")[2].lower() for name in (self.model, served))
        # A vendor in front, a date or a tag behind do not matter.
        if not (one.startswith(other) or other.startswith(one)):
            self.note(f"the server names the model {served!r}")


def check_url(url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        ConfigError: it is no address of a server, or holds what could be a secret.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError("the server's URL is not usable; expected one such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        # The URL is stored with the run.
        raise ConfigError(
            f"the URL of {parts.hostname} holds a user name, a password or a query; "
            "a key is read from the environment only (see api_key_env)"
        )
    return url.rstrip("/").removesuffix("/chat/completions")


def _check_extra_body(extra: Mapping[str, Any]) -> dict[str, Any]:
    for key in extra:
        if key in _RESERVED_KEYS:
            raise ConfigError(f"extra_body may not set {key!r}, which the engine sets itself")
        if _SECRET.search(key):
            raise ConfigError(f"extra_body may not hold {key!r}: it is stored with the run")
    try:
        orjson.dumps(dict(extra))
    except TypeError as error:
        raise ConfigError(f"extra_body is no JSON: {error}") from None
    return dict(extra)


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for key, value in headers.items():
        if _SECRET.search(key):
            raise ConfigError(
                f"extra_headers may not hold {key!r}: a key is read from the environment only (see api_key_env)"
            )
        if not re.fullmatch(r"[!-9;-~]+", key) or not re.fullmatch(r"[ -~]*", str(value)):
            raise ConfigError(f"extra_headers: {key!r} or its value has characters that a header cannot have")
    return {key: str(value) for key, value in headers.items()}


def _read_key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ConfigError(f"{variable} holds characters that a key cannot have; set it to the key alone")
    return key


def _parameter(key: str, value: Any) -> tuple[str, str]:
    """A parameter as the server judges it; one seed is as good as another."""
    return key, "" if key == "seed" else repr(value)
