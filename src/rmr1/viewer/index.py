"""A run's folder -> an index beside it: pages, filters, words and figures of a million judgments without reading them.

It is derived from the run: removing it loses nothing. Many threads may read at once, each by a connection of its own; one at a time writes, of all processes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmr1.audit.columns import Array, Columns, choose_type, kind_of
from rmr1.audit.facts import Facts
from rmr1.audit.filters import SHORTEST_KEY
from rmr1.errors import ConfigError, DataError, RunError, reason_of
from rmr1.records import Judgment
from rmr1.report.rows import clean
from rmr1.store.kinds import find_kind
from rmr1.store.labels import LABELS_FILE, read_labels
from rmr1.store.replace import writing
from rmr1.store.runs import JUDGMENTS_FILE, load_line, parse_line
from rmr1.viewer.files import ADVICE, choose_place, hold_index, prepare, settle
from rmr1.viewer.fill import OnProgress, fill, is_replaced
from rmr1.viewer.marks import Mark, read_mark, relabel, write_marks
from rmr1.viewer.schema import FIELDS, connect, decode_row, read_names, read_state
from rmr1.viewer.search import Query, find_neighbours, find_numbers, find_page

_MOST_IDLE = 8
"""Connections that are kept for the next readers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A judgment as a list shows it."""

    number: int
    """The line of judgments.jsonl, from 1."""
    head: str
    """The beginning of the last question, in one line."""
    facts: Facts
    mark: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of a list."""

    rows: tuple[Row, ...]
    start: int
    total: int
    is_total_exact: bool
    """Whether `total` is all there are, or what they are at least."""
    is_sorted: bool = True
    """Whether the rows are in the query's sequence; if too many match, they are in the run's."""


