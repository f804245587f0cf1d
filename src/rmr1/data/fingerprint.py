"""What identifies a data source, so that a run is never continued on other data."""

from __future__ import annotations

import hashlib
from pathlib import Path


def fingerprint_source(source: str | Path) -> dict[str, object]:
    """A file by its bytes, a folder by all its files (hidden ones left out), a hub name by itself.

    A file that was moved or renamed keeps its fingerprint. An upper bound on the cost: one read of
    the data.
    """
    path = Path(source)
    if path.is_file():
        return {"sha256": _hash_files([path])}
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        return {"sha256": _hash_files(files), "files": len(files)}
    return {"dataset": str(source)}


def _hash_files(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            inner = hashlib.file_digest(handle, "sha256")
        digest.update(inner.digest())
    return digest.hexdigest()
