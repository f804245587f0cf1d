"""Parts of a guided judgment: one begun text that goes on, one choice, or one sheet, in as many requests as it takes.

A choice is read from the log-probabilities of what the server would write next, else from what it writes. If neither
names one, the server is told to write one of them, in each way that some server knows (`CONSTRAINTS`); a way counts
only if a choice comes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.openai.continuing import (
    CHOICE_TOKENS,
    CONSTRAINTS,
    Chosen,
    Manner,
    Shape,
    ask_sheet,
    begin_text,
    loosen,
    open_thinking,
    read_choice,
    read_rest,
)
from rmr1.engines.openai.logprobs import align_verdict
from rmr1.engines.openai.server import ChatServer
from rmr1.engines.openai.wire import Reply, one_line
from rmr1.engines.sheets import Sheet, find_value
from rmr1.records import Generation, Usage


class Fetched(NamedTuple):
    """A reply with at least one choice, and how it was come by."""

    reply: Reply
    num_choices: int
    """The most that were asked for."""
    seed: int | None
    spent: Usage
    """What replies before it took in vain."""


class Failed(list[Generation]):
    """Generations that say why there is no reply."""


class Fetch(Protocol):
    """Asks the server for one text."""

    def __call__(self, shape: Shape, params: SamplingParams, sample: int) -> Awaitable[Fetched | Failed]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a guided judgment."""

    request: Request
    params: SamplingParams
    messages: Sequence[dict[str, Any]]
    server: ChatServer
    fetch: Fetch

    async def write(self, sample: int) -> Generation:
        """What the server says, or why it says nothing."""
        request = self.request
        if request.sheet is not None:
            return await self._fill(request.sheet, sample)
        going_on = request.going_on or Continuation()
        manner = self.server.manner
        if manner is None:
            reason = "the server does not go on with a text that was begun"
            return Generation(text="", finish_reason="error", model=self.server.model, error=reason)
        if going_on.choices:
            return await self._choose(going_on, manner, sample)
        return await self._go_on(going_on, manner, sample)

    async def _go_on(self, going_on: Continuation, manner: Manner, sample: int) -> Generation:
        shape = begin_text(self.messages, going_on, manner, thinking=self.params.thinking)
        fetched = await self.fetch(shape, self.params, sample)
        if isinstance(fetched, Failed):
            return fetched[0]
        text, finish_reason = read_rest(fetched.reply.choices[0], self.params, going_on)
        if not going_on.start:
            text = open_thinking(text, manner.opening, self.params.thinking)
        return self._finish(fetched, text, finish_reason)

    async def _choose(self, going_on: Continuation, manner: Manner, sample: int) -> Generation:
        params = replace(
            self.params,
            temperature=0.0,
            top_p=1.0,
            top_k=0,
            stop=(),
            max_new_tokens=CHOICE_TOKENS,
            verdict_logprobs=True,
        )
        spent, said, is_refused = Usage(), "", False
        for constraint, begun in self._list_forms(going_on, manner):
            shape = begin_text(self.messages, begun, manner, constraint=constraint, thinking=params.thinking)
            fetched = await self.fetch(shape, params, sample)
            if isinstance(fetched, Failed):
                (failed,) = fetched
                spent = spent + (failed.billed or Usage())
                if not failed.is_refused or not constraint:
                    return replace(failed, billed=spent)
                is_refused = True
                continue
            reply = fetched.reply
            spent = spent + fetched.spent
            chosen = read_choice(reply.choices[0], begun)
            if chosen is not None:
                chosen = chosen.behind(begun, going_on)
                if constraint:
                    self.server.constraint = constraint
                    self.server.note(
                        f"choices that the model does not name by itself are asked for by {constraint}"
                    )
                return self._finish(fetched, chosen.text, "stop", chosen=chosen, spent=spent)
            spent = spent + (reply.usage or Usage())
            said = said or reply.choices[0].content or reply.choices[0].reasoning
        wanted = " or ".join(map(repr, going_on.choices))
        more = ", and refuses to be told" if is_refused else ", also if told"
        return Generation(
            text="",
            finish_reason="error",
            model=self.server.model,
            error=f"the model goes on with {one_line(said)[:80]!r} instead of {wanted}{more}",
            billed=spent,
        )

    def _list_forms(self, going_on: Continuation, manner: Manner) -> Iterator[tuple[str, Continuation]]:
        """(constraint, begun text): what the model writes by itself; behind the skeleton; and what it is told to write,
        first in the way that has helped before."""
        loose = loosen(going_on)
        yield "", loose
        if not manner.joins_letters:
            yield "", going_on
        known = self.server.constraint
        for constraint in dict.fromkeys([*([known] if known else []), *CONSTRAINTS]):
            yield constraint, loose

    async def _fill(self, sheet: Sheet, sample: int) -> Generation:
        last = sheet.fields[-1]
        params = replace(self.params, stop=(), verdict_logprobs=bool(last.choices))
        fetched = await self.fetch(ask_sheet(self.messages, sheet), params, sample)
        if isinstance(fetched, Failed):
            return fetched[0]
        choice = fetched.reply.choices[0]
        chosen = None
        span = find_value(choice.content, last.name)
        if span is not None and choice.tokens and choice.content[slice(*span)] in last.choices:
            verdict = align_verdict(choice.tokens, choice.content, span, last.choices)
            if verdict is not None:
                chosen = Chosen(choice.content, verdict.logprobs, verdict.mass)
        finish_reason = "length" if choice.finish_reason == "length" else "stop"
        return self._finish(fetched, choice.content, finish_reason, chosen=chosen)

    def _finish(
        self,
        fetched: Fetched,
        text: str,
        finish_reason: str,
        *,
        chosen: Chosen | None = None,
        spent: Usage | None = None,
    ) -> Generation:
        reply = fetched.reply
        usage = reply.usage or Usage()
        is_filtered = reply.choices[0].finish_reason == "content_filter"
        return Generation(
            text=text,
            finish_reason="error" if is_filtered else finish_reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            verdict_logprobs=None if chosen is None else chosen.logprobs,
            verdict_mass=None if chosen is None else chosen.mass,
            model=reply.model or self.server.model,
            seed=fetched.seed,
            error="the server's content filter ended the text" if is_filtered else None,
            is_refused=is_filtered,
            billed=usage + (fetched.spent if spent is None else spent),
        )
