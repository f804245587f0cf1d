"""An index holds what the run holds: after a kill, after growth, after the run was replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rmr1.audit.columns import Gathering
from rmr1.audit.facts import tell_facts
from rmr1.audit.figures import FIGURE_COLUMNS, measure
from rmr1.audit.filters import Filter, list_criteria
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.report.rows import clean
from rmr1.store.folder import hold
from rmr1.store.labels import HumanLabel, append_label
from rmr1.store.runs import JUDGMENTS_FILE, read_judgments
from rmr1.viewer import fill, schema
from rmr1.viewer.files import FOLDER
from rmr1.viewer.index import Index
from rmr1.viewer.search import Query

from .varied import key_of, make_judgment, write_lines, write_run

WHEN = "2026-11-30T16:20:02Z"


def check(index: Index) -> None:
    """The index says of every judgment what the run says, once."""
    expected = list(read_judgments(index.folder))
    assert index.num_items == len(expected)
    rows = index.search(Query(), 0, len(expected) + 1).rows
    assert [row.number for row in rows] == list(range(1, len(expected) + 1))
    for row, (key, judgment) in zip(rows, expected, strict=True):
        told = tell_facts(key, judgment)
        assert row.facts == type(told)(**{
            name: clean(value) if isinstance(value := getattr(told, name), str) else value for name in told.__slots__
        })  # fmt: skip
        assert index.read(row.number) == (key, judgment)
        assert index.find(key) == row.number
    gathering = Gathering(FIGURE_COLUMNS)
    for key, judgment in expected:
        gathering.add(tell_facts(key, judgment))
    if expected:
        found, wanted = measure(index.columns(*FIGURE_COLUMNS)), measure(gathering.columns())
        assert (
            found.accuracy,
            found.position,
            found.reliability,
            found.risk,
            found.quotes,
            found.seconds,
        ) == (
            *(
                wanted.accuracy,
                wanted.position,
                wanted.reliability,
                wanted.risk,
                wanted.quotes,
                wanted.seconds,
            ),
        )
    kind = [place for place, (_, one) in enumerate(expected, 1) if "Kindness" in str(list_criteria(one))]
    found_kind = index.search(Query(wanted=Filter(rubric="kindness")), 0, 1000)
    assert [row.number for row in found_kind.rows] == kind and found_kind.total == len(kind)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions and pieces of columns so small that a short run has many."""
    monkeypatch.setattr(fill, "BATCH_BYTES", 5_000)
    monkeypatch.setattr(fill, "CHUNK", 7)


def test_a_run_is_indexed_whole(tmp_path: Path, small: None) -> None:
    done: list[tuple[int, int]] = []
    with Index.open(write_run(tmp_path / "run", 60)) as index:
        assert index.num_items == 0 and index.search(Query()).rows == ()
        assert index.refresh(lambda *one: done.append(one)) == 60
        check(index)
        size = (tmp_path / "run" / JUDGMENTS_FILE).stat().st_size
        assert len(done) > 3 and done == sorted(done) and done[-1] == (size, size) == index.progress
        assert index.refresh() == 0 and index.note is None
    with Index.open(tmp_path / "run") as index:
        assert index.num_items == 60 and index.refresh() == 0


def test_a_run_that_grows_and_a_last_line_without_its_end(tmp_path: Path, small: None) -> None:
    folder = write_run(tmp_path / "run", 10)
    file = folder / JUDGMENTS_FILE
    with Index.open(folder) as index:
        index.refresh()
        whole = write_lines(range(10, 25))
        for cut in (0, 1, 900, len(whole) - 1):
            file.write_bytes(write_lines(range(10)) + whole[:cut])
            index.refresh()
            assert index.num_items == 10 + whole[:cut].count(b"\n")
        file.write_bytes(write_lines(range(25)))
        index.refresh()
        check(index)
        done, size = index.progress
        assert done == size


