"""The choice among the pairs that passed the filters: duplicates, pairs of one prompt, and the mix: how many pairs
each source gives, and which."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rmr1.curate.filters import Reason
from rmr1.curate.inputs import CurateSource
from rmr1.curate.recipe import CurateRecipe, CurateSourceRecipe, DuplicateRecipe, MixRecipe
from rmr1.curate.similar import (
    Groups,
    estimate,
    estimate_sides,
    find_candidates,
    find_repeats,
    join_similar,
)
from rmr1.curate.table import LABELS, Columns, PairTable
from rmr1.errors import ConfigError, DataError
from rmr1.store.keys import seed_for


@dataclass(slots=True, kw_only=True)
class Selection:
    """What became of every pair of the table."""

    order: list[int]
    """Pairs that stay: source after source, each in the order in which it is taken."""
    reasons: dict[int, Reason]
    originals: dict[int, tuple[int, float | None]] = field(default_factory=dict)
    """For a duplicate, the pair that stays instead, and the similarity to a near one. For a pair that contradicts one
    that is nearly the same, that one, which goes too."""
    available: dict[str, int] = field(default_factory=dict)
    shortages: list[str] = field(default_factory=list)


def choose(
    recipe: CurateRecipe,
    sources: tuple[CurateSource, ...],
    table: PairTable,
    columns: Columns,
    num_rows: Mapping[str, int],
    report: Callable[[str], None],
) -> Selection:
    """Decide; nothing is read. If no source has a pair left, none is chosen."""
    found = Selection(order=[], reasons={})
    if recipe.duplicates.exact:
        report("comparing pairs")
        _drop_repeats(table, found)
    if recipe.duplicates.near:
        report("comparing similar pairs")
        _drop_near_repeats(table, columns, recipe.duplicates, found)
    ranked = _rank(recipe, sources, table, columns, num_rows, found)
    if recipe.duplicates.per_prompt is not None:
        _limit_prompts(ranked, columns, recipe.duplicates.per_prompt, found)
    found.available = {name: len(items) for name, items in ranked.items()}
    recipes = {source.name: source.recipe for source in sources}
    sizes, found.shortages = plan_sizes(recipes, found.available, recipe.mix)
    is_short = bool(found.shortages) and recipe.mix.on_shortage == "fail"
    if is_short and any(found.available.values()):
        raise DataError(
            f"{'; '.join(found.shortages)}; ask for less, loosen the filters, or set mix.on_shortage = 'less'"
        )
    for name, items in ranked.items():
        taken = items[: sizes[name]]
        found.order.extend(sorted(taken) if recipes[name].sample == "seeded" else taken)
        found.reasons.update(dict.fromkeys(items[sizes[name] :], "not_sampled"))
    return found


def _drop_repeats(table: PairTable, found: Selection) -> None:
    copies: dict[bytes, list[int]] = defaultdict(list)
    for item in range(len(table)):
        copies[table.identity(item)].append(item)
    for items in copies.values():
        if len(items) == 1:
            continue
        if len({table.winner(item) for item in items}) > 1:
            found.reasons.update(dict.fromkeys(items, "contradiction"))
            continue
        for item in items[1:]:
            found.reasons[item] = "duplicate"
            found.originals[item] = (items[0], None)


def _drop_near_repeats(table: PairTable, columns: Columns, rules: DuplicateRecipe, found: Selection) -> None:
    """Pairs whose prompts and both responses are alike; candidates share a band of the signature of both responses
    together. If such pairs disagree about the label none of them stays, as of exact copies."""
    assert table.response_signer is not None and table.prompt_signer is not None
    staying = np.array([item for item in range(len(table)) if item not in found.reasons], dtype=np.int64)
    prompts = table.prompt_signer.signatures()
    sides = table.response_signer.signatures().reshape(-1, 2, prompts.shape[1])[staying]
    of_prompt = columns.prompt[staying]
    is_tie, is_open = (columns.label[staying] == LABELS.index(label) for label in ("tie", None))
    alike = Groups(len(prompts))
    join_similar(prompts, rules.near, alike)
    groups = Groups(len(staying))
    for bucket in find_candidates(sides.min(axis=1), rules.near):
        first: dict[int, int] = {}
        for item in bucket:
            groups.join(first.setdefault(alike.find(int(of_prompt[item])), item), item)
    members: dict[int, list[int]] = defaultdict(list)
    for item, root in enumerate(groups.roots()):
        members[root].append(item)

    def compare(some: list[int], item: int) -> NDArray[np.float64]:
        responses = np.maximum(*estimate_sides(sides[some], sides[item]))
        return np.minimum(responses, estimate(prompts[of_prompt[some]], prompts[of_prompt[item]]))

    def contradicts(one: int, other: int) -> bool:
        if is_tie[one] or is_tie[other] or is_open[one] or is_open[other]:
            return bool(is_tie[one] != is_tie[other] or is_open[one] != is_open[other])
        (agreeing,), (opposite,) = estimate_sides(sides[[one]], sides[other])
        return bool(opposite > agreeing)

    for group in members.values():
        repeats: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for item, original, similarity in find_repeats(group, compare, rules.near):
            repeats[original].append((item, similarity))
        for original, items in repeats.items():
            is_contradicted = any(contradicts(item, original) for item, _ in items)
            if is_contradicted:
                found.reasons[int(staying[original])] = "contradiction"
            for item, similarity in items:
                number = int(staying[item])
                found.reasons[number] = "contradiction" if is_contradicted else "near_duplicate"
                found.originals[number] = (int(staying[original]), similarity)


def _rank(
    recipe: CurateRecipe,
    sources: tuple[CurateSource, ...],
    table: PairTable,
    columns: Columns,
    num_rows: Mapping[str, int],
    found: Selection,
) -> dict[str, list[int]]:
    ranked = {}
    for number, source in enumerate(sources):
        items = [int(item) for item in np.flatnonzero(columns.source == number) if item not in found.reasons]
        order = rank_pairs(
            source.recipe,
            source.name,
            columns.place[items],
            [table.content(item) for item in items],
            num_rows=num_rows[source.name],
            seed=recipe.seed,
        )
        ranked[source.name] = [items[place] for place in order]
    return ranked


def _limit_prompts(ranked: dict[str, list[int]], columns: Columns, limit: int, found: Selection) -> None:
    counts: Counter[int] = Counter()
    for name, items in ranked.items():
        staying = []
        for item in items:
            prompt = int(columns.prompt[item])
            counts[prompt] += 1
            if counts[prompt] <= limit:
                staying.append(item)
            else:
                found.reasons[item] = "per_prompt"
        ranked[name] = staying


def plan_sizes(
    sources: Mapping[str, CurateSourceRecipe], available: Mapping[str, int], mix: MixRecipe
) -> tuple[dict[str, int], list[str]]:
    """Pairs of each source, and a sentence for each that has fewer than are asked of it.

    >>> sources = {"chat": CurateSourceRecipe(data="c", weight=3), "code": CurateSourceRecipe(data="d", weight=1)}
    >>> plan_sizes(sources, {"chat": 9000, "code": 2000}, MixRecipe())
    ({'chat': 6000, 'code': 2000}, [])
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
    """Numbers of the pairs in the order in which they are taken. `places` are their ascending places among the
    source's `num_rows`, `contents` their digests; the source's own seed wins over the recipe's."""
    seed = seed if source.seed is None else source.seed
    if source.sample == "first":
        return list(range(len(places)))
    if source.sample == "shuffle":
        # As datasets.Dataset.shuffle(seed) does with all rows; those that were filtered out are passed over.
        order = np.random.default_rng(seed).permutation(num_rows)
        ranks = np.empty(num_rows, dtype=np.int64)
        ranks[order] = np.arange(num_rows)
        order_of_pairs: list[int] = np.argsort(ranks[places], kind="stable").tolist()
        return order_of_pairs
    # The rank depends on seed and content alone, so more data does not reshuffle what was drawn before.
    keys = [seed_for(seed, "sample", name, content.hex()) for content in contents]
    return sorted(range(len(places)), key=lambda item: (keys[item], item))
