"""A judge's text -> its verdict, by what was asked: two answers, four at once, or one alone.

A pair, and a choice with four labels, are read by a verdict rule, a rating by `rmr1.verdicts.one_rating`. With the rule
`published` choices and ratings are read as RewardBench 2's authors do (`rewardbench` 0.1.4, `generative_v2.py`): of A, B, C
and D in this order the first whose `[[A]]` occurs anywhere in the raw text; and a number from 1 to 10 at the very end,
whatever comes before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rmr1.prompts.render import RATINGS
from rmr1.prompts.thinking import Pair
from rmr1.records import Kind, Problem, Verdict
from rmr1.verdicts.one_rating import read_one_rating
from rmr1.verdicts.rules import parse_verdict
from rmr1.verdicts.trace import read_outline

RATED = "rated"
RATED_PUBLISHED = "rated-published"
"""The rules that ratings are read by, as `Judgment.rule` names them."""

_PUBLISHED = re.compile(r"(?<!\w)(10|[1-9])\Z")
_TAIL_CHARS = 40

_FOUR = ("A", "B", "C", "D")

_KEPT: frozenset[Problem] = frozenset({"empty", "unclosed_thinking", "truncated"})
"""Problems that are no matter of numbers."""


def rule_of(kind: Kind, rule: str) -> str:
    """The `Judgment.rule` of a judge with this verdict rule that is asked for this kind of judgment."""
    if kind != "rating":
        return rule
    return RATED_PUBLISHED if rule in ("published", RATED_PUBLISHED) else RATED


def read_verdict(
    text: str,
    kind: Kind = "pair",
    rule: str = "tagged",
    *,
    labels: Sequence[str] = ("A", "B"),
    truncated: bool = False,
    thinking: Sequence[Pair] = (),
    num_criteria: int = 0,
) -> Verdict:
    """What the text says. `labels` are those of a pair's prompt; `thinking` holds a user's own forms of thinking;
    `num_criteria` is how many criteria a pair's prompt gives.

    >>> read_verdict("Right, and nothing is missing. <answer>[[9]]</answer>", "rating").ratings
    (9.0,)

    Raises:
        ConfigError: for an unknown rule; never for a text.
    """
    if kind == "rating":
        return _read_rating(text, rule, truncated, thinking)
    if kind == "choice":
        verdict = parse_verdict(text, rule, _FOUR, truncated=truncated, thinking=thinking)
        named = next((one for one in _FOUR if f"[[{one}]]" in text), None) if rule == "published" else None
        return verdict if named is None else Verdict(winner=named, trace=verdict.trace)
    return parse_verdict(
        text, rule, labels, truncated=truncated, thinking=thinking, num_criteria=num_criteria
    )


def _read_rating(text: str, rule: str, truncated: bool, thinking: Sequence[Pair]) -> Verdict:
    """A verdict with one rating and no winner, or with the problem `no_ratings`."""
    verdict = parse_verdict(text, "tagged", RATINGS, truncated=truncated, thinking=thinking)
    problem = verdict.problem if verdict.problem in _KEPT else "no_ratings"
    if rule_of("rating", rule) == RATED_PUBLISHED:
        match = _PUBLISHED.search(text.strip()[-_TAIL_CHARS:])
        found = None if match is None else int(match[1])
    else:
        found = read_one_rating(read_outline(text, RATINGS, thinking), is_cut=truncated)
        problem = "truncated" if truncated else problem
    if found is None:
        return Verdict(winner=None, problem=problem, trace=verdict.trace)
    return Verdict(winner=None, ratings=(float(found),), trace=verdict.trace)
