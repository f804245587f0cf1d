"""Rows out of files: every kind of file, what is wrong with it, and flat memory."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from pathlib import Path

import pytest

from rmr1.data.files import Row, kind_of, read_rows, scan_rows, stem_of
from rmr1.errors import ConfigError, DataError


def rows_of(path: Path | str) -> list[tuple[int, dict]]:
    return [(row.line, row.data) for row in read_rows(path)]


def error_of(path: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        list(read_rows(path))
    return str(caught.value)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_jsonl_counts_blank_lines_and_passes_over_them(tmp_path):
    path = write(tmp_path / "a.jsonl", '\n{"x": 1}\n   \n{"x": 2}')
    assert rows_of(path) == [(2, {"x": 1}), (4, {"x": 2})]
    assert next(read_rows(path)) == Row(data={"x": 1}, path=str(path), line=2)


def test_jsonl_splits_at_line_feeds_only(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"x": "a\u2028b\u0085c"}\r\n{"x": 2}\r\n')
    assert rows_of(path) == [(1, {"x": "a\u2028b\u0085c"}), (2, {"x": 2})]


def test_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    assert rows_of(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"x": 1}\n')) == [(1, {"x": 1})]
    assert rows_of(write(tmp_path / "a.csv", b"\xef\xbb\xbfx,y\n1,2\n")) == [(2, {"x": "1", "y": "2"})]


def test_lone_surrogates_and_nan_are_read(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"x": "\\ud83d"}\n{"x": NaN}\n')
    (_, first), (_, second) = rows_of(path)
    assert first == {"x": "\ud83d"}
    assert second["x"] != second["x"]


def test_an_empty_file_has_no_rows(tmp_path):
    for name in ("a.jsonl", "a.json", "a.csv", "a.tsv"):
        assert rows_of(write(tmp_path / name, "")) == []
        assert rows_of(write(tmp_path / name, "\n \n" if "json" in name else "\n\n")) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[{"x": 1}, {"x": 2}]', [(1, {"x": 1}), (2, {"x": 2})]),
        ('[\n  {"x": 1},\n\n  {"x": 2}\n]\n', [(1, {"x": 1}), (2, {"x": 2})]),
        ('{"version": 1, "data": [{"x": 1}]}', [(1, {"x": 1})]),
        ('{\n "data": [{"x": 1},\n {"x": 2}]\n}', [(1, {"x": 1}), (2, {"x": 2})]),
        ('{"x": 1}\n{"x": 2}\n', [(1, {"x": 1}), (2, {"x": 2})]),
        ('{"x": 1}\n\n\n{"x": 2}\n', [(1, {"x": 1}), (4, {"x": 2})]),
        ('{"x": 1}', [(1, {"x": 1})]),
        (
            '{"context_messages": [{"role": "user", "content": "hi"}], "winner": "model_a"}',
            [(1, {"context_messages": [{"role": "user", "content": "hi"}], "winner": "model_a"})],
        ),
        ("[]", []),
    ],
)
def test_json_is_a_list_an_object_with_a_list_or_lines(tmp_path, content, expected):
    assert rows_of(write(tmp_path / "a.json", content)) == expected


def test_a_list_in_a_file_called_jsonl(tmp_path):
    assert rows_of(write(tmp_path / "a.jsonl", '[\n{"x": 1}\n]')) == [(1, {"x": 1})]


def test_csv_with_quotes_and_line_breaks(tmp_path):
    path = write(tmp_path / "a.csv", 'x,y\n"a ""b"", c","one\ntwo"\nd,\n')
    assert rows_of(path) == [(2, {"x": 'a "b", c', "y": "one\ntwo"}), (4, {"x": "d", "y": None})]


def test_csv_cells_may_be_long_and_the_index_of_pandas_is_left_out(tmp_path):
    path = write(tmp_path / "a.csv", ",x\n0," + "a" * 200_000 + "\n")
    ((line, data),) = rows_of(path)
    assert line == 2
    assert data == {"x": "a" * 200_000}


def test_tsv(tmp_path):
    assert rows_of(write(tmp_path / "a.tsv", 'x\ty\na, b\t"c\td"\n')) == [(2, {"x": "a, b", "y": "c\td"})]


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", '{"x": "1"}\n'), ("a.csv", "x\n1\n"), ("a.json", '[{"x": "1"}]')]
)
def test_gzip_is_seen_by_its_first_bytes(tmp_path, name, content):
    packed = gzip.compress(content.encode())
    assert [data for _, data in rows_of(write(tmp_path / f"{name}.gz", packed))] == [{"x": "1"}]
    assert [data for _, data in rows_of(write(tmp_path / name, packed))] == [{"x": "1"}]
    assert [data for _, data in rows_of(write(tmp_path / f"plain.{name}.gz", content))] == [{"x": "1"}]


def test_parquet_with_nested_messages(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    rows = [{"x": i, "turns": [{"role": "user", "content": f"t{i}"}]} for i in range(600)]
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert rows_of(path) == list(enumerate(rows, start=1))
    packed = write(tmp_path / "b.parquet.gz", gzip.compress(path.read_bytes()))
    assert rows_of(packed) == list(enumerate(rows, start=1))
    broken = write(tmp_path / "c.parquet", b"no parquet")
    assert error_of(broken).startswith(f"{broken}: not a Parquet file, or damaged: ")
    assert "\n" not in error_of(broken)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path / "a.parquet", b"PAR1")
    with pytest.raises(ConfigError, match=r"Parquet needs pyarrow; pip install 'rmr1\[parquet\]'"):
        list(read_rows(path))


def test_a_folder_is_read_in_order_of_paths(tmp_path):
    for name, value in [("b/two.json", [{"x": 2}]), ("a/one.jsonl", {"x": 1}), ("c.csv", None)]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write(path, "x\n3\n" if value is None else json.dumps(value))
    write(tmp_path / "README.md", "no data")
    write(tmp_path / "dataset_infos.json", "{}")
    (tmp_path / ".cache").mkdir()
    write(tmp_path / ".cache" / "z.jsonl", '{"x": 9}')
    assert [(Path(row.path).name, row.data) for row in read_rows(tmp_path)] == [
        ("one.jsonl", {"x": 1}),
        ("two.json", {"x": 2}),
        ("c.csv", {"x": "3"}),
    ]


def test_one_split_of_a_folder(tmp_path):
    for name in ("train-0.jsonl", "train-1.jsonl", "test.jsonl"):
        write(tmp_path / name, json.dumps({"x": name}))
    assert [row.data["x"] for row in read_rows(f"{tmp_path}@train")] == ["train-0.jsonl", "train-1.jsonl"]
    assert [row.data["x"] for row in read_rows(tmp_path, split="test")] == ["test.jsonl"]
    with pytest.raises(ConfigError, match=r"no file of split 'dev'; it has test\.jsonl, train-0\.jsonl"):
        list(read_rows(tmp_path, split="dev"))
    with pytest.raises(ConfigError, match="a file has no splits"):
        list(read_rows(tmp_path / "test.jsonl", split="test"))


def test_a_path_that_exists_may_hold_an_at_sign(tmp_path):
    assert rows_of(write(tmp_path / "a@b.jsonl", '{"x": 1}')) == [(1, {"x": 1})]


def test_missing_files(tmp_path):
    write(tmp_path / "pairs.jsonl", "{}")
    path = tmp_path / "pair.jsonl"
    assert error_of(path) == f"{path}: no such file or folder; did you mean 'pairs.jsonl'?"
    assert error_of("data/nothing.jsonl") == "data/nothing.jsonl: no such file or folder"
    with pytest.raises(DataError):
        read_rows(path)  # said at once, not when the first row is asked for


def test_unknown_kinds_of_file(tmp_path):
    path = write(tmp_path / "a.xlsx", "x")
    kinds = ".jsonl, .ndjson, .json, .csv, .tsv, .parquet"
    assert error_of(path) == f"{path}: unknown kind of file; expected {kinds}, also .gz"
    assert error_of(tmp_path) == f"{tmp_path}: no data in the folder; expected files that end with {kinds}"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.jsonl",
            b'{"x": 1}\n{"x": \n',
            "{path}:2: invalid JSON: Expecting value at column 6",
        ),
        (
            "a.jsonl",
            b'{"x": 1}\n{"x": "caf\xe9"}\n',
            "{path}:2: not UTF-8: byte 0xe9 at byte 11 of the line, 20 of the file",
        ),
        ("a.jsonl", b'{"x": "y\n', "{path}:1: invalid JSON: Unterminated string starting at column 7"),
        ("a.jsonl", b'{"x": 1}\n[1]\n', "{path}:2: the row is a list, expected an object"),
        ("a.jsonl", b'{"x": 1}\n3\n', "{path}:2: the row is a number, expected an object"),
        ("a.json", b'[{"x": 1}, "b"]', "{path}:2: the row is a text, expected an object"),
        (
            "a.json",
            b'[\n{"x": 1},\n{"x": }\n]',
            "{path}: invalid JSON: Expecting value at line 3, column 7",
        ),
        ("a.json", b'[\n{"x": "\xff"}\n]', "{path}: not UTF-8: byte 0xff on line 2"),
        ("a.json", b'"text"', "{path}: not a list of objects, nor an object that holds one"),
        ("a.csv", b"x,y\n1,2,3\n", "{path}:2: 3 cells, but the header has 2"),
        ("a.csv", b"x,x\n1,2\n", "{path}:1: the column 'x' occurs twice"),
        ("a.csv", b'x,y\n1,"open\n', "{path}:2: invalid CSV: unexpected end of data"),
        ("a.csv", b"x,y\n1,caf\xe9\n", "{path}:2: not UTF-8: byte 0xe9"),
        ("a.csv", b"x,caf\xe9\n1,2\n", "{path}:1: not UTF-8: byte 0xe9"),
    ],
)
def test_errors_say_where_and_what(tmp_path, name, content, expected):
    path = write(tmp_path / name, content)
    assert error_of(path) == expected.format(path=path)


def test_damaged_gzip(tmp_path):
    packed = gzip.compress(b'{"x": 1}\n' * 1000)
    path = write(tmp_path / "a.jsonl.gz", packed[: len(packed) // 2])
    assert error_of(path).startswith(f"{path}: the gzip file is damaged: ")


def test_deep_nesting_is_an_error_of_its_row(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"x": 1}\n{"x": ' + "[" * 100_000 + "\n")
    assert error_of(path).startswith(f"{path}:2: invalid JSON: ")


def test_scan_goes_on_after_a_bad_row(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"x": 1}\nbad\n{"x": "\xff"}\n{"x": 4}\n')
    found = [one.line if isinstance(one, Row) else -(one.line or 0) for one in scan_rows(path)]
    assert found == [1, -2, -3, 4]
    path = write(tmp_path / "a.csv", b'x,y\n1,2\n3\n\xff,1\n"a"b,1\n5,6\n')
    found = [one.line if isinstance(one, Row) else -(one.line or 0) for one in scan_rows(path)]
    assert found == [2, -3, -4, -5, 6]


def test_names():
    assert kind_of(Path("a/B.JSONL.GZ")) == ".jsonl"
    assert kind_of(Path("notes.txt")) is None
    assert stem_of("data/pairs.v2.jsonl.gz") == "pairs.v2"
    assert stem_of("org/name@train") == "name@train"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    path = tmp_path / name
    texts = ("x" * 300 for _ in range(50_000))
    if name == "a.parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        pyarrow = pytest.importorskip("pyarrow")
        parquet.write_table(pyarrow.table({"x": list(texts)}), path, row_group_size=1000)
    else:
        with path.open("w") as file:
            file.writelines(["x,y\n"] if name == "a.csv" else [])
            for one in texts:
                file.write(f"{one},1\n" if name == "a.csv" else json.dumps({"x": one}) + "\n")
    next(read_rows(path))  # imports are not counted
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_rows(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < 4_000_000  # the file itself has 15 MB
