"""A judgment -> counts of what its texts can be held to: their solutions, their rubrics' sums, their rubrics themselves.

Everything is in the pair's frame, and of each text (vote) by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from rmr1.audit.finals import FORMS, has_options, read_finals
from rmr1.audit.quotes import answer_text
from rmr1.records import Judgment, RubricItem, Vote, swap_label
from rmr1.verdicts.scores import weigh_scores

ALIKE = 0.75
"""Criteria are twins if this share of the three-letter pieces of both together stands in either."""
_MOST_COMPARED = 100
"""Criteria of a rubric that are compared with each other."""
_CLOSING_LINES = 5
"""Lines at the end of an evaluation in which totals are looked for."""
_LEVEL = 1e-9
_NAMED = re.compile(r"\b(?:assistant|chatbot|response|answer|output|model)\s{1,2}\(?(?:[AB12])\b", re.I)
_NAME = r"(?:assistant|chatbot|response|answer|output)?\s{0,2}\(?"
_AMOUNT = r"\)?(?:'s)?(?:\s(?:total|score|rating|points?)){0,2}[\s*_]{0,4}[:=]?[\s*_]{0,4}(\d{1,4}(?:\.\d{1,4})?)(?:\s?/\s?\d{1,4}|%)?(?:\spoints?)?[*_]{0,3}"
_TOTALS = re.compile(
    rf"[\s>*_#-]{{0,8}}(?:(?:final|overall|weighted|sums?|scores?|totals?)[\s*_:=]{{1,6}}){{0,3}}"
    rf"{_NAME}A{_AMOUNT}\s{{0,3}}(?:[,;|/]|and|vs\.?|[-–—])\s{{0,3}}(?:and\s)?[*_]{{0,3}}{_NAME}B{_AMOUNT}[\s.*_]{{0,4}}",
    re.I,
)
"""A line that gives both answers a number and says nothing else: "A 3, B 10", "Total: A = 7.5, B = 8"."""


class Solutions(NamedTuple):
    """What a judgment's own solutions say."""

    checked: int
    """Texts with a verdict for A or B whose solution ends in the same answer as exactly one of the two."""
    denied: int
    """Those of them whose verdict is for the other one."""


class Sums(NamedTuple):
    """What the scores of a judgment's texts add up to."""

    checked: int
    """Texts with a verdict for A or B whose weighted sum, or stated totals, lean to one of the answers."""
    denied: int
    """Those of them whose verdict is for the other one."""
    scored: int
    """Criteria, one for each text, that have scores for both answers."""
    level: int
    """Those of them that score both alike."""
    weighable: int
    """Texts with several criteria, whose verdict is on the side of the weighted sum."""
    turned: int
    """Those of them with a criterion without which the sum would not be on that side."""


def count_solutions(judgment: Judgment) -> Solutions:
    """Hold each text's verdict against its own solution: the block of that name, or else what is said before an answer is
    named. Both answers have to end in something that can be compared, and not in the same."""
    if judgment.kind != "pair" or not judgment.votes:
        return Solutions(0, 0)
    with_options = has_options(answer_text(judgment.pair.prompt))
    a, b = (
        read_finals(answer_text(response), with_options=with_options)
        for response in (judgment.pair.response_a, judgment.pair.response_b)
    )
    forms = [form for form in FORMS if form in a and form in b and a[form] != b[form]]
    checked = denied = 0
    for vote in judgment.votes if forms else ():
        if vote.winner not in ("A", "B"):
            continue
        own, is_block = read_solution(vote)
        said = read_finals(own, with_options=with_options, is_loose=is_block)
        for form in forms:
            if form in said and said[form] in (a[form], b[form]):
                checked += 1
                denied += (said[form] == a[form]) != (vote.winner == "A")
                break
    return Solutions(checked, denied)


def read_solution(vote: Vote) -> tuple[str, bool]:
    """What a text says of the question itself, and whether it has a block for that."""
    if (block := vote.verdict.trace.solution) is not None:
        return block, True
    if vote.verdict.ratings is not None:  # what such a text says first is of an answer
        return "", False
    text = vote.generation.text
    named = _NAMED.search(text)
    return ("" if named is None else text[: named.start()]), False


