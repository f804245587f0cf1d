"""Runs read in the sequence of their data, and as they grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.errors import RunError
from rmr1.store.folder import is_being_written
from rmr1.store.order import RunTail, read_in_order
from rmr1.store.runs import open_run, read_judgments
from tests.unit.store.test_runs import DESCRIPTION, make_judgment


def write_finished(folder: Path, places: list[int | None]) -> None:
    """A run whose items, named by their number of finishing, stand at these places of the data."""
    with open_run(folder, DESCRIPTION) as run:
        for number, place in enumerate(places):
            if place is not None:
                run.expect(f"k{number}", place)
            run.append(f"k{number}", make_judgment(number))


@pytest.mark.parametrize(
    ("places", "order"),
    [
        ([2, 0, 1], [1, 2, 0]),
        ([0, 1, 2], [0, 1, 2]),
        ([None, None, None], [0, 1, 2]),
        ([3, None, 1, None], [1, 3, 2, 0]),
        ([1, 0, 0], [1, 2, 0]),
    ],
)
def test_judgments_come_in_the_sequence_of_the_data(
    places: list[int | None], order: list[int], tmp_path: Path
) -> None:
    write_finished(tmp_path / "run", places)
    found = list(read_in_order(tmp_path / "run"))
    assert [key for key, _ in found] == [f"k{number}" for number in order]
    assert found == [(f"k{number}", make_judgment(number)) for number in order]
    stored = list(read_judgments(tmp_path / "run"))
    assert [key for key, _ in stored] == [f"k{number}" for number in range(len(places))]


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with open_run(folder, DESCRIPTION) as run:
        tail = RunTail(folder)
        assert list(tail.read()) == [] and is_being_written(folder)
        run.append("k0", make_judgment(0))
        run.append("k1", make_judgment(1))
        assert [key for key, _ in tail.read()] == ["k0", "k1"]
        with run.path.open("ab") as file:
            file.write(b'{"key": "k2"')
        assert list(tail.read()) == []
    assert not is_being_written(folder)
    with open_run(folder, DESCRIPTION) as run:
        run.append("k2", make_judgment(2))
    assert list(tail.read()) == [("k2", make_judgment(2))]


def test_a_tail_tells_of_a_replaced_file(tmp_path: Path) -> None:
    write_finished(tmp_path, [0, 1])
    tail = RunTail(tmp_path)
    assert len(list(tail.read())) == 2
    (tmp_path / "other").write_bytes((tmp_path / "judgments.jsonl").read_bytes())
    (tmp_path / "other").replace(tmp_path / "judgments.jsonl")
    with pytest.raises(RunError, match="replaced by another file"):
        list(tail.read())
