"""Reading pairs: column maps, errors that are raised, skipped or refuse the file, limits, ids."""

from __future__ import annotations

import csv
import json
import math
import pickle
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import rmr1
from rmr1.data import read_candidates, read_pairs
from rmr1.data.read import read_sourced_pairs
from rmr1.errors import ConfigError, DataError
from rmr1.faces import speaking

GOOD = {"prompt": "Q", "response_a": "a", "response_b": "b", "label": "A"}
MINE = {"question": "Q", "better": "good", "worse": "bad", "when": 3}


@pytest.fixture(autouse=True)
def at_the_command_line() -> Iterator[None]:
    """Settings are told as the flags that they are there (tests/unit/test_faces.py has those of Python)."""
    with speaking("command"):
        yield


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def error_of(*arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        list(read_pairs(*arguments, **options))
    return str(caught.value)


def test_it_is_public():
    assert rmr1.read_pairs is read_pairs
    assert rmr1.read_candidates is read_candidates


def test_an_error_names_file_and_line(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [GOOD, {**GOOD, "label": "C"}])
    pairs = read_pairs(path)
    assert next(pairs).id == "pairs:1"
    with pytest.raises(DataError) as caught:
        next(pairs)
    assert str(caught.value) == f"{path}:2: label 'C' is not 'A', 'B' or 'tie'"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_skipped_rows_are_reported_and_the_others_read(tmp_path):
    path = write(
        tmp_path / "pairs.jsonl",
        [GOOD, "{", {**GOOD, "response_a": ""}, "[]", {"prompt": "Q"}, {**GOOD, "id": "last"}],
    )
    errors: list[DataError] = []
    assert [pair.id for pair in read_pairs(path, on_error="skip", errors=errors)] == ["pairs:1", "last"]
    assert [error.line for error in errors] == [2, 3, 4, 5]
    assert str(errors[1]) == f"{path}:3: 'response_a' is empty"
    assert errors[3].message.startswith("no known form has the columns 'prompt'; ")
    seen: list[str] = []
    assert len(list(read_pairs(path, on_error="skip", errors=lambda error: seen.append(str(error))))) == 2
    assert seen == [str(error) for error in errors]
    assert len(list(read_pairs(path, on_error="skip"))) == 2


def test_rows_before_the_first_known_one_are_reported_too(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [{"x": 1}, {"y": 2}, GOOD])
    errors: list[DataError] = []
    assert len(list(read_pairs(path, on_error="skip", errors=errors))) == 1
    assert [error.line for error in errors] == [1, 2]


@pytest.mark.parametrize("num_rows", [1, 5, 500])
def test_a_file_of_unknown_columns_is_one_error(tmp_path, num_rows):
    path = write(tmp_path / "pairs.jsonl", [{"question": "Q", "reply": "a"}] * num_rows)
    errors: list[DataError] = []
    assert error_of(path, on_error="skip", errors=errors) == (
        f"{path}:1: no known form has the columns 'question' and 'reply'; name yours with --map, as in "
        "--map prompt=question --map chosen=better --map rejected=worse"
    )
    assert errors == []


def test_an_unknown_file_between_known_ones_is_refused(tmp_path):
    write(tmp_path / "a.jsonl", [GOOD])
    write(tmp_path / "b.jsonl", [{"x": 1}])
    write(tmp_path / "c.jsonl", [GOOD])
    assert error_of(tmp_path, on_error="skip").startswith(f"{tmp_path / 'b.jsonl'}:1: no known form")


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        (
            MINE,
            "no known form has the columns 'question', 'better', 'worse' and 'when'; if they mean what they "
            "say, pass --map prompt=question --map chosen=better --map rejected=worse",
        ),
        (
            {"prompt": "Q", "Answer A": "a", "Answer B": "b"},
            "no known form has the columns 'prompt', 'Answer A' and 'Answer B'; if they mean what they say, "
            "pass --map 'response_a=Answer A' --map 'response_b=Answer B'",
        ),
        (
            {"prompt": "Q", "chosen": "a", "other": "b"},
            "no known form has the columns 'prompt', 'chosen' and 'other'; the nearest is 'trl-explicit', "
            "which lacks 'rejected': name them with --map rejected=COLUMN",
        ),
        ({}, "the row has no columns; name yours with --map, as in --map prompt=question --map chosen=better --map rejected=worse"),
    ],
)  # fmt: skip
def test_advice_for_unknown_columns(tmp_path, row, advice):
    path = write(tmp_path / "pairs.jsonl", [row])
    assert error_of(path) == f"{path}:1: {advice}"


