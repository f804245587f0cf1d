"""What several verdicts about one item add up to: the only place where votes are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rmr1.records import Problem


class Said(Protocol):
    """What is counted: a vote, or the stored row of one (`rmr1.store.rulings`)."""

    @property
    def winner(self) -> str | None:
        """In the pair frame; None if there is no verdict."""

    @property
    def problem(self) -> Problem | None:
        """Why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a set of votes says, in the pair frame."""

    winner: str | None
    problem: Problem | None
    confidence: float | None
    """Share of all votes that name the winner, in [0, 1]."""


def decide(votes: Sequence[Said]) -> Decision:
    """The side with the most votes; "tie" is a side of its own.

    Votes without a verdict name no side but count in the confidence. No votes for any side gives the
    commonest problem among them; an even split between sides gives `split_vote`, never a tie: a judge
    that contradicts itself has not called the answers equal.

    >>> [given, swapped, none] = [Decision(winner=winner, problem=None, confidence=None) for winner in ("A", "B", None)]
    >>> decide([given, given, swapped, none])
    Decision(winner='A', problem=None, confidence=0.5)
    >>> decide([given, swapped]).problem
    'split_vote'
    """
    counts = Counter(vote.winner for vote in votes if vote.winner is not None)
    if not counts:
        problems = Counter(vote.problem for vote in votes)
        problem = problems.most_common(1)[0][0] if problems else "generation_failed"
        return Decision(winner=None, problem=problem, confidence=None)
    ranked = counts.most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return Decision(winner=None, problem="split_vote", confidence=None)
    winner, count = ranked[0]
    return Decision(winner=winner, problem=None, confidence=count / len(votes))
