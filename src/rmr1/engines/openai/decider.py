"""A model behind a decision endpoint: one forward pass gives the probability that either answer is the better one.

The endpoint's form is found out by the first requests: OpenAI's is tried, and if the server has no such route, the
other one (`rmr1.engines.openai.decisions`). Connections, limits, tries and usage are those of the openai engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.openai.decisions import (
    DECISION_FORMS,
    RESERVED,
    DecisionForm,
    DecisionReply,
    build_decision,
    find_form,
    read_decision,
)
from rmr1.engines.openai.engine import OpenAIEngine
from rmr1.engines.options import Mass, checking
from rmr1.errors import ConfigError, GenerationError
from rmr1.forecast.prices import Price
from rmr1.plugins import require
from rmr1.records import Generation, Usage

with require("a decision endpoint", "api"):
    from rmr1.engines.openai.continuing import Shape
    from rmr1.engines.openai.parts import Fetched
    from rmr1.engines.openai.problems import ServerProblem
    from rmr1.engines.openai.remedies import Form
    from rmr1.engines.openai.server import REFUSALS, Adapted, ChatServer, Refused
    from rmr1.engines.openai.session import ChatSession, _Item
    from rmr1.engines.openai.wire import Dialect, Reply

_NO_ROUTE = (404, 405, 501)
"""Statuses of a route that is not there, or not for this model."""
_LABELS = ("A", "B")
_NAMES: Mapping[DecisionForm, str] = {"decisions": "OpenAI's form", "systemone": "TypeSafe's form"}


class DecisionModel:
    """Chooses between two answers by a model that a server with a decision endpoint holds. A `Decider`."""

    @checking("decisions")
    def __init__(self, name: str, base_url: str, *, least_label_mass: Mass = 0.5, **options: Any):
        """Prepare to ask `name` at `base_url`, which usually ends in `/v1`; nothing is sent yet.

        Args:
            least_label_mass: an answer whose labels have less probability than this over the whole vocabulary is no
                verdict, if the server tells it: the model was about to write something else.
            options: those of `OpenAIEngine`, but for what is about texts.
        """
        wrong = next((key for key in RESERVED if key in (options.get("extra_body") or {})), None)
        if wrong is not None:
            raise ConfigError(f"extra_body may not set {wrong!r}, which the engine sets itself")
        self._engine = OpenAIEngine(name, base_url, **options)
        self._engine.name = self.name = self._engine.name.replace("openai:", "decisions:", 1)
        self._routes = _Routes()
        self.least_label_mass = least_label_mass

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def price(self) -> Price | None:
        """What a million tokens cost; None if it is not known."""
        return self._engine.price

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found out about the server, the form of its endpoint among it."""
        return self._engine.notes

    @property
    def advice(self) -> str | None:
        """What to try if it never gives a usable answer; None if the URL looks as most do."""
        advice = self._engine.advice
        return None if advice is None else advice.replace("openai:", "decisions:", 1)

    @property
    def usage(self) -> Usage:
        """All tokens of all replies, those that could not be used included."""
        return self._engine.usage

    def fingerprint(self) -> dict[str, object]:
        """Model, server, extra fields and the least mass of the labels."""
        shared = self._engine.fingerprint()
        return {**shared, "engine": "decisions", "least_label_mass": self.least_label_mass}

    def decide(self, requests: Iterable[Request]) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield each request with its one generation as the server answers; closing the iterator cancels what is in
        flight.

        Raises:
            GenerationError: the server has no such endpoint, refuses the key, or is not there.
        """
        return self._engine.stream(requests, lambda server: _DecisionSession(server, self._routes))

    def close(self) -> None:
        """Cancel what is in flight."""
        self._engine.close()


@dataclass(slots=True)
class _Routes:
    """The routes of a server that are not known to be missing."""

    left: list[DecisionForm] = field(default_factory=lambda: list(DECISION_FORMS))
    missing: dict[DecisionForm, ServerProblem] = field(default_factory=dict)
    """What the server said of those that are."""

    @property
    def are_unknown(self) -> bool:
        """Whether the server knows none of those that were tried."""
        return all(said.status == 404 for said in self.missing.values())

    def leave(self, form: DecisionForm, said: ServerProblem) -> bool:
        """Give up a form; False if no other is left to be tried. The last one stays, so that all requests hear it."""
        self.missing.setdefault(form, said)
        if form in self.left and len(self.left) > 1:
            self.left.remove(form)
        return self.left[0] != form

    def __str__(self) -> str:
        return "; ".join(f"/{form} answers {said}" for form, said in self.missing.items())


class _DecisionSession(ChatSession):
    """One `decide` call."""

    def __init__(self, server: ChatServer, routes: _Routes):
        self._routes = routes
        super().__init__(server, SamplingParams(max_new_tokens=1))

    def _build_body(
        self,
        shape: Shape,
        params: SamplingParams,
        dialect: Dialect,
        num_choices: int,
        seed: int | None,
        item: _Item,
    ) -> dict[str, Any]:
        return build_decision(
            self._routes.left[0],
            model=self._server.model,
            messages=shape.messages,
            labels=item.request.prompt.labels,
            extra=self._server.extra_body,
        )

    def _may_tell(self, request: Request) -> bool:
        return False  # it writes no text

    def _find_path(self, body: Mapping[str, Any]) -> str:
        return f"/{find_form(body)}"

    def _read_reply(self, received: bytes, item: _Item) -> Reply:
        return read_decision(received, _LABELS)

    async def _judge(
        self,
        problem: ServerProblem,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        form: Form,
    ) -> Exception:
        server, routes = self._server, self._routes
        if problem.status in _NO_ROUTE and not server.has_answered:
            if routes.leave(find_form(body), problem):
                return Adapted()
            hint = "; check the URL, which usually ends in /v1" if routes.are_unknown else ""
            missing = f"{server.base_url} has no decision endpoint for {server.model!r}: {routes}{hint}"
            return GenerationError(await server.find_missing(self._connection) or missing)
        if problem.status in REFUSALS and problem.is_oversize:
            return Refused(str(problem), "skipped")
        return await server.judge(self._connection, problem, headers, body, form)

    def _read_generations(self, fetched: Fetched, item: _Item, params: SamplingParams) -> list[Generation]:
        reply = fetched.reply
        assert isinstance(reply, DecisionReply)
        form = self._routes.left[0]
        self._server.note(f"decisions are asked at /{form}, in {_NAMES[form]}", "form")
        usage = reply.usage or Usage()
        return [
            Generation(
                text="",
                finish_reason="stop" if reply.fault is None else "error",
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                verdict_logprobs=reply.take_logprobs() or None,
                verdict_mass=reply.mass,
                model=reply.model or self._server.model,
                error=reply.fault,
                is_refused=reply.is_declined,
                billed=usage + fetched.spent,
            )
        ]