def count_sums(judgment: Judgment) -> Sums:
    """Hold each text's verdict against the scores that it gives by the criteria: the weighted sum of those that the judge was
    given, or the totals that close an evaluation by a rubric of its own."""
    totals: Counter[str] = Counter()
    for vote in judgment.votes if judgment.kind == "pair" else ():
        scores = vote.trace.scores
        complete = [one for one in scores if one.is_complete]
        totals.update(scored=len(complete), level=sum(one.a == one.b for one in complete))
        if vote.winner not in ("A", "B"):
            continue
        whole = weigh_scores(judgment.criteria, scores) if judgment.criteria else read_totals(vote)
        side = None if whole is None else _side(*whole)
        if side is None:
            continue
        totals.update(checked=1, denied=side != vote.winner)
        if side == vote.winner and len(judgment.criteria) > 1:
            rests = (
                weigh_scores(judgment.criteria, scores, without=number)
                for number in range(1, len(judgment.criteria) + 1)
            )
            totals.update(weighable=1, turned=any(rest is None or _side(*rest) != side for rest in rests))
    return Sums(**{name: totals[name] for name in Sums._fields})


def read_totals(vote: Vote) -> tuple[float, float] | None:
    """The numbers (of the pair's A, of its B) in the last line of an evaluation that gives one to each and says nothing else;
    None without a rubric, or without such a line of the judge's own among the last ones."""
    trace = vote.verdict.trace
    if not trace.rubric or trace.evaluation is None:
        return None
    lines = [line for line in trace.evaluation.splitlines() if line.strip()][-_CLOSING_LINES:]
    for line in reversed(lines):
        found = _TOTALS.fullmatch(line[:200])
        if found is None or any(line.strip() in one.text for one in (*trace.quotes, *trace.summaries)):
            continue
        first, second = float(found[1]), float(found[2])
        return (first, second) if swap_label("A", vote.order) == "A" else (second, first)
    return None


def count_twins(judgment: Judgment) -> int:
    """How many criteria, of those given or of the deciding text's, say nearly what one before them says."""
    deciding = judgment.deciding
    criteria = judgment.criteria or (() if deciding is None else deciding.verdict.trace.rubric)
    return len(find_twins(tuple(map(_word, criteria[:_MOST_COMPARED]))))


@lru_cache(maxsize=1024)
def find_twins(wordings: tuple[str, ...]) -> frozenset[int]:
    """The places, from 0, of wordings that are nearly one before them.

    >>> find_twins(("Is it true?", "Is it short?", "is it true"))
    frozenset({2})
    """
    pieces = [_cut(one) for one in wordings]
    return frozenset(
        later
        for (_, first), (later, second) in combinations(enumerate(pieces), 2)
        if _are_alike(first, second)
    )


def share_agreeing(judgment: Judgment) -> float | None:
    """The share of pairs of votes, on the same prompt and with a verdict each, that name the same side; None if there are none."""
    same = total = 0
    for winners in _iterate_prompts(judgment.votes):
        total += len(winners) * (len(winners) - 1)
        same += sum(count * (count - 1) for count in Counter(winners).values())
    return same / total if total else None


def _iterate_prompts(votes: Sequence[Vote]) -> Iterator[list[str]]:
    prompts: dict[object, list[str]] = {}
    for vote in votes:
        if vote.winner is not None and vote.side is None:
            prompts.setdefault(vote.order, []).append(vote.winner)
    return iter(prompts.values())


def _word(item: RubricItem) -> str:
    return item.text if item.name is None else f"{item.name}: {item.text}"


def _cut(wording: str) -> frozenset[str]:
    plain = " ".join(re.findall(r"\w+", wording.casefold()))
    return frozenset(plain[place : place + 3] for place in range(max(1, len(plain) - 2)))


def _are_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)


def _side(a: float, b: float) -> str | None:
    return None if abs(a - b) < _LEVEL else "A" if a > b else "B"
