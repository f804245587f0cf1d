"""What a judge says about one answer alone -> a whole number from 1 to 10, as docs/verdicts.md ("Numbers") has it.

The last answer tag of the judge's own words decides, readable or not. Without a tag the closing line decides; if it rates
nothing, a rating further up that no other contradicts. A number is a rating by where it stands: marked, `[[8]]`; alone;
behind a name and a colon; or as what a rating is said to be, or what is given. Several names with one each are parts of a
rating, of which the name of the whole decides. Nothing is rescaled or rounded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from rmr1.verdicts.location import find_place, is_last
from rmr1.verdicts.mentions import is_enclosed, narrow
from rmr1.verdicts.trace import TextOutline

_RATINGS = tuple(str(rating) for rating in range(1, 11))
_FLAGS = re.IGNORECASE | re.ASCII
_LINE_CHARS = 400
"""How much of a line's end is looked at."""
_LINES = 200
"""How many lines are looked at, from the end."""

_WIDE_NAME = "(?:[评評给給打得总總]分|分数|分數|评价|評價|評価|点数|採点|スコア|점수|평점|평가)"
_PLAIN_NAME = "(?:rating|score|grade|mark)"
_OTHER_NAME = (
    "(?:(?:gesamt)?bewertung|punktzahl|puntuación|calificación|puntaje|punteggio|valutazione|voto|évaluation|beoordeling"
    "|betyg|pontuação|avaliação|ocena|оценка)"
)
_NAME = f"(?:{_PLAIN_NAME}|{_WIDE_NAME}|{_OTHER_NAME})"
_WORD = "[a-z'’]{1,20}"
_THING = (
    "(?:response|answer|reply|assistant|output|text|model|solution|completion|chatbot|ai|essay|poem|story|code|translation"
    "|summary|explanation|article|e-?mail|letter|proof|work|submission|whole|candidate|draft|recipe|program|script|plan)"
)
"""What is rated as a whole; "the style" and "its style" are parts of it."""
_ANSWER = rf"(?:it|(?:the|its)\s(?:{_WORD}\s)?{_THING}\b|(?:this|that)(?:\s{_WORD})?)"
_UNIT = r"(?:\s?(?:points?|marks?|punkte?n?|puntos|punti|pontos|punten|баллов|[分点點점]))?"
_NUMBER = rf"(?<![\w.,/+~≈%$-])(10|[1-9])(/10)?{_UNIT}(?![\w/%+]|[.,]\d|\s?[-–—]\s?\d)"
_END = r"(?=[\s.,;:!)。]{0,6}$)"
_FAIR = (
    r"\s(?:is|seems|feels|would\sbe)\s(?:[a-z]{1,12}\s)?"
    r"(?:fair|right|apt|appropriate|justified|warranted|reasonable|suitable)\b"
)
_AFTER = (
    rf"(?:{_END}|(?=\s?[,;:!(–—](?!\s?\d)|\s-\s(?!\d)|\s(?:because|since|as|but|and|for|given|from|overall|here)\b"
    rf"|\sto\s(?:it\b|(?:the|this|that)\s(?:{_WORD}\s)?{_THING}\b)|{_FAIR}|です|である|입니다|的?{_WIDE_NAME}))"
)
_SO = r"(?:so|thus|hence|therefore|overall|but|and)"

_MARK = re.compile(
    r"(?<![\w\])=])(?<!=\s)\[\[([^\[\]\d]{0,20}\d[^\[\]]{0,40})\]\](\s?/\s?\d{1,4})?(?![\[(])", re.ASCII
)
_JSON = re.compile(rf'"[^"\n]{{0,30}}{_NAME}[^"\n]{{0,30}}"\s?:\s?"?{_NUMBER}"?\s{{0,8}}(?=[,}}]|$)', _FLAGS)

