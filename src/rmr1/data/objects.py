"""Rows and pairs out of Python objects: what a notebook holds instead of a file.

    DataFrame (pandas, polars), pyarrow.Table      one row after the other; NaN and NA are empty cells
    datasets.Dataset, IterableDataset              likewise; of a DatasetDict with several splits one is named
    dict, Series, namedtuple                       one row; a dict of lists is a batch of rows
    an iterable                                    of rows and `PreferencePair`s

They are known by their own methods, so none of these libraries is imported.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from rmr1.data.files import Row
from rmr1.data.sources.messages import as_turns
from rmr1.data.sources.reader import require_text
from rmr1.errors import ConfigError, DataError
from rmr1.messages import ImagePart, Message, Messages, Role
from rmr1.records import Candidates, PreferencePair

EXPECTED = "expected a path, a DataFrame, a dataset, rows (dicts) or PreferencePairs"

_BATCH = 256


def is_path(source: object) -> TypeGuard[str | Path]:
    """Whether a source is named, not held; an empty name is an error."""
    if isinstance(source, str) and not source.strip():
        raise DataError(f"the source of pairs is an empty text; {EXPECTED}")
    return isinstance(source, str | Path)


def can_be_read_twice(source: object) -> bool:
    """Whether reading a source leaves it as it was, unlike what streams."""
    return not isinstance(source, Iterator) and (isinstance(source, str | Path) or hasattr(source, "__len__"))


def scan_objects(source: object, *, split: str | None = None) -> Iterator[Row | PreferencePair | DataError]:
    """The rows and pairs of an object, and errors of other items; a row is called after its kind and number."""
    if isinstance(source, Mapping) and source and all(hasattr(one, "features") for one in source.values()):
        source, name = _pick(source, split)  # a DatasetDict
    elif split is not None:
        raise ConfigError(f"split {split!r} was named, and {type(source).__name__} has no splits")
    else:
        name = "row" if _as_row(source) is not None and _as_columns(source) is None else type(source).__name__
    return _number(_open(source), name)


def as_pair(question: object, a: object, b: object) -> PreferencePair:
    """The pair of a question and two answers: each a text, a message or a list of messages; records or dicts.

    Raises:
        DataError: one is something else, or empty; its argument is named.
    """
    named = (("question", question, "user"), ("a", a, "assistant"), ("b", b, "assistant"))
    prompt, response_a, response_b = (
        _as_messages(value, name, role)  # type: ignore[arg-type]
        for name, value, role in named
    )
    return PreferencePair(id="0", prompt=prompt, response_a=response_a, response_b=response_b)


def as_candidates(question: object, answers: object) -> Candidates:
    """The list of a question and its answers, each as for `as_pair`.

    Raises:
        DataError: one is something else, or empty; its argument is named.
    """
    if isinstance(answers, str | bytes | Mapping | Message) or not isinstance(answers, Iterable):
        raise DataError(f"answers is {describe_kind(answers)}; expected a list of answers")
    return Candidates(
        id="0",
        prompt=_as_messages(question, "question", "user"),
        responses=tuple(
            _as_messages(one, f"answers[{number}]", "assistant") for number, one in enumerate(answers)
        ),
    )


def is_row(value: object) -> bool:
    """Whether a value is one row of pairs, or a pair: not a text, and no message."""
    if isinstance(value, PreferencePair):
        return True
    row = _as_row(value)
    return row is not None and not _is_message(row)


def describe_kind(value: object) -> str:
    """What a value is, for an error: `None`, `an empty text`, `a list of 2 texts`, `int`."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return "a text" if value.strip() else "an empty text"
    if isinstance(value, float) and math.isnan(value):
        return "NaN, an empty cell"
    kind = type(value).__name__
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        return kind
    return f"a {kind} of {len(value)} text{'s' if len(value) > 1 else ''}" if value else f"an empty {kind}"


