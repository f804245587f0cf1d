"""Pairs and candidates out of any source: files, folders, datasets, Python objects, in every known form; read lazily.

read_pairs("pairs.jsonl")                      the form is recognised by the columns
read_pairs("answers.csv", columns={"prompt": "question", "chosen": "better", "rejected": "worse"})
read_candidates("rmb/BoN_set/")
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast, get_args

from rmr1.data.files import Row, scan_rows
from rmr1.data.objects import is_path, scan_objects
from rmr1.data.sources import READERS, Reader, find_reader, map_columns, read_form
from rmr1.data.sources.reader import is_blank, row_id, with_system
from rmr1.data.sources.values import quote_all
from rmr1.errors import ConfigError, DataError
from rmr1.messages import Messages
from rmr1.records import Candidates, Label, PreferencePair

OnError = Literal["raise", "skip"]
Errors = list[DataError] | Callable[[DataError], Any] | None
Record = TypeVar("Record", PreferencePair, Candidates, tuple[str, Messages])

_UNKNOWN_ROWS = 20
"""Rows with unknown columns at the start of a file after which the file itself is refused."""


class UnknownFormError(DataError):
    """No row of a file, or none of its first ones, has columns that are known; passing rows over does not help."""

    @classmethod
    def of(cls, error: DataError) -> UnknownFormError:
        """The same complaint about the whole file."""
        return cls(error.message, path=error.path, line=error.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedPair:
    """A pair and the row that it was read from."""

    pair: PreferencePair
    row: Row
    """The row as the file has it: under its own column names, with the columns that no reader looks at."""
    form: str


def list_formats() -> tuple[Reader, ...]:
    """Every form that can be read, by name."""
    return tuple(sorted(READERS, key=lambda reader: reader.name))


def read_pairs(
    source: Any,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Mapping[str, Label] | None = None,
    on_error: OnError = "raise",
    errors: Errors = None,
    limit: int | None = None,
) -> Iterator[PreferencePair]:
    """The pairs of a source; a row of some forms holds several. Columns that no form knows are passed over.

    Args:
        source: a path or a name (see `rmr1.data.files`), or a Python object that holds rows or pairs: a DataFrame, a
            dataset, dicts (see `rmr1.data.objects`).
        columns: our column name to the source's, for rows of no known form.
        format: a name of `list_formats()`, if the columns do not tell.
        labels: what each value of the form's label column means, in place of the form's own reading, as in
            `{"1": "A", "2": "B", "0": "tie"}`; a row with another value cannot be read.
        on_error: with "skip" a row that cannot be read goes to `errors` and reading goes on. A file
            that cannot be opened, or none of whose rows has known columns, is always raised.
        errors: a list to append to, or a function to call.
        limit: the largest number of pairs.

    Raises:
        DataError: with the source and the line.
        ConfigError: an argument is wrong, or an optional library is missing.
    """
    reading = _Reading[PreferencePair](
        lambda reader: reader.pairs, columns, format, labels, on_error, errors, limit
    )
    if is_path(source):
        return reading.read(scan_rows(source, split=split))
    items = scan_objects(source, split=split)

    def pairs() -> Iterator[PreferencePair]:
        for are_pairs, group in itertools.groupby(items, key=lambda item: isinstance(item, PreferencePair)):
            if are_pairs:
                yield from cast(Iterator[PreferencePair], group)
                continue
            for _, _, found in reading.convert(cast(Iterator[Row | DataError], group)):
                yield from found

    return itertools.islice(pairs(), limit)


def read_several(
    sources: Iterable[Any], *, errors: Errors = None, limit: int | None = None, **how: Any
) -> Iterator[PreferencePair]:
    """The pairs of several sources, as `read_pairs` reads each; bad rows go to `errors`, `limit` is of all together."""
    read = functools.partial(read_pairs, on_error="skip", errors=errors, **how)
    return itertools.islice(itertools.chain.from_iterable(map(read, sources)), limit)


def read_sourced_pairs(
    source: str | Path, *, split: str | None = None, limit: int | None = None, **how: Any
) -> Iterator[SourcedPair]:
    """The pairs of a source with their rows; arguments and errors are those of `read_pairs`."""
    reading = _Reading[PreferencePair](lambda reader: reader.pairs, limit=limit, **how)
    found = (
        SourcedPair(pair=pair, row=row, form=reader.name)
        for row, reader, pairs in reading.convert(scan_rows(source, split=split))
        for pair in pairs
    )
    return itertools.islice(found, limit)


def read_prompts(source: str | Path, *, errors: list[DataError]) -> Iterator[tuple[str, Messages]]:
    """Identifier and prompt of every pair, and of every row whose answers cannot be used, which goes to `errors` as
    well."""

    def convert(reader: Reader) -> Callable[[Row], list[tuple[str, Messages]]]:
        def read(row: Row) -> list[tuple[str, Messages]]:
            try:
                return [(pair.id, pair.prompt) for pair in reader.pairs(row)]
            except DataError as error:
                if reader.prompt is None or is_blank(prompt := with_system(row, reader.prompt(row))):
                    raise
                errors.append(_place(error, row))
                return [(row_id(row), prompt)]

        return read

    return _Reading(convert, on_error="skip", errors=errors).read(scan_rows(source))


def read_candidates(
    source: str | Path,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    on_error: OnError = "raise",
    errors: Errors = None,
    limit: int | None = None,
    fewest: int = 1,
) -> Iterator[Candidates]:
    """The best-of-N lists of a source; arguments and errors are those of `read_pairs`, but for labels. A list of less
    than `fewest` answers cannot be read."""

    def check(found: Candidates) -> Candidates:
        if (number := len(found.responses)) < fewest:
            raise DataError(f"the list holds {number} answer{'s' * (number != 1)}, expected {fewest} or more")
        return found

    def convert(reader: Reader) -> Callable[[Row], list[Candidates]]:
        if (read := reader.candidates) is None:
            names = [one.name for one in READERS if one.candidates is not None]
            raise DataError(f"the form {reader.name!r} holds pairs; lists are read from {quote_all(names)}")
        return lambda row: [check(read(row))]

    reading = _Reading(convert, columns, format, None, on_error, errors, limit)
    return reading.read(scan_rows(source, split=split))


def read_candidate_lists(
    sources: Iterable[str | Path], *, errors: Errors = None, limit: int | None = None, **how: Any
) -> Iterator[Candidates]:
    """The best-of-N lists of several sources, as `read_several` reads pairs."""
    read = functools.partial(read_candidates, on_error="skip", errors=errors, **how)
    return itertools.islice(itertools.chain.from_iterable(map(read, sources)), limit)


def check_labels(labels: Mapping[str, str] | None) -> Mapping[str, Label] | None:
    """The mapping, if all that its values mean are labels; None for an empty one."""
    for value, label in (labels or {}).items():
        if label not in get_args(Label):
            raise ConfigError(f"label {value!r} cannot mean {label!r}; expected 'A', 'B' or 'tie'")
    return cast(Mapping[str, Label], labels) or None


class _Reading(Generic[Record]):
    """Turns rows into records by the arguments of `read_pairs`, which are checked here."""

    def __init__(
        self,
        conversion: Callable[[Reader], Callable[[Row], list[Record]]],
        columns: Mapping[str, str] | None = None,
        format: str | None = None,
        labels: Mapping[str, Label] | None = None,
        on_error: OnError = "raise",
        errors: Errors = None,
        limit: int | None = None,
    ):
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"on_error {on_error!r} is not 'raise' or 'skip'")
        if limit is not None and limit < 0:
            raise ConfigError(f"limit {limit} is below 0")
        self._conversion: Callable[[Reader], Callable[[Row], list[Record]]] = conversion
        self._columns = columns
        self._reader = None if format is None else find_reader(format)
        self._labels = check_labels(labels)
        self._on_error = on_error
        self._errors = errors
        self._limit = limit

    def read(self, rows: Iterator[Row | DataError]) -> Iterator[Record]:
        found = (record for _, _, records in self.convert(rows) for record in records)
        return itertools.islice(found, self._limit)

    def convert(self, rows: Iterator[Row | DataError]) -> Iterator[tuple[Row, Reader, list[Record]]]:
        file: str | None = None
        is_known = False
        unknown: list[DataError] = []
        for original in rows:
            if isinstance(original, DataError):
                self._report(original)
                continue
            if original.path != file:
                if unknown:
                    raise UnknownFormError.of(unknown[0])
                file, is_known = original.path, False
            try:
                data = map_columns(original.data, self._columns) if self._columns else original.data
                row = replace(original, data=data, labels=self._labels)
                reader, row = read_form(row, self._reader)
                convert = self._conversion(reader)
            except DataError as error:
                placed = _place(error, original)
                if is_known:
                    self._report(placed)
                    continue
                unknown.append(placed)
                if len(unknown) == _UNKNOWN_ROWS:
                    raise UnknownFormError.of(unknown[0]) from None
                continue
            for earlier in unknown:
                self._report(earlier)
            unknown.clear()
            is_known = True
            try:
                records = convert(row)
            except DataError as error:
                self._report(_place(error, row))
            else:
                yield original, reader, records
        if unknown:
            raise UnknownFormError.of(unknown[0])

    def _report(self, error: DataError) -> None:
        if self._on_error == "raise":
            raise error
        if isinstance(self._errors, list):
            self._errors.append(error)
        elif self._errors is not None:
            self._errors(error)


def _place(error: DataError, row: Row) -> DataError:
    return error if error.path is not None else DataError(error.message, path=row.path, line=row.line)
