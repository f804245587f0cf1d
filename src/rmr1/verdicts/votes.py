"""What several verdicts about one item add up to: the only place where votes are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rmr1.records import Problem
from rmr1.stats import binomial_tail

VoteBy = Literal["majority", "probability"]
"""What decides among several votes: the most of them, or the mean of their probabilities."""

_SHARES = {"A": 1.0, "tie": 0.5, "B": 0.0}


class Said(Protocol):
    """What is counted: a vote, or the stored row of one (`rmr1.store.rulings`)."""

    @property
    def order(self) -> str:
        """The order of the answers in the prompt."""

    @property
    def winner(self) -> str | None:
        """In the pair frame; None if there is no verdict."""

    @property
    def problem(self) -> Problem | None:
        """Why there is none."""

    @property
    def probability(self) -> float | None:
        """P(A is better) by the verdict letter, in the pair frame; None if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a set of votes says, in the pair frame."""

    winner: str | None
    problem: Problem | None
    confidence: float | None
    """The share of all votes that name the winner (by majority), or the probability of the winner, in [0, 1]."""


def decide(votes: Sequence[Said], by: VoteBy = "majority") -> Decision:
    """The side with the most votes, "tie" being a side of its own; or the side with the higher mean probability.

    Votes without a verdict name no side but count in the majority's confidence. No votes for any side gives the
    commonest problem among them; an even split between sides gives `split_vote`, never a tie: a judge
    that contradicts itself has not called the answers equal.

    >>> from rmr1.records import Generation, Verdict, Vote
    >>> text = Generation(text="", finish_reason="stop")
    >>> votes = [
    ...     Vote(order="given", sample=number, generation=text, verdict=Verdict(winner=winner))
    ...     for number, winner in enumerate(("A", "A", "B", None))
    ... ]
    >>> decide(votes)
    Decision(winner='A', problem=None, confidence=0.5)
    >>> decide(votes[1:]).problem
    'split_vote'
    """
    said = [vote for vote in votes if vote.winner is not None]
    if not said:
        problems = Counter(vote.problem for vote in votes)
        problem = problems.most_common(1)[0][0] if problems else "generation_failed"
        return Decision(winner=None, problem=problem, confidence=None)
    if by == "probability":
        if any(vote.probability is None for vote in said):
            return Decision(winner=None, problem="no_probability", confidence=None)
        mean = combine_probabilities(said)
        if mean is None or mean == 0.5:
            return Decision(winner=None, problem="split_vote", confidence=None)
        return Decision(winner="A" if mean > 0.5 else "B", problem=None, confidence=max(mean, 1 - mean))
    counts = Counter(vote.winner for vote in said)
    (winner, first), (_, second) = (*counts.most_common(2), (None, 0))[:2]
    if first == second:
        return Decision(winner=None, problem="split_vote", confidence=None)
    return Decision(winner=winner, problem=None, confidence=first / len(votes))


def combine_probabilities(votes: Sequence[Said]) -> float | None:
    """P(A is better) of votes that all have a verdict: the mean of each order's mean, so that no place in the prompt
    weighs more than the other.

    If the probability of one is not known, the votes themselves are counted, a tie as half for each side and half a
    vote for each beside them (Jeffreys' prior); a single one says which, not how surely, and gives None.
    """
    by_order: dict[str, list[Said]] = {}
    for vote in votes:
        by_order.setdefault(vote.order, []).append(vote)
    if any(vote.probability is None for vote in votes):
        if len(votes) < 2:
            return None
        means = [
            (sum(_SHARES.get(vote.winner or "", 0.5) for vote in ones) + 0.5) / (len(ones) + 1)
            for ones in by_order.values()
        ]
    else:
        means = [sum(vote.probability or 0.0 for vote in ones) / len(ones) for ones in by_order.values()]
    return sum(means) / len(means) if means else None


def is_settled(votes: Sequence[Said], left: int, bar: float) -> bool:
    """Whether so many more votes need not be cast: they cannot change the majority, or the side that leads is the one
    that most votes would name with probability `bar` or more, in (0.5, 1].

    The probability is that of a Beta distribution which began uniform (Aggarwal et al., "Adaptive-Consistency", arXiv
    2305.11860): of the leading side against the next one, P(Binomial(n + 1, 1/2) <= votes for the leading side) with
    n votes for either. At a bar of 1 only a majority that cannot change ends the voting.
    """
    first, second = _count_leaders(votes)
    return _is_enough(first, second, left, bar)


def count_next_wave(votes: Sequence[Said], left: int, bar: float) -> int:
    """The fewest votes more that could settle it, if all were for the side that leads; at least 1 of those left."""
    first, second = _count_leaders(votes)
    enough = (more for more in range(1, left) if _is_enough(first + more, second, left - more, bar))
    return next(enough, left)


def _count_leaders(votes: Sequence[Said]) -> tuple[int, int]:
    ranked = Counter(vote.winner for vote in votes if vote.winner is not None).most_common(2)
    first, second = (*(count for _, count in ranked), 0, 0)[:2]
    return first, second


def _is_enough(first: int, second: int, left: int, bar: float) -> bool:
    if first > second + left:
        return True
    return bar < 1 and first > second and binomial_tail(first, first + second + 1, 0.5) >= bar