def _as_messages(value: object, name: str, role: Role) -> Messages:
    expected = (
        f"{name} is {describe_kind(value)}; expected a text, or a list of messages with role and content"
    )
    if isinstance(value, str):
        messages: Messages = (Message(role=role, content=value),)
    elif isinstance(value, Message):
        messages = (value,)
    else:
        row = _as_row(value)
        if row is not None and not _is_message(row):
            raise DataError(
                f"{name} is a row, which holds its answers itself; expected compare(row) alone, or a text"
            )
        if row is None and (not isinstance(value, Iterable) or isinstance(value, bytes)):
            raise DataError(expected)
        items = [row] if row is not None else list(value)  # type: ignore[call-overload]
        if not items or not all(isinstance(one, Message) or _is_message(one) for one in items):
            several = all(isinstance(one, str) for one in items) and items
            raise DataError(expected + ("; several pairs go to Judge.judge" if several else ""))
        messages = tuple(
            one if isinstance(one, Message) else as_turns(_plain(one), name, role)[0] for one in items
        )
    require_text(messages, name)
    return messages


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def _pick(splits: Mapping[str, Any], split: str | None) -> tuple[Any, str]:
    names = [str(name) for name in splits]
    if split is None and len(names) > 1:
        raise ConfigError(
            f"the DatasetDict has the splits {', '.join(names)}; pass one of them, as in dataset[{names[0]!r}]"
        )
    if split is not None and split not in names:
        raise ConfigError(f"the DatasetDict has no split {split!r}; it has {', '.join(names)}")
    chosen = names[0] if split is None else split
    return splits[chosen], chosen


def _open(source: Any) -> Iterator[Any]:
    if (columns := _as_columns(source)) is not None:
        return (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    if isinstance(source, PreferencePair) or _as_row(source) is not None:
        return iter((source,))
    if hasattr(source, "iter_rows") and hasattr(source, "columns"):  # polars
        return iter(source.iter_rows(named=True))
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # pandas
        return _open_frame(source)
    if hasattr(source, "to_batches") and hasattr(source, "schema"):  # pyarrow
        return itertools.chain.from_iterable(batch.to_pylist() for batch in source.to_batches())
    if isinstance(source, bytes) or not isinstance(source, Iterable) or isinstance(source, Message):
        raise DataError(f"the source of pairs is {describe_kind(source)}; {EXPECTED}")
    return iter(source)


def _open_frame(frame: Any) -> Iterator[Any]:
    if not hasattr(frame, "iloc"):
        yield from frame.to_dict("records")
        return
    for start in range(0, len(frame), _BATCH):
        yield from frame.iloc[start : start + _BATCH].to_dict("records")


def _number(items: Iterable[Any], name: str) -> Iterator[Row | PreferencePair | DataError]:
    for number, item in enumerate(items, start=1):
        if isinstance(item, PreferencePair):
            yield item
            continue
        row = _as_row(item)
        if row is None:
            told = f"{describe_kind(item)}, expected a row (a dict) or a PreferencePair"
            yield DataError(f"the item is {told}", path=name, line=number)
        else:
            yield Row(data={str(key): _plain(value) for key, value in row.items()}, path=name, line=number)


def _as_columns(source: object) -> Mapping[Any, list[Any]] | None:
    """The columns of a batch, such as `dataset[:8]`: lists of one length, none of which is a conversation."""
    if not isinstance(source, Mapping) or not source:
        return None
    columns = list(source.values())
    if not all(isinstance(one, list) and len(one) == len(columns[0]) for one in columns):
        return None
    return None if any(map(_is_message, itertools.chain.from_iterable(columns))) else source


def _as_row(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    row: Mapping[Any, Any] | None = None
    if hasattr(value, "_asdict"):
        row = value._asdict()
    elif hasattr(value, "to_dict") and hasattr(value, "index") and not hasattr(value, "columns"):
        row = value.to_dict()
    return row


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Message):
        plain: dict[str, Any] = {"role": value.role, "content": _plain(value.content)}
        plain["tool_calls"] = [call.to_openai() for call in value.tool_calls]
        plain |= {"tool_call_id": value.tool_call_id, "name": value.name}
        return {key: one for key, one in plain.items() if key in ("role", "content") or one}
    if isinstance(value, ImagePart):
        return {"url": value.url}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if hasattr(value, "text"):
        return {"text": value.text}
    return None if type(value).__name__ in ("NAType", "NaTType") else value
