"""The split that a pair goes to, and the side on which its preferred response stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.similar import Groups
from rmr1.curate.table import DIGEST_SIZE, LABELS, Columns, PairTable
from rmr1.store.keys import seed_for

_ONE = float(1 << 63)


def split_prompts(prompts: bytes, groups: Groups, shares: Mapping[str, float], seed: int) -> list[int]:
    """The number of each prompt's split.

    A group of prompts goes where the hash of its smallest digest and the seed falls. So a prompt stays in its
    split when other data are added or more is taken, unless it joins a group.

    Args:
        prompts: 16 bytes each.
    """
    digests = [prompts[at : at + DIGEST_SIZE] for at in range(0, len(prompts), DIGEST_SIZE)]
    roots = groups.roots()
    smallest: dict[int, bytes] = {}
    for number, root in enumerate(roots):
        smallest[root] = min(smallest.get(root, digests[number]), digests[number])
    places = {root: seed_for(seed, "split", digest.hex()) / _ONE for root, digest in smallest.items()}
    return [_find(places[root], tuple(shares.values())) for root in roots]


def _find(place: float, shares: Sequence[float]) -> int:
    total = 0.0
    for number, share in enumerate(shares):
        total += share
        if place < total:
            return number
    return max(number for number, share in enumerate(shares) if share > 0)


def place_sides(
    recipe: CurateRecipe, table: PairTable, columns: Columns, order: Sequence[int], splits: Sequence[int]
) -> dict[int, bool]:
    """Whether each pair is swapped.

    "balanced": within a split, source after source and there in the order of a seeded hash, the preferred response
    is A, B, A, B, ...; so every split and every source in it is half and half, to one pair. "alternate": the same
    count runs over all pairs in the order in which they were taken. A pair without a preference is swapped by its hash.

    Args:
        order: the pairs that stay.
        splits: the split of each prompt.
    """
    if recipe.sides == "as-read":
        return dict.fromkeys(order, False)
    draws = {item: seed_for(recipe.seed, "side", table.content(item).hex(), str(item)) for item in order}
    if recipe.sides == "balanced":
        order = sorted(
            order,
            key=lambda item: (splits[int(columns.prompt[item])], int(columns.source[item]), draws[item]),
        )
    swapped = {}
    number = 0
    for item in order:
        label = LABELS[int(columns.label[item])]
        if label in ("A", "B"):
            swapped[item] = label != ("A", "B")[number % 2]
            number += 1
        else:
            swapped[item] = bool(draws[item] & 1)
    return swapped
