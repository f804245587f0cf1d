"""Hugging Face datasets: hub names and `save_to_disk` folders, through the `datasets` library.

Rows are read from its memory-mapped files; nothing but its own cache is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.errors import ConfigError, DataError, reason_of

_NAME = re.compile(
    r"(?P<name>\w[\w.-]*/\w[\w.-]*)(?::(?P<config>[\w.+-]+))?(?:@(?P<split>[\w.+:%\[\]-]+))?", re.A
)
_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetName:
    """`org/name:config@split` taken apart."""

    name: str
    config: str | None = None
    split: str | None = None
    """May be a slice: `train[:100]`."""


def parse_dataset_name(text: str) -> DatasetName | None:
    """The parts of a hub name; None where `text` is none.

    >>> parse_dataset_name("nvidia/HelpSteer3:preference@train")
    DatasetName(name='nvidia/HelpSteer3', config='preference', split='train')
    """
    match = _NAME.fullmatch(text)
    return None if match is None else DatasetName(**match.groupdict())


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` wrote the folder with `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def open_saved_dataset(folder: Path, split: str | None) -> tuple[str, Iterator[dict[str, Any]]]:
    """Name and rows of a `save_to_disk` folder."""
    library = _import_datasets(str(folder))
    try:
        found = library.load_from_disk(str(folder))
    # The library raises whatever its file formats raise; all of it means an unreadable folder.
    except Exception as error:
        raise DataError(f"not readable as a saved dataset: {reason_of(error)}", path=folder) from error
    if isinstance(found, library.DatasetDict):
        name = _pick_split(str(folder), list(found), split)
        return f"{folder}@{name}", _rows(found[name])
    if split is not None:
        raise ConfigError(f"{folder}: the saved dataset has no splits; name it without @{split}")
    return str(folder), _rows(found)


def open_dataset(dataset: DatasetName, split: str | None) -> tuple[str, Iterator[dict[str, Any]]]:
    """Name and rows of a dataset of the hub; a `split` given here wins over the one in the name."""
    library = _import_datasets(dataset.name)
    wanted = split or dataset.split
    try:
        if wanted is None:
            names = library.get_dataset_split_names(dataset.name, dataset.config)
            wanted = _pick_split(dataset.name, list(names), None)
        found = library.load_dataset(dataset.name, dataset.config, split=wanted)
    except ConfigError:
        raise
    # Network, hub and file errors of a dozen types: to the user all of them say "not readable".
    except Exception as error:
        raise DataError(
            "no such file or folder, and no Hugging Face dataset of that name could be read: "
            f"{reason_of(error)}",
            path=dataset.name,
        ) from error
    return f"{dataset.name}@{wanted}", _rows(found)


def _import_datasets(name: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            f"{name}: no such file or folder of rows; a Hugging Face dataset needs pip install 'rmr1[datasets]'"
        ) from None
    return datasets


def _pick_split(name: str, splits: list[str], split: str | None) -> str:
    if split in splits:
        return str(split)
    if split is None and len(splits) == 1:
        return splits[0]
    seen = "several splits" if split is None else f"no split {split!r}"
    raise ConfigError(f"{name} has {seen}; name one of {', '.join(splits)}, as in {name}@{splits[0]}")


def _rows(dataset: Any) -> Iterator[dict[str, Any]]:
    for batch in dataset.iter(batch_size=_BATCH):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
