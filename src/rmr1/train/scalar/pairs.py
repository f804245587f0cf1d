"""Labelled pairs -> the tokens of their better and worse conversation, and the order in which they are seen.

Ties and pairs without a label are left out and counted. Conversations are read by the judge's own reader.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from random import Random
from typing import Any

from rmr1.engines.base import Score, ScoreRequest
from rmr1.engines.hf.scorer import ConversationReader
from rmr1.errors import DataError
from rmr1.records import PreferencePair
from rmr1.train.examples import read_labelled
from rmr1.train.row import Example
from rmr1.train.scalar.recipe import PairDataRecipe, ScalarRecipe
from rmr1.train.scratch.tokenizer import Speller

_WINDOW = 16
"""Steps whose pairs are sorted by length together."""


@dataclass(slots=True, kw_only=True)
class PairCounts:
    """What was read."""

    pairs: int = 0
    undecided: int = 0
    """Ties, and pairs without a label."""
    overlong: int = 0
    tokens: int = 0
    """Tokens of both conversations of the pairs that are kept."""


class PairStore:
    """Token sequences of pairs, about 4 bytes a token."""

    def __init__(self) -> None:
        self.counts = PairCounts()
        self.end_tokens: set[int] = set()
        """Tokens that a conversation ends with."""
        self._pairs: list[tuple[array[int], array[int]]] = []

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, chosen: Sequence[int], rejected: Sequence[int]) -> None:
        self._pairs.append((array("i", chosen), array("i", rejected)))
        self.end_tokens |= {chosen[-1], rejected[-1]}
        self.counts.tokens += len(chosen) + len(rejected)

    def get(self, place: int) -> tuple[array[int], array[int]]:
        """The better and the worse conversation."""
        return self._pairs[place]

    def num_tokens(self, place: int) -> int:
        """Tokens of both conversations."""
        return sum(map(len, self._pairs[place]))

    def longest(self, place: int) -> int:
        """Tokens of the longer conversation."""
        return max(map(len, self._pairs[place]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The order in which pairs are seen, from the first step to the last."""

    order: Sequence[int]
    tokens: Sequence[int]
    """Tokens seen after each step."""


def plan_course(store: PairStore, recipe: ScalarRecipe, tokens: int | None = None) -> Course:
    """So many epochs, each in an order drawn from the seed; or as many whole steps as `tokens` need, by default those
    of the recipe."""
    wanted, size = (recipe.optim.tokens if tokens is None else tokens), recipe.batch.examples
    order, seen, total = array("q"), array("q"), 0
    for epoch in count() if wanted is not None else range(recipe.optim.epochs):
        for place in _order_epoch(store, size, begun=len(order) % size, seed=f"{recipe.seed}/{epoch}"):
            order.append(place)
            total += store.num_tokens(place)
            if len(order) % size == 0:
                seen.append(total)
                if wanted is not None and total >= wanted:
                    return Course(order=order, tokens=seen)
    if len(order) % size:
        seen.append(total)
    return Course(order=order, tokens=seen)


def _order_epoch(store: PairStore, size: int, *, begun: int, seed: str) -> Iterator[int]:
    """Every pair once, in a random order of steps whose pairs are of similar length, so that there is little padding:
    windows of random pairs are sorted and cut into steps. The first pairs fill a step that the epoch before has begun.
    """
    draw = Random(seed)
    places = list(range(len(store)))
    draw.shuffle(places)
    head = -begun % size
    yield from places[:head]
    for start in range(head, len(places), size * _WINDOW):
        window = sorted(places[start : start + size * _WINDOW], key=store.longest)
        steps = [window[first : first + size] for first in range(0, len(window), size)]
        is_last = len(steps[-1]) < size
        full = steps[:-1] if is_last else steps
        draw.shuffle(full)
        yield from chain.from_iterable(full)
        if is_last:
            yield from steps[-1]


def read_stores(recipe: ScalarRecipe, reader: ConversationReader) -> tuple[PairStore, PairStore]:
    """Training pairs, and held-out ones; if there are none, or one is too long and that fails, it is a `DataError`."""
    data = recipe.data
    kept, aside = PairStore(), PairStore()
    if data.world is not None:
        speller = Speller(reader.tokenizer, data.world.spelled) if data.world.spelled else None
        training = draw_pairs(data, "train", data.world.items)
        _fill(kept, training, reader, data, name="the world", speller=speller)
        _fill(aside, draw_pairs(data, "test", data.world.held_out), reader, data, name="the world")
    else:
        assert data.train is not None
        draw = Random(f"{recipe.seed}/held-out")
        for source, pair in read_labelled(data.train, data):
            is_aside = data.held_out_share and draw.random() < data.held_out_share
            _fill(aside if is_aside else kept, [pair], reader, data, name=source)
        for source, pair in read_labelled(data.held_out or (), data):
            _fill(aside, [pair], reader, data, name=source)
    if not len(kept):
        counts = kept.counts
        name = data.train if isinstance(data.train, str) else ", ".join(data.train or ("the world",))
        raise DataError(
            f"nothing to train on: of {counts.pairs} pairs {counts.undecided} have no preferred answer and "
            f"{counts.overlong} are longer than data.max_tokens {data.max_tokens}",
            path=name,
        )
    if data.has_held_out and not len(aside):
        raise DataError("no held-out pair is left; name others, or a larger held_out_share")
    return kept, aside


def draw_pairs(data: PairDataRecipe, split: Any, number: int) -> Iterator[PreferencePair]:
    """Pairs of the synthetic world."""
    from rmr1.world import sample_pairs

    assert data.world is not None
    distribution = data.world.distribution if split == "train" else "balanced"
    for item in sample_pairs(data.world.seed, number, split=split, distribution=distribution):
        yield item.pair


def _fill(
    store: PairStore,
    pairs: Iterable[PreferencePair],
    reader: ConversationReader,
    data: PairDataRecipe,
    *,
    name: str,
    speller: Speller | None = None,
) -> None:
    for pair in pairs:
        store.counts.pairs += 1
        if pair.label not in ("A", "B"):
            store.counts.undecided += 1
            continue
        found: list[Sequence[int]] = []
        for response in (pair.response_a, pair.response_b):
            tokens = reader.prepare(ScoreRequest(key="", pair_id=pair.id, messages=(*pair.prompt, *response)))
            if isinstance(tokens, Score):
                if tokens.problem != "prompt_too_long":
                    raise DataError(f"pair {pair.id!r}: {tokens.error}", path=name)
                if data.on_overlong == "fail":
                    raise DataError(
                        f"pair {pair.id!r}: conversation of {tokens.prompt_tokens} tokens is longer than "
                        f"data.max_tokens {data.max_tokens}",
                        path=name,
                    )
                continue
            found.append(tokens)
        if len(found) < 2:
            store.counts.overlong += 1
            continue
        if speller is not None:
            found = spell_pair(found, speller, Random(f"{pair.id}/spelled"))
        store.add(*(found if pair.label == "A" else reversed(found)))


def spell_pair(conversations: Sequence[Sequence[int]], speller: Speller, draw: Random) -> list[Sequence[int]]:
    """Both conversations with the same words spelt in bytes."""
    # One document with a mark between them that no text has, so that a word is spelt in both or in neither.
    tokens = array("i", [*conversations[0], -1, *conversations[1]])
    spelt = list(speller.spell(Example(tokens=tokens, num_prompt=len(tokens)), draw).tokens)
    middle = spelt.index(-1)
    return [spelt[:middle], spelt[middle + 1 :]]
