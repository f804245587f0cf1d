"""rmr1's own forms: pairs and best-of-N lists as plain columns. Other columns are passed over.

    {"id": "1", "system": "...", "prompt": "...", "response_a": "...", "response_b": "...", "label": "A",
     "source": "...", "subset": "..."}
    {"id": "1", "prompt": "...", "responses": ["...", "...", "..."], "best": 0}

Prompt and responses are texts or lists of messages; `label` is "A", "B", "tie" or null (or missing):
not labelled. A column `winner` (also model_a, model_b) may stand for it. `best` counts from 0.
"""

from __future__ import annotations

from rmr1.data.files import Row, describe, is_missing
from rmr1.data.sources.labels import SIDES, WINNERS, find_label, label_column, read_label
from rmr1.data.sources.messages import as_turns
from rmr1.data.sources.reader import (
    Reader,
    as_list,
    build_candidates,
    optional_text,
    pairs_in,
    pairs_of,
    prompt_in,
    row_id,
    text_in,
    turns,
)
from rmr1.data.sources.values import as_number, quote_all
from rmr1.errors import DataError
from rmr1.faces import name_option
from rmr1.records import Candidates, Label


def _label(row: Row) -> Label | None:
    column = label_column(row.data, "label")
    value = None if column is None else row.data[column]
    if column is None or (row.labels is None and is_missing(value)):
        return None
    labels = SIDES if column == "label" else WINNERS
    hint = ""
    if as_number(value) is not None or column != "label":
        hint = f"; say what its values mean, as in {name_option('labels', {'1': 'A', '2': 'B'})}"
    expected = quote_all([*labels], last="or")
    return read_label(row, column, lambda one: find_label(one, labels), expected, hint=hint)


def _read_candidates(row: Row) -> Candidates:
    responses = as_list(row.data.get("responses"))
    if not isinstance(responses, list) or not responses:
        what = "an empty list" if responses == [] else describe(responses)
        raise DataError(f"'responses' is {what}, expected a list of answers")
    best = row.data.get("best")
    if isinstance(best, str) and best.isdecimal() and best.isascii() and len(best) < 10:
        best = int(best)
    if is_missing(best):
        best = None
    elif isinstance(best, bool) or not isinstance(best, int) or not 0 <= best < len(responses):
        raise DataError(f"best {best!r} is not a number from 0 to {len(responses) - 1}")
    names = [f"responses[{index}]" for index in range(len(responses))]
    return build_candidates(
        row,
        turns(row, "prompt", "user"),
        [as_turns(one, name, "assistant") for one, name in zip(responses, names, strict=True)],
        best,
        names=("prompt", *names),
        id=row_id(row, "id"),
        source=optional_text(row, "source"),
        subset=optional_text(row, "subset"),
    )


READERS = (
    Reader(
        name="rmr1",
        source="rmr1's own form for pairs",
        columns=("prompt", "response_a", "response_b"),
        label="label",
        pairs=pairs_in(
            *("prompt", "response_a", "response_b"),
            label=_label,
            id="id",
            source=text_in("source"),
            subset=text_in("subset"),
        ),
        prompt=prompt_in("prompt"),
    ),
    Reader(
        name="rmr1-candidates",
        source="rmr1's own form for best-of-N lists",
        columns=("prompt", "responses"),
        pairs=lambda row: pairs_of(_read_candidates(row)),
        prompt=prompt_in("prompt"),
        candidates=_read_candidates,
    ),
)