class Index:
    """The index of one run. A context manager."""

    def __init__(self, folder: Path, place: Path, note: str | None):
        self.folder = folder
        self.judgments = folder / JUDGMENTS_FILE
        self.note = note
        """What the user is to be told; None if there is nothing."""
        self._place = place
        self._idle: deque[tuple[Path, sqlite3.Connection]] = deque()
        self._filling = threading.Lock()
        self._is_closed = False
        self.path = settle(self._place)

    @classmethod
    def open(cls, folder: str | Path) -> Index:
        """Open the index of a run, or make an empty one; `refresh` reads the run.

        Raises:
            ConfigError: the folder holds no judgments. RunError: it is no folder of ours, or no index can be made.
        """
        folder = Path(folder)
        if (kind := find_kind(folder)) != "run":
            raise ConfigError(
                f"{folder}: holds no run of judgments to be viewed (it was made by rmr1 {kind})"
            )
        return cls(folder, *choose_place(folder))

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a refresh under way ends with its batch."""
        self._is_closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop()[1].close()

    def refresh(self, on_progress: OnProgress | None = None) -> int:
        """Take in the lines and labels that came since; how many lines. 0 if they are being taken in elsewhere.

        Args:
            on_progress: called after some thousand judgments, with the bytes that are indexed and those of the run.

        Raises:
            DataError: a line is damaged; those before it are indexed. RunError: the index cannot be written.
        """
        if not self._filling.acquire(blocking=False):
            return 0
        try:
            with ExitStack() as held:
                if not hold_index(self._place, held):
                    return 0
                with writing(self._place, ADVICE, also=(sqlite3.Error,)):
                    return self._fill(on_progress or (lambda done, total: None))
        finally:
            self._filling.release()

    def _fill(self, on_progress: OnProgress) -> int:
        path = prepare(self._place)
        connection = connect(path)
        try:
            if is_replaced(connection, self.judgments):
                connection.close()
                path = prepare(self._place, is_new=True)
                connection = connect(path)
            if path != self.path:  # readers of the old file let go of it
                self.path = path
                self._drop_idle()
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma cache_size = -65536")
            added = fill(connection, self.judgments, on_progress, lambda: self._is_closed)
            self._take_labels(connection)
            return added
        finally:
            connection.close()

    def _take_labels(self, connection: sqlite3.Connection) -> None:
        file = self.folder / LABELS_FILE
        about = file.stat() if file.exists() else None
        state = "" if about is None else f"{about.st_size} {about.st_mtime_ns}"
        if state != read_state(connection)["labels"]:
            write_marks(connection, list(read_labels(self.folder)), state)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything is read as it was at one moment."""
        if self._is_closed:
            raise RunError(f"{self.folder}: its index was closed")
        if not self.path.exists():  # another process has read the run anew
            self.path = settle(self._place)
        path, connection = self.path, None
        with suppress(IndexError):
            kept, connection = self._idle.pop()
            if kept != path:
                connection.close()
                connection = None
        try:
            if connection is None:
                connection = connect(path)
                connection.execute("pragma query_only = on")
            connection.execute("begin")
            yield connection
            connection.execute("commit")
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise RunError(
                f"{path}: the index cannot be read ({reason_of(error)}); remove {self._place} and open it again"
            ) from None
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if self._is_closed or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append((path, connection))

    @property
    def num_items(self) -> int:
        """Judgments that are indexed."""
        with self._reading() as connection:
            return int(read_state(connection)["number"])

    @property
    def state(self) -> tuple[str, int, bytes, str]:
        """Changes whenever anything is taken in: the index's file, judgments, the last one's digest, and the labels."""
        with self._reading() as connection:
            state = read_state(connection)
        return self.path.name, int(state["number"]), bytes(state["digest"]), str(state["labels"])  # type: ignore[arg-type]

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of judgments.jsonl that are indexed, and how large it is now."""
        with self._reading() as connection:
            done = int(read_state(connection)["offset"])
        return done, self.judgments.stat().st_size if self.judgments.exists() else 0

    def search(self, query: Query, start: int = 0, limit: int = 50) -> Listing:
        """The judgments that are looked for, from the `start`th on (from 0), at most `limit`."""
        with self._reading() as connection:
            found = find_page(connection, query, start, limit)
            rows = _read_rows(connection, found.numbers)
        return Listing(
            rows=rows,
            start=start,
            total=found.total,
            is_total_exact=found.is_total_exact,
            is_sorted=found.is_sorted,
        )

    def neighbours(self, query: Query, number: int) -> tuple[int | None, int | None]:
        """The judgments before and behind this one in the query's sequence; None at an end."""
        with self._reading() as connection:
            return find_neighbours(connection, query, number)

    def row(self, number: int) -> Row:
        """One judgment as a list shows it.

        Raises:
            DataError: there is no such number.
        """
        with self._reading() as connection:
            for row in _read_rows(connection, (number,)):
                return row
        raise DataError(f"no judgment {number}; there are {self.num_items}", path=self.judgments)

    def find(self, name: str) -> int | None:
        """The number of the judgment with this key, the first with this id, or the first whose key begins so."""
        text = clean(name)
        with self._reading() as connection:
            for condition, values in (
                ("key = ?", (text,)),
                ("id = ?", (text,)),
                ("key >= ? and key < ?", (text, text + "\U0010ffff")),
            ):
                if len(values) > 1 and len(name) < SHORTEST_KEY:
                    continue
                (number,) = connection.execute(
                    f"select min(number) from facts where {condition}", values
                ).fetchone()
                if number is not None:
                    return int(number)
        return None

    def read(self, number: int) -> tuple[str, Judgment]:
        """The key and the whole judgment, read from its place in the run.

        Raises:
            DataError: there is no such number, or the run was replaced and not yet indexed again.
        """
        with self._reading() as connection:
            found = connection.execute(
                "select start, key, id from facts where number = ?", (number,)
            ).fetchone()
        if found is None:
            raise DataError(f"no judgment {number}; there are {self.num_items}", path=self.judgments)
        start, key, id = found
        try:
            with self.judgments.open("rb") as file:
                file.seek(start)
                judgment = load_line(
                    parse_line(file.readline(), self.judgments, number), self.judgments, number
                )
        except OSError as error:
            raise DataError(f"cannot be read ({reason_of(error)})", path=self.judgments) from None
        if clean(judgment.pair.id) != id:
            raise DataError(
                "another judgment than was indexed; the run was replaced", path=self.judgments, line=number
            )
        return key, judgment

    def columns(self, *fields: str, query: Query | None = None, with_labels: bool = False) -> Columns:
        """Fields of all judgments, or of those that are looked for, in the sequence of the run. If `with_labels` is set,
        what people agree on takes the place of the data's label; what is looked for goes by the data's.
            ConfigError: a field has no column.
        """
        for field in fields:
            kind_of(field)
        with self._reading() as connection:
            names = read_names(connection)
            needed = {*fields, *(("label", "winner", "is_right") if with_labels else ())}
            columns = Columns(
                numbers={field: _read_column(connection, field) for field in needed},
                names={field: names[field] for field in needed if field in names},
            )
            if with_labels:
                columns = relabel(connection, columns)
            chosen = None if query is None else np.array(find_numbers(connection, query), dtype=np.int64) - 1
        return columns if chosen is None else columns.take(chosen)

    def count_people(self) -> tuple[int, int]:
        """Judgments on whose label people agree, and on which they disagree."""
        with self._reading() as connection:
            found = connection.execute(
                "select count(marks.label), coalesce(sum(is_disputed), 0) from marks join facts using (key)"
            ).fetchone()
            return int(found[0]), int(found[1])

    def keys(self, query: Query | None = None) -> Array:
        """The keys of all judgments, or of those that are looked for, as bytes, in the sequence of the run."""
        with self._reading() as connection:
            found = connection.execute("select key from facts order by number")
            keys = np.array([key.encode() for (key,) in found], dtype=np.bytes_)
            return (
                keys if query is None else keys[np.array(find_numbers(connection, query), dtype=np.int64) - 1]
            )

    def counts(self, field: str) -> dict[str | None, int]:
        """Name -> judgments that have it, the most frequent first; None for those without any."""
        if kind_of(field) != "name":
            raise ConfigError(f"{field!r} is no column of names")
        return self.columns(field).count_names(field)


def _read_rows(connection: sqlite3.Connection, numbers: tuple[int, ...]) -> tuple[Row, ...]:
    names = read_names(connection)
    rows = []
    for number in numbers:
        found = connection.execute(
            f"select head, {FIELDS} from facts join heads using (number) where number = ?", (number,)
        ).fetchone()
        if found is not None:
            facts = decode_row(found[1:], names)
            rows.append(Row(number=number, head=found[0], facts=facts, mark=read_mark(connection, facts.key)))
    return tuple(rows)


def _read_column(connection: sqlite3.Connection, field: str) -> Array:
    found = connection.execute("select data from chunks where field = ? order by first", (field,))
    return np.frombuffer(b"".join(data for (data,) in found), dtype=choose_type(field))
