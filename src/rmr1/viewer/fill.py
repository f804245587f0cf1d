"""judgments.jsonl -> the index: the lines that came since, some thousand at a time.

The rows of a batch, its words and the place behind it are one transaction, so that a kill loses nothing and repeats
nothing. A last line without its end is left for the next time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from rmr1.audit.columns import choose_type
from rmr1.audit.facts import Facts, list_kinds, tell_facts
from rmr1.audit.filters import iterate_texts, list_criteria
from rmr1.errors import DataError, RMR1Error, reason_of
from rmr1.records import Judgment
from rmr1.report.rows import clean
from rmr1.store.runs import KeyReader, load_line, parse_line
from rmr1.viewer.schema import (
    CHUNK,
    COLUMN_FIELDS,
    FIELDS,
    INDEXES,
    MOST_HEAD,
    encode_row,
    read_names,
    read_state,
    write_state,
)
from rmr1.viewer.words import join_texts

_MOST_TOKENS = 2**31 - 1
"""The most tokens of one judgment that a column holds."""
BATCH_BYTES = 16_000_000
"""Bytes of the run that one transaction takes in."""

OnProgress = Callable[[int, int], object]
"""Called with the bytes that are indexed and the bytes of the run."""


class Line(NamedTuple):
    """What the index takes from a line of the run."""

    number: int
    start: int
    facts: Facts
    head: str
    words: str
    rubric: str


def is_replaced(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the last line that was indexed is no longer at its place: the run was made anew, or lines were taken out."""
    state = read_state(connection)
    if not state["number"]:
        return False
    start, end = int(state["last"]), int(state["offset"])
    try:
        with path.open("rb") as file:
            file.seek(start)
            line = file.read(end - start)
    except FileNotFoundError:
        return True
    return _digest(line) != state["digest"]


def fill(
    connection: sqlite3.Connection,
    path: Path,
    on_progress: OnProgress,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Take in the lines of the run behind those that are there; how many there were.

    Raises:
        DataError: a line is damaged; those before it are indexed.
        sqlite3.Error: the index cannot be written.
    """
    state = read_state(connection)
    number, offset = int(state["number"]), int(state["offset"])
    codes = {
        field: {name: code for code, name in enumerate(names)}
        for field, names in read_names(connection).items()
    }
    added = 0
    for batch in _iterate_batches(path, number, offset):
        if is_stopped():
            return added
        lines, offset, digest = batch
        connection.execute("begin immediate")
        try:
            _write(connection, lines, codes)
            write_state(
                connection, number=lines[-1].number, offset=offset, last=lines[-1].start, digest=digest
            )
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
        added += len(lines)
        on_progress(offset, path.stat().st_size)
    for line in INDEXES:
        connection.execute(line)
    return added


def _iterate_batches(path: Path, number: int, offset: int) -> Iterator[tuple[list[Line], int, bytes]]:
    """The lines of each batch, the place behind them and the digest of the last. What stands before a damaged line is
    given before the error."""
    if not path.exists():
        return
    keys = KeyReader(path)
    lines: list[Line] = []
    first, last = offset, b""
    with _open(path) as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            number += 1
            try:
                values = parse_line(line, path, number)
                key = keys.read(number, values)
                read = _read(number, offset, key, load_line(values, path, number))
            except Exception as error:
                if lines:
                    yield lines, offset, _digest(last)
                if isinstance(error, RMR1Error | OSError):
                    raise
                raise DataError(
                    f"not a judgment that can be counted ({type(error).__name__}: {error})",
                    path=path,
                    line=number,
                ) from None
            lines.append(read)
            offset, last = offset + len(line), line
            if offset - first >= BATCH_BYTES:
                yield lines, offset, _digest(last)
                lines, first = [], offset
    if lines:
        yield lines, offset, _digest(last)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read ({reason_of(error)})", path=path) from None


def _read(number: int, start: int, key: str, judgment: Judgment) -> Line:
    question = judgment.pair.prompt[-1].text if judgment.pair.prompt else ""
    facts = tell_facts(key, judgment)
    if max(facts.prompt_tokens, facts.completion_tokens) > _MOST_TOKENS:
        raise OverflowError(f"more than {_MOST_TOKENS:,} tokens")
    return Line(
        number=number,
        start=start,
        facts=facts,
        head=clean(" ".join(question[: 10 * MOST_HEAD].split())[:MOST_HEAD]),
        words=join_texts(iterate_texts(judgment)),
        rubric=join_texts(list_criteria(judgment)),
    )


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _write(connection: sqlite3.Connection, lines: list[Line], codes: dict[str, dict[str, int]]) -> None:
    new = []
    for one in lines:
        for field, known in codes.items():
            name = getattr(one.facts, field)
            if name is not None and name not in known:
                known[name] = len(known)
                new.append((field, known[name], clean(name)))
    connection.executemany("insert into names values (?, ?, ?)", new)
    rows = [encode_row(one.facts, codes) for one in lines]
    marks = ", ".join("?" * (2 + len(list_kinds())))
    connection.executemany(
        f"insert into facts (number, start, {FIELDS}) values ({marks})",
        ([one.number, one.start, *row] for one, row in zip(lines, rows, strict=True)),
    )
    connection.executemany("insert into heads values (?, ?)", ((one.number, one.head) for one in lines))
    connection.executemany(
        "insert into words (rowid, texts, rubric) values (?, ?, ?)",
        ((one.number, one.words, one.rubric) for one in lines),
    )
    _write_chunks(connection, lines, rows)


def _write_chunks(
    connection: sqlite3.Connection, lines: list[Line], rows: list[list[str | int | float | None]]
) -> None:
    """Add the rows to the columns' pieces: those of judgments 1 to `CHUNK`, and so on."""
    numbered = list(zip(lines, rows, strict=True))
    for first, group in groupby(numbered, key=lambda one: (one[0].number - 1) // CHUNK * CHUNK + 1):
        columns = dict(zip(list_kinds(), zip(*(row for _, row in group), strict=True), strict=True))
        for field in COLUMN_FIELDS:
            kind = list_kinds()[field]
            nothing = float("nan") if kind == "number" else -1
            values = [nothing if value is None else value for value in columns[field]]
            data = np.array(values, dtype=choose_type(field)).tobytes()
            found = connection.execute(
                "select data from chunks where field = ? and first = ?", (field, first)
            ).fetchone()
            connection.execute(
                "insert or replace into chunks values (?, ?, ?)",
                (field, first, data if found is None else found[0] + data),
            )
