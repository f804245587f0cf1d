"""Begun texts and sheets on a server: how they are asked for, and what its replies say. Pure.

A begun text is the last message, of the assistant. Servers go on with it in one of the ways `WAYS`, some only say so,
and take it for an earlier turn; which one it is `rmr1.engines.openai.guiding` measures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from math import exp, log
from typing import Any, NamedTuple

from rmr1.engines.base import Continuation, SamplingParams
from rmr1.engines.loops import cut_loop
from rmr1.engines.openai.logprobs import TokenLogprobs, align_verdict, bound_others, known_at
from rmr1.engines.openai.wire import Choice, compose_text
from rmr1.engines.sheets import Sheet
from rmr1.prompts.thinking import Pair, find_marks

WAYS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "continue_final_message": ({"continue_final_message": True, "add_generation_prompt": False}, {}),
    "prefix": ({}, {"prefix": True}),
    "a last message of the assistant": ({}, {}),
}
"""Way of asking a server to go on -> fields of the request, and of the last message."""
CONSTRAINTS = ("structured_outputs", "guided_choice", "regex", "grammar", "response_format")
"""Fields by which servers are told to write one of several texts: two of vLLM, SGLang's, llama.cpp's, OpenAI's."""
CHOICE_TOKENS = 16
"""Most tokens of a reply from which a choice is read."""
_HEAD = re.compile(r"\w+")
_LEAD = re.compile(r'\A\s*(?:\{\s*"choice"\s*:\s*)?"?')


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a server goes on with a begun text."""

    way: str
    """One of `WAYS`."""
    opening: str = ""
    """The mark by which the model's own texts open their thinking; "" if they have none."""
    keeps_thinking: bool = True
    """Whether a begun text may hold thinking; else it is left out."""
    joins_letters: bool = False
    """Whether the tokenizer makes one token of the brackets of a verdict and its letter, so that none may be begun
    behind the brackets."""


def loosen(going_on: Continuation) -> Continuation:
    """The same choices, begun behind the last blank: the model, or a constraint, writes what the skeleton adds to it.

    What is begun is split into tokens alone, and a model hardly knows `[[` in front of `A` if it has learnt `[[A`.
    """
    start = going_on.start
    at = len(start) - len(start.split()[-1]) if start and not start[-1].isspace() else len(start)
    lead = start[at:]
    return replace(going_on, start=start[:at], choices=tuple(lead + choice for choice in going_on.choices))


class Shape(NamedTuple):
    """A request's form beside its sampling: messages in wire form, and further fields."""

    messages: list[dict[str, Any]]
    fields: Mapping[str, Any]


def begin_text(
    messages: Sequence[Mapping[str, Any]],
    going_on: Continuation,
    manner: Manner,
    *,
    constraint: str = "",
    thinking: Sequence[Pair] = (),
) -> Shape:
    """The form that asks for more of a begun text, by `constraint` for one of its choices."""
    fields, marks = WAYS[manner.way]
    start = going_on.start if manner.keeps_thinking else _leave_thinking(going_on.start, thinking)
    last = [{"role": "assistant", "content": start, **marks}] if start else []
    found = {**(fields if start else {}), **_constrain(constraint, going_on.choices)}
    return Shape([*map(dict, messages), *last], found)


def ask_sheet(messages: Sequence[Mapping[str, Any]], sheet: Sheet) -> Shape:
    """The form that asks for a sheet."""
    properties = {
        field.name: {
            "type": "string",
            "description": field.about,
            **({"enum": list(field.choices)} if field.choices else {}),
        }
        for field in sheet.fields
    }
    return Shape([*map(dict, messages)], _response_format(properties))


def read_rest(choice: Choice, params: SamplingParams, going_on: Continuation) -> tuple[str, str]:
    """`(what the server has added to the begun text, finish reason)`, up to the end of a stop string or to a loop."""
    if going_on.start and choice.reasoning and not choice.content:
        # A server that splits texts may take all of it for thinking that was never closed.
        text, finish_reason = choice.reasoning, "length" if choice.finish_reason == "length" else "stop"
        if choice.matched_stop in params.stop:
            text += choice.matched_stop or ""
    else:
        text, finish_reason, _ = compose_text(choice, params.stop, params.thinking)
        text = text.removeprefix(going_on.start)
    ends = [text.find(stop) + len(stop) for stop in params.stop if stop in text]
    if ends:
        text, finish_reason = text[: min(ends)], "stop"
    if going_on.stop_at_loop and (cut := cut_loop(text)) != text:
        text, finish_reason = cut, "stop"
    return text, finish_reason


