"""rmr1's own forms: pairs and best-of-N lists as plain columns, in which an unknown column is an error.

    {"id": "1", "prompt": "...", "response_a": "...", "response_b": "...", "label": "A",
     "source": "...", "subset": "..."}
    {"id": "1", "prompt": "...", "responses": ["...", "...", "..."], "best": 0}

Prompt and responses are texts or lists of messages; `label` is "A", "B", "tie" or null (or missing):
not labelled. `best` counts from 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from rmr1.data.files import Row
from rmr1.data.sources.reader import (
    Reader,
    as_turns,
    build_pair,
    describe,
    label_of,
    optional_text,
    prompt_in,
    require_text,
    row_id,
    turns,
)
from rmr1.errors import DataError
from rmr1.records import Candidates, Label, Messages, PreferencePair

_LABELS: Mapping[str | float, Label] = {"A": "A", "B": "B", "tie": "tie"}


def _read_pairs(row: Row) -> list[PreferencePair]:
    label = None if row.data.get("label") is None else label_of(row, "label", _LABELS)
    return [
        build_pair(
            row,
            turns(row, "prompt", "user"),
            turns(row, "response_a", "assistant"),
            turns(row, "response_b", "assistant"),
            label,
            names=("prompt", "response_a", "response_b"),
            id=row_id(row, "id"),
            source=optional_text(row, "source"),
            subset=optional_text(row, "subset"),
        )
    ]


def _read_candidates(row: Row) -> Candidates:
    responses = row.data.get("responses")
    if not isinstance(responses, list) or not responses:
        raise DataError(f"'responses' is {describe(responses)}, expected a list of answers")
    names = [f"responses[{index}]" for index in range(len(responses))]
    read = tuple(as_turns(one, name, "assistant") for one, name in zip(responses, names, strict=True))
    prompt = turns(row, "prompt", "user")
    for messages, name in zip((prompt, *read), ("prompt", *names), strict=True):
        require_text(messages, name)
    return Candidates(
        id=row_id(row, "id"),
        prompt=prompt,
        responses=read,
        best=_best(row, len(read)),
        source=optional_text(row, "source"),
        subset=optional_text(row, "subset"),
    )


def _best(row: Row, num_responses: int) -> int | None:
    best = row.data.get("best")
    if isinstance(best, str) and best.isdecimal() and best.isascii() and len(best) < 10:
        best = int(best)
    if best is None:
        return None
    if isinstance(best, bool) or not isinstance(best, int) or not 0 <= best < num_responses:
        raise DataError(f"best {best!r} is not a number from 0 to {num_responses - 1}")
    return best


def pairs_of(candidates: Candidates) -> list[PreferencePair]:
    """The best response against every other one; `<id>:2/3` is the second of three.

    Raises:
        DataError: the best one is not known.
    """
    if candidates.best is None:
        raise DataError("'best' is null, so there is no pair in the list; read it as candidates")
    best = candidates.responses[candidates.best]
    others: list[Messages] = [
        response for index, response in enumerate(candidates.responses) if index != candidates.best
    ]
    return [
        PreferencePair(
            id=f"{candidates.id}:{number}/{len(others)}",
            prompt=candidates.prompt,
            response_a=best,
            response_b=other,
            label="A",
            source=candidates.source,
            subset=candidates.subset,
        )
        for number, other in enumerate(others, start=1)
    ]


_ABOUT = ("source", "subset")

READERS = (
    Reader(
        name="rmr1",
        source="rmr1's own form for pairs",
        columns=("prompt", "response_a", "response_b"),
        allowed=("id", "prompt", "response_a", "response_b", "label", *_ABOUT),
        pairs=_read_pairs,
        prompt=prompt_in("prompt"),
    ),
    Reader(
        name="rmr1-candidates",
        source="rmr1's own form for best-of-N lists",
        columns=("prompt", "responses"),
        allowed=("id", "prompt", "responses", "best", *_ABOUT),
        pairs=lambda row: pairs_of(_read_candidates(row)),
        prompt=prompt_in("prompt"),
        candidates=_read_candidates,
    ),
)
