"""The folder of a curation. It appears whole or not at all.

    DIR/
      SPLIT.jsonl     pairs in rmr1's own form, one file per split
      dropped.jsonl   {"id", "source", "reason", "detail"} of everything that was read and is not in a split
      card.md         the data card
      curate.json     recipe, inputs, counts, versions; enough to do it again

All of it is written into `DIR.part` and renamed at the end. The next run of the same curation goes on with what a
stopped one left there; that of another curation is thrown away.

`DIR.part/scan.zip` is what the first reading holds after each source: a member for each column of the table, and
`scan.json`, with the key of the curation, the tallies of the finished sources and the length that dropped.jsonl had.
One that is damaged counts as none.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.scan import Scan, SourceTally
from rmr1.curate.table import PairTable
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.store.fingerprint import find_damage, hash_file
from rmr1.store.folder import LEAVE, hold
from rmr1.store.identity import refuse_differences
from rmr1.store.kinds import CURATION_FILE
from rmr1.store.replace import read_json, remove, replacing, writing

CARD = "card.md"
DROPPED = "dropped.jsonl"
SCAN = "scan.zip"
_ASIDE = "scan.zip.new"
_ABOUT = "scan.json"
_DAMAGES = (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError)

Identify = Callable[[Mapping[str, Any]], dict[str, Any]]


def read_finished(folder: Path, identity: Mapping[str, Any], identify: Identify) -> dict[str, Any] | None:
    """What curate.json says if the same curation is finished there; None if there is nothing. Anything else is an
    error."""
    path = folder / CURATION_FILE
    if not path.exists():
        _refuse_others(folder)
        return None
    found = read_json(path)
    try:
        stored = identify(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path}: not readable as a curation; the file was changed or damaged") from None
    refuse_differences(folder, stored, identity)
    if (damage := find_damage(folder, found.get("files", {}), hash_file)) is not None:
        raise RunError(f"{folder}: {damage}; delete the folder, or {LEAVE}")
    return found


def _refuse_others(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder}: holds other files; {LEAVE}")


@contextmanager
def new_folder(folder: Path, key: str) -> Iterator[Path]:
    """A folder to write into that takes its name when all went well; after a stop it is there with the same key
    again."""
    part = folder.with_name(f"{folder.name}.part")
    with writing(folder, f"free space, or {LEAVE}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with hold(folder, folder.with_name(f".{folder.name}.lock")), replacing(folder, part):
            _refuse_others(folder)  # another process may have made it since
            _clear(part, key)
            part.mkdir(exist_ok=True)
            try:
                yield part
            except (ConfigError, DataError):
                # The recipe or the data have to be changed, so nothing would go on from here.
                remove(part)
                raise
            (part / SCAN).unlink()


def _clear(part: Path, key: str) -> None:
    if not part.exists():
        return
    if _read_about(part).get("key") == key:
        for file in part.iterdir():
            if file.name not in (SCAN, DROPPED):
                file.unlink()
        return
    names = {file.name for file in part.iterdir()}
    if names and not names & {SCAN, _ASIDE, CURATION_FILE}:
        raise RunError(f"{part}: holds other files and is needed here; move it, or {LEAVE}")
    remove(part)


def save_scan(folder: Path, key: str, scan: Scan, dropped_bytes: int) -> None:
    tallies = {name: tally.dump() for name, tally in scan.tallies.items()}
    about = {"key": key, "dropped_bytes": dropped_bytes, "tallies": tallies}
    with replacing(folder / SCAN, folder / _ASIDE) as part, zipfile.ZipFile(part, "w") as file:
        file.writestr(_ABOUT, json.dumps(about))
        for name, column in scan.table.stored().items():
            with file.open(name, "w", force_zip64=True) as member:
                member.write(column)


def load_scan(folder: Path, key: str, recipe: CurateRecipe) -> tuple[Scan, int]:
    """The scan as it was saved, and the length of dropped.jsonl; an empty one where the curation begins."""
    scan, dropped_bytes = Scan(table=PairTable(recipe), tallies={}), 0
    about = _read_about(folder)
    if about.get("key") != key or not about["tallies"]:
        return scan, dropped_bytes
    try:
        with zipfile.ZipFile(folder / SCAN) as file:
            scan.table.restore(file.read)
    except _DAMAGES:
        return Scan(table=PairTable(recipe), tallies={}), 0
    scan.tallies.update({name: SourceTally.load(one) for name, one in about["tallies"].items()})
    return scan, about["dropped_bytes"]


def _read_about(folder: Path) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(folder / SCAN) as file:
            about: Mapping[str, Any] = json.loads(file.read(_ABOUT))
            return about
    except _DAMAGES:
        return {}