@pytest.mark.parametrize(
    "replace",
    [
        lambda lines: write_lines(range(40, 70)),  # another run
        lambda lines: b"".join(lines[:3] + lines[4:]),  # an item was taken out, to be judged again
        lambda lines: b"".join(lines[:-1]),
        lambda lines: b"",
    ],
    ids=["another", "a line less", "the last line less", "empty"],
)
def test_a_run_that_was_replaced_is_indexed_anew(
    replace: Callable[[list[bytes]], bytes], tmp_path: Path, small: None
) -> None:
    folder = write_run(tmp_path / "run", 30)
    with Index.open(folder) as index, Index.open(folder) as other:
        index.refresh()
        first = index.path
        file = folder / JUDGMENTS_FILE
        file.write_bytes(replace(file.read_bytes().splitlines(keepends=True)))
        index.refresh()
        check(index)
        assert index.path != first and not first.exists()
        assert other.num_items == index.num_items  # a viewer that has the old one open takes up the new one
        check(other)


KILLED = """
import os, signal, sys
from rmr1.viewer import fill
from rmr1.viewer.index import Index
fill.BATCH_BYTES = 5_000
write, calls = getattr(fill, sys.argv[2]), 0
def stop(*arguments, **named):
    global calls
    calls += 1
    if calls == 4 and sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments, **named)
    if calls == 4:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(fill, sys.argv[2], stop)
Index.open(sys.argv[1]).refresh()
"""


@pytest.mark.parametrize(
    ("function", "when"), [("_write", "after"), ("write_state", "after"), ("_write_chunks", "before")]
)
def test_a_kill_loses_nothing_and_repeats_nothing(
    function: str, when: str, tmp_path: Path, small: None
) -> None:
    folder = write_run(tmp_path / "run", 40)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), function, when], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Index.open(folder) as index:
        before = index.num_items
        assert 0 < before < 40
        assert index.refresh() == 40 - before
        check(index)


def test_a_damaged_line_is_told_and_those_before_it_are_there(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 5)
    with (folder / JUDGMENTS_FILE).open("ab") as file:
        file.write(b"{nonsense}\n" + write_lines(range(5, 8)))
    with Index.open(folder) as index:
        for _ in range(2):
            with pytest.raises(DataError, match=r"judgments.jsonl:6: not valid JSON"):
                index.refresh()
            assert index.num_items == 5


def test_judgments_that_cannot_be_read_are_told_in_one_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 5)
    with Index.open(folder) as index:
        index.refresh()
        (folder / JUDGMENTS_FILE).unlink()
        with pytest.raises(DataError, match=r"judgments.jsonl: cannot be read \(No such file"):
            index.read(1)
        assert index.refresh() == 0 and index.num_items == 0
        (folder / JUDGMENTS_FILE).mkdir()
        with pytest.raises(DataError, match=r"judgments.jsonl: cannot be read \(Is a directory\)"):
            index.refresh()


def test_an_index_of_other_tables_or_a_damaged_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "run", 5)
    with Index.open(folder) as index:
        index.refresh()
    index.path.write_bytes(b"no database at all" * 100)
    with Index.open(folder) as index:
        assert index.refresh() == 5
        check(index)
    monkeypatch.setattr(schema, "VERSION", "another")
    with Index.open(folder) as index:
        assert index.num_items == 0 and index.refresh() == 5
        assert [path.name for path in (folder / FOLDER).glob("*.sqlite")] == ["index-3.sqlite"]


def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 5)
    with Index.open(folder) as index:
        with hold(folder, folder / FOLDER / ".lock"):
            assert index.refresh() == 0 and index.num_items == 0
        assert index.refresh() == 5
        (folder / JUDGMENTS_FILE).write_bytes(write_lines(range(9)))
        seen = []
        assert index.refresh(lambda *one: seen.append(index.refresh())) == 4 and seen == [0]


