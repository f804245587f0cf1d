"""What is looked for -> SQL -> the numbers of judgments, in their sequence.

Words are looked up in the full-text index, everything else in the index of conditions that goes with the sequence. If
a word is rare, its judgments are the ones that are tested and sorted; if it is frequent, judgments are gone through in
their sequence until the page is full.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rmr1.audit.figures import ALIKE
from rmr1.audit.filters import SHORTEST_KEY, Filter
from rmr1.errors import ConfigError, DataError
from rmr1.report.rows import clean
from rmr1.store.codec import shorten
from rmr1.viewer.schema import read_state
from rmr1.viewer.words import write_match

SORTS = {
    "place": "place in the run",
    "confidence": "confidence in the winner",
    "tokens": "tokens written",
    "invented": "quotations not found in the answer",
    "id": "the pair's id",
    "length": "characters of answer A beyond those of B",
}
"""Name of a sequence -> what it goes by."""
_COLUMNS = {
    "place": ("number", "number"),
    "confidence": ("unsurest", "surest"),
    "tokens": ("completion_tokens", "completion_tokens"),
    "invented": ("quotes_invented", "quotes_invented"),
    "id": ("id", "id"),
    "length": ("difference", "difference"),
}
"""The column that a sequence goes by, rising and falling."""
EQUALS = {
    "source": "data set",
    "family": "prompt family",
    "task_type": "task",
    "winner": "winner",
    "given": "winner with A first",
    "swapped": "winner with B first",
    "problem": "no verdict because",
    "length": "preferred answer, in length",
    "markdown": "preferred answer, in Markdown",
}
"""What a judgment can be asked to be, beside a `Filter`, and what it is called: a name of that column, or for `length` and
`markdown` the group of `audit.figures` (longer, alike, shorter; more, as much, less)."""
_STYLES = {
    "length": ("length", ALIKE, {"longer": 1, "alike": 0, "shorter": -1}),
    "markdown": ("marks", 0.0, {"more": 1, "as much": 0, "less": -1}),
}
_SAID = "select key from marks where label is not null"
_AGREES = (
    "exists (select 1 from marks join names on names.field = 'winner' and names.name = marks.label "
    "where marks.key = facts.key and names.code = facts.winner)"
)
_RIGHT_BY_PEOPLE = f"((key not in ({_SAID} or is_disputed) and is_right = 1) or {_AGREES})"
_WRONG_BY_PEOPLE = (
    f"((key not in ({_SAID} or is_disputed) and is_right = 0) or (key in ({_SAID}) and not {_AGREES}))"
)
RARE = 20_000
"""Judgments up to which those that hold a word are tested one by one."""
PATIENCE = 0.7
"""Seconds that a page may take to be put in sequence and counted."""
MOST_COUNTED = 5_000_000
"""Judgments up to which what is found is counted; a million takes up to half a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a list of judgments has to be, and in which sequence. `wanted.text` and `wanted.rubric` are read as words
    here (`rmr1.viewer.words`); the terminal finds any text."""

    wanted: Filter = field(default_factory=Filter)
    words: str | None = None
    """Words, "phrases" and begin*, all of which have to be there."""
    sort: str = "place"
    """One of `SORTS`; equal ones are in the sequence of the run."""
    is_descending: bool = False
    """Judgments without a confidence are last either way."""
    is_marked: bool = False
    """Somebody has said something of it."""
    is_called_wrong: bool = False
    """Somebody has called the judge wrong."""

    equal: tuple[tuple[str, str], ...] = ()
    """(one of `EQUALS`, what it has to be)."""
    id_start: str | None = None
    """The pair's id begins so; of a ranking's comparisons it is the question's id."""
    by_people: bool = False
    """What people agree on takes the place of the data's label; where they disagree there is none."""
    sure_from: float | None = None
    """The confidence in the winner is at least this."""
    sure_to: float | None = None
    """The confidence in the winner is less than this."""
    told_from: float | None = None
    """It is labelled, and the larger of P(A) and 1 - P(A) is at least this, whatever the verdict."""
    told_to: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.equal:
            if name not in EQUALS or (name in _STYLES and value not in _STYLES[name][2]):
                known = EQUALS if name not in EQUALS else _STYLES[name][2]
                raise ConfigError(f"{name} {shorten(value)}: expected one of {', '.join(known)}")
        if self.sort not in SORTS:
            raise ConfigError(f"sort {self.sort!r} is not one of {', '.join(SORTS)}")
        _ = self.match

    @property
    def tells_verdicts(self) -> bool:
        """Whether who sees the list knows something of each verdict in it."""
        wanted = self.wanted
        asked = (wanted.right, wanted.wrong, wanted.unparsed, wanted.failed, wanted.flips, wanted.invented)
        shares = (wanted.unsure, self.sure_from, self.sure_to, self.told_from, self.told_to)
        names = ("winner", "given", "swapped", "problem")
        return (
            any(asked)
            or any(one is not None for one in shares)
            or any(name in names for name, _ in self.equal)
            or self.sort in ("confidence", "invented")
            or self.is_called_wrong
        )

    @property
    def match(self) -> str | None:
        """The expression for the full-text index; None without words."""
        parts = [
            write_match(text, column=column, what=what)
            for text, column, what in (
                (self.words, None, "words"),
                (self.wanted.text, "texts", "text"),
                (self.wanted.rubric, "rubric", "rubric"),
            )
            if text is not None
        ]
        return " AND ".join(f"({part})" for part in parts) or None


