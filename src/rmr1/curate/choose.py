"""The choice among the pairs that passed the filters: duplicates, pairs of one prompt, the mix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rmr1.curate.filters import Reason
from rmr1.curate.inputs import CurateSource
from rmr1.curate.mix import plan_sizes, rank_pairs
from rmr1.curate.recipe import CurateRecipe, DuplicateRecipe
from rmr1.curate.similar import (
    Groups,
    estimate,
    estimate_sides,
    find_candidates,
    find_repeats,
    join_similar,
)
from rmr1.curate.table import LABELS, Columns, PairTable
from rmr1.errors import DataError


@dataclass(slots=True, kw_only=True)
class Selection:
    """What became of every pair of the table."""

    order: list[int]
    """Pairs that stay: source after source, each in the order in which it is taken."""
    reasons: dict[int, Reason]
    """Pairs that go."""
    originals: dict[int, tuple[int, float | None]] = field(default_factory=dict)
    """For a duplicate, the pair that stays instead, and the similarity to a near one. For a pair that contradicts one
    that is nearly the same, that one, which goes too."""
    available: dict[str, int] = field(default_factory=dict)
    """Pairs of each source before the mix."""
    shortages: list[str] = field(default_factory=list)


def choose(
    recipe: CurateRecipe,
    sources: tuple[CurateSource, ...],
    table: PairTable,
    columns: Columns,
    num_rows: Mapping[str, int],
    report: Callable[[str], None],
) -> Selection:
    """Decide; nothing is read. Where no source has a pair left, none is chosen.

    Raises:
        DataError: a source has fewer pairs than are asked of it.
        ConfigError: the mix contradicts itself.
    """
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
    """Pairs whose prompts and both responses are alike, each with its own; candidates share a band of the signature
    of both responses together. Where such pairs disagree about the label none of them stays, as of exact copies."""
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
