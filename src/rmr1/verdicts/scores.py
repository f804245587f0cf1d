"""The scores that a judge gives by criteria which it was given: read from its text, and weighed.

    <score_2>A: 8, B: 6</score_2>        by the second criterion A gets 8 and B 6 (`rmr1.prompts.protocol.SCORE_TAG`)

What counts is what stands in the judge's own words: not in its thinking, in a quotation or a summary, and not between
quotation marks. Inside the tag each answer is named before its number, as `A: 8`, `A = 8`, `Chatbot A: 8/10` or
`A: **8**`. A number is a score from 1 to 10, decimals included; nothing is rescaled or rounded. What is out of this range, on
another scale (`8/100`), a range (`7-8`), or said in two ways is no score: the criterion is known as not scored. A tag
that is not closed ends with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rmr1.prompts.protocol import LEAST_SCORE, MOST_SCORE, SCORE_TAG
from rmr1.records import CriterionScores, RubricItem
from rmr1.verdicts.mentions import is_enclosed, narrow
from rmr1.verdicts.trace import TextOutline

_MOST_CHARS = 400
"""Characters of a tag's inside that are read."""
_OPENING = re.compile(rf"<\s{{0,4}}{SCORE_TAG}_(\d{{1,3}})\s{{0,4}}>", re.IGNORECASE | re.ASCII)
_END = re.compile(
    rf"<\s{{0,4}}/?\s{{0,4}}{SCORE_TAG}_\d{{1,3}}\s{{0,4}}>|<\s{{0,4}}/?\s{{0,4}}(?:eval|answer)\b|\n",
    re.I | re.A,
)
_CLOSING = re.compile(rf"<\s{{0,4}}/\s{{0,4}}{SCORE_TAG}_(\d{{1,3}})\s{{0,4}}>", re.IGNORECASE | re.ASCII)
_SCORE = re.compile(
    r"(?<![A-Za-z0-9])([A-Z])\b['’]?s?\s{0,4}(?:score\s{0,4})?[*_`]{0,3}\s{0,4}(?:[:=]|is\b|gets\b)?\s{0,4}[\[(*_`]{0,4}\s{0,4}"
    r"(?<![\d.])(\d{1,4}(?:\.\d{1,4})?)(?![\d]|\.\d)"
    r"(?:\s{0,2}(?:/|out\s+of|of)\s{0,2}(\d{1,4}))?(\s{0,2}(?:[-–—~]|to\b)\s{0,2}\d|\s{0,2}%)?",
    re.ASCII,
)


def read_scores(
    outline: TextOutline, num_criteria: int, labels: Sequence[str] = ("A", "B")
) -> tuple[CriterionScores, ...]:
    """The scores by each of so many criteria, in their order; those of a number that there is none of are left out.

    `labels` are the names of the two responses in the prompt, the first one's scores being `a`.
    """
    found: dict[tuple[int, str], set[float | None]] = {}
    for number, inside in _find_tags(outline):
        for label, score in _read_inside(inside):
            found.setdefault((number, label), set()).add(score)

    def get(number: int, label: str) -> float | None:
        said = found.get((number, label), set())
        return next(iter(said)) if len(said) == 1 else None

    first, second = labels[:2]
    return tuple(
        CriterionScores(criterion=number, a=get(number, first), b=get(number, second))
        for number in range(1, num_criteria + 1)
    )


def weigh_scores(
    criteria: Sequence[RubricItem], scores: Iterable[CriterionScores], *, without: int | None = None
) -> tuple[float, float] | None:
    """The weighted mean of each answer's scores, from 1 to 10; criteria that all have no weight count alike.

    None if an answer has no score by one of the criteria, or only some of them have a usable weight.

    Args:
        without: the number of a criterion that is left out, the others' weights keeping their proportions.

    >>> truth, style = RubricItem(text="Is it true?", weight=0.75), RubricItem(text="Is it short?", weight=0.25)
    >>> weigh_scores([truth, style], [CriterionScores(criterion=1, a=8, b=4), CriterionScores(criterion=2, a=2, b=6)])
    (6.5, 4.5)
    """
    by_number = {one.criterion: one for one in scores}
    shares = share_weights(criteria)
    total = total_a = total_b = 0.0
    for number, share in enumerate(shares or (), start=1):
        if number == without:
            continue
        one = by_number.get(number)
        if one is None or one.a is None or one.b is None:
            return None
        total, total_a, total_b = total + share, total_a + share * one.a, total_b + share * one.b
    return (total_a / total, total_b / total) if total else None


def share_weights(criteria: Sequence[RubricItem]) -> tuple[float, ...] | None:
    """The criteria's weights as shares that add up to 1; equal ones if none has a weight, None if only some have one."""
    weights = [one.weight for one in criteria if one.weight]
    if not criteria or (weights and len(weights) < len(criteria)):
        return None
    if not weights:
        return (1 / len(criteria),) * len(criteria)
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _find_tags(outline: TextOutline) -> Iterator[tuple[int, str]]:
    """(number, inside) of every score tag of the judge's own."""
    text = _mask(outline)
    for opening in _OPENING.finditer(text):
        if is_enclosed(outline.text, *opening.span()):
            continue
        most = opening.end() + _MOST_CHARS
        closing = _CLOSING.search(text, opening.end(), most)
        end = _END.search(text, opening.end(), most)
        stop = len(text) if end is None else end.start()
        if (
            closing is not None
            and closing[1] == opening[1]
            and not _OPENING.search(text, opening.end(), closing.start())
        ):
            stop = closing.start()
        yield int(opening[1]), text[opening.end() : min(stop, most)]


def _read_inside(inside: str) -> Iterator[tuple[str, float | None]]:
    for found in _SCORE.finditer(narrow(inside)):
        label, number, scale, more = found.groups()
        score = float(number)
        is_whole = more is None and scale in (None, str(MOST_SCORE))
        yield label, score if is_whole and LEAST_SCORE <= score <= MOST_SCORE else None


def _mask(outline: TextOutline) -> str:
    """The text with blanks for everything that is not the judge's own words, place by place."""
    parts, place = [], 0
    for start, end in outline.spans:
        parts += [" " * (start - place), outline.text[start:end]]
        place = end
    return "".join(parts)
