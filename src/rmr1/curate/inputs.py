"""The pairs of a source, and what could not be read, in the order of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rmr1.curate.recipe import CurateRecipe, CurateSourceRecipe, find_paths, is_dataset
from rmr1.data.read import read_pairs
from rmr1.errors import DataError
from rmr1.records import PreferencePair


@dataclass(frozen=True, slots=True, kw_only=True)
class CurateSource:
    """A source of the recipe, with its paths found."""

    name: str
    paths: tuple[str, ...]
    recipe: CurateSourceRecipe

    @property
    def is_local(self) -> bool:
        return not any(map(is_dataset, self.paths))


def find_sources(recipe: CurateRecipe) -> tuple[CurateSource, ...]:
    """The sources of the recipe; one that is missing is an error that names it."""
    return tuple(
        CurateSource(name=name, paths=find_paths(recipe, one.data, f"sources.{name}.data"), recipe=one)
        for name, one in recipe.sources.items()
    )


def find_benchmarks(recipe: CurateRecipe) -> Mapping[str, tuple[str, ...]]:
    """Name to paths of every benchmark of the recipe; errors are those of `find_sources`."""
    named = {} if recipe.decontaminate is None else recipe.decontaminate.benchmarks
    return {
        name: find_paths(recipe, paths, f"decontaminate.benchmarks.{name}") for name, paths in named.items()
    }


def read_source(source: CurateSource) -> Iterator[tuple[int, PreferencePair | DataError]]:
    """(place, pair or what is wrong with its row), places counted from 0 over both.

    A bad row is an error of the source if `on_invalid` is "fail".
    """
    return enumerate(_read(source))


def _read(source: CurateSource) -> Iterator[PreferencePair | DataError]:
    recipe = source.recipe
    for path in source.paths:
        errors: list[DataError] = []
        for pair in read_pairs(
            path,
            split=recipe.split,
            format=recipe.format,
            columns=recipe.columns,
            labels=recipe.label,
            on_error="raise" if recipe.on_invalid == "fail" else "skip",
            errors=errors,
        ):
            yield from errors
            errors.clear()
            yield pair
        yield from errors


def under_name(pair: PreferencePair, name: str) -> PreferencePair:
    """The pair as it is written: `source` is the recipe's name; what the row called it is its subset, if it has
    none."""
    subset = pair.subset
    if subset is None and pair.source != name:
        subset = pair.source
    return replace(pair, source=name, subset=subset)


def name_place(error: DataError) -> str:
    """`pairs.jsonl:42`, without the folder, so that the listing does not depend on where the data lie."""
    file = "" if error.path is None else Path(error.path).name
    return file if error.line is None else f"{file}:{error.line}"
