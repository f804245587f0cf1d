"""What every benchmark does with its rulings: count them, and add pairs to parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmr1.bench.outcomes import Measure, Outcomes, PartBuilder, drop_lone_prompts
from rmr1.errors import DataError
from rmr1.judge.reliability import ReliabilityTally
from rmr1.records import PROBLEMS
from rmr1.store.rulings import Ruling

MANY = 20
"""Judgments that no drawn order leaves all in one place."""

SAME_BOTH_WAYS = "same verdict both ways"
RIGHT_BOTH_WAYS = "right both ways"
"""Position-consistent accuracy: the right answer wins in either place."""


@dataclass(slots=True)
class RulingCounts:
    """How many judgments came in, how they were asked, and why verdicts are missing; each order's apart."""

    judgments: int = 0
    failed: int = 0
    """Judgments that lack an answer of the engine."""
    orders: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    reliability: ReliabilityTally = field(default_factory=ReliabilityTally)

    def answered(self, rulings: Iterable[Ruling]) -> Iterator[Ruling]:
        """Count all, and give those that the engine answered: the item of a request that failed is as one not
        yet judged."""
        for ruling in rulings:
            self.judgments += 1
            self.reliability.add(ruling, ruling.label)
            if ruling.has_failed:
                self.failed += 1
                continue
            votes = ruling.votes
            if ruling.kind in ("rating", "score"):
                self.orders["scores"] += 1
            else:
                self.orders[votes[0].order if len(votes) == 1 else ruling.placement] += 1
            said = [(None, ruling.problem)] if len(votes) < 2 else ruling.by_order().values()
            self.problems.update(problem for _, problem in said if problem is not None)
            yield ruling

    def find_one_place(self) -> tuple[str, ...]:
        """The fault of data that names the better answer first and was shown as it stands, and in no other order."""
        if self.orders["given"] < MANY or set(self.orders) != {"given"}:
            return ()
        return ("the better answer was always shown first",)

    def outcomes(self, benchmark: str, builders: Iterable[PartBuilder], **fields: Any) -> Outcomes:
        """The finished table."""
        return Outcomes(
            benchmark=benchmark,
            parts={one.name: one for one in drop_lone_prompts([one.build() for one in builders])},
            judgments=self.judgments,
            failed=self.failed,
            orders=dict(self.orders),
            problems={name: self.problems[name] for name in PROBLEMS if name in self.problems},
            reliability=self.reliability.describe(),
            **fields,
        )


def add_pair(part: PartBuilder, item: str, ruling: Ruling) -> None:
    """A labelled pair as an item: credit 1 if its label won; a tie or a missing verdict is no win.

    Of a pair asked both ways the order counts that was asked first, as benchmarks ask once in a random order.
    """
    winner, _ = ruling.asked_first()
    part.items.append(item)
    part.clusters.append(ruling.prompt)
    part.credits.append(winner == ruling.label)
    part.no_verdict.append(winner is None)
    part.ties.append(winner == "tie")
    if len(ruling.votes) > 1 and (found := both_ways(ruling)) is not None:
        part.note(SAME_BOTH_WAYS, found[0])
        part.note(RIGHT_BOTH_WAYS, found[1])


def group_pairs(pairs: PartBuilder) -> dict[str, list[int]]:
    """The places of the pairs `<item>:<rest>` of each item."""
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(pairs.items):
        groups.setdefault(name.rpartition(":")[0], []).append(place)
    return groups


def add_group(part: PartBuilder, item: str, pairs: PartBuilder, places: Sequence[int], credit: Any) -> None:
    """Pairs of one part as one item of another."""
    part.items.append(item)
    part.clusters.append(pairs.clusters[places[0]])
    part.credits.append(credit)
    part.no_verdict.append(sum(pairs.no_verdict[place] for place in places))
    part.ties.append(sum(pairs.ties[place] for place in places))


def not_of(ruling: Ruling, title: str, name: str, what: str = "labelled pair") -> DataError:
    """The error of a judgment that is not of the benchmark's pairs."""
    return DataError(f"pair {ruling.id!r} is no {what} of {title}; was the run made with bench {name}?")


def both_ways(ruling: Ruling) -> tuple[bool, bool] | None:
    """Whether both orders name the same side, and whether both name the right one; None if it was not asked both
    ways. Two ties are the same verdict, two missing ones are none.
    """
    if ruling.kind == "rating":
        return None  # its two votes are about one answer each
    winners = [winner for winner, _ in ruling.by_order().values()]
    if len(winners) < 2:
        return None
    is_same = winners[0] == winners[1] and winners[0] is not None
    return is_same, is_same and winners[0] == ruling.label


def refuse_repeated(builder: PartBuilder, separator: str) -> None:
    """Refuse a part with one item twice."""
    if len(set(builder.items)) < len(builder.items):
        found = next(item for item, count in Counter(builder.items).items() if count > 1)
        raise DataError(f"pair {builder.name + separator + found!r} was judged twice")


def both_ways_measures(outcomes: Outcomes, groups: Mapping[str, tuple[str, ...]]) -> list[Measure]:
    """What stands beside the official figures of each group of parts that was asked both ways."""
    return [
        Measure(group=group, name=name, parts=parts, beside=name)
        for group, parts in groups.items()
        for name in (SAME_BOTH_WAYS, RIGHT_BOTH_WAYS)
        if any(name in outcomes.parts[part].beside for part in parts)
    ]
