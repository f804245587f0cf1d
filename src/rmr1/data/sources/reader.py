"""What a reader is, and the fields of a row that every reader takes apart the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmr1.data.files import Row, describe, is_missing, stem_of
from rmr1.data.ids import mark_own
from rmr1.data.sources.labels import is_same
from rmr1.data.sources.messages import as_turns, read_literal
from rmr1.data.sources.values import describe_missing
from rmr1.errors import DataError
from rmr1.messages import Message, Messages, Role
from rmr1.records import Candidates, Label, PreferencePair

SYSTEM = ("system", "system_prompt", "system_message")
"""Columns that hold a system message of the prompt, in every form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One form of dataset row, and how it becomes records.

    Where the data know a better and a worse answer but no sides, the better one is `response_a` with
    label "A": the pair as it was read. Whoever judges it places the answers with a seed.
    """

    name: str
    source: str
    """The tool whose form it is, or the dataset that it was made for."""
    columns: tuple[str, ...]
    pairs: Callable[[Row], list[PreferencePair]]
    """Raises DataError without a place; the caller adds it."""
    candidates: Callable[[Row], Candidates] | None = None
    """Reads a best-of-N list; None of forms that hold none."""
    prompt: Callable[[Row], Messages] | None = None
    """The prompt alone, for rows whose answers cannot be used; raises as `pairs` does."""
    fits: Callable[[Mapping[str, Any]], bool] | None = None
    """Tells forms with the same columns apart by a row's values."""
    label: str | None = None
    """The column that names the better answer, whose values a user can map."""
    verified: bool = True
    """Whether it was tried on the real files, or only on rows made from their documentation."""


def build_pair(
    row: Row,
    prompt: Messages,
    response_a: Messages,
    response_b: Messages,
    label: Label | None,
    *,
    names: Sequence[str] = ("prompt", "chosen", "rejected"),
    id: str | None = None,
    source: str | None = None,
    subset: str | None = None,
) -> PreferencePair:
    """A pair whose three texts are there, which the error calls by `names`; answers that are the same are a tie."""
    for messages, name in zip((prompt, response_a, response_b), names, strict=True):
        require_text(messages, name)
    id = row_id(row) if id is None else id
    _refuse_half_characters({"id": (id,), "source": (source,), "subset": (subset,)})
    return PreferencePair(
        id=id,
        prompt=with_system(row, prompt),
        response_a=response_a,
        response_b=response_b,
        label="tie" if is_same(response_a, response_b) else label,
        source=source,
        subset=subset,
    )


def pairs_in(
    *names: str,
    label: Label | Callable[[Row], Label | None] = "A",
    prompt: Callable[[Row], Messages] | None = None,
    are_texts: bool = False,
    id: str | None = None,
    source: str | Callable[[Row], str | None] | None = None,
    subset: str | Callable[[Row], str | None] | None = None,
) -> Callable[[Row], list[PreferencePair]]:
    """A function for `Reader.pairs`: one pair, whose prompt and two answers stand in columns of these names.

    `prompt` reads the first column if there is more to it, `are_texts` refuses messages, `id` is a column, and of
    what else is given a function of the row.
    """

    def read(row: Row) -> list[PreferencePair]:
        def messages(name: str, role: Role) -> Messages:
            return (Message(role=role, content=text(row, name)),) if are_texts else turns(row, name, role)

        asked = prompt(row) if prompt else messages(names[0], "user")
        first, second = (messages(name, "assistant") for name in names[1:])
        return [
            build_pair(
                row,
                asked,
                first,
                second,
                label(row) if callable(label) else label,
                names=names,
                id=row_id(row, id),
                source=source(row) if callable(source) else source,
                subset=subset(row) if callable(subset) else subset,
            )
        ]

    return read


def text_in(column: str) -> Callable[[Row], str | None]:
    """A function from a row to a short text about it."""
    return lambda row: optional_text(row, column)


def build_candidates(
    row: Row,
    prompt: Messages,
    responses: Sequence[Messages],
    best: int | None,
    *,
    names: Sequence[str],
    id: str,
    source: str | None = None,
    subset: str | None = None,
) -> Candidates:
    """A best-of-N list whose texts are there; `names` are those of prompt and responses, for an error."""
    for messages, name in zip((prompt, *responses), names, strict=True):
        require_text(messages, name)
    _refuse_half_characters({"id": (id,), "source": (source,), "subset": (subset,)})
    return Candidates(
        id=id,
        prompt=with_system(row, prompt),
        responses=tuple(responses),
        best=best,
        source=source,
        subset=subset,
    )


