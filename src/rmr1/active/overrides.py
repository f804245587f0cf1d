"""What makes a judge's verdict on a pair doubtful whatever the entropies say.

place        the verdict depends on which answer stands first, by more than chance
sums         the scores by the criteria add up to one answer, and most texts name the other
untouched    the criteria rate both answers alike in most texts, and these name the same answer more often than chance
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rmr1.active.information import SURE, Information
from rmr1.audit.evidence import count_sums
from rmr1.records import Judgment
from rmr1.stats import binomial_p
from rmr1.verdicts.scores import weigh_scores

Override = Literal["place", "sums", "untouched"]

_MOST = 0.5
"""The share of texts from which on something holds of most."""
_LEVEL = 1e-9


class Doubts(NamedTuple):
    """Counts of the texts of a judgment, that is of those with a verdict for A or B and scores by every criterion."""

    scored: int = 0
    checked: int = 0
    """Those of them whose weighted sum leans to one answer."""
    denied: int = 0
    """Those of these whose verdict is for the other one."""
    level_a: int = 0
    """Those of them that score both answers alike by every criterion, with a verdict for A."""
    level_b: int = 0


def count_doubts(judgment: Judgment) -> Doubts:
    """The doubts of one judgment by criteria."""
    sums = count_sums(judgment)
    scored, level = 0, Counter[str]()
    for vote in judgment.votes:
        scores = vote.trace.scores
        if vote.winner in ("A", "B") and weigh_scores(judgment.criteria, scores) is not None:
            scored += 1
            if all(abs((one.a or 0) - (one.b or 0)) < _LEVEL for one in scores):
                level[vote.winner] += 1
    return Doubts(scored, sums.checked, sums.denied, level["A"], level["B"])


def find_overrides(information: Information, doubts: Sequence[Doubts]) -> tuple[Override, ...]:
    """What holds of a pair, by its doubts under each rubric; each has at least as many texts behind it as there are rubrics."""
    scored, checked, denied, level_a, level_b = map(sum, zip(*doubts, strict=True))
    level = level_a + level_b
    found: list[Override] = []
    if information.is_about_place:
        found.append("place")
    if checked >= len(doubts) and denied > _MOST * checked:
        found.append("sums")
    is_one_sided = binomial_p(max(level_a, level_b), level, 0.5) <= SURE
    if scored >= len(doubts) and level > _MOST * scored and is_one_sided:
        found.append("untouched")
    return tuple(found)