def test_many_threads_read_while_one_writes(tmp_path: Path, small: None) -> None:
    folder = write_run(tmp_path / "run", 120)
    faults: list[BaseException] = []
    with Index.open(folder) as index:
        is_done = threading.Event()

        def read() -> None:
            try:
                while not is_done.is_set():
                    page = index.search(Query(wanted=Filter(wrong=True), sort="tokens"), 0, 5)
                    assert all(row.facts.is_right is False for row in page.rows)
                    assert len(index.columns("winner", "seconds")) % 1 == 0
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        index.refresh()
        is_done.set()
        for thread in threads:
            thread.join()
        assert faults == []
        check(index)
    with pytest.raises(RunError, match="was closed"):
        index.row(1)


def test_names_and_beginnings_of_keys_are_found(tmp_path: Path) -> None:
    with Index.open(write_run(tmp_path / "run", 20)) as index:
        index.refresh()
        for number in range(1, 21):
            row = index.row(number)
            assert index.find(row.facts.key[:8]) == number
            assert index.find(row.facts.id) == min(
                one.number for one in index.search(Query()).rows if one.facts.id == row.facts.id
            )
        assert index.find(index.row(7).facts.key[:5]) is None and index.find("nowhere") is None
        with pytest.raises(DataError, match="no judgment 21; there are 20"):
            index.row(21)
        with pytest.raises(DataError, match="no judgment 0"):
            index.read(0)
        head = index.row(3).head
        assert head == clean(" ".join(make_judgment(2).pair.prompt[-1].text.split())[:160])


def test_facets_count_names(tmp_path: Path) -> None:
    with Index.open(write_run(tmp_path / "run", 30)) as index:
        index.refresh()
        made = [make_judgment(number) for number in range(30)]
        counts = index.counts("source")
        assert counts == {name: sum(one.pair.source == name for one in made) for name in counts}
        assert sum(counts.values()) == 30 and list(counts.values()) == sorted(counts.values(), reverse=True)
        for field in ("id", "nonsense"):
            with pytest.raises(ConfigError, match="is no column"):
                index.columns(field)
        with pytest.raises(ConfigError, match="no column of names"):
            index.counts("seconds")


def test_labels_of_people_come_in_and_can_win(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 20)
    with Index.open(folder) as index:
        index.refresh()
        append_label(folder, HumanLabel(key=key_of(0), who="ada", when=WHEN, label="tie"))
        append_label(folder, HumanLabel(key=key_of(1), who="ada", when=WHEN, label="A"))
        append_label(folder, HumanLabel(key=key_of(1), who="bob", when=WHEN, label="B"))
        index.refresh()
        data = index.columns("label", "winner", "is_right")
        people = index.columns("label", "is_right", with_labels=True)
        label_I = people.numbers["label"]
        assert people.names["label"][label_I[0]] == "tie" and label_I[1] == -1
        assert people.numbers["is_right"][:2].tolist() == [make_judgment(0).winner == "tie", -1]
        assert np.array_equal(label_I[2:], data.numbers["label"][2:])
        mark = index.row(2).mark
        assert mark is not None and (mark.is_disputed, mark.label, mark.num_people) == (True, None, 2)
        append_label(folder, HumanLabel(key=key_of(1), who="bob", when=WHEN, label="A"))
        index.refresh()
        mark = index.row(2).mark
        assert mark is not None and (mark.is_disputed, mark.label) == (False, "A")


def test_a_replaced_run_is_not_read_at_the_old_places(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 10)
    with Index.open(folder) as index:
        index.refresh()
        (folder / JUDGMENTS_FILE).write_bytes(write_lines(range(10, 20)))
        with pytest.raises(DataError, match=r"replaced|changed|not a judgment"):
            [index.read(number) for number in range(1, 11)]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        Index.open(tmp_path)
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ConfigError, match="no run of judgments to be viewed"):
        Index.open(tmp_path)


def test_an_index_lies_in_the_cache_if_the_run_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "run", 5)
    (folder / FOLDER).write_text("a file in its place")  # also root cannot make a folder here
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Index.open(folder) as index:
        assert index.refresh() == 5
        check(index)
        assert (tmp_path / "cache") in index.path.parents
        assert index.note is not None and "cannot be written" in index.note and "\n" not in index.note
    os.chmod(tmp_path / "cache", 0o755)
    with Index.open(folder) as index:
        assert index.num_items == 5
