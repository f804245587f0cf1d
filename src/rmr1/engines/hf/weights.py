"""What the weight files of a model folder hold, by their index, their headers and their sizes; no weight is read.

A safetensors file begins with the length of its header, which names each tensor with its shape and its place. Of a
.bin file only the end of its archive can be looked at.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SUFFIXES = (".safetensors", ".bin")
_NOT_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_POINTER = b"version https://git-lfs"
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weight files of a folder."""

    num_files: int
    num_bytes: int
    num_values: int | None
    """Numbers in all tensors; None if a file cannot tell."""
    faults: tuple[str, ...]
    """What is wrong, a line each."""


def inspect_weights(folder: Path, *, prefix: str = "") -> Weights:
    """Look at the weight files of a folder, or at those whose names begin with `prefix`."""
    faults: list[str] = []
    index = next((folder / name for name in _INDEXES if (folder / name).is_file()), None)
    shards: dict[str, set[str]] = {}
    if index is not None and not prefix:
        try:
            for tensor, name in json.loads(index.read_bytes())["weight_map"].items():
                shards.setdefault(name, set()).add(tensor)
        except (ValueError, KeyError, AttributeError, TypeError):
            faults.append(f"{index.name} cannot be read: it names no weight_map")
    if not shards:
        shards = {name: set() for name in _list_files(folder, prefix)}
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        faults.append(f"{len(missing)} of {len(shards)} weight files are missing, first {min(missing)}")
    elif not shards:
        faults.append("no weights (*.safetensors or *.bin)")
    num_bytes, num_values, is_told = 0, 0, True
    for name in sorted(shards.keys() - set(missing)):
        file = folder / name
        num_bytes += file.stat().st_size
        try:
            if not name.endswith(".safetensors"):
                is_told = False
                _check_archive(file)
                continue
            tensors = read_header(file)
        except ValueError as error:
            faults.append(f"{name} {error}")
            continue
        num_values += sum(math.prod(shape) for shape in tensors.values())
        if lacking := shards[name] - tensors.keys():
            faults.append(f"{name} lacks {len(lacking)} tensors of its index, first {min(lacking)!r}")
    return Weights(
        num_files=len(shards) - len(missing),
        num_bytes=num_bytes,
        num_values=num_values if is_told and not faults else None,
        faults=tuple(faults),
    )


def read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of each tensor of a safetensors file.

    Raises:
        ValueError: the file is not whole; the message says how.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        begun = handle.read(8)
        _check_beginning(begun + handle.read(len(_POINTER) - 8), size)
        length = struct.unpack("<Q", begun)[0] if len(begun) == 8 else 0
        if not 1 < length < _LONGEST_HEADER:
            raise ValueError("is no safetensors file: it does not begin with a header")
        handle.seek(8)
        header = handle.read(length)
    if len(header) < length:
        raise ValueError(f"is cut short: it has {size:,} bytes, and its header alone {8 + length:,}")
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        end = max((one["data_offsets"][1] for one in entries.values()), default=0)
        shapes = {name: tuple(one["shape"]) for name, one in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError("has a header that cannot be read") from None
    expected = 8 + length + end
    if size != expected:
        how = "is cut short" if size < expected else "is too long"
        raise ValueError(f"{how}: it has {size:,} bytes, and by its header {expected:,}")
    return shapes


def _list_files(folder: Path, prefix: str) -> Iterator[str]:
    """The files that a model is loaded from; safetensors if there are any."""
    for suffix in _SUFFIXES:
        names = [
            file.name
            for file in folder.glob(f"{prefix}*{suffix}")
            if file.name not in _NOT_WEIGHTS and (prefix or not file.name.startswith("adapter_"))
        ]
        if names:
            yield from names
            return


def _check_archive(file: Path) -> None:
    with file.open("rb") as handle:
        begun = handle.read(len(_POINTER))
    _check_beginning(begun, file.stat().st_size)
    # torch's older form is a pickle, whose end cannot be told.
    if begun.startswith(b"PK") and not zipfile.is_zipfile(file):
        raise ValueError("is cut short: its archive has no end")
    if not begun.startswith((b"PK", b"\x80")):
        raise ValueError("is no file that torch has written")


def _check_beginning(begun: bytes, size: int) -> None:
    if size == 0:
        raise ValueError("is empty")
    if begun.startswith(_POINTER):
        raise ValueError(f"is a Git LFS pointer of {size} bytes instead of the weights; run git lfs pull")
