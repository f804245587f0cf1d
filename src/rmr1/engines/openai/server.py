"""What is known of one chat-completions server: its address and key, its dialect, and what it has used.

One `ChatServer` outlives the `generate` calls of its engine, which may run in several threads.
"""

from __future__ import annotations

import logging
import math
import os
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from rmr1.engines.base import SamplingParams
from rmr1.engines.openai.limits import Pacer, Throttle
from rmr1.engines.openai.problems import Problem
from rmr1.engines.openai.remedies import (
    LENGTH_FIELDS,
    PARAMETERS,
    Form,
    Refusal,
    Remedy,
    ask_singly,
    list_parts,
)
from rmr1.engines.openai.wire import Dialect
from rmr1.errors import ConfigError, GenerationError
from rmr1.records import Usage

_LOGGER = logging.getLogger("rmr1.engines.openai")
_FIRST_GUESS_TOKENS = 1024
"""Completion tokens reserved before any reply has told how many there are."""
_MIN_KEY_CHARS = 12
_LONG_HOLD_SECONDS = 5.0
"""The wait of all requests after which a line says what they wait for."""
_MOST_FORBIDDEN = 20
"""Refusals of access in a row; then it is the key."""
_BYTES_PER_TOKEN = (2.5, 6.0)
"""Least and most of usual texts; English has about 4.5."""
_APART = 1.2
"""How much larger one prompt is than another that should not have the same number of tokens."""
_RESERVED_KEYS = {"model", "messages", "n", "stream", "stream_options"}
_SECRET = re.compile(
    r"api[-_]?key|authorization|secret|passw|cookie|credential|(?:^|[-_])token$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, and how often, a request is tried. Times in seconds."""

    timeout_seconds: float
    """The limit of one try, from sending to the last byte of the reply."""
    max_retries: int
    """Tries after the first one."""
    backoff_seconds: float
    max_backoff_seconds: float
    connect_seconds: float
    """How long a server that was never reached is tried."""

    @property
    def longest_wait(self) -> tuple[float, str]:
        """The longest time that a server may ask to wait, and the setting that says so."""
        return max(
            (self.timeout_seconds, "timeout_seconds"), (self.max_backoff_seconds, "max_backoff_seconds")
        )


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
            most_holds=patience.max_retries,
        )
        self.dialect = dialect
        self.extra_body = _check_extra_body(extra_body)
        self._is_length_fixed = is_length_fixed
        self._extra_headers = _check_headers(extra_headers)
        self._key_variable = api_key_env
        self._key = _read_key(api_key_env)
        self._accepted: set[tuple[str, str]] = set()
        self._largest_prompt = 0
        """The largest prompt that was answered, in estimated tokens."""
        self._helped: dict[Remedy, set[str]] = {}
        """Remedy -> items that it has brought an answer, each refused after the one before was helped."""
        self._helped_at: dict[Remedy, float] = {}
        self._adopted: set[Remedy] = set()
        self._failed: set[Remedy] = set()
        """What has brought none to an item that was answered in the end."""
        self._most_counted = (0, 0, 0)
        """The most tokens that a prompt counted as, and the bytes of the smallest and largest such prompt."""
        self._cuts = False
        self._num_forbidden = 0
        self._forbidden_since = 0.0
        self._held_since: float | None = None
        """The time at which the hold of all began, if no answer has ended it."""
        self._is_hold_told = False
        self._notes: dict[str, str] = {}
        """Notes by what they are about; of the same matter the last one stays."""
        self._lock = Lock()
        self._tls_context: ssl.SSLContext | None = None
        self._usage = Usage()
        self._num_answers = 0
        self.last_contact: float | None = None
        """The time at which the server last sent a status, whatever it was; `time.monotonic`."""
        self.has_answered = False
        """Whether there was a usable reply."""

    @property
    def is_local(self) -> bool:
        host = urlsplit(self.base_url).hostname or ""
        try:
            address = ip_address(host)
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")
        return address.is_loopback or address.is_unspecified

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes.values())

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

    def note(self, text: str, matter: str = "") -> None:
        """Remember and log something about the server, once; instead of what was noted of the same matter."""
        with self._lock:
            if self._notes.get(matter or text) == text:
                return
            self._notes[matter or text] = text
        _LOGGER.warning("%s at %s: %s", self.model, self.base_url, text)

    def tell_hold(self, said: str) -> None:
        """Say once what the server answers if all wait for long and nothing was answered meanwhile."""
        if not self.throttle.held:
            return
        now = time.monotonic()
        with self._lock:
            self._held_since = self._held_since or now
            if self._is_hold_told or now + self.throttle.held - self._held_since < _LONG_HOLD_SECONDS:
                return
            self._is_hold_told = True
        _LOGGER.warning("%s at %s: the server answers %s; waiting", self.model, self.base_url, said)

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

    def accept(self, body: Mapping[str, Any], num_prompt_tokens: int, *, num_choices: int) -> None:
        """The server takes these parts and a prompt of that size: a later error is about something else."""
        parts = list_parts(body)
        if num_choices < body.get("n", 1):
            parts = {part for part in parts if part[0] != "n"}
        with self._lock:
            self.has_answered = True
            self._num_forbidden = 0
            self._held_since, self._is_hold_told = None, False
            self._accepted |= parts
            self._largest_prompt = max(self._largest_prompt, num_prompt_tokens)

    def forgive(self, least_seconds: float = 0.0) -> bool:
        """Whether a refusal of access may be about one prompt, or pass: others were answered, and not long ago.

        Many that were in flight may be refused at once: before `least_seconds` no number of them is too many.
        """
        with self._lock:
            if not self._num_forbidden:
                self._forbidden_since = time.monotonic()
            self._num_forbidden += 1
            is_new = time.monotonic() - self._forbidden_since < least_seconds
            return self.has_answered and (is_new or self._num_forbidden <= _MOST_FORBIDDEN)

    def read_refusal(
        self, problem: Problem, body: Mapping[str, Any], form: Form, num_prompt_tokens: int
    ) -> Refusal:
        """The problem beside the request that met it, which `form` has written."""
        with self._lock:
            parts = {part for part in list_parts(body) if part[0] not in self.extra_body}
            new = {name for name, _ in parts - self._accepted}
            return Refusal(
                problem=problem,
                body=body,
                dialect=form.write(self.dialect),
                ours=frozenset(new - {*LENGTH_FIELDS} if self._is_length_fixed else new),
                taken=frozenset({name for name, _ in parts & self._accepted} & {*PARAMETERS}),
                num_prompt_tokens=num_prompt_tokens,
                is_large=problem.status < 500 and num_prompt_tokens >= self._largest_prompt,
            )

    def change_form(self, form: Form, refusal: Refusal) -> bool:
        """Give the item of a refused request its next form; False if there is none left."""

        def find() -> list[Remedy]:
            # What has helped another item goes first, what has not goes last.
            return sorted(refusal.suggest(), key=lambda one: (one not in self._helped, one in self._failed))

        with self._lock:
            return form.change(refusal.problem, find)

    def confirm(self, form: Form, remedies: Iterable[Remedy], item: str) -> None:
        """They have brought an answer; what has helped two items becomes the dialect of the run."""
        with self._lock:
            self._failed |= {one for one in form.reasons if one.is_general} - {*remedies}
        for remedy in remedies:
            reason = f"because the server said: {form.reasons[remedy]}"
            if remedy.is_general:
                self._adopt(remedy, item, form.since, reason)
            elif (matter := f"one by one: {', '.join(sorted(remedy.refused))}") not in self._notes:
                self.note(f"{remedy.label} (one item; others that need it get what fits), {reason}", matter)

    def confirm_single(self, temperature: float, item: str) -> None:
        """The server has given fewer choices than were asked for."""
        self._adopt(
            ask_singly(temperature), item, math.inf, "because the server gave fewer choices than asked for"
        )

    def _adopt(self, remedy: Remedy, item: str, since: float, reason: str) -> None:
        """`since`: when the item was sent that was refused."""
        with self._lock:
            items = self._helped.setdefault(remedy, set())
            is_first = not items
            # Items that met one and the same trouble confirm nothing: it may have passed.
            if is_first or since > self._helped_at[remedy]:
                items.add(item)
            self._helped_at.setdefault(remedy, time.monotonic())
            # What was taken from another item is no matter of the run.
            is_adopted = len(items) > 1 and not remedy.parts & {name for name, _ in self._accepted}
            is_new = is_adopted and remedy not in self._adopted
            if is_new:
                self._adopted.add(remedy)
            if is_adopted:
                self.dialect = remedy.apply(self.dialect)
        if is_new:
            self.note(f"{remedy.label}, {reason}", remedy.label)
        elif is_first:
            self.note(f"{remedy.label} (one item), {reason}", remedy.label)

    def watch_counts(self, num_bytes: int, num_tokens: int) -> None:
        """Note if prompts of different sizes count as equally many tokens, and as far fewer than they can have."""
        with self._lock:
            most, smallest, largest = self._most_counted
            if num_tokens < most or num_bytes < _BYTES_PER_TOKEN[0] * num_tokens:
                return
            if num_tokens > most:
                smallest = largest = num_bytes
            smallest, largest = min(smallest, num_bytes), max(largest, num_bytes)
            self._most_counted = num_tokens, smallest, largest
            is_cut = not self._cuts and largest > max(_BYTES_PER_TOKEN[1] * num_tokens, _APART * smallest)
            self._cuts |= is_cut
        if is_cut:
            self.note(
                f"prompts of {smallest:,} and of {largest:,} bytes both count as {num_tokens:,} tokens: the "
                "server seems to cut prompts in silence; give it a larger context"
            )

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
