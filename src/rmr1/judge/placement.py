"""The places of the answers in an item's prompts, drawn from the seed and the item's key alone.

So neither resuming nor reading the data in another sequence changes it.

    pair     the two answers in one order or in both; of both the drawn one comes first
    choice   the pair's A is exchanged with the answer at a drawn place, as RewardBench 2's authors do but with a seed
             ("both": and at the place two further); the others keep theirs
    rating   each answer alone; two equal ones are shown once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.prompts import PromptFamily, render_prompt
from rmr1.records import JudgePrompt, Kind, Order, PreferencePair, RubricItem, Side
from rmr1.store.keys import seed_for, split_variant

PLACES: tuple[Order, ...] = ("given", "swapped", "swapped_c", "swapped_d")
"""The order that puts the pair's A to each of the four places of a choice."""


def orders_for(
    placement: Placement, *, seed: int, key: str, among: tuple[Order, ...] = PLACES[:2]
) -> tuple[Order, ...]:
    """The orders a pair is asked in, or with all `PLACES` a choice among four."""
    if placement == "given":
        return ("given",)
    item, _ = split_variant(key)  # a variant stands where its item does
    number, first = len(among), seed_for(seed, "placement", item) % len(among)
    drawn = (among[first], among[(first + number // 2) % number])
    return drawn if placement == "both" else drawn[:1]


def list_placements(
    kind: Kind, pair: PreferencePair, key: str, settings: JudgeSettings
) -> tuple[tuple[Order, Side | None], ...]:
    """(order, side) of every prompt that the item needs; the side is that of a rating."""
    if kind == "rating":
        sides: tuple[Side, ...] = ("A",) if pair.response_a == pair.response_b else ("A", "B")
        return tuple(("given", side) for side in sides)
    among = PLACES if kind == "choice" else PLACES[:2]
    orders = orders_for(settings.order, seed=settings.seed, key=key, among=among)
    return tuple((order, None) for order in orders)


def render_prompts(
    kind: Kind,
    pair: PreferencePair,
    key: str,
    settings: JudgeSettings,
    family: PromptFamily,
    special_tokens: tuple[str, ...] = (),
    criteria: Sequence[RubricItem] | None = None,
) -> Iterator[JudgePrompt]:
    """The prompts that the item needs, with these criteria, or by default those of the settings."""
    given = settings.criteria if criteria is None else criteria
    for order, side in list_placements(kind, pair, key, settings):
        yield render_prompt(
            pair, family, order=order, side=side, special_tokens=special_tokens, criteria=given
        )
