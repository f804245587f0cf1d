"""One `generate` call of the openai engine: its thread, its connections, its tries.

What a failed try means is told in `rmr1.engines.openai.trouble`; timeouts, lost connections and replies that
are not valid JSON or hold no choices are tried again too. Each further try waits twice as long, less a random
part, but for what seldom passes (timeouts, empty texts, pages of a server that has never answered): three tries, and
the same wait before each; if the server names a time (`Retry-After`), the request is not sent again before it. How many others are
sent meanwhile, and when: `rmr1.engines.openai.limits`. All tries of one request carry
the same `Idempotency-Key`, also after a restart, so that a server which knows it bills once. A server that
cannot be reached ends the run.

An item that the server refuses is asked in another form, as long as there is one that may help; what has helped
two items becomes the way in which the server is asked from then on (`rmr1.engines.openai.remedies`). So does one
choice where several were asked for. The model name of a reply is stored with each generation and is no error where it
differs: servers use aliases.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import httpx
import orjson

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.openai.limits import compute_backoff
from rmr1.engines.openai.logprobs import align_verdict
from rmr1.engines.openai.problems import read_problem
from rmr1.engines.openai.remedies import Form, estimate_most_tokens
from rmr1.engines.openai.server import ChatServer
from rmr1.engines.openai.slots import Slots
from rmr1.engines.openai.trouble import REFUSALS, Adapted, Refused, Retry, judge_problem
from rmr1.engines.openai.wire import (
    CHARS_PER_TOKEN,
    Choice,
    Reply,
    ReplyError,
    build_body,
    build_messages,
    compose_text,
    estimate_usage,
    one_line,
    read_reply,
    split_tokens,
)
from rmr1.errors import GenerationError
from rmr1.records import Generation, ImagePart, JudgePrompt, Messages, Usage
from rmr1.verdicts.place import find_verdict_span

_IMAGE_TOKENS = 1024
_LASTING_TRIES = 3
"""Tries of an item that meets what seldom passes: silence, an answer without a text, a page where replies should be."""


class ChatSession:
    """One `generate` call: its thread, its event loop and its connections."""

    def __init__(self, server: ChatServer, params: SamplingParams):
        self.outcomes: SimpleQueue[tuple[Request, tuple[Generation, ...]] | BaseException | None] = (
            SimpleQueue()
        )
        """Answers as they come, what ends the run, and None for each request that begins to wait."""
        self.num_waiting = 0
        """Requests that wait before another try."""
        self._server = server
        self._params = params
        self._thread = Thread(target=self._run, name="rmr1-openai", daemon=True)
        self._ready = Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = random.Random()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def submit(self, request: Request) -> None:
        self._call(self._spawn, request)

    def stop(self) -> None:
        """Cancel everything and wait until the thread has ended."""
        if self._thread.is_alive():
            self._call(lambda: self._stopped.set())
            self._thread.join()

    def fail(self, error: BaseException) -> None:
        self.outcomes.put(error)
        self._call(lambda: self._stopped.set())

    def _call(self, function: Any, *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except (RuntimeError, AttributeError):
            # The loop has ended, or never began; then the reason is among the outcomes.
            return

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.outcomes.put(error)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._slots = Slots(self._server)
        self._ready.set()
        try:
            await self._stopped.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._slots.close()

    def _spawn(self, request: Request) -> None:
        task = self._loop.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            self.outcomes.put((request, await self._sample(request)))
        except Exception as error:
            self.outcomes.put(error)

    async def _sample(self, request: Request) -> tuple[Generation, ...]:
        """All samples of a request: at once where the server can, else one by one."""
        server, params = self._server, self._params
        try:
            messages = build_messages(request.prompt.messages)
        except GenerationError as error:
            return tuple(self._fail(str(error), params.num_samples))
        form = Form()
        done: list[Generation] = []
        if params.num_samples > 1 and server.dialect.takes_choices(params):
            done = await self._complete(request, messages, form, 0, params.num_samples)
            if form.is_over and not done[0].text:
                done += [replace(done[0], billed=None)] * (params.num_samples - len(done))
        rest = range(len(done), params.num_samples)
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._complete(request, messages, form, sample, 1)) for sample in rest
                ]
        except BaseExceptionGroup as errors:
            failure = errors.exceptions[0]
        if failure is not None:  # raised out here, so that no group stands behind it in a notebook
            raise failure
        for task in tasks:
            done += task.result()
        return tuple(done)

    async def _complete(
        self, request: Request, messages: list[dict[str, Any]], form: Form, sample: int, num_choices: int
    ) -> list[Generation]:
        """Generations from `sample` on: `num_choices`, or fewer where the server cannot give several at once.

        A failure gives generations that say so.
        """
        server, params = self._server, self._params
        failing_since: float | None = None
        spent = Usage()
        num_tries = num_empty = num_lasting = 0
        num_prompt_tokens = _guess_prompt_tokens(request.prompt.messages)
        while True:
            try:
                expected = partial(server.guess_tokens, num_prompt_tokens, num_choices, params)
                async with self._slots.take(expected) as (client, guess):
                    # Only now: the request may have waited while another one taught us the dialect.
                    form.follow(server.dialect)
                    dialect = form.write(server.dialect)
                    if num_choices > 1 and not dialect.takes_choices(params):
                        num_choices, reserved = 1, guess
                        guess = server.guess_tokens(num_prompt_tokens, num_choices, params)
                        server.pacer.correct(guess - reserved)
                    body = build_body(
                        model=server.model,
                        messages=messages,
                        params=params,
                        dialect=dialect,
                        num_choices=num_choices,
                        seed=derive_seed(request.seed, sample) if params.temperature > 0 else None,
                        extra=server.extra_body,
                    )
                    # A server that keeps answers would give the empty one again.
                    identity = f"{request.key}/{sample}" + (f"/{num_empty}" if num_empty else "")
                    reply = await self._try(client, body, form, guess, identity, request.prompt, num_choices)
            except Adapted:
                continue
            except Refused as refused:
                is_refused = refused.finish_reason == "error"
                return self._fail(
                    str(refused), num_choices, spent, refused.finish_reason, is_refused=is_refused
                )
            except Retry as failed:
                num_tries += 1
                num_empty += failed.is_empty
                num_lasting += failed.is_lasting
                spent = spent + failed.usage
                failing_since = failing_since or failed.at
                if num_lasting < _LASTING_TRIES and await self._wait(failed, num_tries, failing_since):
                    continue
                tries = "1 try" if num_tries == 1 else f"{num_tries} tries"
                message = f"{failed.what} after {tries}{failed.detail and f': {failed.detail}'}"
                return self._fail(message, num_choices, spent)
            if reply.num_choices < num_choices:
                server.confirm_single(params.temperature, request.prompt.pair_id)
            if reply.model:
                server.learn_name(reply.model)
            return self._finish(request, reply, num_choices, body.get("seed"), spent)

    async def _try(
        self,
        client: httpx.AsyncClient,
        body: dict[str, Any],
        form: Form,
        guess: int,
        identity: str,
        prompt: JudgePrompt,
        num_choices: int,
    ) -> Reply:
        """Send a request once.

        Raises:
            Retry, Refused, Adapted: what to do next.
            GenerationError: the run is over.
        """
        server = self._server
        timeout = server.patience.timeout_seconds
        content = orjson.dumps(body)
        remedies, dialect, sent_at = form.remedies, server.dialect, time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                response = await client.post(
                    f"{server.base_url}/chat/completions",
                    content=content,
                    headers={"idempotency-key": _identify(identity, content)},
                )
        except TimeoutError:
            raise Retry(f"no complete answer within {timeout:g} s", is_lasting=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Retry("no connection", _describe(error), is_connect=True) from None
        except httpx.HTTPError as error:
            raise Retry("connection lost", _describe(error)) from None
        server.touch()
        received = server.scrub(response.content)
        num_bytes = sum(len(text.encode(errors="replace")) for text in _list_texts(prompt.messages))
        num_most_tokens = estimate_most_tokens(num_bytes)
        status = response.status_code
        if response.is_success:
            try:
                reply = read_reply(received)
            except ReplyError as error:
                server.count(error.usage, num_choices=num_choices, guess=guess)
                if error.status is None:
                    raise Retry(
                        "no usable reply",
                        str(error),
                        usage=error.usage,
                        is_empty=error.is_empty,
                        is_lasting=error.is_empty if server.has_answered else not error.is_json,
                    ) from None
                status = error.status
        if status >= 300:
            if status in REFUSALS and (form.remedies, server.dialect) != (remedies, dialect):
                raise Adapted  # another request has met it first
            if status in REFUSALS or status == 500:
                form.begin(sent_at, dialect)
            problem = read_problem(status, received)
            raise await judge_problem(
                server, client, problem, response.headers, body, form, num_prompt_tokens=num_most_tokens
            )
        server.accept(body, num_most_tokens, num_choices=reply.num_choices)
        server.confirm(form, remedies, prompt.pair_id)
        if reply.usage is None:
            server.learn_no_usage()
            reply = replace(reply, usage=estimate_usage(_guess_prompt_tokens(prompt.messages), reply.choices))
        elif all(isinstance(message.content, str) for message in prompt.messages):
            server.watch_counts(num_bytes, reply.usage.prompt_tokens)
        server.count(reply.usage, num_choices=len(reply.choices), guess=guess)
        return reply

    async def _wait(self, failed: Retry, num_tries: int, failing_since: float) -> bool:
        """Wait before the next try; False where there is none.

        Raises:
            GenerationError: the server cannot be reached.
        """
        server = self._server
        backoff = compute_backoff(
            1 if failed.is_lasting else num_tries,
            base=server.patience.backoff_seconds,
            maximum=server.patience.max_backoff_seconds,
            fraction=self._random.random(),
        )
        if failed.is_connect and server.last_contact is None:
            left = server.patience.connect_seconds - (time.monotonic() - failing_since)
            if left <= 0:
                raise GenerationError(
                    f"{server.base_url}: no connection ({failed.detail}); "
                    "is the server running, and is the URL right?"
                )
            await asyncio.sleep(min(left, backoff, 1.0))
            return True
        if num_tries > server.patience.max_retries:
            if failed.is_connect and (server.last_contact or 0.0) < failing_since:
                raise GenerationError(
                    f"{server.base_url}: the server is gone ({failed.detail}, {num_tries} tries); "
                    "what is finished is kept"
                )
            return False
        if failed.wait is not None:
            longest, setting = server.patience.longest_wait
            if failed.wait > longest:
                failed.detail = f"the server asks to wait {failed.wait:.0f} s, {setting} allows {longest:g} s"
                return False
            # The random part, or all that waited would come at once.
            backoff = failed.wait + self._random.random() * min(backoff, 0.1 * failed.wait)
        self.num_waiting += 1
        self.outcomes.put(None)
        try:
            await asyncio.sleep(backoff)
        finally:
            self.num_waiting -= 1
        return True

    def _finish(
        self, request: Request, reply: Reply, num_choices: int, seed: int | None, spent: Usage
    ) -> list[Generation]:
        """Generations of a reply; `spent` is what replies before it took in vain."""
        choices = reply.choices[:num_choices]
        usage = reply.usage or Usage()
        weights = [len(choice.tokens or ()) or len(choice.content + choice.reasoning) for choice in choices]
        counts = split_tokens(usage.completion_tokens, weights)
        found = [
            self._read(request, choice, usage.prompt_tokens, count, reply.model, seed)
            for choice, count in zip(choices, counts, strict=True)
        ]
        return [replace(found[0], billed=usage + spent), *found[1:]]

    def _read(
        self,
        request: Request,
        choice: Choice,
        num_prompt_tokens: int,
        num_tokens: int,
        model: str | None,
        seed: int | None,
    ) -> Generation:
        params, labels = self._params, request.prompt.labels
        composed = compose_text(choice, params.stop, params.thinking)
        found = None
        if params.verdict_logprobs and choice.tokens:
            span = find_verdict_span(
                composed.text, labels, params.thinking, truncated=composed.finish_reason == "length"
            )
            start = composed.content_start
            if span is not None and span[0] >= start:
                inner = (span[0] - start, span[1] - start)
                found = align_verdict(choice.tokens, choice.content, inner, labels)
        is_filtered = choice.finish_reason == "content_filter"
        return Generation(
            text=composed.text,
            finish_reason="error" if is_filtered else composed.finish_reason,
            prompt_tokens=num_prompt_tokens,
            completion_tokens=num_tokens,
            verdict_logprobs=None if found is None else found.logprobs,
            verdict_mass=None if found is None else found.mass,
            model=model or self._server.model,
            seed=seed,
            error="the server's content filter ended the text" if is_filtered else None,
            is_refused=is_filtered,
        )

    def _fail(
        self,
        message: str,
        num_choices: int,
        spent: Usage | None = None,
        finish_reason: str = "error",
        *,
        is_refused: bool = False,
    ) -> list[Generation]:
        """Generations that say what went wrong; the first one holds what was spent in vain."""
        spent = spent or Usage()
        counts = split_tokens(spent.completion_tokens, [1] + [0] * (num_choices - 1))
        return [
            Generation(
                text="",
                finish_reason=finish_reason,
                prompt_tokens=spent.prompt_tokens,
                completion_tokens=count,
                model=self._server.model,
                error=message,
                is_refused=is_refused,
                billed=None if number else spent,
            )
            for number, count in enumerate(counts)
        ]


def derive_seed(seed: int, sample: int) -> int:
    """The seed of one sample of a request, in [0, 2**31): servers hold it in 32 bits with a sign."""
    digest = hashlib.sha256(f"{seed}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _guess_prompt_tokens(messages: Messages) -> int:
    num_images = sum(
        isinstance(part, ImagePart)
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
    )
    return num_images * _IMAGE_TOKENS + sum(len(text) // CHARS_PER_TOKEN for text in _list_texts(messages))


def _list_texts(messages: Messages) -> list[str]:
    parts = [
        part
        for message in messages
        for part in ((message.content,) if isinstance(message.content, str) else message.content)
    ]
    return [part if isinstance(part, str) else part.text for part in parts if not isinstance(part, ImagePart)]


def _describe(error: Exception) -> str:
    return one_line(str(error) or type(error).__name__)


def _identify(identity: str, content: bytes) -> str:
    digest = hashlib.sha256(identity.encode(errors="surrogatepass"))
    digest.update(content)
    return digest.hexdigest()[:32]