class Found(NamedTuple):
    """A page of numbers."""

    numbers: tuple[int, ...]
    total: int
    is_total_exact: bool
    """Whether `total` is all there are, or what they are at least."""
    is_sorted: bool = True
    """Whether they are in the query's sequence; too many are left in the run's."""


class _Source(NamedTuple):
    """What rows are read from: SQL behind "from", up to and with its conditions."""

    sql: str
    values: tuple[object, ...]
    place: str = "facts.number"
    """What the judgment's number is called: of full-text search, which knows its sequence, its own name for it."""
    counted: str | None = None
    """What the same rows are counted by, if that is faster."""
    total: int | None = None
    """Rows, if it is known without counting."""

    def order(self, query: Query, *, is_back: bool = False) -> str:
        direction = "desc" if query.is_descending != is_back else "asc"
        column = _COLUMNS[query.sort][query.is_descending]
        before = "" if column == "number" else f"facts.{column} {direction}, "
        return f"order by {before}{self.place} {direction}"

    def behind(self, query: Query, *, is_back: bool = False) -> tuple[str, int]:
        """The condition of standing behind a judgment, or before it, and how many values it takes."""
        sign = ">" if query.is_descending == is_back else "<"
        column = _COLUMNS[query.sort][query.is_descending]
        if column == "number":
            return f"{self.place} {sign} ?", 1
        return f"(facts.{column}, {self.place}) {sign} (?, ?)", 2


def find_page(connection: sqlite3.Connection, query: Query, start: int, limit: int) -> Found:
    """The numbers of the page that begins with the `start`th judgment, from 0. If so many match that putting them into the
    query's sequence takes long, the page is in the run's, and they are not counted.

    Raises:
        DataError: that takes long, too.
    """
    try:
        with _bounded(connection):
            return _find_page(connection, query, start, limit)
    except sqlite3.OperationalError as error:
        if not _is_interrupted(error):
            raise
    plain = replace(query, sort="place", is_descending=False)
    source = _choose_source(connection, plain)
    try:
        with _bounded(connection):
            numbers = _select(connection, source, plain, start, limit)
    except sqlite3.OperationalError as error:
        if not _is_interrupted(error):
            raise
        raise DataError("too many judgments match to be gone through; add a rarer word or a filter") from None
    return Found(numbers, start + len(numbers) + (len(numbers) == limit), False, query.sort == "place")


def _find_page(connection: sqlite3.Connection, query: Query, start: int, limit: int) -> Found:
    source = _choose_source(connection, query)
    numbers = _select(connection, source, query, start, limit)
    if source.total is not None:
        return Found(numbers, source.total, True)
    total = _count(connection, source)
    return Found(numbers, min(total, MOST_COUNTED), total <= MOST_COUNTED)


def _select(
    connection: sqlite3.Connection, source: _Source, query: Query, start: int, limit: int
) -> tuple[int, ...]:
    found = connection.execute(
        f"select facts.number from {source.sql} {source.order(query)} limit ? offset ?",
        (*source.values, limit, start),
    )
    return tuple(number for (number,) in found)


