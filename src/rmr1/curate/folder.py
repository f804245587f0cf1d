"""The folder of a curation. It appears whole or not at all.

    DIR/
      SPLIT.jsonl     pairs in rmr1's own form, one file per split
      dropped.jsonl   {"id", "source", "reason", "detail"} of everything that was read and is not in a split
      card.md         the data card
      curate.json     recipe, inputs, counts, versions; enough to do it again

All of it is written into `DIR.part` and renamed at the end. The next run of the same curation goes on with what a
stopped one left there (`rmr1.curate.resume`); that of another curation is thrown away.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.curate.resume import ASIDE, SCAN, belongs_to
from rmr1.data.differences import describe_differences
from rmr1.errors import ConfigError, DataError, RunError

DESCRIPTION = "curate.json"
CARD = "card.md"
DROPPED = "dropped.jsonl"

Identify = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From what curate.json says to what of it has to be equal."""


def read_finished(folder: Path, identity: Mapping[str, Any], identify: Identify) -> dict[str, Any] | None:
    """What curate.json says where the same curation is finished there; None where there is nothing.

    Raises:
        RunError: the folder holds something else, or another curation; what differs is told.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise RunError(f"{folder}: is a file; name a folder")
    path = folder / DESCRIPTION
    if not path.exists():
        if any(folder.iterdir()):
            raise RunError(f"{folder}: holds other files; choose another folder")
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        stored = identify(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path}: not readable as a curation; the file was changed or damaged") from None
    difference = describe_differences(stored, identity)
    if difference is not None:
        raise RunError(f"{folder}: was curated in another way: {difference}; choose another folder")
    for name, digest in found.get("files", {}).items():
        if not (folder / name).is_file():
            raise RunError(f"{folder}: {name} is gone; delete the folder, or choose another")
        if hash_file(folder / name) != digest:
            raise RunError(f"{folder}: {name} is not what was written; delete the folder, or choose another")
    return found


def hash_file(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def new_folder(folder: Path, key: str) -> Iterator[Path]:
    """A folder to write into that takes its name when all went well; after a stop it is there with the same key again.

    Raises:
        RunError: it cannot be written, or another process writes it.
    """
    part = folder.with_name(f"{folder.name}.part")
    lock = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        _clear(part, key)
        part.mkdir(exist_ok=True)
        yield part
        for file in part.iterdir():
            _sync(file)
        (part / SCAN).unlink()
        os.replace(part, folder)
        _sync(folder.parent)
    except (ConfigError, DataError):
        # The recipe or the data have to be changed, so nothing would go on from here.
        shutil.rmtree(part, ignore_errors=True)
        raise
    except RunError:
        raise
    except OSError as error:
        raise RunError(
            f"{error.filename or folder}: cannot be written ({error.strerror}); free space, or choose another folder"
        ) from None
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):
                _lock_path(folder).unlink()
            os.close(lock)


def _clear(part: Path, key: str) -> None:
    """Leave only what the curation with this key goes on from.

    Raises:
        RunError: the folder is none of ours.
    """
    if not part.exists():
        return
    if belongs_to(part, key):
        for file in part.iterdir():
            if file.name not in (SCAN, DROPPED):
                file.unlink()
        return
    names = {file.name for file in part.iterdir()}
    if names and not names & {SCAN, ASIDE, DESCRIPTION}:
        raise RunError(f"{part}: holds other files and is needed here; move it, or choose another folder")
    shutil.rmtree(part)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _lock(folder: Path) -> int:
    path = _lock_path(folder)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise RunError(
                f"{folder}: another process is writing it; wait for it or choose another folder"
            ) from None
        except OSError:
            return handle  # a file system without locks; two writers are then the user's care
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)  # the file was removed by the one who held it before


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
