"""The files of a run's index: their folder, the newest of them, and the lock of whoever writes.

    runs/x/.view/index-1.sqlite     made anew under the next number if the run was replaced, so that no name is used twice

If the run's folder cannot be written, the index lies in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from rmr1.errors import RunError, reason_of
from rmr1.store.folder import hold
from rmr1.store.replace import writing
from rmr1.viewer.schema import create, is_current

FOLDER = ".view"
ADVICE = "free space or permissions, then open it again; the run itself is as it was"
_LOCK = ".lock"
_WAIT_SECONDS = 10.0


def choose_place(folder: Path) -> tuple[Path, str | None]:
    """The folder for the index of a run, and what to tell the user of it.

    Raises:
        RunError: neither the run's folder nor the user's cache can be written.
    """
    beside = folder / FOLDER
    try:
        _try_to_write(beside)
        return beside, None
    except OSError as error:
        why = reason_of(error)
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=16).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rmr1" / "view" / name
    with writing(cache, "make the run's folder or this one writable"):
        _try_to_write(cache)
        cache.chmod(0o700)
    return cache, f"{folder}: cannot be written ({why}); its index is kept in {cache}"


def _try_to_write(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    test = place / f".try-{os.getpid()}-{threading.get_ident()}"
    test.touch()
    test.unlink()


def hold_index(place: Path, held: ExitStack) -> bool:
    """Lock an index for as long as `held` is open; False if somebody else writes it."""
    with writing(place, ADVICE):
        try:
            held.enter_context(hold(place, place / _LOCK))
        except RunError:
            return False
    return True


def settle(place: Path) -> Path:
    """The newest file of an index, made if there is none that can be used; another process that makes it is waited for.

    Raises:
        RunError: it cannot be made.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        newest = _find_newest(place)
        if newest is not None and is_current(newest):
            return newest
        with ExitStack() as held:
            if hold_index(place, held):
                with writing(place, ADVICE, also=(sqlite3.Error,)):
                    return prepare(place)
        if time.monotonic() > deadline:
            raise RunError(f"{place}: another process is making the index; wait for it")
        time.sleep(0.05)


def prepare(place: Path, *, is_new: bool = False) -> Path:
    """The newest file if it is of the tables of today and no new one is asked for, else an empty one under the next
    number. Whoever calls holds the lock."""
    newest = _find_newest(place)
    if newest is not None and not is_new and is_current(newest):
        return newest
    made = place / f"index-{1 + (0 if newest is None else _number_of(newest))}.sqlite"
    create(made)
    for old in place.glob("index-*.sqlite*"):
        if not old.name.startswith(made.name):
            old.unlink(missing_ok=True)
    return made


def _find_newest(place: Path) -> Path | None:
    return max(place.glob("index-*.sqlite"), key=_number_of, default=None)


def _number_of(path: Path) -> int:
    number = path.stem.partition("-")[2]
    return int(number) if number.isdecimal() else 0
