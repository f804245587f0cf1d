"""Folders are held by one writer, appear whole, and are gone on with only in the way they were made."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rmr1.errors import CheckpointError, RunError
from rmr1.store.folder import hold, open_folder
from rmr1.store.identity import describe_differences
from rmr1.store.replace import replacing, write_text, writing

HOLDER = """
import sys, time
from pathlib import Path
from rmr1.store.folder import hold
with hold(Path(sys.argv[1]), *map(Path, sys.argv[2:])):
    print("held", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("lock", [(), (".out.lock",)])
def test_a_folder_has_one_writer_and_a_killed_one_lets_go(tmp_path: Path, lock: tuple[str, ...]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    place = [tmp_path / name for name in lock]
    command = [sys.executable, "-c", HOLDER, str(folder), *map(str, place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process is writing it"), hold(folder, *place):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    with hold(folder, *place):
        assert (tmp_path / ".out.lock").exists() is bool(lock)
    assert names(tmp_path) == ["out"] and names(folder) == []


def test_an_earlier_version_and_this_one_keep_each_other_out(tmp_path: Path) -> None:
    """They locked the folder itself by flock."""
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(RunError, match="another process is writing it"), hold(tmp_path):
            pass
        fcntl.flock(handle, fcntl.LOCK_UN)
        with hold(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def test_a_folder_goes_on_in_the_way_it_was_made(tmp_path: Path) -> None:
    def open_as(seed: int, **others: object) -> None:
        with open_folder(
            tmp_path, "about.json", {"seed": seed, **others}, identify=lambda one: {"seed": one["seed"]}
        ):
            pass

    open_as(0)
    made = (tmp_path / "about.json").read_text()
    open_as(0, version=2)
    assert (tmp_path / "about.json").read_text() == made
    with pytest.raises(RunError, match=r"was made in another way: seed was 0, now 1; choose another folder"):
        open_as(1)
    (tmp_path / "about.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        open_as(0)
    (tmp_path / "about.json").rename(tmp_path / "notes.txt")
    with pytest.raises(RunError, match=r"holds 'notes.txt' but no about.json"):
        open_as(0)
    assert names(tmp_path) == ["notes.txt"]


def test_what_is_replaced_is_old_or_new(tmp_path: Path) -> None:
    place = tmp_path / "file"
    write_text(place, "old")

    def fail() -> None:
        with replacing(place) as part:
            part.write_text("half")
            assert place.read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert place.read_text() == "old" and names(tmp_path) == ["file"]
    for text in ("first", "second"):
        with replacing(tmp_path / "folder") as part:
            part.mkdir()
            (part / text).write_text(text)
        assert names(tmp_path / "folder") == [text]
    assert names(tmp_path) == ["file", "folder"]


def test_an_error_of_the_disk_is_one_line_of_the_wanted_class(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError) as raised,
        writing(tmp_path, "free space", what="it", kind=CheckpointError),
    ):
        raise OSError(28, "No space left on device")
    assert str(raised.value) == f"{tmp_path}: it cannot be written (No space left on device); free space"
    with pytest.raises(RunError, match="mine"), writing(tmp_path):
        raise RunError("mine")


def test_few_differences_are_shown_and_the_rest_counted() -> None:
    assert describe_differences({"a": (1, 2)}, {"a": [1, 2]}) is None
    shown = describe_differences({str(number): "x" * 90 for number in range(6)}, {})
    assert shown is not None and shown.endswith("; and 2 more") and "..., now None" in shown
