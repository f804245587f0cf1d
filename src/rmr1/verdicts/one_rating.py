"""What a judge says about one answer alone -> a whole number from 1 to 10.

The last answer tag of the judge's own words decides, readable or not: `[[8]]`, `8`, `8/10`, `8 out of 10`.
Without a tag the closing line decides; if it rates nothing, a rating further up that no other contradicts.
A number is a rating by where it stands:

- marked: `[[8]]`;
- alone on the first or the last line; with its scale of ten alone in a sentence, or at its end behind a
  comma, a bracket or "so" ("complete and true, so 9/10");
- behind a name and a colon: the rating's own ("Rating: 8"), or any name if the scale is there
  ("Bewertung: 7/10"), unless several names have one each, which are parts of a rating;
- as what a rating is said to be ("my rating is 8"), or as what is given ("I give it an 8").

So "step 2", "3 of 5 cases" and "x = 7" are none. Neither are another scale (4/5, 80/100), halves (7.5),
ranges, two numbers in one sentence, denials ("not an 8/10"), quoted words, and numbers outside 1 to 10.
Nothing is rescaled or rounded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from rmr1.verdicts.place import find_place
from rmr1.verdicts.trace import Outline
from rmr1.verdicts.widths import narrow

_RATINGS = tuple(str(rating) for rating in range(1, 11))
_FLAGS = re.IGNORECASE | re.ASCII
_LINE_CHARS = 400
"""How much of a line's end is looked at."""
_LINES = 200
"""How many lines are looked at, from the end."""

_NAME = "(?:rating|score|grade|mark|\u8bc4\u5206|\u5f97\u5206|\u5206\u6570)"
_WORD = "[a-z'\u2019]{1,20}"
_ANSWER = rf"(?:it|(?:the|its)\s{_WORD}|(?:this|that)(?:\s{_WORD})?)"
_UNIT = r"(?:\s?(?:points?|marks?|\u5206))?"
_NUMBER = rf"(?<![\w.,/+~\u2248%$-])(10|[1-9])(/10)?{_UNIT}(?![\w/%+]|[.,]\d|\s?[-\u2013\u2014]\s?\d)"
_END = r"(?=[\s.,;:!)\u3002]{0,6}$)"
_AFTER = rf"(?:{_END}|(?=\s?[,;:!(\u2013\u2014](?!\s?\d)|\s-\s(?!\d)|\s(?:because|since|as|but|and|for|given|from|overall)\b))"
_SO = r"(?:so|thus|hence|therefore|overall|but|and)"

_MARK = re.compile(
    r"(?<![\w\])=])(?<!=\s)\[\[([^\[\]\d]{0,20}\d[^\[\]]{0,40})\]\](\s?/\s?\d{1,4})?(?![\[(])", re.ASCII
)
_JSON = re.compile(rf'"[^"\n]{{0,30}}{_NAME}[^"\n]{{0,30}}"\s?:\s?"?{_NUMBER}"?\s{{0,8}}(?=[,}}]|$)', _FLAGS)

_ALONE = re.compile(rf"[\s(]{{0,4}}{_NUMBER}{_END}", _FLAGS)
_LABELLED = re.compile(
    rf"([^\W\d_][^\d:=.!?()]{{1,60}}?)\s?(:|=|\u2192|\s[-\u2013\u2014]|\s->)\s?{_NUMBER}{_AFTER}", re.I
)
_WHOLE_NAME = re.compile(
    rf"(?:(?:my|the|a|final|overall|total)\s){{0,3}}(?:{_NAME}|overall|verdict)(?:\s(?:for|of)\s{_ANSWER})?",
    _FLAGS,
)
_GIVE = r"\b(?:award|assign|giv|gav)(?:e|ed|ing)?"
"""Not "gives": that is what the response does."""
_SAID = tuple(
    re.compile(before + _NUMBER + _AFTER, _FLAGS)
    for before in (
        rf"(?<!\bhas\sa\s)\b{_NAME}(?:\s(?:for|of)\s{_ANSWER}|\sI\s{_WORD})?"
        r"(?:\s(?:is|was|of|at|stays|remains|(?:would|should|will)\sbe):?\s(?:an?\s)?|\s?(?:[:=\u2192]|->)\s?)",
        rf"\b(?:rat|scor|grad)(?:e|ed|ing)?\s{_ANSWER}\s(?:(?:as|at|with)\s)?(?:an?\s(?:{_WORD}\s)?)?",
        # Without an article it could be the number that the response gives.
        rf"{_GIVE}\s(?:it\s|{_ANSWER}\san?\s(?:{_WORD}\s)?)",
        rf"\b(?:rat|scor|deserv|earn|merit)(?:e|es|s|ed|ing)?\san?\s(?:{_WORD}\s)?",
        r"(?:\b(?:gets?|receives?|say|worth|is)|'s|\u2019s)\san?\s",
        r"[\u6253\u7ed9]\s?",  # "give"
    )
)
_SCALED = tuple(
    re.compile(before + _NUMBER + after, _FLAGS)
    for before, after in (
        (r"^[\s(]{0,4}", _AFTER),
        (rf"(?:{_GIVE}\s(?:{_ANSWER}\s)?|\b(?:it|this|that)(?:['\u2019]s|\sis|\sat)\s)", _AFTER),
        (r"\b(?:gets?|receives?|say|worth|rated?|scores?|deserves?|earns?|merits?)\s(?:at\s)?", _AFTER),
        (rf"(?:[,;:(\u2013\u2014]\s?(?:{_SO}\s)?|\b{_SO}\s)", _END),
    )
)
_DENIED = re.compile(r"\b(?:not|never|no|nor|than|least|most|cannot)\b|n['\u2019]t\b", _FLAGS)
_CLAUSE = re.compile(r"[,;:(\u2013\u2014]|\b(?:so|but|and)\b", _FLAGS)

