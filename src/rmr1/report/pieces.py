"""Foreign text -> pieces for a page: made inert, quotations marked, what is too long cut with a remark.

A piece is text and what it belongs to; the page's template escapes every text that it prints.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from rmr1.audit.quotes import LinkedQuote, answer_text, list_starts
from rmr1.messages import Message, Messages
from rmr1.records import Vote
from rmr1.screen import inert
from rmr1.verdicts.mentions import Span
from rmr1.verdicts.trace import read_outline

if TYPE_CHECKING:
    from markupsafe import Markup

_OPENING = re.compile(r"<\s{0,4}quote_[a-z0-9]{1,16}\s{0,4}>\s*\Z", re.IGNORECASE)
_SUMMARY = re.compile(r"<\s{0,4}(/?)\s{0,4}summary_([a-z0-9]{1,16})\s{0,4}>", re.IGNORECASE)
_CLOSING = re.compile(r"\s*<\s{0,4}/\s{0,4}quote_[a-z0-9]{1,16}\s{0,4}>", re.IGNORECASE)


class _Mark(NamedTuple):
    """The place of a quotation, or of a piece of it."""

    start: int
    end: int
    quote: LinkedQuote
    is_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a text, all of which belongs to the same quotations."""

    text: str
    quote: LinkedQuote | None = None
    """The quotation that it is, or the first of those that it stands in."""
    begins: tuple[LinkedQuote, ...] = ()
    """Quotations whose place begins here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation."""

    role: str | None
    """None of a conversation that is a single message."""
    pieces: tuple[Piece, ...]
    cut: int = 0
    """Characters that were left out at the end."""
    is_tool: bool = False
    """Whether it is the result of a tool."""
    html: Markup | None = None
    """The same as safe HTML, if it was formatted."""


def mark_turns(messages: Messages, quotes: Sequence[LinkedQuote] = (), most: int = 10**9) -> tuple[Turn, ...]:
    """The messages with the places of these quotations, found in `answer_text`; at most so many characters in all."""
    turns = []
    text, left = answer_text(messages), most
    marks = [
        _Mark(*span, one, is_first=number == 0) for one in quotes for number, span in enumerate(one.spans)
    ]
    for message, start in zip(messages, list_starts(messages), strict=True):
        whole = start + len(message.text)
        end = min(whole, start + left)
        left -= end - start
        pieces = _mark(text, (start, end), marks)
        role = inert(_name_step(message, messages)) if len(messages) > 1 else None
        turns.append(Turn(role=role, pieces=pieces, cut=whole - end, is_tool=message.role == "tool"))
    return tuple(turns)


def _name_step(message: Message, messages: Messages) -> str:
    """The speaker's role, or the tool of a result if the call or the result names it."""
    if message.role != "tool":
        calls = ", ".join(call.name for call in message.tool_calls)
        return f"{message.role}, calls {calls}" if calls else message.role
    called = {call.id: call.name for one in messages for call in one.tool_calls if call.id is not None}
    name = message.name or called.get(message.tool_call_id or "")
    return "tool result" if name is None else f"result of {name}"


def mark_reasons(vote: Vote, quotes: Sequence[LinkedQuote], most: int = 10**9) -> Turn:
    """The judge's evaluation, or all that it wrote behind its thinking if there is none, with its quotations; their tags are left out."""
    text, evaluation = vote.generation.text, vote.verdict.trace.evaluation
    marks = [_Mark(*one.place, one, is_first=True) for one in quotes if one.place is not None]
    if evaluation is None:
        whole = len(text.rstrip())
        behind = text[read_outline(text).visible_start :].lstrip()
        start = len(text) - len(behind) if behind else 0
    else:
        latest = marks[0].start if marks else len(text)
        start = text.rfind(evaluation, 0, latest + len(evaluation))
        if start < 0:
            text, start, marks = evaluation, 0, []
        whole = start + len(evaluation)
    end = min(whole, start + most)
    return Turn(role=None, pieces=_without_tags(_mark(text, (start, end), marks), vote), cut=whole - end)


def plain(text: str, most: int) -> Turn:
    """A text without quotations."""
    return Turn(role=None, pieces=(Piece(text=inert(text[:most])),), cut=max(0, len(text) - most))


def _mark(text: str, within: Span, marks: Sequence[_Mark]) -> tuple[Piece, ...]:
    """The text between two places, divided wherever a quotation begins or ends."""
    first, last = within
    inside = sorted((one for one in marks if one.start < last and one.end > first), key=lambda one: one.start)
    ends = (min(max(place, first), last) for one in inside for place in (one.start, one.end))
    cuts = sorted({first, last, *ends})
    pieces: list[Piece] = []
    begun: list[_Mark] = []
    upcoming = 0
    for start, end in pairwise(cuts):
        begun = [one for one in begun if one.end > start]
        while upcoming < len(inside) and inside[upcoming].start <= start:
            begun.append(inside[upcoming])
            upcoming += 1
        begins = tuple(one.quote for one in begun if one.is_first and one.start == start)
        quote = begun[0].quote if begun else None
        pieces.append(Piece(text=inert(text[start:end]), quote=quote, begins=begins))
    return tuple(pieces)


def _without_tags(pieces: Sequence[Piece], vote: Vote) -> tuple[Piece, ...]:
    """Quotations are marked, so their tags go; a summary is told by the letter of its answer, in the pair's frame."""

    def tell(match: re.Match[str]) -> str:
        return "" if match[1] else f"({vote.name_in_pair(match[2].upper())}) "

    found = []
    for number, piece in enumerate(pieces):
        text = piece.text
        if piece.quote is None:
            if number + 1 < len(pieces):
                text = _OPENING.sub("", text)
            if number and (closing := _CLOSING.match(text)):
                text = text[closing.end() :]
            text = _SUMMARY.sub(tell, text)
        found.append(Piece(text=text, quote=piece.quote, begins=piece.begins))
    return tuple(found)
