"""Numbers that a judge gives to the answers: two answer tags, the first line, named lines, or a list in words.

The places are looked at in the order of `read_ratings`; a number outside its scale, a missing one and two that disagree leave
no rating at all. Which named lines rate, and which restate results, is in docs/verdicts.md ("Numbers").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from rmr1.verdicts.mentions import Tag
from rmr1.verdicts.trace import TextOutline

MAX_RATING = 100.0
"""The largest rating where the text names no scale ("8/10")."""

_NUMBER = r"(\d{1,4}(?:\.\d{1,4})?)(?:\s?/\s?(\d{1,4}))?(?![\d/]|\.\d)"
_SCORES = r"(?:final\s)?(?:scores?|ratings?|output)"
_NUMBER_ITEM = re.compile(rf"\s{{0,8}}{_NUMBER}\s{{0,8}}", re.ASCII)
_LIST_LINE = re.compile(
    rf"(?:{_SCORES}\s?[:=]\s?)?[(\[]?([\d\s.,;/&|]{{1,120}}?)[)\]]?[.]?", re.IGNORECASE | re.ASCII
)
_NAMED_LINE = re.compile(
    rf"[\s>*#_-]{{0,12}}((?:final\s)?(?:score|rating)\s(?:for\s|of\s)?)?"
    rf"(assistant|response|answer|chatbot|model|output|candidate)?\s{{0,3}}\(?([A-Za-z0-9]{{1,16}})\)?"
    rf"('s\s(?:score|rating)|\s\((?:score|rating))?[*_\s]{{0,6}}[:=][*_\s]{{0,6}}{_NUMBER}"
    r"(?=\)|\s{0,4}(?:$|\(|[*_]|[.,;](?:\s|$)|[-–—]\s[^\W\d]))",
    re.IGNORECASE | re.ASCII,
)
_NAMES_SCORES = re.compile(
    rf"\b{_SCORES}\b[^:]{{0,60}}:[\s*_]{{0,8}}$|^[\s*#_]{{0,12}}{_SCORES}[\s*#_]{{0,12}}$", re.I
)
_SCORES_BEFORE = re.compile(rf"[\s*#_-]{{0,12}}{_SCORES}[\s*_]{{0,6}}[:=]", re.I)
_SCORE_LIST = re.compile(
    rf"\b{_SCORES}(?:\s(?:are|is))?\s?[:=]?\s?\(([\d\s.,;/]{{1,120}})\)", re.IGNORECASE | re.ASCII
)
_UNSAID_SCALE = 10.0
"""The largest number that is a rating although nothing calls it one."""
_SCALES = ("5", "10", "100")
"""The scales of named lines; 3/8 may be a fraction."""
_LINE_CHARS = 300
"""Longer lines hold prose, not ratings."""


def read_ratings(
    outline: TextOutline, labels: Sequence[str], *, is_cut: bool = False
) -> tuple[float, ...] | None:
    """One number per label from the judge's own words; None unless each has exactly one.

    `is_cut` says that the text ended at its token limit. Then only closed tags that are the last thing
    written count, and a first line that another one follows: a number elsewhere could go on.
    """
    tags = [tag for tag in outline.tags if tag.kind == "answer"]
    if tags:
        is_whole = not is_cut or not outline.text[tags[-1].end :].strip()
        return _rate_answers(outline.text, tags, len(labels)) if is_whole else None
    own = "\n".join(outline.own_texts())
    lines = [line for line in own.splitlines() if line and not line.isspace()]
    first = _rate_first_line(lines, len(labels))
    if is_cut:
        return first if len(lines) > 1 else None
    return first or _rate_named_lines(lines, labels) or _rate_score_list(own, len(labels))


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


class _Named(NamedTuple):
    """A line "Assistant 1: 8"."""

    label: str
    form: tuple[str, bool]
    """What is the same on both sides' lines."""
    number: str
    scale: str | None
    is_said: bool
    """Whether the line itself says that the number is a rating."""


def _rate_named_lines(lines: Sequence[str], labels: Sequence[str]) -> tuple[float, ...] | None:
    """Lines "Assistant 1: 8" or "A: 8/10", one value per side; two values for one side are none."""
    found: set[_Named] = set()
    above, run = "", list[_Named]()
    entries = list(_find_named(lines, labels))
    for place, entry in enumerate([*entries, ""]):
        if isinstance(entry, _Named):
            run.append(entry)
            continue
        found |= _choose_rated(run, above, is_closing=place == len(entries))
        above, run = entry, []
    if len({one.form for one in found}) != 1 or sorted(one.label for one in found) != sorted(labels):
        return None
    ordered = sorted(found, key=lambda one: labels.index(one.label))
    return _to_ratings([(one.number, one.scale) for one in ordered], len(labels))


def _choose_rated(run: Sequence[_Named], above: str, *, is_closing: bool) -> set[_Named]:
    """Those of consecutive lines that rate, by the line above them and by their place in the text."""
    said = {one for one in run if one.is_said}
    if _NAMES_SCORES.search(above):
        return set(run)
    if said or not is_closing or above.rstrip(" *_").endswith(":"):
        return said
    return set(run) if all(float(one.number) <= _UNSAID_SCALE for one in run) else set()


def _find_named(lines: Sequence[str], labels: Sequence[str]) -> Iterator[_Named | str]:
    """Every line as what it names, one by one, or as it stands."""
    names = {str(index): label for index, label in enumerate(labels, 1)}
    names |= {label.lower(): label for label in labels}

    def read(line: str) -> _Named | None:
        match = _NAMED_LINE.match(line)
        if match is None:
            return None
        before, noun, word, behind, number, scale = match.groups()
        is_said = bool(before or behind)
        label = names.get(word.lower()) if noun or is_said else (word if word in labels else None)
        if label is None or scale not in (None, *_SCALES):
            return None
        return _Named(label, ((noun or "").lower(), is_said), number, scale, is_said or scale is not None)

    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        if len(line) > _LINE_CHARS or following[:1].islower():
            yield line  # prose, or a sentence that goes on
            continue
        head = _SCORES_BEFORE.match(line)
        parts = [read(part) for part in re.split("[,;|]", line[head.end() if head else 0 :])]
        if len(parts) > 1 and all(parts):
            if head is not None:
                yield head[0]
            yield from filter(None, parts)
        else:
            yield read(line) or line


def _rate_score_list(text: str, count: int) -> tuple[float, ...] | None:
    """ "scores are (1, 5)"; said twice, both must agree."""
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
    """Values of `count` (number, scale) texts on one scale, else None."""
    scales = {scale for _, scale in amounts}
    if len(amounts) != count or len(scales) != 1:
        return None
    scale = scales.pop()
    limit = MAX_RATING if scale is None else float(scale)
    ratings = tuple(float(number or 0) for number, _ in amounts)
    return ratings if max(ratings) <= limit else None
