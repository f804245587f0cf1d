"""What is written where: splits, sides, and the second reading, which writes every pair that stays to its split and
lists every other one.

Rows are first written as they are read, beside the place they will have; then each split is put into its order.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rmr1.curate.choose import Selection
from rmr1.curate.filters import Drop
from rmr1.curate.inputs import CurateSource, read_source, under_name
from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.scan import SOME_ROWS, Note
from rmr1.curate.similar import Groups
from rmr1.curate.table import DIGEST_SIZE, LABELS, Columns, PairTable
from rmr1.errors import DataError
from rmr1.messages import Message, Messages, Role
from rmr1.records import PreferencePair
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import content_digest, seed_for

_ONE = float(1 << 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePlan:
    """What is to be written where."""

    splits: tuple[str, ...]
    split_of: Mapping[int, int]
    swapped: Mapping[int, bool]
    position: Mapping[int, int]
    """Pair to its key in the order of its split's rows."""


def order_rows(order: Iterable[int], table: PairTable, *, mixed: bool, seed: int) -> dict[int, int]:
    """The key that a pair's row is sorted by."""
    if not mixed:
        return {item: place for place, item in enumerate(order)}
    return {item: seed_for(seed, "row", table.content(item).hex(), str(item)) for item in order}


def split_prompts(prompts: bytes, groups: Groups, shares: Mapping[str, float], seed: int) -> list[int]:
    """The number of each prompt's split; `prompts` has 16 bytes of each.

    A group of prompts goes where the hash of its smallest digest and the seed falls, so a prompt stays in its split
    when other data are added or more is taken, unless it joins a group.
    """
    digests = [prompts[at : at + DIGEST_SIZE] for at in range(0, len(prompts), DIGEST_SIZE)]
    roots = groups.roots()
    smallest: dict[int, bytes] = {}
    for number, root in enumerate(roots):
        smallest[root] = min(smallest.get(root, digests[number]), digests[number])
    places = {root: seed_for(seed, "split", digest.hex()) / _ONE for root, digest in smallest.items()}
    ends = list(itertools.accumulate(shares.values()))
    last = max(number for number, share in enumerate(shares.values()) if share > 0)
    return [next((number for number, end in enumerate(ends) if places[root] < end), last) for root in roots]


def place_sides(
    recipe: CurateRecipe, table: PairTable, columns: Columns, order: Sequence[int], splits: Sequence[int]
) -> dict[int, bool]:
    """Whether each pair is swapped.

    "balanced": within a split, source after source and there in the order of a seeded hash, the preferred response is
    A, B, A, B, ...; so every split and every source in it is half and half, to one pair. "alternate": the same count
    runs over all pairs in the order in which they were taken. A pair without a preference is swapped by its hash.
    `order` is of the pairs that stay, `splits` of all prompts.
    """
    if recipe.sides == "as-read":
        return dict.fromkeys(order, False)
    draws = {item: seed_for(recipe.seed, "side", table.content(item).hex(), str(item)) for item in order}
    if recipe.sides == "balanced":
        order = sorted(
            order,
            key=lambda item: (splits[int(columns.prompt[item])], int(columns.source[item]), draws[item]),
        )
    swapped = {}
    number = 0
    for item in order:
        label = LABELS[int(columns.label[item])]
        if label in ("A", "B"):
            swapped[item] = label != ("A", "B")[number % 2]
            number += 1
        else:
            swapped[item] = bool(draws[item] & 1)
    return swapped


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
    """Write `SPLIT.jsonl` for every split into `folder`; sources that changed since the first reading are an error."""
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
