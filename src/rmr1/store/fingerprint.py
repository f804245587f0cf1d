"""What identifies a data source, so that a run is never continued on other data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rmr1.data.files import part_split

_BLOCK_BYTES = 4096
_NUM_BLOCKS = 64
_WHOLE_BYTES = 1 << 20


def fingerprint_source(source: str | Path) -> dict[str, object]:
    """A file by its bytes, a folder by all its files (hidden ones left out), `folder@split` by both, a hub name by
    itself.

    A file that was moved or renamed keeps its fingerprint.
    """
    base, split = part_split(str(source))
    path = Path(base)
    if path.is_file():
        return {"sha256": _hash_files([path])}
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        found: dict[str, object] = {"sha256": _hash_files(files), "files": len(files)}
        # First, because messages that show a difference are cut short.
        return found if split is None else {"split": split, **found}
    return {"dataset": str(source)}


def _hash_files(files: list[Path]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(hash_file(file)) for file in files)).hexdigest()


def hash_file(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def find_damage(folder: Path, hashes: Mapping[str, str], hash_of: Callable[[Path], str]) -> str | None:
    """The file of a finished folder that is no longer as it was left, if one is not."""
    for name, before in hashes.items():
        if not (folder / name).is_file():
            return f"{name} is gone"
        if hash_of(folder / name) != before:
            return f"{name} is not what was written"
    return None


def hash_files(files: Iterable[Path]) -> str:
    """A digest of the files' names, sizes and contents; of a file over 1 MiB of blocks at even distances, which tell
    two checkpoints of one training apart without reading gigabytes."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= _WHOLE_BYTES:
                digest.update(stream.read())
                continue
            digest.update(stream.read(_BLOCK_BYTES * 16))
            for block in range(1, _NUM_BLOCKS + 1):
                stream.seek((size - _BLOCK_BYTES) * block // _NUM_BLOCKS)
                digest.update(stream.read(_BLOCK_BYTES))
    return digest.hexdigest()[:32]
