"""Numbers that a judge gives to the answers: two answer tags, the first line, named lines, or a list in words.

Text in, numbers out. The places are looked at in the order of `read_ratings`; a number outside its scale, a
missing one and two that disagree leave no rating at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rmr1.verdicts.trace import Outline, Tag

MAX_RATING = 100.0
"""The largest rating where the text names no scale ("8/10")."""

_NUMBER = r"(\d{1,4}(?:\.\d{1,4})?)(?:\s?/\s?(\d{1,4}))?(?![\d/]|\.\d)"
_SCORES = r"(?:final\s)?(?:scores?|ratings?|output)"
_NUMBER_ITEM = re.compile(rf"\s{{0,8}}{_NUMBER}\s{{0,8}}", re.ASCII)
_LIST_LINE = re.compile(
    rf"(?:{_SCORES}\s?[:=]\s?)?[(\[]?([\d\s.,;/&|]{{1,120}}?)[)\]]?[.]?", re.IGNORECASE | re.ASCII
)
_NAMED_LINE = re.compile(
    rf"[\s>*#_-]{{0,12}}(?:(?:score|rating)\s(?:for|of)\s)?"
    rf"(assistant|response|answer|chatbot|model|output|candidate|score|rating)?\s{{0,3}}"
    rf"([A-Za-z0-9]{{1,16}})(?:'s\s(?:score|rating))?[*_\s]{{0,6}}[:=][*_\s]{{0,6}}{_NUMBER}"
    r"(?=\s{0,4}(?:$|\(|[*_]|[.,;](?:\s|$)))",
    re.IGNORECASE | re.ASCII,
)
_SCORE_LIST = re.compile(
    rf"\b{_SCORES}(?:\s(?:are|is))?\s?[:=]?\s?\(([\d\s.,;/]{{1,120}})\)", re.IGNORECASE | re.ASCII
)
_LINE_CHARS = 300
"""Longer lines hold prose, not ratings."""


def read_ratings(outline: Outline, labels: Sequence[str]) -> tuple[float, ...] | None:
    """One number per label from the judge's own words; None unless each has exactly one."""
    tags = [tag for tag in outline.tags if tag.kind == "answer"]
    if tags:
        return _rate_answers(outline.text, tags, len(labels))
    own = "\n".join(outline.own_texts())
    lines = [line for line in own.splitlines() if line and not line.isspace()]
    return (
        _rate_first_line(lines, len(labels))
        or _rate_named_lines(lines, labels)
        or _rate_score_list(own, len(labels))
    )


def _rate_answers(text: str, tags: Sequence[Tag], count: int) -> tuple[float, ...] | None:
    """`<answer>9</answer><answer>8</answer>`, or all numbers in one tag."""
    if len(tags) not in (2, 2 * count) or any(tag.is_closing != index % 2 for index, tag in enumerate(tags)):
        return None
    contents = [
        text[opening.end : closing.start].strip().strip("[]*").strip()
        for opening, closing in zip(tags[::2], tags[1::2], strict=True)
    ]
    if any(len(content) > _LINE_CHARS for content in contents):
        return None
    if len(contents) == 1:
        return _rate_first_line(contents, count)
    numbers = [_NUMBER_ITEM.fullmatch(content) for content in contents]
    return _to_ratings([number.groups() for number in numbers if number], count)


def _rate_first_line(lines: Sequence[str], count: int) -> tuple[float, ...] | None:
    """A line that holds nothing but the numbers: "8 9.5", "(8, 9)", "Scores: 8/10 9/10"."""
    line = lines[0].strip().replace("*", "") if lines and len(lines[0]) <= _LINE_CHARS else ""
    found = _LIST_LINE.fullmatch(line)
    return None if found is None else _split_numbers(found.group(1), count)


def _rate_named_lines(lines: Sequence[str], labels: Sequence[str]) -> tuple[float, ...] | None:
    """Lines "Assistant 1: 8" or "A: 8/10", one value per side; two values for one side are none."""
    names = {str(index): label for index, label in enumerate(labels, 1)}
    names |= {label.lower(): label for label in labels}
    found: dict[str, set[tuple[str | None, ...]]] = {label: set() for label in labels}
    for line in lines:
        match = _NAMED_LINE.match(line) if len(line) <= _LINE_CHARS else None
        if match is None:
            continue
        noun, word, *amount = match.groups()
        label = names.get(word.lower()) if noun else (word if word in labels else None)
        if label is not None:
            found[label].add(tuple(amount))
    if any(len(values) != 1 for values in found.values()):
        return None
    return _to_ratings([next(iter(found[label])) for label in labels], len(labels))


def _rate_score_list(text: str, count: int) -> tuple[float, ...] | None:
    """ "scores are (1, 5)"; where it is said twice, both must agree."""
    found = {_split_numbers(numbers, count) for numbers in set(_SCORE_LIST.findall(text))}
    return found.pop() if len(found) == 1 else None


def _split_numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Numbers set apart by blanks or one of `,;|&`."""
    parts = [part for part in re.split(r"\s?[,;|&]\s?|(?<![/\s])\s+(?!/)", text.strip()) if part]
    numbers = [_NUMBER_ITEM.fullmatch(part) for part in parts]
    if not all(numbers):
        return None
    return _to_ratings([number.groups() for number in numbers if number], count)


def _to_ratings(amounts: Sequence[Sequence[str | None]], count: int) -> tuple[float, ...] | None:
    """Values of (number, scale) texts; None unless there are `count` of them on one scale."""
    scales = {scale for _, scale in amounts}
    if len(amounts) != count or len(scales) != 1:
        return None
    scale = scales.pop()
    limit = MAX_RATING if scale is None else float(scale)
    ratings = tuple(float(number or 0) for number, _ in amounts)
    return ratings if max(ratings) <= limit else None
