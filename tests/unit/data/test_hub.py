"""Hugging Face datasets: folders saved by the library, names, and what is said when it fails."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from rmr1.data import hub, read_pairs, read_rows
from rmr1.data.hub import DatasetName, open_dataset, parse_dataset_name
from rmr1.errors import ConfigError, DataError

ROWS = [
    {
        "chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": f"good {i}"}],
        "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "bad"}],
    }
    for i in range(3)
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", DatasetName(name="org/name")),
        ("org/name@train", DatasetName(name="org/name", split="train")),
        ("org/n.a-me:conf", DatasetName(name="org/n.a-me", config="conf")),
        ("org/name:conf@train[:10%]", DatasetName(name="org/name", config="conf", split="train[:10%]")),
        ("name", None),
        ("./org/name", None),
        ("/org/name", None),
        ("a/b/c", None),
        ("org/name:", None),
    ],
)
def test_names(text, expected):
    assert parse_dataset_name(text) == expected


def test_a_saved_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)
    assert [row.data for row in read_rows(folder)] == ROWS
    pairs = list(read_pairs(folder))
    assert [pair.id for pair in pairs] == ["saved:1", "saved:2", "saved:3"]
    assert pairs[2].response_a[0].content == "good 2"
    with pytest.raises(ConfigError, match="has no splits; name it without @train"):
        list(read_rows(f"{folder}@train"))


def test_a_saved_dataset_with_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    parts = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:1])}
    datasets.DatasetDict(parts).save_to_disk(folder)
    assert len(list(read_rows(f"{folder}@train"))) == 3
    (row,) = read_rows(folder, split="test")
    assert (row.path, row.line) == (f"{folder}@test", 1)
    with pytest.raises(ConfigError) as caught:
        read_rows(folder)
    assert str(caught.value) == f"{folder} has several splits; name one of train, test, as in {folder}@train"
    with pytest.raises(ConfigError, match="has no split 'dev'; name one of train, test"):
        read_rows(folder, split="dev")
    (folder / "train" / "state.json").unlink()
    with pytest.raises(DataError, match="not readable as a saved dataset: "):
        read_rows(folder, split="train")


def test_the_library_loads_a_dataset_by_name(tmp_path, monkeypatch):
    """A local folder in the hub's layout goes through the same calls as a name of the hub."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "dataset" / "data"
    folder.mkdir(parents=True)
    datasets.Dataset.from_list(ROWS).to_parquet(folder / "train-00000-of-00001.parquet")
    path, rows = open_dataset(DatasetName(name=str(folder.parent)), None)
    assert path == f"{folder.parent}@train"
    assert list(rows) == ROWS


def fake_library(**calls):
    return SimpleNamespace(DatasetDict=dict, **calls)


class FakeDataset:
    def iter(self, batch_size):
        assert batch_size > 1
        yield {"x": [1, 2], "y": ["a", "b"]}
        yield {"x": [3], "y": ["c"]}


def test_hub_rows_are_numbered_and_named(monkeypatch):
    asked = []

    def load_dataset(name, config, *, split):
        asked.append((name, config, split))
        return FakeDataset()

    library = fake_library(load_dataset=load_dataset, get_dataset_split_names=lambda name, config: ["only"])
    monkeypatch.setattr(hub, "_import_datasets", lambda name: library)
    rows = list(read_rows("org/name:conf"))
    assert asked == [("org/name", "conf", "only")]
    assert [(row.path, row.line, row.data) for row in rows] == [
        ("org/name@only", 1, {"x": 1, "y": "a"}),
        ("org/name@only", 2, {"x": 2, "y": "b"}),
        ("org/name@only", 3, {"x": 3, "y": "c"}),
    ]
    list(read_rows("org/name@dev", split="test"))
    assert asked[-1] == ("org/name", None, "test")


def test_hub_errors_are_one_line(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route\nto host")

    library = fake_library(load_dataset=refuse, get_dataset_split_names=lambda name, config: ["a", "b"])
    monkeypatch.setattr(hub, "_import_datasets", lambda name: library)
    with pytest.raises(ConfigError, match="org/name has several splits; name one of a, b, as in org/name@a"):
        read_rows("org/name")
    with pytest.raises(DataError) as caught:
        read_rows("org/name@a")
    assert str(caught.value) == (
        "org/name: no such file or folder, and no Hugging Face dataset of that name could be read: no route"
    )


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError) as caught:
        read_rows("org/name")
    assert str(caught.value) == (
        "org/name: no such file or folder of rows; a Hugging Face dataset needs pip install 'rmr1[datasets]'"
    )
