"""Pairs out of Python objects: frames, datasets, dicts, iterables."""

from __future__ import annotations

import math
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from rmr1 import read_pairs
from rmr1.errors import ConfigError, DataError
from rmr1.messages import Message, assistant, user
from rmr1.records import PreferencePair

ROWS = [
    {"prompt": "q1", "chosen": "good", "rejected": "bad"},
    {"prompt": "q2", "chosen": "fine", "rejected": "poor"},
]
MESSAGES = {
    "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
    "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
}


class Frame:
    """What a pandas DataFrame offers, and no more."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows = rows
        self.columns = list(rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self):
        return iter(self.columns)

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows


class PolarsFrame:
    def __init__(self, rows: list[dict[str, Any]]):
        self.rows = rows
        self.columns = list(rows[0])

    def __iter__(self):
        return iter(self.columns)

    def iter_rows(self, *, named: bool):
        assert named
        return iter(self.rows)


class Split:
    def __init__(self, rows: list[dict[str, Any]]):
        self.rows, self.features = rows, {}

    def __iter__(self):
        return iter(self.rows)


class DatasetDict(dict):
    pass


def texts(pairs: Any) -> list[tuple[str, str, str, str | None]]:
    return [(one.prompt[-1].text, one.response_a[0].text, one.response_b[0].text, one.label) for one in pairs]


EXPECTED = [("q1", "good", "bad", "A"), ("q2", "fine", "poor", "A")]
Named = namedtuple("Named", ["prompt", "chosen", "rejected"])


@pytest.mark.parametrize(
    "source",
    [
        ROWS,
        tuple(ROWS),
        (row for row in ROWS),
        {"prompt": ["q1", "q2"], "chosen": ["good", "fine"], "rejected": ["bad", "poor"]},
        [Named(**row) for row in ROWS],
        Frame(ROWS),
        PolarsFrame(ROWS),
        Split(ROWS),
        DatasetDict(train=Split(ROWS)),
    ],
    ids=lambda source: type(source).__name__,
)
def test_rows_of_every_kind(source: Any) -> None:
    assert texts(read_pairs(source)) == EXPECTED


def test_one_row_and_pairs_among_rows() -> None:
    assert texts(read_pairs(ROWS[0])) == EXPECTED[:1]
    assert texts(read_pairs(MESSAGES)) == [("q", "good", "bad", "A")]
    pair = PreferencePair(
        id="p", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )
    assert [one.id for one in read_pairs([ROWS[0], pair, ROWS[1]])] == ["list:1", "p", "list:3"]
    assert list(read_pairs(pair)) == [pair]
    assert texts(read_pairs(ROWS, limit=1)) == EXPECTED[:1]
    assert (
        texts(
            read_pairs(
                [{"q": "q1", "x": "good", "y": "bad"}],
                columns={"prompt": "q", "chosen": "x", "rejected": "y"},
            )
        )
        == EXPECTED[:1]
    )


def test_pandas_and_what_its_cells_hold() -> None:
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    assert texts(read_pairs(pandas.DataFrame(ROWS))) == EXPECTED
    assert texts(read_pairs(pandas.DataFrame(ROWS).iloc[1])) == EXPECTED[1:]
    many = pandas.DataFrame(
        [{**ROWS[0], "prompt": f"q{number}"} for number in range(600)], index=range(600, 0, -1)
    )
    assert [one[0] for one in texts(read_pairs(many))] == [f"q{number}" for number in range(600)]
    arrays = pandas.DataFrame({name: [numpy.array(value, dtype=object)] for name, value in MESSAGES.items()})
    assert texts(read_pairs(arrays)) == [("q", "good", "bad", "A")]
    labelled = pandas.DataFrame(
        {
            "prompt": ["q"] * 3,
            "response_a": ["x"] * 3,
            "response_b": ["y"] * 3,
            "label": ["A", None, math.nan],
        }
    )
    assert [one.label for one in read_pairs(labelled)] == ["A", None, None]


@pytest.mark.parametrize("empty", [math.nan, None, "", "  "])
def test_an_empty_cell_is_named(empty: Any) -> None:
    frame = Frame([*ROWS, {"prompt": "q3", "chosen": empty, "rejected": "bad"}])
    with pytest.raises(DataError, match=r"^Frame:3: 'chosen' is empty$"):
        list(read_pairs(frame))
    errors: list[DataError] = []
    assert texts(read_pairs(frame, on_error="skip", errors=errors)) == EXPECTED
    assert [str(error) for error in errors] == ["Frame:3: 'chosen' is empty"]


def test_a_missing_value_of_pandas_is_an_empty_cell() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"prompt": ["q"], "chosen": [pandas.NA], "rejected": ["bad"]}, dtype="string")
    with pytest.raises(DataError, match=r"^DataFrame:1: 'chosen' is empty$"):
        list(read_pairs(frame))


def test_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list(ROWS)
    assert texts(read_pairs(dataset)) == EXPECTED
    assert texts(read_pairs(dataset.to_iterable_dataset())) == EXPECTED
    assert texts(read_pairs(dataset[:2])) == EXPECTED
    assert texts(read_pairs(dataset[1])) == EXPECTED[1:]
    assert texts(read_pairs(dataset.to_pandas())) == EXPECTED
    assert texts(read_pairs(dataset.data.table)) == EXPECTED
    assert texts(read_pairs(datasets.Dataset.from_list([MESSAGES]))) == [("q", "good", "bad", "A")]
    both = datasets.DatasetDict(train=dataset, test=dataset.select([0]))
    with pytest.raises(ConfigError, match=r"splits train, test; pass one of them, as in dataset\['train'\]$"):
        read_pairs(both)
    assert texts(read_pairs(both, split="test")) == EXPECTED[:1]
    with pytest.raises(ConfigError, match=r"no split 'dev'; it has train, test"):
        read_pairs(both, split="dev")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "the source of pairs is None; expected a path, a DataFrame"),
        (5, "the source of pairs is int"),
        ("", "the source of pairs is an empty text"),
        (b"pairs.jsonl", "the source of pairs is bytes"),
        (user("q"), "the source of pairs is Message"),
        ([ROWS[0], 5], "list:2: the item is int, expected a row (a dict) or a PreferencePair"),
        ([None], "list:1: the item is None"),
        (["pairs.jsonl"], "list:1: the item is a text"),
        ([ROWS], "list:1: the item is list"),
        ([{"colour": "red"}], "list:1: "),
    ],
    ids=str,
)
def test_what_is_no_source(source: Any, told: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_pairs(source))
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_messages_may_be_records() -> None:
    row = {"prompt": [Message(role="user", content="q")], "chosen": "a", "rejected": "b"}
    assert texts(read_pairs([row])) == [("q", "a", "b", "A")]
