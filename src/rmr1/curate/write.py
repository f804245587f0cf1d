"""The second reading: every pair that stays is written to its split, every other one is listed.

Rows are first written as they are read, beside the place they will have; then each split is put into its order.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rmr1.curate.choose import Selection
from rmr1.curate.filters import Drop
from rmr1.curate.inputs import CurateSource, read_source, under_name
from rmr1.curate.scan import SOME_ROWS, Note
from rmr1.curate.table import Columns, PairTable
from rmr1.errors import DataError
from rmr1.records import Message, Messages, PreferencePair, Role
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import content_digest, seed_for


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePlan:
    """What is to be written where."""

    splits: tuple[str, ...]
    split_of: Mapping[int, int]
    """Pair to the number of its split."""
    swapped: Mapping[int, bool]
    position: Mapping[int, int]
    """Pair to its key in the order of its split's rows."""


def order_rows(order: Iterable[int], table: PairTable, *, mixed: bool, seed: int) -> dict[int, int]:
    """The key that a pair's row is sorted by."""
    if not mixed:
        return {item: place for place, item in enumerate(order)}
    return {item: seed_for(seed, "row", table.content(item).hex(), str(item)) for item in order}


def pair_row(pair: PreferencePair) -> dict[str, Any]:
    """The pair in rmr1's own form; a single plain message is its text."""
    row: dict[str, Any] = {
        "id": pair.id,
        "prompt": _plain(pair.prompt, "user"),
        "response_a": _plain(pair.response_a, "assistant"),
        "response_b": _plain(pair.response_b, "assistant"),
        "label": pair.label,
        "source": pair.source,
        "subset": pair.subset,
    }
    return {name: value for name, value in row.items() if value is not None}


def _plain(messages: Messages, role: Role) -> str | list[dict[str, Any]]:
    if messages == (Message(role=role, content=messages[0].text),):
        return messages[0].text
    return [dump_record(message) for message in messages]


def write_splits(
    folder: Path,
    sources: tuple[CurateSource, ...],
    table: PairTable,
    columns: Columns,
    choice: Selection,
    plan: WritePlan,
    note: Note,
    report: Callable[[str, int], None],
) -> None:
    """Write `SPLIT.jsonl` for every split into `folder`.

    Raises:
        DataError: a source is not what it was at the first reading.
    """
    with ExitStack() as opened:
        parts = [folder / f"{name}.part" for name in plan.splits]
        files = [opened.enter_context(part.open("w+b")) for part in parts]
        rows: list[tuple[array[int], array[int]]] = [(array("Q"), array("Q")) for _ in files]
        wanted = {original for original, _ in choice.originals.values()}
        ids: dict[int, str] = {}
        for item, pair in _read_again(sources, table, columns, report):
            if item in wanted:
                ids[item] = pair.id
            if item in choice.reasons:
                note(pair.id, str(pair.source), _drop(item, choice, ids))
                continue
            split = plan.split_of[item]
            keys, ends = rows[split]
            files[split].write(dumps(pair_row(pair.swap() if plan.swapped[item] else pair)) + b"\n")
            keys.append(plan.position[item])
            ends.append(files[split].tell())
        for name, part, file, (keys, ends) in zip(plan.splits, parts, files, rows, strict=True):
            report(f"writing {name}", len(keys))
            with (folder / f"{name}.jsonl").open("wb") as output:
                _copy_sorted(file, output, keys, ends)
            part.unlink()


def _read_again(
    sources: tuple[CurateSource, ...], table: PairTable, columns: Columns, report: Callable[[str, int], None]
) -> Iterable[tuple[int, PreferencePair]]:
    """(number, pair) of every pair in the table."""
    item = 0
    for number, source in enumerate(sources):
        for place, found in read_source(source):
            if place % SOME_ROWS == 0:
                report(f"writing {source.name}", place)
            if item == len(table) or columns.source[item] != number or columns.place[item] != place:
                continue
            pair = None if isinstance(found, DataError) else under_name(found, source.name)
            if pair is None or content_digest(pair) != table.content(item):
                raise _changed(source)
            yield item, pair
            item += 1
        if item < len(table) and columns.source[item] == number:
            raise _changed(source)


def _changed(source: CurateSource) -> DataError:
    return DataError(f"sources.{source.name}: the data changed while they were read; run the command again")


def _drop(item: int, choice: Selection, ids: Mapping[int, str]) -> Drop:
    reason = choice.reasons[item]
    if item not in choice.originals:
        return Drop(reason=reason)
    original, similarity = choice.originals[item]
    told = "" if similarity is None else f", similarity {similarity:.2f}"
    return Drop(reason=reason, detail=f"of {ids[original]}{told}")


def _copy_sorted(rows: BinaryIO, output: BinaryIO, keys: array[int], ends: array[int]) -> None:
    order = np.argsort(np.frombuffer(keys, dtype=np.uint64) if keys else np.empty(0), kind="stable")
    for place in order.tolist():
        start = ends[place - 1] if place else 0
        rows.seek(start)
        output.write(rows.read(ends[place] - start))
