"""Rows out of files, folders and Hugging Face datasets.

    pairs.jsonl  pairs.json  pairs.csv  pairs.tsv  pairs.parquet     also gzipped (`pairs.jsonl.gz`); a table's
                                columns may also be separated by `;`, `|` or tabs, as its header shows
    folder/                     every such file in it, sorted by path; or a `save_to_disk` folder
    org/name                    a dataset of the Hugging Face hub
    org/name:config@split       one configuration and split of it
    folder@split                one split of a folder

JSONL, CSV and Parquet are streamed; a JSON file that holds one list is read whole. A path that exists always wins
over a hub name.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import io
import itertools
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import IO, Any

import orjson

from rmr1.data import hub
from rmr1.errors import ConfigError, DataError, reason_of
from rmr1.nearest import find_nearest
from rmr1.records import Label

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
"""The kinds of file that are read; `.gz` may follow."""

# JSON files beside a dataset's rows.
_DESCRIPTIONS = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}

_CSV_FIELD_LIMIT = 1 << 30
"""Longest CSV cell, in characters; the csv module's own limit of 131,072 is below many answers."""

_DELIMITERS = (",", ";", "\t", "|")

_PARQUET_BATCH = 256

MISSING = frozenset(
    [
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
"""Cells of a CSV file that pandas reads as missing by default; so does R its NA, and databases their NULL."""


class MissingCell(str):
    """A cell of a CSV file that is one of `MISSING`. It keeps its text, which a label may be mapped by."""

    __slots__ = ()


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, or a text of a CSV file that says so."""
    return value is None or isinstance(value, MissingCell) or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a file, as it stands there."""

    data: dict[str, Any]
    """Column to value. An empty CSV cell is None, every other CSV cell is text, perhaps a `MissingCell`."""
    path: str
    """The file as it was named, or `org/name@split`."""
    line: int
    """Line (JSONL, CSV) or number of the row (JSON list, Parquet, dataset), from 1."""
    labels: Mapping[str, Label] | None = None
    """What values of its label mean by whoever reads it; None: as the row's form has it."""


def read_rows(source: str | Path, *, split: str | None = None) -> Iterator[Row]:
    """The rows of a file, a folder or a dataset.

    Raises:
        DataError: the source is missing, or a row cannot be decoded (its line is in the error).
        ConfigError: a split has to be named, or an optional library is missing.
    """

    def check(row: Row | DataError) -> Row:
        if isinstance(row, DataError):
            raise row
        return row

    return map(check, scan_rows(source, split=split))


def scan_rows(source: str | Path, *, split: str | None = None) -> Iterator[Row | DataError]:
    """The rows of `read_rows`; one that cannot be decoded comes out as its error."""
    path = Path(source)
    if split is None:
        base, split = part_split(str(source))
        path = Path(base)
    if path.is_dir():
        return _scan_folder(path, split)
    if path.exists():
        if split is not None:
            raise ConfigError(f"{path}: a file has no splits; name it without @{split}")
        return _scan_file(path)
    if kind_of(path) is None and (name := hub.parse_dataset_name(str(source))) is not None:
        return _number_rows(*hub.open_dataset(name, split))
    raise DataError(find_missing_source(source) or "no such file or folder", path=path)


def find_missing_source(source: str | Path) -> str | None:
    """What is wrong with a source that is neither there nor of the form of a hub name."""
    if is_pattern(str(source)):
        return "no file fits this pattern"
    path = Path(part_split(str(source))[0])
    if path.exists() or (kind_of(path) is None and hub.parse_dataset_name(str(source)) is not None):
        return None
    return f"no such file or folder{_near(path)}"


def is_pattern(name: str) -> bool:
    """Whether the name is a pattern such as `data/*.jsonl`, and nothing is called so."""
    return any(sign in name for sign in "*?[") and not Path(name).exists()


def expand_pattern(name: str) -> list[str]:
    """The files that fit a pattern, sorted; any other name itself."""
    return sorted(glob(name, recursive=True)) if is_pattern(name) else [name]


def expand_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names with the files of patterns in their place, each once; a pattern that no file fits stays."""
    names = (names,) if isinstance(names, str) else names
    found: dict[str, str] = {}
    for file in (file for name in names for file in expand_pattern(name) or [name]):
        place = file
        with contextlib.suppress(ValueError):  # a name that no file can have, which its reader says
            place = os.path.realpath(file)
        found.setdefault(place, file)
    return tuple(found.values())


def part_split(source: str) -> tuple[str, str | None]:
    """`folder@split` as its two parts, if the folder is there and nothing has the whole name."""
    base, at, split = source.rpartition("@")
    is_parted = bool(at) and not Path(source).exists() and Path(base).exists()
    return (base, split) if is_parted else (source, None)


def kind_of(path: Path) -> str | None:
    """The file's suffix without `.gz`, where it is one of `SUFFIXES`."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


@functools.lru_cache(maxsize=64)  # asked for every row
def stem_of(path: str) -> str:
    """`pairs` for `data/pairs.jsonl.gz`."""
    name = Path(path).name
    name = name[:-3] if name.lower().endswith(".gz") else name
    kind = kind_of(Path(name))
    return name[: -len(kind)] if kind else name


def _near(path: Path) -> str:
    try:
        near = find_nearest(path.name, (file.name for file in path.parent.iterdir()))
    except OSError:
        return ""
    return f"; did you mean {near!r}?" if near else ""


def _scan_folder(folder: Path, split: str | None) -> Iterator[Row | DataError]:
    if hub.is_saved_dataset(folder):
        return _number_rows(*hub.open_saved_dataset(folder, split))
    files = list_files(folder)
    kept = [file for file in files if split is None or _is_of_split(file.relative_to(folder), split)]
    if not kept:
        shown = ", ".join(file.relative_to(folder).as_posix() for file in files[:5])
        more = f" and {len(files) - 5} more" if len(files) > 5 else ""
        raise ConfigError(f"{folder}: no file of split {split!r}; it has {shown}{more}")
    return itertools.chain.from_iterable(map(_scan_file, kept))


def list_files(folder: Path) -> list[Path]:
    """The files of rows in a folder and below it, sorted, without hidden ones and descriptions; at least one."""
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if kind_of(file) is not None
        and file.name not in _DESCRIPTIONS
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    ]
    if not files:
        raise DataError(
            f"no data in the folder; expected files that end with {', '.join(SUFFIXES)}", path=folder
        )
    return files


def _is_of_split(file: Path, split: str) -> bool:
    stem = stem_of(file.name)
    return (
        split in file.parts[:-1] or stem == split or stem.startswith((f"{split}-", f"{split}_", f"{split}."))
    )


def _number_rows(path: str, rows: Iterable[dict[str, Any]]) -> Iterator[Row]:
    for number, data in enumerate(rows, start=1):
        yield Row(data=data, path=path, line=number)


def _scan_file(path: Path) -> Iterator[Row | DataError]:
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"unknown kind of file; expected {', '.join(SUFFIXES)}, also .gz", path=path)
    try:
        with _open(path) as handle:
            if kind == ".parquet":
                yield from _scan_parquet(handle, path)
            elif kind in (".csv", ".tsv"):
                yield from _scan_csv(handle, str(path), "," if kind == ".csv" else "\t")
            else:
                yield from _scan_json(handle, str(path), one_value=kind == ".json")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"the gzip file is damaged: {error}", path=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked if it begins like gzip."""
    with path.open("rb") as raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as unpacked, io.BufferedReader(unpacked) as handle:
                yield handle
        else:
            yield raw


def _scan_json(handle: IO[bytes], path: str, *, one_value: bool) -> Iterator[Row | DataError]:
    lines = enumerate(handle, start=1)
    number, first, offset = 0, b"", 0
    for number, line in lines:
        first = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        offset += len(line) - len(first)
        if first.strip():
            break
        offset += len(first)
    if not first.strip():
        return
    start = first.lstrip()[:1]
    rest: Iterable[tuple[int, bytes]] = lines
    if start == b"[" or one_value:
        second = next(((later, line) for later, line in lines if not line.isspace()), None)
        is_one_line = second is None
        if second is not None:
            rest = itertools.chain([second], lines)
        if start == b"[" or is_one_line or isinstance(_decode(first, 0), str):
            before = b"\n" * (number - 1)
            between = b"" if second is None else b"\n" * (second[0] - number - 1)
            text = before + first + between + b"".join(line for _, line in rest)
            yield from _scan_value(text, path)
            return
    for place, line in itertools.chain([(number, first)], rest):
        if not line.isspace():
            yield _row(_decode(line, offset), path, place)
        offset += len(line)


def _scan_value(text: bytes, path: str) -> Iterator[Row | DataError]:
    value = _decode(text, None)
    if isinstance(value, str):
        raise DataError(value, path=path)
    rows = value[0]
    if isinstance(rows, dict):
        rows = _rows_inside(rows)
    if not isinstance(rows, list):
        raise DataError("not a list of objects, nor an object that holds one", path=path)
    for number, one in enumerate(rows, start=1):
        yield _row((one,), path, number)


def _rows_inside(value: dict[str, Any]) -> list[Any]:
    """The one list of objects that `value` holds, or `value` itself as the only row.

    A list of messages is no list of rows: `{"messages": [{"role": ...}]}` is a row.
    """
    lists = [
        one
        for one in value.values()
        if isinstance(one, list)
        and one
        and all(isinstance(row, dict) and "role" not in row and "from" not in row for row in one)
    ]
    return lists[0] if len(lists) == 1 else [value]


def _row(value: tuple[Any] | str, path: str, number: int) -> Row | DataError:
    if isinstance(value, str):
        return DataError(value, path=path, line=number)
    if not isinstance(value[0], dict):
        return DataError(f"the row is {describe(value[0])}, expected an object", path=path, line=number)
    return Row(data=value[0], path=path, line=number)


def describe(value: Any) -> str:
    """What kind of JSON value it is, for an error."""
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _decode(text: bytes, offset: int | None) -> tuple[Any] | str:
    """The value in a tuple, or what is wrong. `offset` is where the line starts in its file."""
    try:
        return (orjson.loads(text),)
    except orjson.JSONDecodeError:
        pass
    # orjson refuses lone surrogates and NaN, which real files hold; the standard library reads them.
    try:
        return (json.loads(text.decode("utf-8").rstrip()),)
    except UnicodeDecodeError as error:
        place = error.start
        where = f"at byte {place + 1} of the line, {(offset or 0) + place + 1} of the file"
        if offset is None:
            where = "on line " + str(text.count(b"\n", 0, place) + 1)
        return f"not UTF-8: byte 0x{text[place]:02x} {where}"
    except json.JSONDecodeError as error:
        line = "" if offset is not None else f"line {error.lineno}, "
        # One of the library's messages ends so itself.
        return f"invalid JSON: {error.msg.removesuffix(' at')} at {line}column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"invalid JSON: {error}"


def _scan_csv(handle: IO[bytes], path: str, delimiter: str) -> Iterator[Row | DataError]:
    if csv.field_size_limit() < _CSV_FIELD_LIMIT:
        csv.field_size_limit(_CSV_FIELD_LIMIT)
    # A byte that is not UTF-8 becomes a lone surrogate, so that it spoils its own row only.
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        delimiter, skipped, lines = _find_delimiter(text, delimiter)
        yield from _scan_table(csv.reader(lines, delimiter=delimiter, strict=True), path, skipped)
    finally:
        text.detach()  # whoever opened the handle closes it


def _find_delimiter(text: io.TextIOWrapper, expected: str) -> tuple[str, int, Iterable[str]]:
    """The delimiter, how many lines were taken away (Excel's `sep=;`), and the others.

    It is the expected one, but if the header is a single column then, the one that gives the most columns.
    """
    header = text.readline()
    if (said := re.fullmatch("sep=(.)", header.strip("\r\n"))) is not None:
        return said[1], 1, text
    read = [header]
    while header and not header.strip():
        header = text.readline()
        read.append(header)
    counts = {one: len(next(csv.reader([header], delimiter=one), [])) for one in (expected, *_DELIMITERS)}
    delimiter = expected if counts[expected] != 1 else max(counts, key=counts.__getitem__)
    return delimiter, 0, itertools.chain(read, text)


def _scan_table(reader: Any, path: str, skipped: int) -> Iterator[Row | DataError]:
    header: list[str] | None = None
    while True:
        line = reader.line_num + skipped + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield DataError(f"invalid CSV: {error}", path=path, line=line)
            continue
        if not cells:
            continue
        if (bad := _bad_byte(cells)) is not None:
            problem = DataError(f"not UTF-8: byte 0x{bad:02x}", path=path, line=line)
            if header is None:
                raise problem
            yield problem
        elif header is None:
            header = cells
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise DataError(f"the column {twice!r} occurs twice", path=path, line=line)
        elif len(cells) != len(header):
            yield DataError(f"{len(cells)} cells, but the header has {len(header)}", path=path, line=line)
        else:
            # A column without a name is the index that pandas writes.
            data = {
                name: MissingCell(cell) if cell.strip() in MISSING else cell or None
                for name, cell in zip(header, cells, strict=True)
                if name
            }
            yield Row(data=data, path=path, line=line)


def _bad_byte(cells: list[str]) -> int | None:
    letters = itertools.chain.from_iterable(cell for cell in cells if not cell.isascii())
    return next((ord(one) - 0xDC00 for one in letters if "\udc80" <= one <= "\udcff"), None)


def _scan_parquet(handle: IO[bytes], path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(f"{path}: Parquet needs pyarrow; pip install 'rmr1[parquet]'") from None
    whole = handle if isinstance(handle, io.BufferedReader) and isinstance(handle.raw, io.FileIO) else None
    try:
        table = pyarrow.parquet.ParquetFile(whole or io.BytesIO(handle.read()))
        number = 0
        for batch in table.iter_batches(batch_size=_PARQUET_BATCH):
            for data in batch.to_pylist():
                number += 1
                yield Row(data=data, path=str(path), line=number)
    except pyarrow.ArrowException as error:
        raise DataError(f"not a Parquet file, or damaged: {reason_of(error)}", path=path) from None
