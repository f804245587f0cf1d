"""One `generate` call of the openai engine: its thread, its connections, its tries.

Timeouts, lost connections and replies without a text are tried again too (`rmr1.engines.openai.server`). Each further
try waits twice as long, less a random part; but what seldom passes (timeouts, empty texts, pages of a server that has
never answered) gets three tries, with the same wait before each. All tries of one request carry the same
`Idempotency-Key`, also after a restart, so that a server which knows it bills once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import orjson

from rmr1.engines.base import UNWANTED, Request, SamplingParams, derive_seed
from rmr1.engines.openai.connection import LostError
from rmr1.engines.openai.continuing import Shape
from rmr1.engines.openai.events import STREAMED, Live, StreamRefused, is_stream
from rmr1.engines.openai.parts import Failed, Fetched, Part
from rmr1.engines.openai.problems import ServerProblem, read_problem
from rmr1.engines.openai.remedies import Form, leave_out
from rmr1.engines.openai.server import REFUSALS, Adapted, ChatServer, Refused, Retry
from rmr1.engines.openai.slots import Slots
from rmr1.engines.openai.wire import (
    CHARS_PER_TOKEN,
    Dialect,
    Reply,
    ReplyError,
    build_body,
    build_messages,
    choices_name,
    estimate_usage,
    one_line,
    read_generations,
    read_reply,
)
from rmr1.errors import GenerationError
from rmr1.messages import ImagePart
from rmr1.records import Generation, Usage

_IMAGE_TOKENS = 1024
_WANTED_SECONDS = 0.5
"""How often it is looked at whether somebody still waits for a text."""
_SEED_BITS = 31
"""Servers hold seeds in 32 bits with a sign."""
_LASTING_TRIES = 3
_STREAM_REFUSALS = (400, 422, 500, 501)
"""What a server may answer that knows no streams; it is asked once more for the whole text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    request: Request
    shape: Shape
    form: Form
    num_prompt_tokens: int
    num_bytes: int
    """Those of its texts; 0 if it has pictures, whose tokens are counted with them."""


