"""The probability that A is the better answer, from what a judge wrote: read after the reasoning, over votes and orders.

A vote's probability is that of its verdict letter, where the text's verdict stands (`Generation.verdict_logprobs`),
shared out among the labels of its prompt; a tie counts half for each side. The mean is taken over the samples of
each order first and over the orders then, so that no place in the prompt weighs more than the other. Without
log-probabilities the votes themselves are counted, if there are several: one text alone says which, not how surely.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from rmr1.records import Judgment, Vote


def read_probability(judgment: Judgment) -> float | None:
    """P(A is better), in [0, 1] and in the pair frame, uncalibrated; None if the judgment does not tell.

    Of scores it is the Bradley-Terry probability, sigmoid(score of A - score of B). Ratings and choices among four
    have none. Votes without a verdict are left out.
    """
    if judgment.kind == "score":
        return None if judgment.scores is None else sigmoid(judgment.scores[0] - judgment.scores[1])
    if judgment.kind != "pair":
        return None
    return combine_votes([vote for vote in judgment.votes if vote.winner is not None])


def combine_votes(votes: Sequence[Vote]) -> float | None:
    """P(A is better) of votes that have a verdict; None of none, and of a single one without log-probabilities."""
    found = [probability_of_vote(vote) for vote in votes]
    if any(one is None for one in found):
        if len(votes) < 2:
            return None
        found = [_SHARES.get(vote.winner or "") for vote in votes]
    by_order: dict[str, list[float]] = {}
    for vote, one in zip(votes, found, strict=True):
        if one is not None:
            by_order.setdefault(vote.order, []).append(one)
    means = [sum(ones) / len(ones) for ones in by_order.values()]
    return sum(means) / len(means) if means else None


_SHARES = {"A": 1.0, "tie": 0.5, "B": 0.0}


def probability_of_vote(vote: Vote) -> float | None:
    """P(A is better) by one vote's verdict letter; None if its log-probabilities are not known."""
    if not vote.generation.verdict_logprobs:
        return None
    weights = {vote.name_in_pair(label): exp(value) for label, value in vote.generation.verdict_logprobs}
    a, b = weights.pop("A", 0.0), weights.pop("B", 0.0)
    total = a + b + sum(weights.values())
    return (a + sum(weights.values()) / 2) / total if total > 0 else None


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow."""
    return 1 / (1 + exp(-value)) if value >= 0 else 1 - 1 / (1 + exp(value))
