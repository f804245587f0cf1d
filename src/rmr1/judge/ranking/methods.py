"""Plans of comparisons: what comes next follows from what those before it gave. They know no judge and no texts.

A plan is a generator over answers 0, 1, ..., whose sequence is drawn before (`rmr1.judge.ranking.contest`). It yields
rounds, each a tuple of comparisons that may be made at the same time, is sent their outcomes and returns the places. No
two comparisons of a plan are of the same answers.

    round_robin  all pairs; places by Bradley-Terry strength
    swiss        ceil(log2 n) + 1 rounds among answers with about as many losses; places by strength, but the only one
                 that has won all is first
    pivot        quicksort: all others against one answer, then those above it and those below likewise; what it does
                 not tell from the pivot shares its place
    knockout     the loser goes out; places by the round
    listwise     the same with four at once, of which the best goes on
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, log2

from rmr1.records import Problem

Comparison = tuple[int, ...]
"""Answers that are compared, in ascending sequence."""
LISTWISE = "listwise"
LIST_SIZE = 4
"""Answers that are seen at once in a listwise comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a comparison gave."""

    winner: int | None = None
    """The answer that is better than the others; None of a tie, of a split vote and without a verdict."""
    problem: Problem | None = None
    """Why there is no verdict. Of `split_vote` there is one: the answers are not told apart."""

    @property
    def is_known(self) -> bool:
        """Whether it says anything about the answers."""
        return self.problem in (None, "split_vote")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a plan says of the answers in the end."""

    levels: tuple[float, ...]
    """A number for each answer: the lowest is best."""
    is_by_strength: bool = False
    """Whether answers of one level are told apart by their strengths; else they share a place."""


Plan = Generator[tuple[Comparison, ...], Sequence[Outcome], Places]


def round_robin(num_answers: int) -> Plan:
    """All pairs in one round."""
    yield tuple(combinations(range(num_answers), 2))
    return Places(levels=(0.0,) * num_answers, is_by_strength=True)


def swiss(num_answers: int) -> Plan:
    """Those with as few losses meet in each round; a tie or a split vote is half a loss for each, and a comparison without
    verdict is none."""
    losses = [0.0] * num_answers
    played: set[Comparison] = set()
    has_won_all = [True] * num_answers
    has_sat_out: set[int] = set()
    rounds = min(ceil(log2(num_answers)) + 1, num_answers - (num_answers % 2 == 0))
    for _ in range(rounds):
        ranked = sorted(range(num_answers), key=lambda one: (losses[one], one))
        if num_answers % 2:
            sitting = next((one for one in reversed(ranked) if one not in has_sat_out), ranked[-1])
            has_sat_out.add(sitting)
            ranked.remove(sitting)
        games = tuple(_match(ranked, played))
        outcomes = yield games
        played.update(games)
        for game, outcome in zip(games, outcomes, strict=True):
            for one in game:
                has_won_all[one] &= one == outcome.winner
                if outcome.is_known:
                    losses[one] += 0.5 if outcome.winner is None else one != outcome.winner
    is_alone = has_won_all.count(True) == 1
    return Places(levels=tuple(-float(is_alone and one) for one in has_won_all), is_by_strength=True)


def _match(ranked: Sequence[int], played: set[Comparison]) -> list[Comparison]:
    """Each with the nearest below that it has not met. Two that are left over and have met change partners with a pair
    above, if that makes two new games; else they sit out."""
    games: list[Comparison] = []
    left, over = list(ranked), []
    while left:
        one = left.pop(0)
        other = next((other for other in left if _pair(one, other) not in played), None)
        if other is None:
            over.append(one)
        else:
            left.remove(other)
            games.append(_pair(one, other))
    for first, second in zip(over[::2], over[1::2], strict=False):
        for place in reversed(range(len(games))):
            one, other = games[place]
            changed = next(
                (
                    both
                    for both in (
                        (_pair(first, one), _pair(second, other)),
                        (_pair(first, other), _pair(second, one)),
                    )
                    if played.isdisjoint(both)
                ),
                None,
            )
            if changed is not None:
                games[place : place + 1] = changed
                break
    return games


def pivot(num_answers: int) -> Plan:
    """The pivot is the first of its part, in the drawn sequence."""
    parts: list[list[int]] = [list(range(num_answers))]
    is_open = [num_answers > 1]
    while any(is_open):
        opened = [part for part, one in zip(parts, is_open, strict=True) if one]
        outcomes = yield tuple(_pair(part[0], other) for part in opened for other in part[1:])
        found = iter(outcomes)
        split: list[tuple[list[int], bool]] = []
        for part, one in zip(parts, is_open, strict=True):
            split += _split(part, found) if one else [(part, False)]
        parts, is_open = [part for part, _ in split], [one for _, one in split]
    levels = {answer: float(level) for level, part in enumerate(parts) for answer in part}
    return Places(levels=tuple(levels[answer] for answer in range(num_answers)))


def _split(part: Sequence[int], outcomes: Iterator[Outcome]) -> list[tuple[list[int], bool]]:
    """The parts above, with and below the pivot, and whether each is to be parted again."""
    first, *others = part
    above: list[int] = []
    level, below = [first], list[int]()
    for other, outcome in zip(others, outcomes, strict=False):
        (level if outcome.winner is None else above if outcome.winner == other else below).append(other)
    return [(one, one is not level and len(one) > 1) for one in (above, level, below) if one]


def knockout(num_answers: int, size: int = 2) -> Plan:
    """If a comparison names no winner, the first in the drawn sequence goes on, and the other shares its place."""
    alive = list(range(num_answers))
    went_out = [0] * num_answers
    by_draw: list[tuple[int, int]] = []
    turn = 0
    while len(alive) > 1:
        turn += 1
        games, rest = _group(alive, size)
        outcomes = yield tuple(tuple(sorted(game)) for game in games)
        alive = rest  # who has no opponent is first in the next round
        for game, outcome in zip(games, outcomes, strict=True):
            stays = min(game) if outcome.winner is None else outcome.winner
            alive.append(stays)
            for one in game:
                went_out[one] = went_out[one] if one == stays else turn
                if outcome.winner is None and one != stays:
                    by_draw.append((one, stays))
    for champion in alive:
        went_out[champion] = turn + 1
    for one, stayed in reversed(by_draw):  # who stayed went out later, so its own place is known by now
        went_out[one] = went_out[stayed]
    return Places(levels=tuple(-float(one) for one in went_out))


def _group(alive: Sequence[int], size: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """Groups of `size`, of what is left over pairs, and who has no opponent."""
    whole = len(alive) // size * size
    games = [tuple(alive[start : start + size]) for start in range(0, whole, size)]
    left = alive[whole:]
    games += [tuple(left[start : start + 2]) for start in range(0, len(left) - 1, 2)]
    return games, list(left[len(left) // 2 * 2 :])


def listwise(num_answers: int) -> Plan:
    """A rest of two or three is compared in pairs."""
    return knockout(num_answers, LIST_SIZE)


def _pair(one: int, other: int) -> Comparison:
    return (one, other) if one < other else (other, one)


METHODS: Mapping[str, Callable[[int], Plan]] = {
    "swiss": swiss,
    "round_robin": round_robin,
    "pivot": pivot,
    "knockout": knockout,
    LISTWISE: listwise,
}
DEFAULT_METHOD = "swiss"
