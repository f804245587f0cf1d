"""The tables of the index, made from the fields of `Facts`; an index of other tables is made anew.

facts     a row for each judgment, in the sequence of the run; names as codes
heads     the beginning of each question
words     full-text search, without the texts themselves
chunks    the same facts column by column, some thousand judgments a piece: what figures are computed from
names     what the codes stand for
marks     what people say
state     how far the run has been read
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from rmr1.audit.facts import UNIQUE, Facts, list_kinds
from rmr1.report.rows import clean
from rmr1.viewer.words import TOKENIZER

FORMAT = 1
"""The version of what fields of `Facts` mean; raise it if one is reckoned in another way."""
CHUNK = 4096
"""Judgments of one piece of a column."""
MOST_HEAD = 160
"""Characters of a question that lists show."""

DERIVED: Mapping[str, str] = {
    "surest": "coalesce(confidence, -1)",
    "unsurest": "coalesce(confidence, 2)",
    "difference": "length_a - length_b",
}
"""Columns to sort by: confidences with the missing ones last either way, characters that A has more than B."""
_CONDITIONS = "subset, is_right, winner, has_failed, has_flipped, quotes_invented, confidence"
"""What filters ask, part of every index, so that a sorted page is read from the index alone."""
_SORTED = ("surest", "unsurest", "completion_tokens", "quotes_invented", "id", "difference")


def _declare() -> tuple[str, ...]:
    types = {"text": "text", "number": "real"}
    fields = [f"{name} {types.get(kind, 'integer')}" for name, kind in list_kinds().items()]
    derived = [f"{name} as ({formula}) stored" for name, formula in DERIVED.items()]
    return (
        f"create table facts (number integer primary key, start integer, {', '.join([*fields, *derived])})",
        "create table heads (number integer primary key, head text)",
        f"create virtual table words using fts5(texts, rubric, content='', columnsize=0, tokenize='{TOKENIZER}')",
        "insert into words(words, rank) values ('hashsize', 16000000)",
        "create table chunks (field text, first integer, data blob, unique (field, first))",
        "create table names (field text, code integer, name text, primary key (field, code)) without rowid",
        "create table marks (key text primary key, label text, is_disputed integer, is_judge_wrong integer, num_people integer) without rowid",
        "create table state (name text primary key, value) without rowid",
    )


TABLES = _declare()
INDEXES = (
    f"create index if not exists by_conditions on facts ({_CONDITIONS})",
    *(
        f"create index if not exists by_{name} on facts ({name}, number, {', '.join(one for one in _CONDITIONS.split(', ') if one != name)})"
        for name in _SORTED
    ),
    "create index if not exists by_key on facts (key)",
)
"""Made when the run has been read for the first time: sorting once is faster than keeping in order."""
VERSION = hashlib.sha256(repr((FORMAT, CHUNK, TABLES, INDEXES)).encode()).hexdigest()


def connect(path: Path) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("pragma cache_size = -8192")
    return connection


def create(path: Path) -> None:
    """Make an empty index.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    connection = connect(path)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("begin immediate")
        for line in TABLES:
            connection.execute(line)
        write_state(connection, version=VERSION, offset=0, number=0, last=-1, digest=b"", labels="")
        connection.execute("commit")
    finally:
        connection.close()


def read_state(connection: sqlite3.Connection) -> dict[str, int | str | bytes]:
    """How far the run has been read: bytes `offset` and judgments `number`, the place and digest of the last line."""
    return dict(connection.execute("select name, value from state"))


def write_state(connection: sqlite3.Connection, **values: int | str | bytes) -> None:
    """Set some of it."""
    connection.executemany("insert or replace into state values (?, ?)", values.items())


def is_current(path: Path) -> bool:
    """Whether a file is an index of these tables, and not damaged as far as can be seen at once."""
    try:
        connection = connect(path)
        try:
            return read_state(connection).get("version") == VERSION
        finally:
            connection.close()
    except sqlite3.Error:
        return False


def encode_row(facts: Facts, codes: Mapping[str, Mapping[str, int]]) -> list[str | int | float | None]:
    """The facts as a row of the table; `codes` holds every name that occurs."""
    row: list[str | int | float | None] = []
    for field, kind in list_kinds().items():
        value = getattr(facts, field)
        if value is not None and kind in ("text", "name"):
            value = clean(value) if kind == "text" else codes[field][value]
        row.append(value)
    return row


def decode_row(row: tuple[object, ...], names: Mapping[str, tuple[str, ...]]) -> Facts:
    """The facts of a row."""
    values: dict[str, object] = {}
    for (field, kind), value in zip(list_kinds().items(), row, strict=True):
        if value is not None and kind == "name":
            value = names[field][int(str(value))]
        elif value is not None and kind == "flag":
            value = bool(value)
        values[field] = value
    return Facts(**values)  # type: ignore[arg-type]


def read_names(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """Field -> its names, in the sequence of their codes."""
    found: dict[str, list[str]] = {field: [] for field, kind in list_kinds().items() if kind == "name"}
    for field, name in connection.execute("select field, name from names order by field, code"):
        found[field].append(name)
    return {field: tuple(names) for field, names in found.items()}


FIELDS = ", ".join(list_kinds())
"""Columns of a row, for `decode_row`."""
COLUMN_FIELDS = tuple(field for field in list_kinds() if field not in UNIQUE)
"""Fields that have chunks."""
