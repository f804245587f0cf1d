"""What the first reading holds after each source, so that a curation that was stopped goes on there.

`DIR.part/scan.zip` has a member for each column of the table, and `about.json`: the key of the curation, the tallies
of the finished sources and the length that dropped.jsonl had. It is written aside and renamed; one that is damaged
counts as none.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.scan import Scan
from rmr1.curate.source_counts import SourceTally
from rmr1.curate.table import PairTable
from rmr1.store.replace import replacing

SCAN = "scan.zip"
ASIDE = "scan.zip.new"

_ABOUT = "about.json"


def save_scan(folder: Path, key: str, scan: Scan, dropped_bytes: int) -> None:
    tallies = {name: tally.dump() for name, tally in scan.tallies.items()}
    about = {"key": key, "dropped_bytes": dropped_bytes, "tallies": tallies}
    with replacing(folder / SCAN, folder / ASIDE) as part, zipfile.ZipFile(part, "w") as file:
        file.writestr(_ABOUT, json.dumps(about))
        for name, column in scan.table.stored().items():
            with file.open(name, "w", force_zip64=True) as member:
                member.write(column)


def load_scan(folder: Path, key: str, recipe: CurateRecipe) -> tuple[Scan, int]:
    """The scan as it was saved, and the length of dropped.jsonl; an empty one where the curation begins."""
    scan, dropped_bytes = Scan(table=PairTable.of(recipe), tallies={}), 0
    about = _read_about(folder)
    if about.get("key") != key or not about["tallies"]:
        return scan, dropped_bytes
    try:
        with zipfile.ZipFile(folder / SCAN) as file:
            scan.table.restore(file.read)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError):
        return Scan(table=PairTable.of(recipe), tallies={}), 0
    scan.tallies.update({name: SourceTally.load(one) for name, one in about["tallies"].items()})
    return scan, about["dropped_bytes"]


def belongs_to(folder: Path, key: str) -> bool:
    """Whether what lies in the folder is of the curation with this key."""
    return _read_about(folder).get("key") == key


def _read_about(folder: Path) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(folder / SCAN) as file:
            return json.loads(file.read(_ABOUT))
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError):
        return {}
