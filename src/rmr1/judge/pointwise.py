"""A judge's text about one answer -> its rating, a whole number from 1 to 10.

How a text is read says `rmr1.verdicts.one_rating`. With the rule `published` it is read as RewardBench 2's
authors do (`rewardbench` 0.1.4, `generative_v2.py`): a number from 1 to 10 at the very end, whatever comes
before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rmr1.prompts.render import RATINGS
from rmr1.prompts.thinking import Pair
from rmr1.records import RATED, RATED_PUBLISHED, Generation, Problem, Verdict, Vote
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.one_rating import read_one_rating
from rmr1.verdicts.trace import read_outline

_PUBLISHED = re.compile(r"(?<!\w)(10|[1-9])\Z")
_TAIL_CHARS = 40

_KEPT: frozenset[Problem] = frozenset({"empty", "unclosed_thinking", "truncated"})
"""Problems that are no matter of numbers."""


def rating_rule(rule: str) -> str:
    """The `Judgment.rule` under which a judge with this verdict rule rates."""
    return RATED_PUBLISHED if rule in ("published", RATED_PUBLISHED) else RATED


def read_rating(
    text: str, rule: str = RATED, *, truncated: bool = False, thinking: Sequence[Pair] = ()
) -> Verdict:
    """A verdict with one rating and no winner, or with the problem `no_ratings`.

    >>> read_rating("Right, and nothing is missing. <answer>[[9]]</answer>").ratings
    (9.0,)
    """
    verdict = parse_verdict(text, "tagged", RATINGS, truncated=truncated, thinking=thinking)
    problem = verdict.problem if verdict.problem in _KEPT else "no_ratings"
    if rating_rule(rule) == RATED_PUBLISHED:
        match = _PUBLISHED.search(text.strip()[-_TAIL_CHARS:])
        found = None if match is None else int(match[1])
    else:
        found = read_one_rating(read_outline(text, RATINGS, thinking), is_cut=truncated)
        problem = "truncated" if truncated else problem
    if found is None:
        return Verdict(winner=None, problem=problem, trace=verdict.trace)
    return Verdict(winner=None, ratings=(float(found),), trace=verdict.trace)


def cast_rating(generation: Generation, *, rule: str, thinking: Sequence[Pair] = ()) -> Verdict:
    """The rating of a generation, or why there is none; `thinking` holds a user's own forms of thinking."""
    if generation.finish_reason == "error":
        return Verdict(winner=None, problem="generation_failed")
    if generation.finish_reason == "skipped":
        return Verdict(winner=None, problem="prompt_too_long")
    is_cut = generation.finish_reason == "length"
    return read_rating(generation.text, rule, truncated=is_cut, thinking=thinking)


def mean_rating(votes: Sequence[Vote]) -> float | None:
    """The mean of the ratings that could be read; None where there is none."""
    found = [vote.verdict.ratings[0] for vote in votes if vote.verdict.ratings]
    return sum(found) / len(found) if found else None
