"""A question to a person -> what its page shows: the prompt and both answers as they stand, and nothing that a judge, the
data or anybody else says of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmr1.active.asking import Task
from rmr1.active.sides import seal
from rmr1.messages import Messages
from rmr1.records import RubricItem, Side
from rmr1.report.numbered import Numbers
from rmr1.report.pieces import Turn, mark_turns
from rmr1.screen import inert
from rmr1.viewer.allowance import Allowance
from rmr1.viewer.rich import format_turn

FORMS = {"formatted": "formatted", "plain": "as written"}
"""How texts are shown."""
_MOST_CHARS = 200_000
_SECONDS = 1.5
"""Processor seconds for the formulas and colours of a page."""
_NUMBERS = Numbers(())
_NAME = "j"
"""The beginning of anchors, of which there are none without quotations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A criterion to choose."""

    number: int
    value: str
    """What is stored if it is chosen."""
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as a page shows it."""

    key: str
    placed: str
    """The seal of which answer stands first."""
    ask: str
    reason: str
    question: tuple[Turn, ...]
    answers: tuple[tuple[str, tuple[Turn, ...]], ...]
    """"1" and "2", each with its turns."""
    choices: tuple[Choice, ...]
    numbers: Numbers = _NUMBERS


def describe_task(task: Task, first: Side, form: str) -> Asked:
    """The question with this answer of the pair first."""
    allowance = Allowance(_SECONDS)

    def show(messages: Messages) -> tuple[Turn, ...]:
        turns = mark_turns(messages, (), _MOST_CHARS)
        return turns if form == "plain" else tuple(_format(turn, allowance) for turn in turns)

    pair = task.pair
    sides = (pair.response_a, pair.response_b) if first == "A" else (pair.response_b, pair.response_a)
    return Asked(
        key=task.key,
        placed=seal(task.key, first),
        ask=task.ask,
        reason=inert(task.reason),
        question=show(pair.prompt),
        answers=tuple((number, show(one)) for number, one in zip("12", sides, strict=True)),
        choices=tuple(_describe_choice(number, one) for number, one in enumerate(task.criteria, start=1)),
    )


def _describe_choice(number: int, item: RubricItem) -> Choice:
    return Choice(
        number=number,
        value=item.name or item.text,
        name="" if item.name is None else inert(item.name),
        text=inert(item.text),
    )


def _format(turn: Turn, allowance: Allowance) -> Turn:
    """The turn as Markdown with code and formulas; a tool's result stays as it is written."""
    if turn.is_tool:
        return turn
    found = format_turn(turn, _NAME, "a", "a", _NUMBERS, allowance)
    return replace(turn, html=found.html) if found.is_formatted else turn