@contextmanager
def _bounded(connection: sqlite3.Connection) -> Iterator[None]:
    """Interrupt what is asked meanwhile after `PATIENCE` seconds."""
    end = time.monotonic() + PATIENCE
    connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _is_interrupted(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT


def find_neighbours(
    connection: sqlite3.Connection, query: Query, number: int
) -> tuple[int | None, int | None]:
    """The numbers before and behind a judgment in the query's sequence, whether it is itself among those found or not."""
    source = _choose_source(connection, query)
    column = _COLUMNS[query.sort][query.is_descending]
    own = connection.execute(f"select {column} from facts where number = ?", (number,)).fetchone()
    if own is None:
        return None, None

    def find(is_back: bool) -> int | None:
        condition, num_values = source.behind(query, is_back=is_back)
        row = connection.execute(
            f"select facts.number from {source.sql} and {condition} {source.order(query, is_back=is_back)} limit 1",
            (*source.values, *(own[0], number)[-num_values:]),
        ).fetchone()
        return None if row is None else int(row[0])

    return find(True), find(False)


def find_numbers(connection: sqlite3.Connection, query: Query) -> list[int]:
    """All numbers of what is looked for, in the sequence of the run."""
    conditions, values = _list_conditions(query)
    if query.match is not None:
        conditions.append("number in (select rowid from words where words match ?)")
        values.append(query.match)
    found = connection.execute(f"select number from facts where {_all(conditions)} order by number", values)
    return [number for (number,) in found]


def _choose_source(connection: sqlite3.Connection, query: Query) -> _Source:
    conditions, values = _list_conditions(query)
    is_free, wanted, match = not conditions, _all(conditions), query.match
    if match is None:
        total = int(read_state(connection)["number"]) if is_free else None
        return _Source(f"facts where {wanted}", tuple(values), total=total)
    words = "select rowid from words where words match ?"
    some = connection.execute(f"select count(*) from ({words} limit ?)", (match, RARE + 1))
    (matched,) = some.fetchone()
    if matched <= RARE:
        total = matched if is_free else None
        return _Source(f"facts where number in ({words}) and {wanted}", (match, *values), total=total)
    joined = f"words cross join facts on facts.number = words.rowid where words match ? and {wanted}"
    counted = "words where words match ?" if is_free else joined
    if query.sort == "place":
        return _Source(joined, (match, *values), "words.rowid", counted)
    # The sign keeps SQLite from going through the words' judgments and sorting them all.
    return _Source(f"facts where +facts.number in ({words}) and {wanted}", (match, *values), counted=counted)


def _count(connection: sqlite3.Connection, source: _Source) -> int:
    """Rows, at most one more than are counted."""
    rows = f"select 1 from {source.counted or source.sql} limit ?"
    (count,) = connection.execute(
        f"select count(*) from ({rows})", (*source.values, MOST_COUNTED + 1)
    ).fetchone()
    return int(count)


def _all(conditions: list[str]) -> str:
    return " and ".join(conditions) or "true"


def _list_conditions(query: Query) -> tuple[list[str], list[object]]:
    """What `Filter.matches` says, but for words."""
    wanted = query.wanted
    conditions: list[str] = []
    values: list[object] = []
    if wanted.id is not None:
        id = clean(wanted.id)
        if len(wanted.id) >= SHORTEST_KEY:
            conditions.append("(id = ? or (key >= ? and key < ?))")
            values += [id, id, id + "\U0010ffff"]
        else:
            conditions.append("id = ?")
            values.append(id)
    if wanted.subset is not None:
        conditions.append("subset = (select code from names where field = 'subset' and name = ?)")
        values.append(clean(wanted.subset))
    if wanted.unsure is not None:
        conditions.append("winner is not null and confidence < ?")
        values.append(wanted.unsure)
    if query.id_start is not None:
        start = clean(query.id_start)
        conditions.append("(id >= ? and id < ?)")
        values += [start, start + "\U0010ffff"]
    for name, value in query.equal:
        if name in _STYLES:
            conditions.append(_compare_style(*_STYLES[name][:2], _STYLES[name][2][value]))
        else:
            conditions.append(f"{name} = (select code from names where field = ? and name = ?)")
            values += [name, clean(value)]
    if query.sure_from is not None:
        conditions.append("winner is not null and confidence >= ?")
        values.append(query.sure_from)
    if query.sure_to is not None:
        conditions.append("winner is not null and confidence < ?")
        values.append(query.sure_to)
    told = "label is not null and probability is not null and max(probability, 1 - probability)"
    if query.told_from is not None:
        conditions.append(f"{told} >= ?")
        values.append(query.told_from)
    if query.told_to is not None:
        conditions.append(f"{told} < ?")
        values.append(query.told_to)
    flags = {
        _RIGHT_BY_PEOPLE if query.by_people else "is_right = 1": wanted.right,
        _WRONG_BY_PEOPLE if query.by_people else "is_right = 0": wanted.wrong,
        "winner is null": wanted.unparsed,
        "has_failed = 1": wanted.failed,
        "has_flipped = 1": wanted.flips,
        "quotes_invented > 0": wanted.invented,
        "key in (select key from marks)": query.is_marked,
        "key in (select key from marks where is_judge_wrong)": query.is_called_wrong,
    }
    conditions += [condition for condition, is_wanted in flags.items() if is_wanted]
    return conditions, values


def _compare_style(column: str, margin: float, sign: int) -> str:
    """Whether the preferred answer has more (1), as much (0) or less (-1), as `audit.figures` groups them."""
    labels = "(select code from names where field = 'label' and name = '{}')"
    is_a, is_b = (f"label = {labels.format(side)}" for side in "AB")
    gap = f"({column}_a - {column}_b) * (case when {is_a} then 1 else -1 end)"
    limit = f"{margin} * max({column}_a, {column}_b)"
    compared = {1: f"{gap} > {limit}", 0: f"abs({gap}) <= {limit}", -1: f"{gap} < -{limit}"}[sign]
    choice = "(select code from names where field = 'kind' and name = 'choice')"
    return f"({is_a} or {is_b}) and kind is not {choice} and {compared}"
