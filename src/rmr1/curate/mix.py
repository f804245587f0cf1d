"""How many pairs each source gives, and which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rmr1.curate.recipe import CurateSourceRecipe, MixRecipe
from rmr1.errors import ConfigError
from rmr1.store.keys import seed_for


def plan_sizes(
    sources: Mapping[str, CurateSourceRecipe], available: Mapping[str, int], mix: MixRecipe
) -> tuple[dict[str, int], list[str]]:
    """Pairs of each source, and a sentence for each that has fewer than are asked of it.

    >>> sources = {"chat": CurateSourceRecipe(data="c", weight=3), "code": CurateSourceRecipe(data="d", weight=1)}
    >>> plan_sizes(sources, {"chat": 9000, "code": 2000}, MixRecipe())
    ({'chat': 6000, 'code': 2000}, [])

    Raises:
        ConfigError: `mix.total` is less than the sources without a weight give.
    """
    wanted: dict[str, int] = {}
    weights: dict[str, float] = {}
    silent: list[str] = []
    for name, source in sources.items():
        if source.take is not None:
            wanted[name] = source.take
        elif source.share is not None:
            wanted[name] = int(source.share * available[name] + 0.5)
        elif source.weight is not None:
            weights[name] = source.weight
        else:
            silent.append(name)
    if mix.total is not None and not weights:
        # Sources that say nothing keep their proportions.
        weights = {name: float(available[name]) for name in silent}
    else:
        wanted |= {name: available[name] for name in silent}
    wanted |= _share_out(weights, available, mix.total, sum(wanted.values()))
    missing = [
        f"{name} has {available[name]:,} pairs left where {wanted[name]:,} are asked for"
        for name in sources
        if wanted[name] > available[name]
    ]
    return {name: min(wanted[name], available[name]) for name in sources}, missing


def _share_out(
    weights: Mapping[str, float], available: Mapping[str, int], total: int | None, others: int
) -> dict[str, int]:
    """Whole numbers in the proportion of the weights: as many as `total` leaves, or as the scarcest source allows."""
    whole = sum(weights.values())
    if total is not None and (others > total or not whole):
        if others == total:
            return dict.fromkeys(weights, 0)
        raise ConfigError(
            f"mix.total is {total:,}, but the sources without a weight give {others:,}; change one of them"
        )
    if not whole:
        return dict.fromkeys(weights, 0)
    if total is None:
        rest = min(available[name] * whole / weight for name, weight in weights.items())
        return {name: int(rest * weight / whole + 1e-9) for name, weight in weights.items()}
    rest = total - others
    exact = {name: rest * weight / whole for name, weight in weights.items()}
    sizes = {name: int(one) for name, one in exact.items()}
    by_remainder = sorted(weights, key=lambda name: (sizes[name] - exact[name], name))
    for name in by_remainder[: rest - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def rank_pairs(
    source: CurateSourceRecipe,
    name: str,
    places: NDArray[np.uint32],
    contents: Sequence[bytes],
    *,
    num_rows: int,
    seed: int,
) -> list[int]:
    """Numbers of the pairs in the order in which they are taken.

    Args:
        places: where each pair stands in its source; ascending.
        contents: digest of each pair.
        num_rows: length of the whole source.
        seed: the recipe's; the source's own wins.
    """
    seed = seed if source.seed is None else source.seed
    if source.sample == "first":
        return list(range(len(places)))
    if source.sample == "shuffle":
        # What datasets.Dataset.shuffle(seed) does with all rows; those that were filtered out are passed over.
        order = np.random.default_rng(seed).permutation(num_rows)
        ranks = np.empty(num_rows, dtype=np.int64)
        ranks[order] = np.arange(num_rows)
        order_of_pairs: list[int] = np.argsort(ranks[places], kind="stable").tolist()
        return order_of_pairs
    # A pair's rank depends on nothing but seed and content, so more data does not reshuffle what was drawn before.
    keys = [seed_for(seed, "sample", name, content.hex()) for content in contents]
    return sorted(range(len(places)), key=lambda item: (keys[item], item))
