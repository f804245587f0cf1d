"""A judgment as one flat row, for tables of other programs; docs/reading.md lists the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rmr1.audit.filters import has_flipped, winner_confidence
from rmr1.audit.quotes import answer_text, count_matches, link_quotes
from rmr1.judge.consistency import read_orders
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment
from rmr1.store.codec import dumps
from rmr1.verdicts.grounding import Match
from rmr1.verdicts.probability import tell_probability

Value = str | int | float | bool | None


class At(NamedTuple):
    """What a row is made of."""

    key: str
    judgment: Judgment
    quotes: Mapping[Match, int]


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


def _order(place: int) -> Callable[[At], Value]:
    return lambda at: None if (orders := read_orders(at.judgment)) is None else orders[place]


def _flipped(at: At) -> Value:
    return None if read_orders(at.judgment) is None else has_flipped(at.judgment)


def _rubric(at: At) -> Value:
    items = at.judgment.criteria or at.judgment.trace.rubric
    if not items:
        return None
    rows = [{"text": one.text, "weight": one.weight, "name": one.name} for one in items]
    return dumps(rows).decode()


def _model(at: At) -> Value:
    return None if at.judgment.deciding is None else at.judgment.deciding.generation.model


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("text", "the item's key in the run", lambda at: at.key),
        "id": Column("text", "the pair's id", lambda at: at.judgment.pair.id),
        "source": Column("text", "the data set", lambda at: at.judgment.pair.source),
        "subset": Column("text", "its part", lambda at: at.judgment.pair.subset),
        "question": Column("text", "the question; of several messages each with its role", _question),
        "answer_a": Column("text", "answer A; several messages are a line each", _answer(0)),
        "answer_b": Column("text", "answer B", _answer(1)),
        "answer_c": Column("text", "answer C of a choice among four", _answer(2)),
        "answer_d": Column("text", "answer D of a choice among four", _answer(3)),
        "label": Column("text", "the better answer: A, B or tie", lambda at: at.judgment.pair.label),
        "winner": Column("text", "the judge's: A, B, C, D or tie", lambda at: at.judgment.winner),
        "right": Column(
            "yes or no", "whether the winner is the label; no verdict is not right", lambda at: at.judgment.correct
        ),
        "problem": Column("text", "why there is no winner", lambda at: at.judgment.problem),
        "error": Column(
            "text", "what the engine said, if it failed", lambda at: "; ".join(list_failures(at.judgment)) or None
        ),
        "kind": Column("text", "what was asked: pair, choice, rating or score", lambda at: at.judgment.kind),
        "confidence": Column(
            "number", "in the winner, 0 to 1", lambda at: winner_confidence(at.judgment)
        ),
        "probability_a": Column(
            "number", "P(A is better), calibrated if the judge is", lambda at: tell_probability(at.judgment)
        ),
        "winner_given": Column("text", "the winner with A first, of a pair asked both ways", _order(0)),
        "winner_swapped": Column("text", "the winner with B first", _order(1)),
        "flipped": Column("yes or no", "whether the two orders name different winners", _flipped),
        "votes": Column("count", "texts that were asked for", lambda at: len(at.judgment.votes)),
        "score_a": Column("number", "of A judged alone", lambda at: at.judgment.scores and at.judgment.scores[0]),
        "score_b": Column("number", "of B judged alone", lambda at: at.judgment.scores and at.judgment.scores[1]),
        "task_type": Column("text", "reasoning or chat, as the judge says", lambda at: at.judgment.trace.task_type),
        "rubric": Column("text", "its criteria as JSON: text, weight, name", _rubric),
        "reasoning": Column(
            "text", "the deciding text as the judge wrote it; its A is the answer that it saw first",
            lambda at: at.judgment.reasoning or None,
        ),
        "quotes": Column("count", "quotations in all texts", lambda at: sum(at.quotes.values())),
        "quotes_exact": Column("count", "of them found as they are written", lambda at: at.quotes["exact"]),
        "quotes_levelled": Column("count", "found but for white space, case, marks or omissions", lambda at: at.quotes["levelled"]),
        "quotes_invented": Column("count", "not found in the answer that they name", lambda at: at.quotes["none"]),
        "model": Column("text", "what wrote the deciding text", _model),
        "family": Column("text", "the prompt family", lambda at: at.judgment.family),
        "prompt_tokens": Column("count", "tokens read", lambda at: at.judgment.prompt_tokens),
        "completion_tokens": Column("count", "tokens written", lambda at: at.judgment.completion_tokens),
        "seconds": Column("number", "from the asking to the verdict", lambda at: at.judgment.seconds),
    }
)  # fmt: skip
"""Name -> column, in the sequence of a table."""


def judgment_row(key: str, judgment: Judgment) -> dict[str, Value]:
    """One value for each of `COLUMNS`."""
    at = At(key, judgment, count_matches(link_quotes(judgment)))
    values = ((name, column.read(at)) for name, column in COLUMNS.items())
    return {name: clean(value) if isinstance(value, str) else value for name, value in values}


def clean(text: str) -> str:
    """The text as UTF-8 can hold it: halves of characters are spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