_ALONE = re.compile(rf"[\s(]{{0,4}}{_NUMBER}{_END}", _FLAGS)
_LABELLED = re.compile(rf"([^\W\d_][^\d:=.!?()]{{0,60}}?)\s?(:|=|→|\s[-–—]|\s->)\s?{_NUMBER}{_AFTER}", re.I)
_WHOLE_NAME = re.compile(
    rf"(?:(?:my|the|a|final|overall|total)\s){{0,3}}(?:{_NAME}|overall|verdict)(?:\s(?:for|of)\s{_ANSWER})?"
    rf"|(?:(?:meine?|ma|mi|mia|la|minha|mijn|min|моя)\s)?{_OTHER_NAME}",
    re.I,
)
_TOTAL = re.compile(
    r"(?:(?:the|in|my)\s)?(?:final|overall|total|combined|average|gesamt|global|insgesamt|au\stotal|en\stotal|in\stotale)"
    r"(?:\s(?:quality|assessment|evaluation|verdict|judge?ment|impression))?"
    r"|[^\W\d_]{3,20}\s(?:total[e]?|final[e]?|globale?|finale)|gesamt(?:note|bewertung|punktzahl|urteil|wertung)|[总總综綜]\w{0,4}",
    re.I,
)
"""The name of the whole beside its parts, with its scale."""
_RESULT = re.compile(
    r"[a-z]|(?:(?:so|thus|hence|therefore),?\s)?(?:(?:the|an?|my|its|our|die|das|la|le|el)\s)?"
    r"(?:(?!(?:the|an?|its|this|that)\b)[^\W\d]{1,20}\s){0,2}"
    r"(?:(?:answer|result|solution|probability|chance|ratio|fraction|proportion|share|value|output|sum|quotient"
    r"|error|mistake|test|fact|claim|step|case|item|question|page|slide|part"
    r"|antwort|ergebnis|wahrscheinlichkeit|réponse|résultat|probabilité|respuesta|resultado|probabilidad)s?"
    r"(?:\s(?:of|for|that|is)\b.*|\s[a-z]{2,12}ed)?|odds|passed|correct|solved|failed)|\w{0,6}(?:答案|结果|結果|概率)",
    re.I,
)
"""What a problem has; a share of ten is then no rating."""
_GIVE = r"\b(?:award|assign|giv|gav)(?:e|ed|ing)?"
"""Not "gives": that is what the response does."""
_SAID = (
    *(
        re.compile(before + _NUMBER + _AFTER, _FLAGS)
        for before in (
            r"(?<!\bhas\sa\s)(?<!\bgives\sa\s)(?<!\bassigns\sa\s)(?<!\bawards\sa\s)"
            rf"\b{_PLAIN_NAME}(?:\s(?:for|of)\s{_ANSWER}|\sI(?:\s{_WORD}){{1,2}})?"
            r"(?:\s(?:is|was|of|at|stays|remains|(?:would|should|will)\sbe):?\s(?:an?\s)?|\s?(?:[:=→]|->)\s?)",
            rf"\b(?:rat|scor|grad)(?:e|ed|ing)?\s{_ANSWER}\s(?:(?:as|at|with)\s)?(?:an?\s(?:{_WORD}\s)?)?",
            # Without an article it could be the number that the response gives.
            rf"{_GIVE}\s(?:it\s|{_ANSWER}\san?\s(?:{_WORD}\s)?|an?\s(?=\d{{1,2}}(?:/10)?\sto\s{_ANSWER}))",
            rf"\b(?:rat|scor|deserv|earn|merit)(?:e|es|s|ed|ing)?\san?\s(?:{_WORD}\s)?",
            r"(?:\b(?:gets?|receives?|say|worth|is)|'s|’s)\san?\s",
            rf"(?:{_WIDE_NAME})\s?(?:应该?|應該?)?[是为為は은는:=]\s?",
            r"[打给給]\s?",  # "give"
            r"(?:[打给給][^\d,.;:]{1,12}|值得?)(?=\d{1,2}(?:/10|\s?[分点點점]))",
            r"\b(?:ver)?(?:gebe|donne|doy|geef|dou)\s[^\d,.;:]{0,40}?\b(?:eine?|une?|een|um)\s",
        )
    ),
    re.compile(
        rf"\b(?:{_OTHER_NAME}|not[ea])\s(?:ist|est|es|é|è|is|är)\s(?:(?:eine?|une?|um|de)\s)?{_NUMBER}{_AFTER}",
        re.I,
    ),
)
_I = r"(?:\b(?:ich|je|ik|jag|jeg|eu|yo|io|doy|daría|otorgo|asigno|dou|daria|gli\sdo|le\sdo|я|ставлю|даю)\b|\bj['’])"
"""How a sentence begins that gives a rating: another language's "I", or its verb."""
_SCALED = (
    *(
        re.compile(before + _NUMBER + after, _FLAGS)
        for before, after in (
            (r"^[\s(]{0,4}", _AFTER),
            (
                rf"(?:{_GIVE}\s(?:{_ANSWER}\s)?(?:an?\s)?|\b(?:it|this|that)(?:['’]s|\sis|\sat)\s)",
                _AFTER,
            ),
            (r"\b(?:gets?|receives?|say|worth|rated?|scores?|deserves?|earns?|merits?)\s(?:at\s)?", _AFTER),
            (
                rf"(?:[,;:(–—]\s?(?:{_SO}\s)?|(?<!\bis\s)\b{_SO}\s)",
                rf"(?:{_END}|(?=\soverall[\s.!]{{0,3}}$))",
            ),
            (rf"\b{_PLAIN_NAME}\s", _AFTER),
        )
    ),
    re.compile(
        rf"{_I}[^\d.!?,;:]{{0,60}}?{_NUMBER}(?:{_AFTER}|(?=\s(?:(?:ver)?geben|à|a|al|für|pour|para|per|voor|aan)\b))",
        re.I,
    ),
)
_DENIED = re.compile(
    r"\b(?:not|never|no|nor|nobody|hardly|than|least|most|cannot|nicht|kein\w*|pas|jamais|niet|inte|ikke|não|не)\b"
    r"|n['’]t\b|[不没沒非]|ない",
    re.I,
)
_CLAUSE = re.compile(r"[,;:(–—。]|[.!?]\s|\b(?:so|but|and|hence|thus|therefore)\b|所以|因此|但", _FLAGS)
_JUDGE = re.compile(
    r"(?<!\bthat\s)(?<!\bif\s)(?<!\bthan\s)(?<!\bas\s)(?<!\bdo\s)(?<!\bdid\s)(?<!\bcan\s)(?<!\bcould\s)"
    r"(?<!\bwill\s)(?<!\bwould\s)(?<!\bshould\s)(?<!\bhave\s)(?<!\bmean\s)\b(?:I|we|We)\b"
)
"""Who rates, unless as the subject of what is denied: "not that I would", "never would I"."""
_REASON = re.compile(
    rf"^\s?(?:because|since|as|although|though|while|given|when)\b.*?(?=\b(?:my|the)\s(?:{_WORD}\s)?{_PLAIN_NAME}\b"
    r"|\b(?:it|this)\s(?:gets|receives|deserves|earns|merits|is\san?)\b)",
    _FLAGS,
)
_NO_PART = (
    rf"(?!(?:{_WORD}\s)?(?:{_THING}|{_NAME})\b|"
    r"(?:it|this|that|these|those|me|us|you|now|example|instance|being|all|both|an?|my|our|total|sum|summary"
    r"|conclusion|general|short|balance|average|end|comparison)\b|[a-z]{2,20}ing\s|[a-z]{1,20}[^s\s]s\b)"
)
"""What may stand behind "for": the whole, a phrase like "in all", or a reason ("missing a case", "errors")."""
_FOR = rf"(?:in\sterms\sof|for|on|in|regarding|concerning)\s(?:(?:the|its)\s)?{_NO_PART}{_WORD}(?:\s{_WORD})?"
_PART_AFTER = re.compile(rf"\s{_FOR}(?=\s?(?:[.,;:!)]|$)|\s(?:and|but|so)\b)", _FLAGS)
_PART_BEFORE = re.compile(
    rf"^(?!in\s(?!terms)|on\s){_FOR}\s?,|^as\s(?:for|to)\s(?:the|its)\s{_NO_PART}{_WORD}\s?,", _FLAGS
)
_PART_CLAUSE = re.compile(
    rf"\b(?:its|{_THING}['’]s)\s(?!(?:{_WORD}\s)?{_THING}\b){_WORD}"
    rf"|\bthe\s(?!(?:{_WORD}\s)?(?:{_THING}|{_NAME}|verdict|overall|final)\b){_WORD}\s(?:[a-z]{{2,12}}ly\s)?"
    r"(?:gets|receives|deserves|earns|merits|scores|is)\b"
    rf"|^\s?(?!(?:it|this|that|which|who|overall|also|still|and|[a-z]{{2,12}}ly|{_THING})\b){_WORD}"
    r"\s(?:gets|receives|deserves|earns|merits)\b",
    _FLAGS,
)
"""The style as what is rated: "its style deserves a 9"."""

