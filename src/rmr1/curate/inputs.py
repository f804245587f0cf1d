"""The pairs of a source, and what could not be read, in the order of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmr1.curate.recipe import CurateRecipe, CurateSourceRecipe, check_paths, is_dataset, locate
from rmr1.data.read import read_pairs
from rmr1.errors import DataError
from rmr1.records import PreferencePair
from rmr1.store.fingerprint import fingerprint_source


@dataclass(frozen=True, slots=True, kw_only=True)
class CurateSource:
    """A source of the recipe, with its paths found."""

    name: str
    paths: tuple[str, ...]
    recipe: CurateSourceRecipe

    @property
    def is_local(self) -> bool:
        """Whether all of it can be read without the hub."""
        return not any(map(is_dataset, self.paths))


def find_sources(recipe: CurateRecipe) -> tuple[CurateSource, ...]:
    """
    Raises:
        ConfigError: a path names a variable that is not set.
        DataError: a file or folder is missing; the source is named.
    """
    found = []
    for name, one in recipe.sources.items():
        place = f"sources.{name}.data"
        source = CurateSource(name=name, paths=locate(recipe, one.data, place), recipe=one)
        check_paths(source.paths, place)
        found.append(source)
    return tuple(found)


def find_benchmarks(recipe: CurateRecipe) -> Mapping[str, tuple[str, ...]]:
    """Name to paths of every benchmark of the recipe; errors are those of `find_sources`."""
    if recipe.decontaminate is None:
        return {}
    found = {}
    for name, paths in recipe.decontaminate.benchmarks.items():
        place = f"decontaminate.benchmarks.{name}"
        found[name] = locate(recipe, paths, place)
        check_paths(found[name], place)
    return found


def read_source(source: CurateSource) -> Iterator[tuple[int, PreferencePair | DataError]]:
    """(place, pair or what is wrong with its row), places counted from 0 over both.

    A pair's `source` is the recipe's name, its `subset` the row's own subset, or the row's own source.

    Raises:
        DataError: a file cannot be opened, has no known form, or holds a bad row and `on_invalid` is "fail".
        ConfigError: the hub's library is missing, or a split has to be named.
    """
    options: dict[str, Any] = {
        "split": source.recipe.split,
        "format": source.recipe.format,
        "columns": source.recipe.columns or None,
        "labels": source.recipe.label,
        "on_error": "raise" if source.recipe.on_invalid == "fail" else "skip",
    }
    place = 0
    for path in source.paths:
        errors: list[DataError] = []
        for pair in read_pairs(path, errors=errors, **options):
            for error in errors:
                yield place, error
                place += 1
            errors.clear()
            yield place, pair
            place += 1
        for error in errors:
            yield place, error
            place += 1


def under_name(pair: PreferencePair, name: str) -> PreferencePair:
    """The pair as it is written: `source` is the recipe's name; what the row called it is its subset, if it has none."""
    subset = pair.subset
    if subset is None and pair.source != name:
        subset = pair.source
    return replace(pair, source=name, subset=subset)


def name_place(error: DataError) -> str:
    """`pairs.jsonl:42`, without the folder, so that the listing does not depend on where the data lie."""
    file = "" if error.path is None else Path(error.path).name
    return file if error.line is None else f"{file}:{error.line}"


def fingerprint_all(paths: tuple[str, ...]) -> list[dict[str, object]]:
    """What identifies the contents of a source or a benchmark."""
    return [fingerprint_source(path) for path in paths]