def pairs_of(candidates: Candidates) -> list[PreferencePair]:
    """The best response against every other one; `<id>:2/3` is the second of three."""
    if candidates.best is None:
        raise DataError("'best' is null, so there is no pair in the list; read it as candidates")
    best = candidates.responses[candidates.best]
    others = [one for index, one in enumerate(candidates.responses) if index != candidates.best]
    return [
        PreferencePair(
            id=f"{candidates.id}:{number}/{len(others)}",
            prompt=candidates.prompt,
            response_a=best,
            response_b=other,
            label="tie" if is_same(best, other) else "A",
            source=candidates.source,
            subset=candidates.subset,
        )
        for number, other in enumerate(others, start=1)
    ]


def with_system(row: Row, prompt: Messages) -> Messages:
    """The prompt behind the system message of a column of its own."""
    for column in SYSTEM:
        value = row.data.get(column)
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            continue
        messages = as_turns(value, column, "system")
        require_text(messages, column)
        if prompt and prompt[0].role == "system":
            if [message.text for message in messages] != [prompt[0].text]:
                raise DataError(f"the prompt has a system message of its own, and not that of {column!r}")
            continue
        prompt = (*(Message(role="system", content=one.content) for one in messages), *prompt)
    return prompt


def require_text(messages: Messages, name: str) -> None:
    """Refuse messages that are white space, or that hold half a character."""
    if is_blank(messages):
        raise DataError(f"{name!r} is empty")
    _refuse_half_characters({name: [message.text for message in messages]})


def _refuse_half_characters(texts: Mapping[str, Sequence[str | None]]) -> None:
    """Lone surrogates: what is left of a character that was cut in two. No tokenizer and no server takes them."""
    for name, parts in texts.items():
        for text in parts:
            if text is None or text.isascii():
                continue
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise DataError(
                    f"{name!r} holds half a character (the lone surrogate U+{ord(text[error.start]):04X} at character "
                    f"{error.start + 1}); write the whole character, or take it out"
                ) from None


def is_blank(messages: Messages) -> bool:
    return not any(message.text.strip() for message in messages)


def row_id(row: Row, column: str | None = None) -> str:
    """The row's own identifier in `column`, else `<file stem>:<line>`."""
    value = None if column is None else row.data.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise DataError(f"{column!r} is {describe(value)}, expected a text or a number")
    return f"{stem_of(row.path)}:{row.line}" if is_missing(value) or value == "" else mark_own(str(value))


def text(row: Row, column: str) -> str:
    """What a column holds, which is one text."""
    return as_text(row.data.get(column), column)


def as_text(value: Any, name: str) -> str:
    if is_missing(value):
        raise DataError(describe_missing(value, name))
    if not isinstance(value, str):
        raise DataError(f"{name!r} is {describe(value)}, expected a text")
    return value


def optional_text(row: Row, column: str) -> str | None:
    """A short text about the row, such as its subset; numbers count as texts."""
    value = row.data.get(column)
    if is_missing(value) or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{column!r} is {describe(value)}, expected a text")
    return str(value)


def texts(row: Row, column: str) -> list[str]:
    """A column that holds one text or a list of texts."""
    value = row.data.get(column)
    spelled = as_list(value)
    if isinstance(spelled, list) and all(isinstance(one, str) for one in spelled):
        value = spelled
    if isinstance(value, str):
        return [as_text(value, column)]
    if not isinstance(value, list) or not value:
        raise DataError(f"{column!r} is {describe(value)}, expected a list of texts")
    return [as_text(one, f"{column}[{index}]") for index, one in enumerate(value)]


def as_list(value: Any) -> Any:
    """The list that a text spells (JSON or a Python literal, as in CSV); anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] != "[":
        return value
    try:
        return read_literal(value)
    except ValueError:
        return value


def join_input(instruction: str, more: str | None) -> str:
    """Alpaca's instruction and what it is about, as its own form joins them."""
    return f"{instruction}\n\n{more}" if more and more.strip() else instruction


def instruction_in(column: str) -> Callable[[Row], Messages]:
    """A function for `Reader.prompt`: an instruction with, perhaps, a column `input`."""
    return lambda row: (
        Message(role="user", content=join_input(text(row, column), optional_text(row, "input"))),
    )


def prompt_in(column: str) -> Callable[[Row], Messages]:
    """A function for `Reader.prompt`: the whole prompt stands in one column."""
    return lambda row: turns(row, column, "user")


def turns(row: Row, column: str, role: Role) -> Messages:
    """A column as messages: a text (it gets `role`), one message, or a list of messages."""
    return as_turns(row.data.get(column), column, role)