_OUT_OF = re.compile(
    rf"(?<=\d){_UNIT}(?:\s?/\s?|\s\(?out\sof\s(?:an?\s{_WORD}\s)?)(\d{{1,4}})(?![\d/]|\.\d)\)?", _FLAGS
)
_OF = re.compile(r"((?:^|[:=])\s?\d{1,2})\sof\s(\d{1,4})(?=[\s.!]{0,4}$)", re.ASCII)
_VON = re.compile(
    r"(?<![\w.,/-])(\d{1,2})\s(?:von|sur|de|sobre|su|van(?:\sde)?|av|af|из)\s(\d{1,4})(?![\d/]|[.,]\d)", re.I
)
_SCALE = re.compile(
    r"[,\s]{0,2}\(?(?:\b(?:on|using)\s)?(?:\ban?\s|\bthe\s)?(?:"
    r"\bscale:?\s(?:(?:of|from)\s)?\d(?:\s\([^()\d]{1,40}\))?\s?(?:to|-|–)\s?(\d{1,4})\b(?:\s\([^()\d]{1,40}\))?"
    r"|(?:\b\d\s?(?:to|-|–)\s?)?\b(\d{1,4})(?:[\s-]point)?[\s-]scale\b"
    r"|(?<=\()\d\s?(?:to|-|–)\s?(\d{1,4})(?=\))|\bout\sof\s(\d{1,4})\b)\)?,?",
    _FLAGS,
)
_ENDS = r"(?:[01]\s?[=:a-z][^()\d]{0,40}?\b(\d{1,4})|(\d{1,4})\s?[=:a-z][^()\d]{0,40}?\b[01])\b"
_SCALE_ENDS = re.compile(
    rf"[,\s]{{0,2}}\((?:(?:where|with)\s)?{_ENDS}[^()\d]{{0,40}}\)"
    rf"|[,\s]{{0,2}}(?:\bon\sa\sscale\s)?\b(?:where|with)\s{_ENDS}(?:\s?(?:=|is|being|means|the)\s?(?:the\s)?[a-z]{{1,20}})?,?"
    r"|\s?\((?:where\s)?(\d{1,4})\s?(?:=|is|being)\s?[^()\d]{1,30}\)|\s?\(max(?:imum)?\.?:?\s?(\d{1,4})\)"
    r"|\(?[满滿]分[为為是:]?\s?(\d{1,4})\s?分?\)?|(\d{1,4})\s?[分点點](?:(?:[满滿]分|満点|制)中?|中)",
    _FLAGS,
)
"""A scale by its ends, "1 = worst, 10 = best", or by its upper end."""
_TEN = re.compile(r"(?<=\bof\s)ten\b|(?<=\bto\s)ten\b", _FLAGS)
_ONE = re.compile(r"\bone(?=\sto\s10\b)", _FLAGS)
_RIVAL = re.compile(r"(?<![\w./-])(\d{1,4}(?:\.\d{1,3})?)/10(?!\d)|\ban?\s(10|[1-9])\b(?![/.-]\d)", _FLAGS)
"""A number that has the look of a rating wherever it stands in a sentence."""
_SENTENCES = re.compile(
    r"(?<=[.!?])(?<!\bmax\.)\s+|(?<=[。!?])|(?<=[;,])\s(?=[^\W\d_][^\d:;,()]{1,30}:\s?\d)"
)
_MARKUP = re.compile(r"^\s{0,8}(?:#{1,6}|[-+*•])\s(?=\s{0,8}\D)|[*`\[\]]")
_ROW = re.compile(r"^\|\s?([^|]{1,60}?)\s?\|\s?([^|]{1,20}?)\s?\|?\Z")
"""A table's row of a name and a number."""
_QUOTES = dict.fromkeys(map(ord, '"{}“”'))
_LIST_NUMBER = re.compile(r"\s{0,8}(\d{1,2})[.)](?:\s|$)", re.ASCII)
_ELEMENT = re.compile(r"<([a-z][a-z_-]{0,30})>\s{0,8}([^<>]{1,40}?)\s{0,8}</\1>", re.IGNORECASE)
_HAS_NAME = re.compile(_NAME, re.I)
_NAMES_RATING = re.compile(f"{_NAME}|overall|verdict", re.I)
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