def test_columns_are_mapped(tmp_path):
    path = write(tmp_path / "mine.jsonl", [MINE])
    (pair,) = read_pairs(path, columns={"prompt": "question", "chosen": "better", "rejected": "worse"})
    assert (pair.prompt[0].text, pair.response_a[0].text, pair.response_b[0].text) == ("Q", "good", "bad")
    assert (pair.id, pair.label) == ("mine:1", "A")
    (pair,) = read_pairs(
        path, columns={"prompt": "question", "response_a": "worse", "response_b": "better", "id": "when"}
    )
    assert (pair.id, pair.response_a[0].text, pair.label) == ("3", "bad", None)


def test_a_map_may_exchange_columns(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"prompt": "Q", "chosen": "bad", "rejected": "good"}])
    (pair,) = read_pairs(path, columns={"chosen": "rejected", "rejected": "chosen"})
    assert (pair.response_a[0].text, pair.response_b[0].text) == ("good", "bad")


def test_a_mapped_column_must_be_there(tmp_path):
    path = write(tmp_path / "mine.jsonl", [MINE, MINE])
    expected = f"{path}:1: no column 'best' to map; the columns are 'question', 'better', 'worse' and 'when'"
    assert error_of(path, columns={"chosen": "best"}) == expected
    assert error_of(path, columns={"chosen": "best"}, on_error="skip") == expected


def test_a_slip_in_the_name_of_the_label_is_refused(tmp_path):
    for name in ("lable", "labels", "labl", "lebel"):
        path = write(
            tmp_path / "pairs.jsonl", [{"prompt": "Q", "response_a": "a", "response_b": "b", name: "A"}]
        )
        assert (
            error_of(path) == f"{path}:1: unknown column {name!r} in the form 'rmr1'; did you mean 'label'?"
        )


def test_our_own_form_passes_over_other_columns(tmp_path):
    row = {**GOOD, "zzz": 1, "labels": ["x"], "meta": {"annotator": 3}, "score": 0.5}
    path = write(tmp_path / "pairs.jsonl", [row])
    assert list(read_pairs(path)) == list(read_pairs(write(tmp_path / "plain" / "pairs.jsonl", [GOOD])))
    (found,) = read_sourced_pairs(path)
    assert found.row.data == row


def test_other_forms_pass_over_other_columns(tmp_path):
    row = {"prompt": "Q", "chosen": "a", "rejected": "b", "margin": 0.3}
    assert len(list(read_pairs(write(tmp_path / "pairs.jsonl", [row])))) == 1


def test_a_form_can_be_named(tmp_path):
    row = {"id": 4, "subset": "s", "prompt": "Q", "chosen": "a", "rejected": "b"}
    path = write(tmp_path / "pairs.jsonl", [row])
    (pair,) = read_pairs(path, format="trl-explicit")
    assert (pair.id, pair.source) == ("4", None)
    assert error_of(path, format="rmr1", on_error="skip") == (
        f"{path}:1: no column 'response_a'; the form 'rmr1' needs 'prompt', 'response_a' and 'response_b'"
    )
    with pytest.raises(ConfigError, match="no data format 'trl'"):
        read_pairs(path, format="trl")


def test_lists_and_pairs_are_told_apart(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [GOOD])
    with pytest.raises(DataError) as caught:
        list(read_candidates(path, on_error="skip"))
    assert str(caught.value) == (
        f"{path}:1: the form 'rmr1' holds pairs; lists are read from "
        "'rmr1-candidates', 'nemo-rl', 'nectar', 'rewardbench2' and 'rmb-bon'"
    )


