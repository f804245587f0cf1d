"""What a curation would do: `--dry-run`. Local sources are read once, datasets of the hub are not.

Names, labels and lengths in characters are looked at as in earnest. Benchmarks, tokens, languages and duplicates are
not, so what is left is an upper bound.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

from rmr1.curate.choose import plan_sizes
from rmr1.curate.filters import check_lengths, check_names, check_pair, measure
from rmr1.curate.inputs import CurateSource, find_benchmarks, find_sources, read_source
from rmr1.curate.recipe import CurateRecipe, is_dataset
from rmr1.curate.scan import SOME_ROWS, Report
from rmr1.curate.write import pair_row
from rmr1.errors import DataError
from rmr1.store.codec import dumps

BYTES_PER_PAIR = 700
"""Bytes of memory at the peak, with a prompt to each pair; and with near duplicates `BYTES_PER_PERMUTATION` for
each."""
BYTES_PER_PERMUTATION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    name: str
    data: tuple[str, ...]
    read: int | None = None
    """Pairs; None of a dataset of the hub."""
    unreadable: int = 0
    left: int | None
    """Pairs that pass the filters that were looked at, or what the recipe expects; None where nothing is known."""
    size: int | None = None
    mean_bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationPlan:
    sources: tuple[SourcePlan, ...]
    splits: dict[str, int | None]
    benchmarks: tuple[str, ...]
    not_looked_at: tuple[str, ...]
    missing_libraries: tuple[str, ...]
    output_bytes: int | None
    memory_bytes: int | None
    notes: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def plan_curation(recipe: CurateRecipe, report: Report) -> CurationPlan:
    """Reckon what a curation by this recipe reads, keeps and needs."""
    sources, benchmarks = find_sources(recipe), find_benchmarks(recipe)
    looked = [_look(source, report) for source in sources]
    known = {one.name: one.left for one in looked if one.left is not None}
    notes: list[str] = []
    if len(known) == len(looked):
        sizes, notes = plan_sizes(recipe.sources, known, recipe.mix)
    else:
        # Of the others only those are known that say so themselves.
        sizes = {
            source.name: source.recipe.take or known[source.name]
            for source in sources
            if source.recipe.take is not None or (source.name in known and source.recipe.weight is None)
        }
        if unknown := [one.name for one in looked if one.left is None and one.name not in sizes]:
            notes.append(f"not known before the hub is read: {', '.join(unknown)}")
    total = sum(sizes.values()) if len(sizes) == len(looked) else None
    planned = tuple(replace(one, size=sizes.get(one.name)) for one in looked)
    held = [one.left if one.left is not None else one.size for one in planned]
    near = recipe.duplicates.near or recipe.duplicates.prompts
    per_pair = BYTES_PER_PAIR + (BYTES_PER_PERMUTATION * recipe.duplicates.permutations if near else 0)
    weighed = [
        one.mean_bytes * one.size for one in planned if one.mean_bytes is not None and one.size is not None
    ]
    return CurationPlan(
        sources=planned,
        splits={
            name: None if total is None else round(total * share) for name, share in recipe.shares.items()
        },
        benchmarks=tuple(benchmarks),
        not_looked_at=_not_looked_at(recipe),
        missing_libraries=_missing_libraries(recipe, sources, benchmarks),
        output_bytes=round(sum(weighed)) if len(weighed) == len(planned) else None,
        memory_bytes=None if None in held else per_pair * sum(one or 0 for one in held),
        notes=tuple(notes),
    )


def _look(source: CurateSource, report: Report) -> SourcePlan:
    found = SourcePlan(name=source.name, data=source.paths, left=source.recipe.expected)
    if not source.is_local:
        return found
    read = unreadable = left = size = 0
    rules = source.recipe.filters
    try:
        for place, pair in read_source(source):
            if place % SOME_ROWS == 0:
                report(f"reading {source.name}", place)
            if isinstance(pair, DataError):
                unreadable += 1
                continue
            read += 1
            if (
                check_names(pair, rules)
                or check_pair(pair, rules)
                or check_lengths("characters", measure(pair, len), rules)
            ):
                continue
            left += 1
            size += len(dumps(pair_row(pair))) + 1
    except DataError as error:
        raise DataError(f"sources.{source.name}: {error}") from None
    return replace(
        found, read=read, unreadable=unreadable, left=left, mean_bytes=size / left if left else 0.0
    )


def _not_looked_at(recipe: CurateRecipe) -> tuple[str, ...]:
    filters = [source.filters for source in recipe.sources.values()]
    asked = {
        "benchmarks": recipe.decontaminate is not None,
        "tokens": any(one.counts_tokens for one in filters),
        "languages": any(one.languages for one in filters),
        "duplicates": recipe.duplicates.exact or recipe.duplicates.near > 0,
        "pairs of one prompt": recipe.duplicates.per_prompt is not None,
    }
    return tuple(name for name, is_asked in asked.items() if is_asked)


def _missing_libraries(
    recipe: CurateRecipe, sources: tuple[CurateSource, ...], benchmarks: Any
) -> tuple[str, ...]:
    paths = [path for source in sources for path in source.paths]
    paths += [path for some in benchmarks.values() for path in some]
    needed = {
        "datasketch": recipe.duplicates.near > 0 or recipe.duplicates.prompts > 0,
        "py3langid": any(source.filters.languages for source in recipe.sources.values()),
        "transformers": recipe.tokenizer is not None,
        "datasets": any(map(is_dataset, paths)),
    }
    return tuple(name for name, is_needed in needed.items() if is_needed and find_spec(name) is None)