def read_one_rating(outline: TextOutline, *, is_cut: bool = False) -> int | None:
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
    text = _ELEMENT.sub(_name_element, "".join(outline.own_texts()))
    return _read_lines(_cut_closing_tokens(text))


def _name_element(element: re.Match[str]) -> str:
    """`<final_rating>8</final_rating>` as a line "final rating: 8", unless it is only spoken of."""
    if not _NAMES_RATING.search(element[1]) or is_enclosed(element.string, *element.span()):
        return element[0]
    return f"\n{re.sub('[_-]', ' ', element[1])}: {element[2]}\n"


def _cut_closing_tokens(text: str) -> str:
    end = len(text.rstrip())
    while end and text[end - 1] in ">]":
        start = max(
            text.rfind("<", max(0, end - _LINE_CHARS), end), text.rfind("[", max(0, end - _LINE_CHARS), end)
        )
        if start < 0 or not is_last(text, start):
            break
        end = len(text[:start].rstrip())
    return text[:end]


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
    is_part = closing is not None and closing.name and not closing.is_sure
    sure = {one.rating for one in rated if one is not None and one.is_sure}
    if closing is None or (is_part and sure):
        return sure.pop() if len(sure) == 1 else None
    if is_part:
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
    if before[-1].rstrip(" *_").endswith((":", "：")):
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
    plain = _ROW.sub(r"\1: \2", _MARKUP.sub("", text))
    sentences = _SENTENCES.split(plain)
    read = (_read_sentence(one.strip(), is_line=len(sentences) == 1) for one in sentences)
    found = [one for one in read if one is not None]
    if not found or found[-1].is_sure or not found[-1].name:
        return found[-1] if found else None
    wholes = [one for one in found if one.name and one.is_sure]
    if wholes:
        return wholes[-1]
    num_parts = sum(bool(one.name) for one in found)
    return found[-1] if num_parts == 1 else found[-1]._replace(rating=None)


