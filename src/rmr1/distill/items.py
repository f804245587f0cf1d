"""The pairs of a distillation, and the order in which each is shown. A pair's key and order follow from the pair and the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from rmr1.data.read import read_several
from rmr1.distill.recipe import DistillDataRecipe, DistillRecipe
from rmr1.errors import ConfigError, DataError
from rmr1.judge.placement import orders_for
from rmr1.records import Order, PreferencePair, swap_label
from rmr1.store.fingerprint import fingerprint_source
from rmr1.store.keys import number_items

MOST_FAMILIES = 20
"""Most families that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A pair and how it is shown."""

    key: str
    """Key of the pair's content and its occurrence number."""
    pair: PreferencePair
    order: Order

    @property
    def is_labelled(self) -> bool:
        return self.pair.label in ("A", "B")

    @property
    def verdict(self) -> str:
        """The label in the prompt's frame: "A" or "B"."""
        assert self.is_labelled
        return str(swap_label(self.pair.label, self.order))


@dataclass(slots=True, kw_only=True)
class DataCounts:
    """What is in the data."""

    pairs: int = 0
    labelled: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """In the prompt's frame."""
    families: Counter[str] = field(default_factory=Counter)
    """Pairs by what quotas count them under, as far as that is known before a teacher has answered."""
    invalid: int = 0
    first_error: DataError | None = None


def read_items(recipe: DistillRecipe) -> Iterator[Item]:
    """Every pair in the data's order, unlabelled ones among them; rows that cannot be read are passed over.

    Keys are those of earlier versions, so that no distillation is paid for twice.
    """
    return _list_items(recipe, DataCounts())


def _list_items(recipe: DistillRecipe, counts: DataCounts) -> Iterator[Item]:
    for (*_, key), pair in number_items(_read(recipe.data, counts)):
        (order,) = orders_for(recipe.data.order, seed=recipe.seed, key=key)
        yield Item(key=key, pair=pair, order=order)


def count_data(recipe: DistillRecipe) -> DataCounts:
    """Read everything once, so that bad rows are known before a teacher is asked."""
    counts = DataCounts()
    name = ", ".join(recipe.data.sources) or "[data.world]"
    for item in _list_items(recipe, counts):
        counts.pairs += 1
        counts.families[find_pair_family(item.pair, recipe.select.quota_by)] += 1
        if item.is_labelled:
            counts.labelled += 1
            counts.labels[item.verdict] += 1
    if (first := counts.first_error) is not None and not recipe.data.skip_invalid:
        raise DataError(
            f"{first.message} ({counts.invalid} of {counts.pairs + counts.invalid} rows cannot be read); "
            "fix them or set data.skip_invalid = true",
            path=first.path or name,
            line=first.line,
        )
    if not counts.labelled:
        raise DataError(
            f"nothing to distil: none of its {counts.pairs} pairs has a label 'A' or 'B'", path=name
        )
    _check_quotas(recipe, counts)
    return counts


def find_pair_family(pair: PreferencePair, by: str) -> str:
    """What quotas count a pair under, by its subset or source."""
    if by == "source":
        return pair.source or "none"
    return (pair.subset or "").partition("/")[0] or "all"


def _check_quotas(recipe: DistillRecipe, counts: DataCounts) -> None:
    by = recipe.select.quota_by
    if by != "task" and recipe.data.limit is not None:
        return  # the part that is read need not hold every family
    known = ["chat", "reasoning", "none"] if by == "task" else sorted(counts.families)
    for name in recipe.select.quotas:
        if name != "*" and name not in known:
            nearest = get_close_matches(name, known, n=1)
            shown = ", ".join(known[:MOST_FAMILIES]) + (", ..." if len(known) > MOST_FAMILIES else "")
            raise ConfigError(
                f"select.quotas.{name}: no pair is of that family"
                + (f"; did you mean {nearest[0]!r}?" if nearest else ";")
                + f' by {by} there are {shown}, and "*" for those that are not named'
            )


def describe_data(data: DistillDataRecipe) -> dict[str, object]:
    """The data section of run.json. The limit is left out, so that a run can be widened."""
    if data.world is not None:
        return {"world": data.world.model_dump(exclude={"items"})}
    return {
        "sources": [fingerprint_source(one) for one in data.sources],
        "format": data.format,
        "map": dict(data.map),
        **({"label": dict(data.label)} if data.label else {}),
    }


def _read(data: DistillDataRecipe, counts: DataCounts) -> Iterator[PreferencePair]:
    if data.world is not None:
        from rmr1.world import sample_pairs

        world = data.world
        number = min(world.items, data.limit or world.items)
        items = sample_pairs(world.seed, number, distribution=world.distribution, start=world.start)
        yield from (item.pair for item in items)
        return

    def note(error: DataError) -> None:
        counts.invalid += 1
        counts.first_error = counts.first_error or error

    yield from read_several(data.sources, errors=note, limit=data.limit, **data.reading())
