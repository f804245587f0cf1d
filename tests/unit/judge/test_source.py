"""Data are read once before a model is loaded; a run that goes on takes their keys from that reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from rmr1.judge import source as source_module
from rmr1.judge.config import DataConfig
from rmr1.judge.source import scan_pairs
from rmr1.records import PreferencePair

ROWS: list[dict[str, Any]] = [
    {"prompt": "q", "chosen": "a", "rejected": "b"},
    {"prompt": "q", "chosen": "a", "rejected": "b"},  # once more
    {"id": "gsm8k:12", "prompt": "r", "chosen": "c", "rejected": "d"},  # has a key of earlier versions, too
    {"id": "own", "prompt": "s", "chosen": "e", "rejected": "f"},
]


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("limit", [None, 2])
def test_kept_keys_are_those_of_another_reading(pairs: str, limit: int | None) -> None:
    config = DataConfig(limit=limit)
    read, kept = (scan_pairs([pairs], config, tell=print, keeps_keys=keeps) for keeps in (False, True))
    assert read.kept is None and kept.kept is not None
    wanted = [tuple(keys) for keys in read.items()]
    assert [tuple(keys) for keys in kept.items()] == wanted
    assert len(wanted) == (limit or 4)
    assert list(kept.keys()) == list(read.keys())  # with those beyond the limit
    first, second = wanted[:2]
    assert second == (f"{first[0]}-1",)
    assert limit or len(wanted[2]) == 2


def test_a_run_that_goes_on_reads_its_data_for_the_count_and_for_what_is_left(
    pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0
    read = source_module.read_several

    def count(*args: Any, **kwargs: Any) -> Iterator[PreferencePair]:
        nonlocal readings
        readings += 1
        yield from read(*args, **kwargs)

    monkeypatch.setattr(source_module, "read_several", count)
    judge = ["judge", pairs, "-m", "scripted:hash", "-o", str(tmp_path / "run"), "--quiet"]
    numbers = []
    for _ in range(2):
        readings = 0
        assert main(judge) == 0
        numbers.append(readings)
    assert numbers == [2, 2]
    readings = 0
    assert main(["judge", "-o", str(tmp_path / "run")]) == 0
    assert readings == 1  # nothing is left
