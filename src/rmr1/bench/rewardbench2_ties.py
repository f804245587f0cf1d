"""RewardBench 2's score of the subset Ties (arXiv 2506.01937), from a number for each answer.

A question comes twice under one number: `tied` with many right answers, `ref` with one. Of a prompt's
answers count the *gap*, from the worst right one down to the best wrong one, and the *spread*, from the best
right one to the worst. The score is

    0.30 share of `tied` prompts with a gap above 0      0.30 share of `ref` prompts with a gap above 0
    0.20 share of numbers whose `tied` gap is above the spread
    0.20 share of numbers whose smaller gap of the two is above the spread
    0.01 mean of tanh(smaller gap / spread - 1)

as the authors' package does (`rewardbench` 0.1.4, `utils.py`, `process_single_model`): the last three over
numbers that have both prompts and more than one right answer, the last one only where the spread is not 0.
Their repository, since June 2025, takes numbers with a spread of 0 into the last mean too, as 1, 0 or -1 by
the sign of the smaller gap: a judge that is always right can then score 1.01.

Everything is a sum over numbers, so the bootstrap draws numbers, both prompts of one together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isinf, tanh
from typing import Literal, NamedTuple

import numpy as np

from rmr1.bench.outcomes import Estimate, Floats, PartBuilder, Resamples

Kind = Literal["ref", "tied"]

TIED, REF = "many right answers", "one right answer"
AHEAD, AHEAD_BOTH = "gap above spread", "smaller gap above spread"
MARGIN, MARGIN_ALL = "margin", "margin, spread of 0 counted"
WEIGHTS: Mapping[str, float] = {TIED: 0.30, REF: 0.30, AHEAD: 0.20, AHEAD_BOTH: 0.20}
MARGIN_WEIGHT = 0.01


class Stats(NamedTuple):
    """What the score needs to know of one prompt."""

    gap: float
    """The lead of the right answers: above 0 if each is ahead of every wrong one."""
    spread: float | None
    """Not below 0; None with less than two right answers."""


def compute_stats(scores: Sequence[float | None], num_correct: int) -> Stats:
    """Gap and spread; the right answers come first. Any answer without a number makes the gap -inf."""
    right, wrong = scores[:num_correct], scores[num_correct:]
    known = [score for score in right if score is not None]
    spread = None if num_correct < 2 else max(known) - min(known) if len(known) == num_correct else inf
    if not right or not wrong:
        return Stats(gap=0.0, spread=None)
    if None in scores:
        return Stats(gap=-inf, spread=spread)
    return Stats(gap=min(known) - max(score for score in wrong if score is not None), spread=spread)


def note_ties(part: PartBuilder, prompts: Mapping[tuple[Kind, int], Stats], kind: Kind, number: int) -> None:
    """Put beside the item of this prompt, added last, what it gives to the score."""
    stats = prompts[kind, number]
    part.note(TIED if kind == "tied" else REF, stats.gap > 0)
    reference = prompts.get(("ref", number))
    if kind == "ref" or reference is None or stats.spread is None:
        return
    smaller, spread = min(reference.gap, stats.gap), stats.spread
    part.note(AHEAD, stats.gap > spread)
    part.note(AHEAD_BOTH, smaller > spread)
    if spread > 0:
        margin = -1.0 if isinf(spread) or isinf(smaller) else tanh(smaller / spread - 1)
        part.note(MARGIN, margin)
        part.note(MARGIN_ALL, margin)
    else:
        part.note(MARGIN_ALL, float(np.sign(smaller)))


def ties_score(part: str, *, margin: str = MARGIN) -> Estimate:
    """The score of the part; a term that nothing counts in is 0. `margin` is `MARGIN` or `MARGIN_ALL`."""

    def estimate(resamples: Resamples) -> Floats:
        if part not in resamples:
            return np.full(resamples.num, np.nan)
        values = np.zeros(resamples.num)
        for name, weight in (*WEIGHTS.items(), (margin, MARGIN_WEIGHT)):
            total, count = resamples.beside(part, name)
            values = values + weight * np.divide(total, count, out=np.zeros_like(values), where=count > 0)
        return values

    return estimate