def test_limit_counts_pairs(tmp_path):
    row = {"id": 8, "prompt": "Q", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"]}
    path = write(tmp_path / "chat_filtered.jsonl", [row, row, "broken"])
    assert [pair.id for pair in read_pairs(path, limit=10)][-2:] == ["8/c2r2", "8/c0r0"]
    assert list(read_pairs(path, limit=0)) == []
    with pytest.raises(ConfigError, match="limit -1 is below 0"):
        read_pairs(path, limit=-1)
    with pytest.raises(ConfigError, match="on_error 'ignore' is not 'raise' or 'skip'"):
        read_pairs(path, on_error="ignore")


def test_a_bad_row_of_several_pairs_gives_none(tmp_path):
    row = {"id": 8, "prompt": "Q", "chosen": ["a", "b", "c"], "rejected": ["d", "e", ""]}
    errors: list[DataError] = []
    path = write(tmp_path / "chat_filtered.jsonl", [row])
    assert list(read_pairs(path, on_error="skip", errors=errors)) == []
    assert [str(error) for error in errors] == [f"{path}:1: 'rejected[2]' is empty"]


def test_csv_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(
        'id,prompt,response_a,response_b,label\n,"Q, or ""q""","a\nb",c,\n7,Q,a,b,tie\n8,Q,,b,A\n'
    )
    errors: list[DataError] = []
    first, second = read_pairs(path, on_error="skip", errors=errors)
    assert (first.id, first.label, first.prompt[0].text) == ("pairs:2", None, 'Q, or "q"')
    assert first.response_a[0].text == "a\nb"
    assert (second.id, second.label) == ("7", "tie")
    assert [str(error) for error in errors] == [f"{path}:5: 'response_a' is empty"]


def test_numbers_as_texts_in_csv(tmp_path):
    path = tmp_path / "llmbar_natural.csv"
    path.write_text("input,output_1,output_2,label\nQ,a,b,2\nQ,a,b,1.0\n")
    assert [pair.label for pair in read_pairs(path)] == ["B", "A"]


def test_rows_of_one_file_may_have_different_forms(tmp_path):
    path = write(tmp_path / "mixed.jsonl", [GOOD, {"prompt": "Q", "chosen": "a", "rejected": "b"}])
    assert len(list(read_pairs(path))) == 2


def test_missing_files_are_said_at_once(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.jsonl: no such file or folder"):
        read_pairs(tmp_path / "nothing.jsonl", on_error="skip")


def test_memory_is_flat(tmp_path):
    path = write(tmp_path / "pairs.jsonl", ({**GOOD, "response_a": "x" * 200} for _ in range(20_000)))
    next(read_pairs(path))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_pairs(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 2_000_000  # the file itself has 5 MB


BLANK = ["", "NaN", "nan", "NA", "N/A", "NULL", "null", "None", "<NA>", " NaN "]


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("column", ["prompt", "response_a", "response_b"])
def test_a_missing_text_makes_a_bad_row_of_a_table(blank: str, column: str, tmp_path: Path) -> None:
    good = {"prompt": "q", "response_a": "a", "response_b": "b"}
    path = write_table(tmp_path / "t.csv", [good, {**good, column: blank}, good])
    errors: list[DataError] = []
    assert len(list(read_pairs(path, on_error="skip", errors=errors))) == 2
    assert [error.line for error in errors] == [3] and repr(column) in errors[0].message
    if blank.strip():
        assert repr(blank) in errors[0].message and "JSON lines" in errors[0].message
    # Where texts are told from missing values, the same word is a text.
    if blank.strip():
        path = tmp_path / "t.jsonl"
        path.write_text(json.dumps({**good, column: blank}) + "\n")
        assert len(list(read_pairs(path))) == 1


@pytest.mark.parametrize("blank", BLANK[:-1])
def test_missing_cells_beside_the_texts_are_absent(blank: str, tmp_path: Path) -> None:
    row = {"id": blank, "system": blank, "prompt": "q", "response_a": "a", "response_b": "b"}
    row |= {"label": blank, "subset": blank, "source": blank}
    path = write_table(tmp_path / "t.csv", [row])
    (pair,) = read_pairs(path)
    assert (pair.id, pair.label, pair.subset, pair.source, len(pair.prompt)) == ("t:2", None, None, None, 1)
    assert [one.label for one in read_pairs(path, labels={"1": "A"})] == [None]
    if blank:
        assert [one.label for one in read_pairs(path, labels={"1": "A", blank: "tie"})] == ["tie"]
    (pair,) = read_pairs(
        write_table(
            tmp_path / "i.csv", [{"instruction": "q", "input": blank, "chosen": "a", "rejected": "b"}]
        )
    )
    assert pair.prompt[0].text == "q"


def test_a_table_is_read_alike_in_every_form(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = [{"system": None, "prompt": "q1", "response_a": "a", "response_b": "b", "label": "A"},
            {"system": "s", "prompt": "q2", "response_a": None, "response_b": "b", "label": "B"},
            {"system": "s", "prompt": None, "response_a": "a", "response_b": "b", "label": "B"},
            {"system": "s", "prompt": "q4", "response_a": "a", "response_b": "b", "label": None}]  # fmt: skip
    frame = pandas.DataFrame(rows)
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.to_csv(tmp_path / "nan.csv", index=False, na_rep="NaN")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    numbers = frame.assign(system=math.nan)
    numbers.to_parquet(tmp_path / "floats.parquet")  # a column of nothing but NaN is one of numbers there
    sources = [frame, *sorted(tmp_path.glob("*.*"))]
    for source in sources:
        errors: list[DataError] = []
        pairs = list(read_pairs(source, on_error="skip", errors=errors))
        assert [pair.prompt[-1].text for pair in pairs] == ["q1", "q4"], source
        assert [pair.label for pair in pairs] == ["A", None] and len(pairs[0].prompt) == 1
        assert ["response_a" in error.message for error in errors] == [True, False]
    for name in ("plain.csv", "nan.csv"):
        assert len(list(read_pairs(pandas.read_csv(tmp_path / name), on_error="skip", errors=[]))) == 2
