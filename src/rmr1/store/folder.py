"""How the folder of a command is opened: held by one process, described in one file of it, and gone on with if it was
made in the same way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rmr1.errors import RunError
from rmr1.store.identity import refuse_differences
from rmr1.store.replace import read_json, write_json, writing

LEAVE = "choose another folder"


@contextmanager
def hold(folder: Path, lock: Path | None = None) -> Iterator[None]:
    """Keep other processes from writing a folder, by a lock on it or on a file `lock`, which is removed at the end.
    A process that ends lets go, however it ends."""
    from filelock import lock_descriptor

    handle = os.open(lock or folder, os.O_RDONLY if lock is None else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            is_held = lock_descriptor(handle, blocking=False)
        except OSError:
            is_held = True  # a file system without locks; two writers are then the user's care
        if not is_held or not _is_there(lock or folder, handle):
            raise RunError(
                f"{folder}: another process is writing it, or a call of this one that has not ended; wait for it or "
                f"{LEAVE}"
            )
        try:
            yield
        finally:
            if lock is not None:
                with suppress(OSError):
                    lock.unlink()
    finally:
        os.close(handle)


def is_being_written(folder: Path) -> bool:
    """Whether a process holds the folder now. Of a file system without locks nobody knows, and the answer is yes."""
    from filelock import lock_descriptor

    handle = os.open(folder, os.O_RDONLY)
    try:
        return not lock_descriptor(handle, blocking=False)
    except OSError:
        return True
    finally:
        os.close(handle)


def _is_there(path: Path, handle: int) -> bool:
    return path.exists() and os.path.samestat(os.fstat(handle), path.stat())


@contextmanager
def open_folder(
    folder: Path,
    file: str,
    description: Mapping[str, Any],
    *,
    identify: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    is_begun: Callable[[], bool] = lambda: True,
    is_ours: Callable[[str], bool] = lambda _: False,
) -> Iterator[None]:
    """Create a folder and describe it in `file`, or go on in one that was made in the same way; held until the end.

    Args:
        identify: from a description to what of it has to be equal.
        is_begun: whether a described folder holds anything that another description would not give.
        is_ours: whether a file may be in a folder that begins.
    """
    with ExitStack() as held:
        with writing(folder, LEAVE):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(hold(folder))
            if (folder / file).exists() and is_begun():
                refuse_differences(folder, identify(read_json(folder / file)), identify(description))
            else:
                others = (one.name for one in folder.iterdir() if one.name != file and not is_ours(one.name))
                if (other := min(others, default=None)) is not None:
                    raise RunError(f"{folder}: holds {other!r} but no {file} to go on with; {LEAVE}")
                write_json(folder / file, description)
        yield