def _read_sentence(sentence: str, *, is_line: bool) -> _Rated | None:
    plain, bounds = _reduce(sentence)
    if bounds - {10}:
        return None
    has_scale = bool(bounds)
    found: dict[int, _Rated] = {}
    alone = _ALONE.match(plain)
    if alone is not None and (alone[2] or has_scale):
        return _Rated(int(alone[1]), is_sure=is_line)
    ends: dict[int, int] = {}
    named = _LABELLED.match(plain)
    if named is not None:
        has_scale_here = bool(named[4]) or has_scale
        is_own = bool(_WHOLE_NAME.fullmatch(named[1]) or (has_scale_here and _TOTAL.fullmatch(named[1])))
        has_name = _HAS_NAME.search(named[1]) is not None
        if not (is_own or has_name) and _RESULT.fullmatch(named[1]):
            return None
        if is_own or (named[2] != "=" and (has_scale_here or has_name)):
            found[named.start(3)] = _Rated(int(named[3]), named[1].lower(), is_own)
            ends[named.start(3)] = named.end()
    for pattern in (*_SAID, *_SCALED):
        for match in pattern.finditer(plain):
            if pattern in _SAID or match[2] or has_scale:
                found.setdefault(match.start(1), _Rated(int(match[1]), is_sure=False))
                ends.setdefault(match.start(1), match.end())
    found = {
        start: one
        for start, one in found.items()
        if not _is_quoted(plain, start)
        and not _is_denied(plain, start)
        and not _is_part(plain, start, ends[start])
    }
    if not found:
        return None
    numbers = {one.rating for one in found.values()} | {
        float(one[1] or one[2])
        for one in _RIVAL.finditer(plain)
        if not (_PART_AFTER.match(plain, one.end()) or _is_denied(plain, one.start()))
    }
    return found[max(found)] if len(numbers) == 1 else _Rated(None)


def _reduce(sentence: str) -> tuple[str, set[int]]:
    """The sentence with "8 out of 10" as "8/10" and without "on a scale of 1 to 10", and the scales cut out."""
    plain = _ONE.sub("1", _TEN.sub("10", sentence))
    plain = _VON.sub(r"\1/\2", _OF.sub(r"\1/\2", _OUT_OF.sub(r"/\1", plain)))
    bounds: set[int] = set()
    for pattern in (_SCALE_ENDS, _SCALE):
        bounds |= {int(bound) for scale in pattern.findall(plain) for bound in scale if bound}
        plain = pattern.sub("", plain)
    return plain.strip(), bounds


def _is_quoted(text: str, position: int) -> bool:
    return text.count('"', 0, position) % 2 == 1


def _is_denied(text: str, position: int) -> bool:
    """Whether the clause before the number says that it is not the rating: "not an 8/10"."""
    return _DENIED.search(_clause_before(text, position)) is not None


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether the number rates a part only: "8/10 for accuracy", "its style deserves an 8"."""
    is_named = _PART_AFTER.match(text, end) or _PART_BEFORE.match(text)
    return bool(is_named or _PART_CLAUSE.search(_clause_before(text, start)))


def _clause_before(text: str, position: int) -> str:
    """The clause up to `position`; what a reason says ends before who rates, as in "as it isn't true I give it"."""
    clause = _REASON.sub("", _CLAUSE.split(text[:position])[-1])
    judge = _JUDGE.search(clause)
    return clause[judge.start() :] if judge else clause