class ChatSession:
    """One `generate` call: its thread, its event loop and its connections."""

    def __init__(self, server: ChatServer, params: SamplingParams):
        self.outcomes: SimpleQueue[tuple[Request, tuple[Generation, ...]] | BaseException | None] = (
            SimpleQueue()
        )
        """Answers as they come, what ends the run, and None for each request that begins to wait."""
        self.num_waiting = 0
        self._server = server
        self._params = params
        self._thread = Thread(target=self._run, name="rmr1-openai", daemon=True)
        self._ready = Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread.start()
        self._ready.wait()

    def submit(self, request: Request) -> None:
        self._call(self._spawn, request)

    def stop(self) -> None:
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
        self._connection = self._server.open_connection()
        self._ready.set()
        try:
            await self._stopped.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._connection.aclose()

    def _spawn(self, request: Request) -> None:
        task = self._loop.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            if request.is_wanted is None:
                generations = await self._sample(request)
            else:
                generations = await self._sample_while_wanted(request)
            self.outcomes.put((request, generations))
        except Exception as error:
            self.outcomes.put(error)

    async def _sample_while_wanted(self, request: Request) -> tuple[Generation, ...]:
        sampling = asyncio.create_task(self._sample(request))
        try:
            while not (await asyncio.wait({sampling}, timeout=_WANTED_SECONDS))[0]:
                if request.is_given_up:
                    return tuple(self._fail(UNWANTED, len(request.list_samples(self._params))))
            return sampling.result()
        finally:
            sampling.cancel()

    async def _sample(self, request: Request) -> tuple[Generation, ...]:
        """At once if the server can, else one by one."""
        server, params = self._server, request.choose_params(self._params)
        samples = request.list_samples(params)
        try:
            item = _prepare(request)
        except GenerationError as error:
            return tuple(self._fail(str(error), len(samples)))
        if request.going_on is not None or request.sheet is not None:
            part = Part(request, params, item.shape.messages, server, partial(self._fetch, item))
            return (await part.write(samples[0]),)
        done: list[Generation] = []
        if len(samples) > 1 and server.dialect.takes_choices(params):
            done = await self._complete(item, samples[0], len(samples))
            if item.form.is_over and not done[0].text:
                done += [replace(done[0], billed=None)] * (len(samples) - len(done))
        rest = samples[len(done) :]
        if len(rest) == 1:
            return (*done, *await self._complete(item, rest[0], 1))
        tasks = [asyncio.create_task(self._complete(item, sample, 1)) for sample in rest]
        try:
            return (*done, *chain.from_iterable(await asyncio.gather(*tasks)))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _complete(self, item: _Item, sample: int, num_choices: int) -> list[Generation]:
        """Generations from `sample` on: `num_choices`, or fewer if the server cannot give several at once."""
        params = item.request.choose_params(self._params)
        fetched = await self._fetch(item, item.shape, params, sample, num_choices)
        if isinstance(fetched, Failed):
            return list(fetched)
        return self._read_generations(fetched, item, params)

    async def _fetch(
        self, item: _Item, shape: Shape, params: SamplingParams, sample: int, num_choices: int = 1
    ) -> Fetched | Failed:
        """A reply to the item's request in this shape, after as many tries as it takes."""
        server, request = self._server, item.request
        if shape is not item.shape:
            # What is refused of one shape says nothing of another.
            form = Form(item=item.form.item, num_prompt_tokens=item.form.num_prompt_tokens)
            item = replace(item, shape=shape, form=form)
        seed = derive_seed(request.seed, sample, bits=_SEED_BITS) if params.temperature > 0 else None
        failing_since: float | None = None
        spent = Usage()
        num_tries = num_empty = num_lasting = 0
        refused: tuple[Any, ...] | None = None
        """How the request was written when it was refused as a stream."""
        while True:
            try:
                expected = partial(server.guess_tokens, item.num_prompt_tokens, num_choices, params)
                async with self._slots.take(expected) as guess:
                    # Only now: the request may have waited while another one taught us the dialect.
                    dialect = item.form.write(server.dialect)
                    if num_choices > 1 and not dialect.takes_choices(params):
                        num_choices, reserved = 1, guess
                        guess = server.guess_tokens(item.num_prompt_tokens, num_choices, params)
                        server.pacer.correct(guess - reserved)
                    body = self._build_body(shape, params, dialect, num_choices, seed, item)
                    live = None
                    if refused is None and server.streams and self._may_tell(request):
                        live, body = Live(request, sample, params, server), {**body, **STREAMED}
                    # A server that keeps answers would give the empty one again.
                    identity = f"{request.key}/{sample}" + (f"/{num_empty}" if num_empty else "")
                    written = item.form.remedies, server.dialect
                    reply = await self._try(body, item, guess, identity, live)
                    if refused == written:
                        server.refuse_streams()
            except StreamRefused:
                refused = written
                continue
            except Adapted:
                continue
            except Refused as refused:
                reason = refused.finish_reason
                is_refused = reason == "error"
                return Failed(self._fail(refused.message, num_choices, spent, reason, is_refused=is_refused))
            except Retry as failed:
                num_tries += 1
                num_empty += failed.is_empty
                num_lasting += failed.is_lasting
                spent = spent + failed.usage
                failing_since = failing_since or time.monotonic()
                if num_lasting < _LASTING_TRIES and await self._wait(failed, num_tries, failing_since):
                    continue
                tries = "1 try" if num_tries == 1 else f"{num_tries} tries"
                message = f"{failed.what} after {tries}{failed.detail and f': {failed.detail}'}"
                return Failed(self._fail(message, num_choices, spent))
            if reply.num_choices < num_choices:
                single = leave_out([choices_name(params.temperature)])
                said = "the server gave fewer choices than asked for"
                server.adopt(single, item.form.item, math.inf, said)
            if reply.model:
                server.learn_name(reply.model)
            return Fetched(reply, num_choices, body.get("seed"), spent)

    def _build_body(
        self,
        shape: Shape,
        params: SamplingParams,
        dialect: Dialect,
        num_choices: int,
        seed: int | None,
        item: _Item,
    ) -> dict[str, Any]:
        extra = self._server.extra_body
        return build_body(
            model=self._server.model,
            messages=shape.messages,
            params=params,
            dialect=dialect,
            num_choices=num_choices,
            seed=seed,
            extra={**extra, **shape.fields} if shape.fields else extra,
        )

    def _read_generations(self, fetched: Fetched, item: _Item, params: SamplingParams) -> list[Generation]:
        reply = fetched.reply
        return read_generations(
            reply,
            params,
            item.request.prompt.labels,
            num_choices=fetched.num_choices,
            model=reply.model or self._server.model,
            seed=fetched.seed,
            spent=fetched.spent,
        )

    def _may_tell(self, request: Request) -> bool:
        """Whether somebody listens to texts that the server writes as they are stored: guided ones are put together."""
        return request.is_heard and request.going_on is None and request.sheet is None

    def _find_path(self, body: Mapping[str, Any]) -> str:
        return "/chat/completions"

    def _read_reply(self, received: bytes, item: _Item) -> Reply:
        return read_reply(received, may_be_empty=item.request.going_on is not None)

    async def _judge(
        self,
        problem: ServerProblem,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        form: Form,
    ) -> Exception:
        return await self._server.judge(self._connection, problem, headers, body, form)

    async def _try(
        self, body: dict[str, Any], item: _Item, guess: int, identity: str, live: Live | None
    ) -> Reply:
        """`Retry`, `Refused`, `Adapted` and `StreamRefused` say what to do next, `GenerationError` that the run is over."""
        server, form = self._server, item.form
        timeout = server.patience.timeout_seconds
        content = orjson.dumps(body)
        identified = hashlib.sha256(identity.encode(errors="surrogatepass") + content).hexdigest()[:32]
        remedies, dialect, sent_at = form.remedies, server.dialect, time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                answer = await self._connection.send(
                    "POST",
                    self._find_path(body),
                    content,
                    take=None if live is None else live.take,
                    idempotency_key=identified,
                )
        except TimeoutError:
            raise Retry(f"no complete answer within {timeout:g} s", is_lasting=True) from None
        except LostError as error:
            what = "no connection" if error.is_connect else "connection lost"
            raise Retry(what, one_line(error.detail), is_connect=error.is_connect) from None
        server.last_contact = time.monotonic()
        status, received = answer.status, answer.content
        if live is not None:
            if status in _STREAM_REFUSALS:
                raise StreamRefused
            if 200 <= status < 300 and is_stream(answer.headers):
                if not live.reply.is_whole:
                    raise Retry("connection lost", "the stream ended before the text did")
                received = live.reply.assemble()
        received = server.scrub(received)
        if 200 <= status < 300:
            try:
                reply = self._read_reply(received, item)
            except ReplyError as error:
                server.count(error.usage, num_choices=body.get("n", 1), guess=guess)
                if error.status is None:
                    raise Retry(
                        "no usable reply",
                        error.message,
                        usage=error.usage or Usage(),
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
            raise await self._judge(problem, answer.headers, body, form)
        server.accept(body, form, remedies, reply.num_choices)
        if reply.usage is None:
            server.note(
                "its replies do not say how many tokens they took: tokens and cost are estimates from characters"
            )
            reply = replace(reply, usage=estimate_usage(item.num_prompt_tokens, reply.choices))
        else:
            server.watch_counts(item.num_bytes, reply.usage.prompt_tokens)
        server.count(reply.usage, num_choices=len(reply.choices), guess=guess)
        return reply

    async def _wait(self, failed: Retry, num_tries: int, failing_since: float) -> bool:
        """False if there is no next try."""
        server, patience = self._server, self._server.patience
        backoff = patience.backoff(1 if failed.is_lasting else num_tries, random.random())
        if failed.is_connect and server.last_contact is None:
            left = patience.connect_seconds - (time.monotonic() - failing_since)
            if left <= 0:
                raise GenerationError(
                    f"{server.base_url}: no connection ({failed.detail}); "
                    "is the server running, and is the URL right?"
                )
            await asyncio.sleep(min(left, backoff, 1.0))
            return True
        if num_tries > patience.max_retries:
            if failed.is_connect and (server.last_contact or 0.0) < failing_since:
                raise GenerationError(
                    f"{server.base_url}: the server is gone ({failed.detail}, {num_tries} tries); "
                    "what is finished is kept"
                )
            return False
        if failed.wait is not None:
            longest, setting = patience.longest_wait
            if failed.wait > longest:
                failed.detail = f"the server asks to wait {failed.wait:.0f} s, {setting} allows {longest:g} s"
                return False
            # The random part, or all that waited would come at once.
            backoff = failed.wait + random.random() * min(backoff, 0.1 * failed.wait)
        self.num_waiting += 1
        self.outcomes.put(None)
        try:
            await asyncio.sleep(backoff)
        finally:
            self.num_waiting -= 1
        return True

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
        failed = Generation(
            text="",
            finish_reason=finish_reason,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            model=self._server.model,
            error=message,
            is_refused=is_refused,
            billed=spent,
        )
        return [failed, *[replace(failed, completion_tokens=0, billed=None)] * (num_choices - 1)]


def _prepare(request: Request) -> _Item:
    contents = [message.content for message in request.prompt.messages]
    parts = [part for content in contents for part in ((content,) if isinstance(content, str) else content)]
    texts = [
        part if isinstance(part, str) else part.text for part in parts if not isinstance(part, ImagePart)
    ]
    num_images = len(parts) - len(texts)
    num_bytes = sum(len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts)
    # More tokens than it should have in any language: one for three bytes, and some for the template.
    form = Form(item=request.prompt.pair_id, num_prompt_tokens=math.ceil(num_bytes / 3) + 64)
    return _Item(
        request=request,
        shape=Shape(build_messages(request.prompt.messages), {}),
        form=form,
        num_prompt_tokens=num_images * _IMAGE_TOKENS + sum(len(text) // CHARS_PER_TOKEN for text in texts),
        num_bytes=0 if num_images else num_bytes,
    )