_OUT_OF = re.compile(
    rf"(?<=\d){_UNIT}(?:\s?/\s?|\s\(?out\sof\s(?:an?\s{_WORD}\s)?)(\d{{1,4}})(?![\d/]|\.\d)\)?", _FLAGS
)
_OF = re.compile(r"((?:^|[:=])\s?\d{1,2})\sof\s(\d{1,4})(?=[\s.!]{0,4}$)", re.ASCII)
_SCALE = re.compile(
    r"[,\s]{0,2}\(?(?:\b(?:on|using)\s)?(?:\ban?\s|\bthe\s)?(?:"
    r"\bscale:?\s(?:(?:of|from)\s)?\d\s?(?:to|-|\u2013)\s?(\d{1,4})\b"
    r"|(?:\b\d\s?(?:to|-|\u2013)\s?)?\b(\d{1,4})(?:[\s-]point)?[\s-]scale\b"
    r"|(?<=\()\d\s?(?:to|-|\u2013)\s?(\d{1,4})(?=\))|\bout\sof\s(\d{1,4})\b)\)?,?",
    _FLAGS,
)
_TEN = re.compile(r"(?<=\bof\s)ten\b|(?<=\bto\s)ten\b", _FLAGS)
_ONE = re.compile(r"\bone(?=\sto\s10\b)", _FLAGS)
_RIVAL = re.compile(r"(?<![\w./-])(\d{1,4}(?:\.\d{1,3})?)/10(?!\d)|\ban?\s(10|[1-9])\b(?![/.-]\d)", _FLAGS)
"""A number that has the look of a rating wherever it stands in a sentence."""
_SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002!?])")
_MARKUP = re.compile(r"^\s{0,8}(?:#{1,6}|[-+*\u2022])\s(?=\s{0,8}\D)|[*`\[\]]")
_QUOTES = dict.fromkeys(map(ord, '"{}\u201c\u201d'))
_LIST_NUMBER = re.compile(r"\s{0,8}(\d{1,2})[.)](?:\s|$)", re.ASCII)
_HAS_NAME = re.compile(_NAME, _FLAGS)
_HAS_WORD = re.compile(r"[^\W_]")
_HAS_DIGIT = re.compile(r"\d", re.ASCII)


class _Rated(NamedTuple):
    """What one line rates."""

    rating: int | None
    """None if its numbers contradict each other."""
    name: str = ""
    """What stands before the colon, in small letters."""
    is_sure: bool = True
    """Whether it is a rating on any line, not only on the closing one."""


def read_one_rating(outline: Outline, *, is_cut: bool = False) -> int | None:
    """The rating in the judge's own words; None if there is none, or no single one.

    `is_cut` says that the text ended at its token limit. Then only an answer tag counts that is the last thing
    written: "8/10" could go on, and the next sentence could take `[[8]]` back.
    """
    place = find_place(outline, _RATINGS, truncated=is_cut)
    if any(tag.kind == "answer" for tag in outline.tags):
        if place.word is not None:
            return int(place.word) if place.word in _RATINGS else None
        if place.problem == "malformed_verdict" and place.span is not None:
            return _read_content(outline.text[slice(*place.span)])
        if place.problem != "no_verdict":  # else the tags are only mentioned
            return None
    if is_cut or outline.is_thinking_unclosed:
        return None
    return _read_lines("".join(outline.own_texts()).rstrip())


def _read_content(content: str) -> int | None:
    """A tag's content, which is a rating as a whole, its own name before it or not."""
    if len(content) > _LINE_CHARS:
        return None
    plain, bounds = _reduce(_MARKUP.sub("", narrow(content)).translate(_QUOTES).strip())
    if bounds - {10}:
        return None
    found = _ALONE.match(plain)
    if found is not None:
        return int(found[1])
    named = _LABELLED.fullmatch(plain)
    return int(named[3]) if named is not None and _WHOLE_NAME.fullmatch(named[1]) else None


