"""Which of the pairs that passed the filters stay: duplicates, pairs of one prompt, the mix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rmr1.curate.filters import Reason
from rmr1.curate.inputs import Source
from rmr1.curate.mix import plan_sizes, rank_pairs
from rmr1.curate.recipe import CurateRecipe, DuplicateRecipe
from rmr1.curate.similar import Groups, find_candidates, find_repeats, join_similar
from rmr1.curate.table import Columns, PairTable
from rmr1.errors import DataError


@dataclass(slots=True, kw_only=True)
class Choice:
    """What became of every pair of the table."""

    order: list[int]
    """Pairs that stay: source after source, each in the order in which it is taken."""
    reasons: dict[int, Reason]
    """Pairs that go."""
    originals: dict[int, tuple[int, float | None]] = field(default_factory=dict)
    """Of a duplicate, the pair that stays instead, and the similarity to a near one."""
    available: dict[str, int] = field(default_factory=dict)
    """Pairs of each source before the mix."""
    shortages: list[str] = field(default_factory=list)


def choose(
    recipe: CurateRecipe,
    sources: tuple[Source, ...],
    table: PairTable,
    columns: Columns,
    num_rows: Mapping[str, int],
    report: Callable[[str], None],
) -> Choice:
    """Decide; nothing is read. Where no source has a pair left, none is chosen.

    Raises:
        DataError: a source has fewer pairs than are asked of it.
        ConfigError: the mix contradicts itself.
    """
    found = Choice(order=[], reasons={})
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


def _drop_repeats(table: PairTable, found: Choice) -> None:
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


def _drop_near_repeats(table: PairTable, columns: Columns, rules: DuplicateRecipe, found: Choice) -> None:
    """Pairs whose responses and prompts both are alike; candidates share a band of the responses' signature."""
    assert table.response_signer is not None and table.prompt_signer is not None
    staying = np.array([item for item in range(len(table)) if item not in found.reasons], dtype=np.int64)
    responses = table.response_signer.signatures()[staying]
    prompts = table.prompt_signer.signatures()
    of_prompt = columns.prompt[staying]
    alike = Groups(len(prompts))
    join_similar(prompts, rules.near, alike)
    groups = Groups(len(staying))
    for bucket in find_candidates(responses, rules.near):
        first: dict[int, int] = {}
        for item in bucket:
            groups.join(first.setdefault(alike.find(int(of_prompt[item])), item), item)
    members: dict[int, list[int]] = defaultdict(list)
    for item, root in enumerate(groups.roots()):
        members[root].append(item)
    for group in members.values():
        if len(group) == 1:
            continue
        some = np.array(group)
        both = (responses[some], prompts[of_prompt[some]])
        for item, original, similarity in find_repeats(range(len(group)), both, rules.near):
            number = int(staying[some[item]])
            found.reasons[number] = "near_duplicate"
            found.originals[number] = (int(staying[some[original]]), similarity)


def _rank(
    recipe: CurateRecipe,
    sources: tuple[Source, ...],
    table: PairTable,
    columns: Columns,
    num_rows: Mapping[str, int],
    found: Choice,
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


def _limit_prompts(ranked: dict[str, list[int]], columns: Columns, limit: int, found: Choice) -> None:
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
