"""What is known of one chat-completions server: its address and key, its dialect, and what it has used.

One `ChatServer` outlives the `generate` calls of its engine, which may run in several threads.

What a failed try means. Tried again: 408, 409, 425, 429, every 5xx, and a 404 once the server has answered. Sent in
another form, as long as there is one that may help: 400, 413, 422, and a 500 that comes back. The run ends at what
every other request would meet too: 402, an exhausted quota, a model that the server does not have, 401 and 403; but
if others were answered, these two only once they come often in a row: 401 is tried again until then. Everything else
is the one request's own failure.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

from rmr1.engines.base import SamplingParams
from rmr1.engines.openai.connection import Connection, LostError
from rmr1.engines.openai.continuing import Manner
from rmr1.engines.openai.limits import Pacer, Throttle, parse_retry_after
from rmr1.engines.openai.problems import ServerProblem, is_moderated
from rmr1.engines.openai.remedies import PARAMETERS, Form, Refusal, Remedy, list_parts
from rmr1.engines.openai.wire import LENGTH_FIELDS, Dialect
from rmr1.errors import ConfigError, GenerationError
from rmr1.records import Usage

_LOGGER = logging.getLogger("rmr1.engines.openai")
_FIRST_GUESS_TOKENS = 1024
_LOOKUP_SECONDS = 10.0
"""The limit of a connection, and of the list of models."""
_MAX_NAMES = 10
_RETRIED = {404, 408, 409, 425, 429}
REFUSALS = (400, 413, 422)
_BUSY = {429, 503, 529}
_MIN_KEY_CHARS = 12
_LONG_HOLD_SECONDS = 5.0
_KEY_BACKOFFS = 4
"""Waits of the first length after which a key that was good is not believed to be good again soon."""
_MOST_FORBIDDEN = 20
"""Refusals of access in a row; then it is the key."""
_BYTES_PER_TOKEN = (2.5, 6.0)
"""English has about 4.5."""
_APART = 1.2
"""How much larger one prompt is than another that should not have the same number of tokens."""
_RESERVED_KEYS = {"model", "messages", "n", "stream", "stream_options"}
_SECRET = re.compile(
    r"api[-_]?key|authorization|secret|passw|cookie|credential|(?:^|[-_])token$", re.IGNORECASE
)


@dataclass(eq=False)
class Retry(Exception):
    """A try that failed and may be repeated."""

    what: str
    detail: str = ""
    wait: float | None = None
    is_connect: bool = False
    is_busy: bool = False
    usage: Usage = field(default_factory=Usage)
    is_empty: bool = False
    is_lasting: bool = False
    """Whether it is seldom gone by the next try: it gets few tries, and short waits."""


@dataclass(eq=False)
class Refused(Exception):
    """A request that the server will not answer however often it is asked."""

    message: str
    finish_reason: Literal["error", "skipped"] = "error"


class Adapted(Exception):
    """The same request is to be sent in another form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, and how often, a request is tried. Times in seconds."""

    timeout_seconds: float
    max_retries: int
    backoff_seconds: float
    max_backoff_seconds: float
    connect_seconds: float

    def backoff(self, num_tries: int, fraction: float) -> float:
        """The wait after try number `num_tries` (from 1): twice as long each time, less up to half by `fraction`, a random
        number in [0, 1], so that requests that failed together do not come back together."""
        seconds = min(self.max_backoff_seconds, self.backoff_seconds * 2.0 ** min(num_tries - 1, 32))
        return seconds * (1.0 - 0.5 * fraction)

    @property
    def longest_wait(self) -> tuple[float, str]:
        """How long a server may ask to wait, and the setting that says so."""
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
        use_max_completion_tokens: bool | None,
        extra_body: Mapping[str, Any],
        extra_headers: Mapping[str, str],
        api_key_env: str,
    ):
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
        self.dialect = Dialect(refused=frozenset({"max_tokens"} if use_max_completion_tokens else ()))
        self.extra_body = _check_extra_body(extra_body)
        self._fixed = {*self.extra_body, *(() if use_max_completion_tokens is None else LENGTH_FIELDS)}
        self._extra_headers = _check_headers(extra_headers)
        self._key_variable = api_key_env
        self._key = _read_key(api_key_env)
        self._accepted: set[tuple[str, str]] = set()
        self._largest_prompt = 0
        self._helped: dict[Remedy, tuple[str, float]] = {}
        """Remedy -> the first item that it has brought an answer, and when."""
        self._most_counted = (0, 0, 0)
        """The most tokens that a prompt counted as, and the bytes of the smallest and largest such prompt."""
        self._num_forbidden = 0
        self._forbidden_since = 0.0
        self._held_since: float | None = None
        """The time at which the hold of all began, if no answer has ended it; infinite if that was said."""
        self.streams = True
        """Whether it may send texts as it writes them, as far as is known."""
        self.manner: Manner | None = None
        """How it goes on with begun texts; None if it does not, or if that was not tried."""
        self.constraint = ""
        """The field by which it was told last to write one of several texts, and did."""
        self.notes: dict[str, str] = {}
        self._lock = Lock()
        self.usage = Usage()
        self._num_answers = 0
        self.last_contact: float | None = None
        self.has_answered = False

    def open_connection(self) -> Connection:
        """What sends its requests, for one event loop; `GenerationError` if proxy or certificates are wrong."""
        headers = {"content-type": "application/json", **self._extra_headers}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        seconds = min(_LOOKUP_SECONDS, self.patience.timeout_seconds)
        return Connection(self.base_url, headers, connect_seconds=seconds)

    def scrub(self, received: bytes) -> bytes:
        """What was received, without the key, which servers like to repeat."""
        # A placeholder such as "ollama" is no secret, and a text may hold it.
        return received.replace(self._key.encode(), b"***") if len(self._key) >= _MIN_KEY_CHARS else received

    def scrub_beginning(self, text: str) -> str:
        """A text that is still being written, without the key and without an end that may be the beginning of it."""
        if len(self._key) < _MIN_KEY_CHARS:
            return text
        text = text.replace(self._key, "***")
        open_ends = (size for size in range(len(self._key) - 1, 0, -1) if text.endswith(self._key[:size]))
        return text[: len(text) - next(open_ends, 0)]

    def refuse_streams(self) -> None:
        """The server takes a request that it has refused as a stream: no other is sent as one."""
        self.streams = False
        self.note("the server refuses streams: whoever reads along gets each text when it is whole")

    def note(self, text: str, matter: str = "") -> None:
        """Remember and log it, once; instead of what was noted of the same matter."""
        with self._lock:
            if self.notes.get(matter or text) == text:
                return
            self.notes[matter or text] = text
        _LOGGER.warning("%s at %s: %s", self.model, self.base_url, text)

    def tell_hold(self, said: str) -> None:
        """Say once what the server answers, if all wait for long and nothing was answered meanwhile."""
        if not self.throttle.held:
            return
        now = time.monotonic()
        with self._lock:
            self._held_since = self._held_since or now
            if now + self.throttle.held - self._held_since < _LONG_HOLD_SECONDS:
                return
            self._held_since = math.inf
        _LOGGER.warning("%s at %s: the server answers %s; waiting", self.model, self.base_url, said)

    def guess_tokens(self, num_prompt_tokens: int, num_choices: int, params: SamplingParams) -> int:
        """Tokens that a request will use, by the mean of the answers so far."""
        with self._lock:
            mean = self.usage.completion_tokens // self._num_answers if self._num_answers else None
        expected = _FIRST_GUESS_TOKENS if mean is None else mean
        return num_prompt_tokens + num_choices * min(expected, params.max_new_tokens)

    def count(self, usage: Usage | None, *, num_choices: int, guess: int) -> None:
        if usage is None:
            return
        with self._lock:
            self.usage = self.usage + usage
            self._num_answers += num_choices
        self.pacer.correct(usage.prompt_tokens + usage.completion_tokens - guess)

    def accept(
        self, body: Mapping[str, Any], form: Form, remedies: Iterable[Remedy], num_choices: int
    ) -> None:
        parts = {part for part in list_parts(body) if part[0] != "n" or num_choices >= body["n"]}
        with self._lock:
            self.has_answered = True
            self._num_forbidden = 0
            self._held_since = None
            self._accepted |= parts
            self._largest_prompt = max(self._largest_prompt, form.num_prompt_tokens)
        for remedy in remedies:
            self.adopt(remedy, form.item, form.since, f"the server said: {form.reasons[remedy]}")

    async def judge(
        self,
        connection: Connection,
        problem: ServerProblem,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        form: Form,
    ) -> Exception:
        """What a status other than success means: the exception to raise. `form` is how `body` was written."""
        status, said = problem.status, str(problem)
        if status == 403 and (is_moderated(f"{problem.code} {problem.text}") or self._forgive()):
            return Refused(said)
        if status == 401:
            is_first, form.was_forbidden = not form.was_forbidden, True
            window = _KEY_BACKOFFS * self.patience.backoff_seconds
            if (is_first and self.has_answered) or self._forgive(window):
                return Retry(f"HTTP {status}", problem.message)
        if status in (401, 403):
            variable = f"the environment variable {self._key_variable}"
            hint = f"check the key in {variable}" if self._key else f"set {variable} to a key"
            return GenerationError(f"{self.base_url} refuses the key: {said}; {hint}")
        if status == 402 or (status == 429 and "insufficient_quota" in problem.code):
            return GenerationError(f"{self.base_url} wants to be paid: {said}; what is finished is kept")
        if status == 404 and not self.has_answered:
            return GenerationError(
                await self.find_missing(connection)
                or f"{self.base_url}/chat/completions: {said}; "
                "check the model's name and the URL, which usually ends in /v1"
            )
        # A trouble that passes does not say the same twice: a 500 that does may be about the request.
        if status in REFUSALS or (status == 500 and form.is_repeated(problem)):
            parts = {part for part in list_parts(body) if part[0] not in self._fixed}
            refusal = Refusal(
                problem=problem,
                body=body,
                ours=frozenset(name for name, _ in parts - self._accepted),
                taken=frozenset(name for name, _ in parts & self._accepted if name in PARAMETERS),
                num_prompt_tokens=form.num_prompt_tokens,
                is_large=status < 500 and form.num_prompt_tokens >= self._largest_prompt,
            )
            is_undone = status == 500 and refusal.says_nothing and form.undo(problem)
            # What has helped another item goes first.
            is_changed = is_undone or form.change(
                problem, lambda: sorted(refusal.suggest(), key=lambda one: one not in self._helped)
            )
            meant = str(next(iter(form.reasons.values()), problem))  # said of the request as it was meant
            if not is_changed and refusal.is_too_long:
                return Refused(meant, "skipped")
            if status in REFUSALS:
                if is_changed:
                    return Adapted()
                if refusal.says_nothing and self.patience.max_retries and form.ask_again():
                    return Retry(f"HTTP {status}", problem.message)
                is_repeated = re.search(rf"(?<!\w){re.escape(self.model)}(?!\w)", problem.text) is not None
                is_about_model = is_repeated or "model" in problem.code or "model" in problem.places
                if is_about_model and not self.has_answered and (why := await self.find_missing(connection)):
                    return GenerationError(why)
                return Refused(meant)
        if status not in _RETRIED and status < 500:
            return Refused(said)
        wait = parse_retry_after(headers, now=time.time())
        return Retry(f"HTTP {status}", problem.message, wait, is_busy=status in _BUSY or wait is not None)

    def _forgive(self, least_seconds: float = 0.0) -> bool:
        """Whether a refusal of access may be about one prompt, or pass: others were answered, and not long ago.

        Many that were in flight may be refused at once: before `least_seconds` no number of them is too many.
        """
        with self._lock:
            if not self._num_forbidden:
                self._forbidden_since = time.monotonic()
            self._num_forbidden += 1
            is_new = time.monotonic() - self._forbidden_since < least_seconds
            return self.has_answered and (is_new or self._num_forbidden <= _MOST_FORBIDDEN)

    async def find_missing(self, connection: Connection) -> str | None:
        """A line on a model that the server does not have; None if it does not say so."""
        try:
            async with asyncio.timeout(min(_LOOKUP_SECONDS, self.patience.timeout_seconds)):
                listing = await connection.send("GET", "/models")
            served = [str(entry["id"]) for entry in orjson.loads(self.scrub(listing.content))["data"]]
        except (TimeoutError, LostError, ValueError, KeyError, TypeError):
            return None
        if not served or self.model in served:
            return None
        more = f" and {len(served) - _MAX_NAMES} more" if len(served) > _MAX_NAMES else ""
        names = ", ".join(served[:_MAX_NAMES])
        return f"{self.base_url} does not serve model {self.model!r}; it serves {names}{more}"

    def adopt(self, remedy: Remedy, item: str, since: float, reason: str) -> None:
        """Make what has helped two items the dialect of the run. `since`: when the item was sent that was refused."""
        refused, because = remedy.change.refused, f", because {reason}"
        if not remedy.is_general:
            matter = f"one by one: {', '.join(sorted(refused.difference(LENGTH_FIELDS)))}"
            if matter not in self.notes:
                self.note(f"{remedy.label} (one item; others that need it get what fits){because}", matter)
            return
        with self._lock:
            is_first = remedy not in self._helped
            first, at = self._helped.setdefault(remedy, (item, time.monotonic()))
            # Items that met one and the same trouble confirm nothing: it may have passed.
            is_confirmed = item != first and since > at
            # What was taken from another item is no matter of the run.
            is_adopted = is_confirmed and refused.isdisjoint(name for name, _ in self._accepted)
            is_new = is_adopted and self.dialect | remedy.change != self.dialect
            if is_new:
                self.dialect |= remedy.change
        if is_new or is_first:
            self.note(f"{remedy.label}{'' if is_new else ' (one item)'}{because}", remedy.label)

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
        is_cut = largest > max(_BYTES_PER_TOKEN[1] * num_tokens, _APART * smallest)
        if is_cut and (matter := "cut prompts") not in self.notes:
            self.note(
                f"prompts of {smallest:,} and of {largest:,} bytes both count as {num_tokens:,} tokens: the "
                "server seems to cut prompts in silence; give it a larger context",
                matter,
            )

    def learn_name(self, served: str) -> None:
        one, other = (name.rstrip("/").rpartition("/")[2].lower() for name in (self.model, served))
        # A vendor in front, a date or a tag behind do not matter.
        if not (one.startswith(other) or other.startswith(one)):
            self.note(f"the server names the model {served!r}")


def check_url(url: str) -> str:
    """The URL without a slash at its end; `ConfigError` if it is no server's, or holds what could be a secret."""
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


def _check_extra_body(given: Mapping[str, Any]) -> dict[str, Any]:
    extra = dict(given)
    for key in extra:
        if key in _RESERVED_KEYS:
            raise ConfigError(f"extra_body may not set {key!r}, which the engine sets itself")
        if _SECRET.search(key):
            raise ConfigError(f"extra_body may not hold {key!r}: it is stored with the run")
    try:
        orjson.dumps(extra)
    except TypeError as error:
        raise ConfigError(f"extra_body is no JSON: {error}") from None
    return extra


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