def _read_lines(text: str) -> int | None:
    """The closing line's rating, else the one that the sure ones agree on."""
    lines = [
        line for line in text.splitlines() if not line.lstrip().startswith(">") and _HAS_WORD.search(line)
    ]
    lines = lines[-_LINES:]
    if not lines:
        return None
    rated = [_read_line(line) for line in lines]
    closing = rated[-1] = rated[-1] or _read_closing_number(lines, is_code=text.endswith("```"))
    if closing is None:
        sure = {one.rating for one in rated if one is not None and one.is_sure}
        return sure.pop() if len(sure) == 1 else None
    if closing.name and not closing.is_sure:
        beside = {one for one in rated if one is not None and one.name and not one.is_sure}
    elif closing.name:
        run = takewhile(lambda one: one is not None and one.name, reversed(rated))
        beside = {one._replace(name="") for one in run if one is not None and one.is_sure}
    else:
        beside = {closing}
    return closing.rating if len(beside) == 1 else None


def _read_closing_number(lines: Sequence[str], *, is_code: bool) -> _Rated | None:
    """A number alone on the last line, unless it is a list's next, or the output of code."""
    *before, line = lines
    alone = _ALONE.fullmatch(_MARKUP.sub("", narrow(line[-_LINE_CHARS:])).strip())
    if alone is None or is_code or line.lstrip().startswith("#"):
        return None
    number = int(alone[1])
    if not before:
        return _Rated(number)
    if before[-1].rstrip(" *_").endswith((":", "\uff1a")):
        return _read_line(f"{before[-1]} {line}")
    lists = (_LIST_NUMBER.match(one) for one in before)
    is_next = any(found is not None and int(found[1]) == number - 1 for found in lists)
    return None if is_next or _LIST_NUMBER.fullmatch(line) else _Rated(number)


def _read_line(line: str) -> _Rated | None:
    if len(line) > 2 * _LINE_CHARS:
        line = f"{line[:_LINE_CHARS]} ... {line[-_LINE_CHARS:]}"
    text = narrow(line).strip()
    if not _HAS_DIGIT.search(text):
        return None
    marks = [mark for mark in _MARK.finditer(text) if not _is_quoted(text, mark.start())]
    if marks:
        ratings = {_read_content(mark[0]) for mark in marks if not _is_denied(text, mark.start())}
        return _Rated(ratings.pop() if len(ratings) == 1 else None)
    fields = {int(number) for number, _ in _JSON.findall(text)}
    if fields:
        return _Rated(fields.pop() if len(fields) == 1 else None)
    sentences = _SENTENCES.split(_MARKUP.sub("", text))
    found = (_read_sentence(one.strip(), is_line=len(sentences) == 1) for one in reversed(sentences))
    return next((one for one in found if one is not None), None)


def _read_sentence(sentence: str, *, is_line: bool) -> _Rated | None:
    plain, bounds = _reduce(sentence)
    if bounds - {10}:
        return None
    has_scale = bool(bounds)
    found: dict[int, _Rated] = {}
    alone = _ALONE.match(plain)
    if alone is not None and (alone[2] or has_scale):
        return _Rated(int(alone[1]), is_sure=is_line)
    named = _LABELLED.match(plain)
    if named is not None:
        is_own = bool(_WHOLE_NAME.fullmatch(named[1]))
        has_scale_here = bool(named[4]) or has_scale
        if is_own or (named[2] != "=" and (has_scale_here or _HAS_NAME.search(named[1]))):
            found[named.start(3)] = _Rated(int(named[3]), named[1].lower(), is_own)
    for pattern in _SAID:
        for match in pattern.finditer(plain):
            found.setdefault(match.start(1), _Rated(int(match[1]), is_sure=False))
    for pattern in _SCALED:
        for match in pattern.finditer(plain):
            if match[2] or has_scale:
                found.setdefault(match.start(1), _Rated(int(match[1]), is_sure=False))
    found = {
        start: one
        for start, one in found.items()
        if not _is_quoted(plain, start) and not _is_denied(plain, start)
    }
    if not found:
        return None
    numbers = {one.rating for one in found.values()} | {
        float(one[1] or one[2]) for one in _RIVAL.finditer(plain)
    }
    return found[max(found)] if len(numbers) == 1 else _Rated(None)


def _reduce(sentence: str) -> tuple[str, set[int]]:
    """The sentence with "8 out of 10" as "8/10" and without "on a scale of 1 to 10", and the scales cut out."""
    plain = _ONE.sub("1", _TEN.sub("10", sentence))
    plain = _OF.sub(r"\1/\2", _OUT_OF.sub(r"/\1", plain))
    bounds = {int(bound) for scale in _SCALE.findall(plain) for bound in scale if bound}
    return _SCALE.sub("", plain).strip(), bounds


def _is_quoted(text: str, position: int) -> bool:
    return text.count('"', 0, position) % 2 == 1


def _is_denied(text: str, position: int) -> bool:
    """Whether the clause before the number says that it is not the rating: "not an 8/10"."""
    return _DENIED.search(_CLAUSE.split(text[:position])[-1]) is not None
