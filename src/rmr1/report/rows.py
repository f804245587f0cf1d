"""A judgment as one flat row, for tables of other programs; docs/reading.md lists the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rmr1.audit.facts import Facts, tell_facts
from rmr1.audit.quotes import answer_text
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment
from rmr1.store.codec import dumps

Value = str | int | float | bool | None


class At(NamedTuple):
    """What a row is made of."""

    judgment: Judgment
    facts: Facts


class Column(NamedTuple):
    """One column: what its values are, and how they are read."""

    kind: str
    """"text", "number", "count" or "yes or no"; every value may be missing."""
    about: str
    read: Callable[[At], Value]


def _answer(number: int) -> Callable[[At], Value]:
    def read(at: At) -> Value:
        responses = at.judgment.pair.responses
        return answer_text(responses[number]) if number < len(responses) else None

    return read


def _question(at: At) -> Value:
    prompt = at.judgment.pair.prompt
    if len(prompt) == 1:
        return prompt[0].text
    return "\n\n".join(f"{message.role}: {message.text}" for message in prompt)


def _fact(name: str) -> Callable[[At], Value]:
    def read(at: At) -> Value:
        value: Value = getattr(at.facts, name)
        return value

    return read


def _quotes(at: At) -> Value:
    return at.facts.quotes_exact + at.facts.quotes_levelled + at.facts.quotes_invented


def _rubric(at: At) -> Value:
    items = at.judgment.criteria or at.judgment.trace.rubric
    if not items:
        return None
    rows = [{"text": one.text, "weight": one.weight, "name": one.name} for one in items]
    return dumps(rows).decode()


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("text", "the item's key in the run", _fact("key")),
        "id": Column("text", "the pair's id", _fact("id")),
        "source": Column("text", "the data set", _fact("source")),
        "subset": Column("text", "its part", _fact("subset")),
        "question": Column("text", "the question; of several messages each with its role", _question),
        "answer_a": Column("text", "answer A; several messages are a line each", _answer(0)),
        "answer_b": Column("text", "answer B", _answer(1)),
        "answer_c": Column("text", "answer C of a choice among four", _answer(2)),
        "answer_d": Column("text", "answer D of a choice among four", _answer(3)),
        "label": Column("text", "the better answer: A, B or tie", _fact("label")),
        "winner": Column("text", "the judge's: A, B, C, D or tie", _fact("winner")),
        "right": Column(
            "yes or no", "whether the winner is the label; no verdict is not right", _fact("is_right")
        ),
        "problem": Column("text", "why there is no winner", _fact("problem")),
        "error": Column(
            "text", "what the engine said, if it failed", lambda at: "; ".join(list_failures(at.judgment)) or None
        ),
        "kind": Column("text", "what was asked: pair, choice, rating or score", _fact("kind")),
        "confidence": Column(
            "number", "in the winner, 0 to 1", _fact("confidence")
        ),
        "probability_a": Column(
            "number", "P(A is better), calibrated if the judge is", _fact("probability")
        ),
        "winner_given": Column("text", "the winner with A first, of a pair asked both ways", _fact("given")),
        "winner_swapped": Column("text", "the winner with B first", _fact("swapped")),
        "flipped": Column("yes or no", "whether the two orders name different winners", _fact("has_flipped")),
        "votes": Column("count", "texts that were asked for", _fact("num_votes")),
        "score_a": Column("number", "of A judged alone", lambda at: at.judgment.scores and at.judgment.scores[0]),
        "score_b": Column("number", "of B judged alone", lambda at: at.judgment.scores and at.judgment.scores[1]),
        "task_type": Column("text", "reasoning or chat, as the judge says", _fact("task_type")),
        "rubric": Column("text", "its criteria as JSON: text, weight, name", _rubric),
        "reasoning": Column(
            "text", "the deciding text as the judge wrote it; its A is the answer that it saw first",
            lambda at: at.judgment.reasoning or None,
        ),
        "quotes": Column("count", "quotations in all texts", _quotes),
        "quotes_exact": Column("count", "of them found as they are written", _fact("quotes_exact")),
        "quotes_levelled": Column("count", "found but for white space, case, marks or omissions", _fact("quotes_levelled")),
        "quotes_invented": Column("count", "not found in the answer that they name", _fact("quotes_invented")),
        "model": Column("text", "what wrote the deciding text", _fact("model")),
        "family": Column("text", "the prompt family", _fact("family")),
        "prompt_tokens": Column("count", "tokens read", _fact("prompt_tokens")),
        "completion_tokens": Column("count", "tokens written", _fact("completion_tokens")),
        "seconds": Column("number", "from the asking to the verdict", _fact("seconds")),
    }
)  # fmt: skip
"""Name -> column, in the sequence of a table."""


def judgment_row(key: str, judgment: Judgment) -> dict[str, Value]:
    """One value for each of `COLUMNS`."""
    at = At(judgment, tell_facts(key, judgment))
    values = ((name, column.read(at)) for name, column in COLUMNS.items())
    return {name: clean(value) if isinstance(value, str) else value for name, value in values}


def clean(text: str) -> str:
    """The text as UTF-8 can hold it: halves of characters are spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