def open_thinking(text: str, opening: str, thinking: Sequence[Pair]) -> str:
    """A model's own text, its thinking opened by `opening` if that was left with the prompt."""
    marks = find_marks(text[: len(opening) + 64], thinking) if opening else []
    is_open = bool(marks) and not marks[0].is_closing and not text[: marks[0].start].strip()
    return text if is_open else opening + text


class Chosen(NamedTuple):
    """The choice that a reply names, and the log-probability of each if the server told."""

    text: str
    logprobs: tuple[tuple[str, float], ...] | None
    mass: float | None

    def behind(self, begun: Continuation, going_on: Continuation) -> Chosen:
        """The same of the choices as they were meant, if they were begun earlier."""
        names = dict(zip(begun.choices, going_on.choices, strict=True))
        logprobs = self.logprobs and tuple((names[one], value) for one, value in self.logprobs)
        return self._replace(text=names[self.text], logprobs=logprobs)


def read_choice(choice: Choice, going_on: Continuation) -> Chosen | None:
    """The likeliest of the choices behind the begun text; None if the reply names none.

    It is read where the choices part: from the first token of the reply, if they part there, a token speaking for
    a choice if one of them begins with the other; else from the token that holds the word in which they part. As in
    `rmr1.engines.openai.logprobs` a choice that is not among the tokens that the server names has the most that it can.
    """
    choices = going_on.choices
    content = choice.content or choice.reasoning
    text = content.removeprefix(going_on.start)
    heads = _heads(choices)
    lead = _shared(choices)
    if not lead and choice.tokens and len(text) == len(content):
        read = _read_first(choice.tokens[0], choices)
        if read is not None:
            return read
    bare = _LEAD.sub("", text, count=1)
    at = len(content) - len(bare) + (len(lead) if bare.startswith(lead) else 0)
    if content[at - len(lead) : at] != lead and len(bare) == len(text.lstrip()):
        return None
    for one, head in zip(choices, heads, strict=True):
        if re.match(rf"{re.escape(head)}(?!\w)", content[at:]):
            verdict = None
            if choice.tokens:
                verdict = align_verdict(choice.tokens, content, (at, at + len(head)), heads)
            if verdict is None:
                return Chosen(one, None, None)
            values = [value for _, value in verdict.logprobs]
            best = max(range(len(choices)), key=values.__getitem__)
            return Chosen(choices[best], tuple(zip(choices, values, strict=True)), verdict.mass)
    return None


def _read_first(token: TokenLogprobs, choices: Sequence[str]) -> Chosen | None:
    known = known_at(token)
    shares = dict.fromkeys(choices, 0.0)
    for piece, value in known.items():
        meant = [one for one in choices if piece and _agree(piece, one.encode())]
        if len(meant) > 1:
            return None
        for one in meant:
            shares[one] += exp(value)
    if not any(shares.values()) or (not all(shares.values()) and not token.alternatives):
        return None
    bound = bound_others(known)
    logprobs = tuple((one, min(0.0, log(share)) if share else bound) for one, share in shares.items())
    return Chosen(max(logprobs, key=lambda one: one[1])[0], logprobs, min(1.0, sum(shares.values())))


def _agree(piece: bytes, text: bytes) -> bool:
    return text.startswith(piece) or piece.startswith(text)


def _shared(choices: Sequence[str]) -> str:
    """What all begin with."""
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*choices, strict=False))
    return "".join(column[0] for column in columns)


def _heads(choices: Sequence[str]) -> list[str]:
    """The words in which the choices part."""
    shared = len(_shared(choices))
    found = (_HEAD.match(choice, shared) for choice in choices)
    return [choice[shared:] if head is None else head[0] for choice, head in zip(choices, found, strict=True)]


def _constrain(name: str, choices: Sequence[str]) -> Mapping[str, Any]:
    quoted = [choice.replace("\\", "\\\\").replace('"', '\\"') for choice in choices]
    forms: Mapping[str, Mapping[str, Any]] = {
        "": {},
        "structured_outputs": {"structured_outputs": {"choice": [*choices]}},
        "guided_choice": {"guided_choice": [*choices]},
        "regex": {"regex": f"({'|'.join(map(re.escape, choices))})"},
        "grammar": {"grammar": "root ::= " + " | ".join(f'"{one}"' for one in quoted)},
        "response_format": _response_format({"choice": {"type": "string", "enum": _heads(choices)}}),
    }
    return forms[name]


def _response_format(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
        "additionalProperties": False,
    }
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "judgment", "schema": schema, "strict": True},
        }
    }


def _leave_thinking(text: str, thinking: Sequence[Pair]) -> str:
    closing = [mark for mark in find_marks(text, thinking) if mark.is_closing]
    return text[closing[-1].end :].lstrip() if closing else text
