"""The place of the verdict in a judge's text: an answer tag, a bare `[[A]]`, or a plain form that can mean nothing else.

One place serves the `tagged` rule, the stop rule and the log-probabilities of the verdict letter. Which tag or mark is meant,
and which only mentioned, is in docs/verdicts.md ("What decides").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rmr1.prompts.escape import unescape
from rmr1.prompts.thinking import Pair
from rmr1.records import Problem
from rmr1.verdicts.mentions import Span, Tag, is_enclosed, is_inside, narrow
from rmr1.verdicts.trace import TextOutline, read_outline

END_CHARS = 300
"""How near the end a bare mark stands that is the verdict of a text without tags."""

_NOUN = r"(?:(?:chatbot|response|answer|assistant|model|output|candidate|option)\s{1,3})?"
_NAME = r"(?P<word>[A-Za-z0-9]{1,16}|[Ａ-Ｚａ-ｚ０-９])"
_OPENINGS = {"[": "]", "(": ")", "{": "}", "［": "］", "（": "）", "【": "】", "「": "」"}
_PLAIN = re.compile(
    rf"{_NOUN}(?P<open>(?:[{re.escape(''.join(_OPENINGS))}]\\?\s{{0,8}}){{0,3}})[*_`]{{0,3}}{_NOUN}{_NAME}[*_`]{{0,3}}"
    rf"(?P<close>(?:\s{{0,8}}[{re.escape(''.join(_OPENINGS.values()))}]){{0,3}})",
    re.IGNORECASE,
)
"""A name, with a noun, brackets and emphasis; its parts begin with different characters, so it is read in one way."""
_MARKUP = " \t\r\n\v\f*_`\"'“”‘’"
_CUT = re.compile(
    r"[\s*_`]{0,16}\[\[[\s*_`]{0,16}(?P<word>[A-Za-z0-9]{1,16})[\s*_`]{0,16}\]\][\s*_`]{0,16}(?:<[/a-z]{0,8})?\s{0,16}",
    re.IGNORECASE,
)
_MARK = re.compile(r"(?:\[\[|［［|【【)\s{0,8}(?P<word>[A-Za-z0-9]{1,16}|[Ａ-Ｚ])\s{0,8}(?:\]\]|］］|】】)")
_CONTROL = r"<[|｜][^<>\s]{1,40}>|<[A-Za-z_:/-]{1,30}[|｜]>|<(?:s|(?:eos|eot|end)[a-z_]{0,20})>|</[A-Za-z_:]{1,24}>|\[\|[a-z_]{1,24}\|\]|\[/[A-Z_]{2,24}\]"
_TAIL = re.compile(rf"(?:[\s*_`\"'”’.。!！)\]}}~]|{_CONTROL})*+", re.IGNORECASE)
"""What may follow a verdict that is the last thing written: markup and closing tokens."""
_TAIL_CHARS = 200
_END_TOKENS = re.compile(rf"(?:\s{{0,8}}(?:{_CONTROL})){{1,4}}\Z", re.IGNORECASE)
_ANSWER_END = re.compile(r"</\s{0,4}answer", re.IGNORECASE)
_CLAUSE = re.compile(
    r"[.!?;:,。！？；：，>\n—]|\]\]|\b(?:so|thus|therefore|hence|daher|deshalb|donc)\b|因此|所以",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|cannot|without|instead\s+of|rather\s+than|unlike|nicht|kein\w*|pas|jamais)\b"
    r"|n['’]t\b|(?:不|並非|并非)(?:是|能|能是|应|应该|会|会是|选)?\s{0,4}\Z|ない",
    re.IGNORECASE,
)
_DENIAL_WORDS = 3
"""Words before a verdict among which a denial is its own."""
_CONTRAST = re.compile(r"\b(?:but|however|if|unless|would|should|were)\b", re.IGNORECASE)
_REASON = re.compile(
    r"\b(?:because|since|as|for|while|whereas|weil|denn|da)\b|因为|[—–]|\s-\s", re.IGNORECASE
)
"""What follows gives reasons, and may speak of the other side."""
_LINE_END = re.compile(r"[.。!！*_`)\t ]{0,8}(?:\n|\Z|<)")
_SENTENCE = re.compile(r"[.!?。！？]\s|[\n<。！？]")
_REST_CHARS = 80
_ALTERNATIVE = re.compile(
    r"[\s,*_`\"']{0,8}(?:or|and|oder|und|ou|et|o|y|/|\||&|或|和|または)?[\s*_`\"',]{0,8}", re.IGNORECASE
)
_CONDITION = re.compile(r"[*_`\"'\s]{0,8}(?:(?:if|when|wenn|falls|si)\b|如果|若)", re.IGNORECASE)
_BREAK = re.compile(r"[.!?。！？\n]")
_QUESTION = re.compile(r"[*_`\"'”’)\s]{0,8}[?？]")
_JSON_VALUE = re.compile(r"[\w\]]\"\s{0,4}:\s{0,4}\"\Z")
_ESCAPED = re.compile(
    r"<answer>(?P<inside>[^<>]{1,60})</answer>|(?P<mark>\[\[[^\[\]<>]{1,40}\]\])", re.IGNORECASE
)
_LINE_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The verdict of a text, or why there is none."""

    word: str | None = None
    """The name as it stands there, in ASCII; None if there is no readable one: then `problem` says why."""
    problem: Problem | None = None
    span: Span | None = None
    """The span of the name in the text, or what a closed tag holds instead; None for a name in an escaped form."""
    opening: int = 0
    """Index at which the verdict begins: its tag, its mark or its line."""
    end: int = 0
    """Index at which the verdict ends, its closing tag included."""


def find_place(outline: TextOutline, labels: Sequence[str], *, truncated: bool = False) -> Place:
    """The place where the text says its verdict; the labels decide only which bare forms count as names."""
    if outline.is_thinking_unclosed:
        return Place(problem="unclosed_thinking")
    if truncated and (outline.has_open_form or outline.has_open_fence):
        return Place(problem="truncated")
    text = outline.text
    tags = [tag for tag in outline.tags if tag.kind == "answer"]
    if not tags:
        mark = find_mark(outline, labels)
        if truncated:
            # Two marks contradict each other already; a single one may yet be taken back.
            is_ambiguous = mark is not None and mark.problem == "ambiguous"
            return Place(problem="ambiguous" if is_ambiguous else "truncated")
        return mark or _find_plain(outline, labels) or Place(problem="no_verdict")
    meant, mentions = _split_mentions(outline, tags)
    meant, problem = _drop_recited(text, meant, labels)
    if problem is None and meant and mentions:
        problem = _find_contradiction(text, meant, mentions[-1])
    if problem is not None:
        return Place(problem="truncated" if truncated else problem)
    if all(tag.is_closing for tag in meant):
        if not mentions:
            return Place(problem="malformed_verdict")
        opening, closing = mentions[-1]
        if not is_last(text, closing.end):
            return Place(problem="truncated" if truncated else "no_verdict")
        meant = [opening, closing]
    place = _read_answer(text, meant)
    if truncated and not (place.end and is_last(text, place.end) and _begins_statement(text, place.opening)):
        return Place(problem="truncated")
    return place


def find_verdict_span(
    text: str, labels: Sequence[str], thinking: Sequence[Pair] = (), *, truncated: bool = False
) -> Span | None:
    """The span of the letter of the text's verdict; None if there is none of `labels`."""
    place = find_place(read_outline(text, labels, thinking), labels, truncated=truncated)
    if place.span is None or place.word is None:
        return None
    return place.span if place.word.lower() in {label.lower() for label in labels} else None


def is_last(text: str, end: int) -> bool:
    """Whether nothing but markup and closing tokens stands behind `end`."""
    rest = text[end : end + _TAIL_CHARS + 1].rstrip()
    is_end = len(rest) <= _TAIL_CHARS and _TAIL.fullmatch(rest) is not None
    return is_end and not text[end + len(rest) :].strip()


def find_mark(outline: TextOutline, labels: Sequence[str]) -> Place | None:
    """The bare `[[A]]` that is the verdict of a text without answer tags; None if there is no mark at all."""
    text = outline.text
    found = [
        match
        for match in iterate_marks(outline, _MARK)
        # Without a tag only the exact form counts: `[[a]]` and `[[1]]` are lists in code.
        if (word := narrow(match["word"])) in labels
        or word.lower() == "tie"
        or (len(word) == 1 and word.isupper() and not word.isdigit())
    ]
    if not found:
        return None
    match = found[-1]
    if len({narrow(other["word"]) for other in found}) > 1 and not _is_conclusion(text, found):
        return Place(problem="ambiguous")
    is_near = len(text.rstrip()) - match.end() <= END_CHARS or (
        text[: match.start()].rstrip(" *_`")[-1:] in (":", "：") and _is_set_apart(text, *match.span())
    )
    if not is_near or not _is_settled(text, match.end()):
        return Place(problem="no_verdict")
    return Place(word=narrow(match["word"]), span=match.span("word"), opening=match.start(), end=match.end())


def iterate_marks(outline: TextOutline, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The marks of the judge's own words that are meant: they stand alone and are not denied; nor in a code block or
    in quotation marks, unless all are and the last one ends the text."""
    text = outline.text
    alone = [
        match
        for start, end in outline.spans
        for match in pattern.finditer(text, start, end)
        if _stands_alone(text, match.span(), (start, end))
    ]
    meant = [match for match in alone if not _is_spoken_of(outline, match)]
    if not meant:
        meant = [match for match in alone[-1:] if is_last(text, match.end())]
    return (match for match in meant if not is_denied(text, match.start()))


def is_denied(text: str, start: int) -> bool:
    """Whether the words of its clause right before `start` say no: "cannot be [[A]]"."""
    return _DENIAL.search(" ".join(_clause_before(text, start).split()[-_DENIAL_WORDS:])) is not None


def _is_conclusion(text: str, marks: Sequence[re.Match[str]]) -> bool:
    """Whether the last mark ends the text set apart, and no mark before it is."""
    *others, last = (_is_set_apart(text, *mark.span()) for mark in marks)
    return last and not any(others) and is_last(text, marks[-1].end())


def _is_set_apart(text: str, start: int, end: int) -> bool:
    """Whether the mark stands on a line of its own or behind a colon."""
    before = text[max(0, start - _REST_CHARS) : start].rstrip(" \t*_`")
    return (not before or before[-1] in "\n:：") and _LINE_END.match(text, end) is not None


def _is_settled(text: str, end: int) -> bool:
    """Whether the sentence leaves the mark as it is, unlike "by style [[A]], but ..."."""
    rest = _REASON.split(_SENTENCE.split(text[end : end + _REST_CHARS], maxsplit=1)[0], maxsplit=1)[0]
    return not (_DENIAL.search(rest) or _CONTRAST.search(rest))


def _clause_before(text: str, start: int) -> str:
    before = text[max(0, start - _REST_CHARS) : start]
    cuts = [match.end() for match in _CLAUSE.finditer(before)]
    return before[cuts[-1] if cuts else 0 :]


def _is_spoken_of(outline: TextOutline, match: re.Match[str]) -> bool:
    if is_inside(outline.fences, match.start()):
        return True
    text, start = outline.text, match.start()
    if is_enclosed(text, *match.span()):
        return text[start - 1] != "`" and not _is_json_value(text, start)
    is_in_code = text.count("`", _line_start(text, start), start) % 2 == 1
    return is_in_code and "`" in text[match.end() : match.end() + _REST_CHARS]


def _stands_alone(text: str, mark: Span, own: Span) -> bool:
    """Whether nothing of the span `own` touches the mark, unlike in `df[[A]]`, `[[A]](0)`, `f([[A]])`."""
    start, end = mark
    before, after = text[max(own[0], start - 1) : start], text[end : min(own[1], end + 1)]
    if _is_word(before) or (before and before in "_]$[\\)"):
        return False
    if before == "(" and _is_word(text[max(0, start - 2) : start - 1]):
        return False
    return not _is_word(after) and not (after and after in "_[(]$")


def _is_word(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _split_mentions(outline: TextOutline, tags: Sequence[Tag]) -> tuple[list[Tag], list[tuple[Tag, Tag]]]:
    """The answer tags that are meant, and the pairs only mentioned."""
    meant: list[Tag] = []
    mentions: list[tuple[Tag, Tag]] = []
    index = 0
    while index < len(tags):
        pair = tags[index : index + 2]
        if not _is_pair(pair):
            pair = pair[:1]
        if len(pair) == 2 and _is_mentioned(outline, pair[0].start, pair[1].end):
            mentions.append((pair[0], pair[1]))
        else:
            meant += pair
        index += len(pair)
    return meant, mentions


def _is_pair(tags: Sequence[Tag]) -> bool:
    return [tag.is_closing for tag in tags] == [False, True]


def _is_mentioned(outline: TextOutline, start: int, end: int) -> bool:
    """Whether it is in quotation marks, or in a block of code or quotation."""
    text = outline.text
    if is_inside(outline.fences, start):
        return True
    if is_enclosed(text, start, end):
        # A string of its own in JSON says what it holds.
        return not _is_json_value(text, start)
    return text[_line_start(text, start) : start].lstrip().startswith(">")


def _is_json_value(text: str, start: int) -> bool:
    return _JSON_VALUE.search(text[max(0, start - 12) : start]) is not None


def _line_start(text: str, place: int) -> int:
    low = max(0, place - _LINE_CHARS)
    return max(text.rfind("\n", low, place) + 1, low)


def _begins_statement(text: str, start: int) -> bool:
    """Whether `start` is not in the middle of a sentence that may yet take it back."""
    before = text[max(0, start - _REST_CHARS) : start].rstrip(" \t*_`\"'“(")
    return not before or before[-1] in ".!?:;>\n。！？：；"


def _drop_recited(text: str, tags: list[Tag], labels: Sequence[str]) -> tuple[list[Tag], Problem | None]:
    """The tags without those at the end that are no choice: a run of names side by side ("A or B", "A if ..., B if
    ..."), one that is asked about, or one that is denied. What stands before them decides, if it is a statement."""
    names = {"tie", *(label.lower() for label in labels)}
    run: list[str] = []
    index = len(tags)
    while index >= 2 and _is_pair(tags[index - 2 : index]):
        word = _read_plain(text, tags[index - 2].end, tags[index - 1].start)
        is_joined = index == len(tags) or _is_joined(text, tags[index - 1].end, tags[index].start)
        if word is None or word["word"].lower() not in names or not is_joined:
            break
        run.append(word["word"].lower())
        index -= 2
    if len(set(run)) > 1:
        rest = tags[:index]
        begin = next((tag.start for tag in reversed(rest) if not tag.is_closing), None)
        is_statement = begin is not None and rest[-1].is_closing and _is_set_apart(text, begin, rest[-1].end)
        return rest, None if is_statement else "ambiguous"
    rest = tags[:-2]
    is_pair = _is_pair(tags[-2:])
    if is_pair and _QUESTION.match(text, tags[-1].end):
        return _drop_recited(text, rest, labels) if rest else (rest, "no_verdict")
    if is_pair and is_denied(text, tags[-2].start):
        is_same_sentence = bool(rest) and not _BREAK.search(text, rest[-1].end, tags[-2].start)
        return rest, None if is_same_sentence else "no_verdict"
    return tags, None


def _is_joined(text: str, start: int, end: int) -> bool:
    """Whether what stands between two answers puts them side by side."""
    between = text[start:end]
    if not between.strip() or len(between) > _REST_CHARS:
        return False
    return _ALTERNATIVE.fullmatch(between) is not None or (
        _CONDITION.match(between) is not None and _BREAK.search(between.rstrip()) is None
    )


def _find_contradiction(text: str, meant: Sequence[Tag], mention: tuple[Tag, Tag]) -> Problem | None:
    """Whether another name in code ends the text, set apart like a verdict: then there is no telling."""
    opening, closing = mention
    before = text[opening.start - 1 : opening.start]
    is_apart = before == "\n" or (before == "`" and _is_set_apart(text, opening.start, closing.end))
    if opening.start < meant[-1].start or not is_apart or not is_last(text, closing.end):
        return None
    one, other = _read_plain(text, opening.end, closing.start), _read_answer(text, meant).word
    is_other = one is not None and other is not None and narrow(one["word"]).lower() != other.lower()
    return "ambiguous" if is_other else None


def _read_answer(text: str, tags: Sequence[Tag]) -> Place:
    """The last answer tag. If it is not closed, the text must end with a complete `[[A]]`: a bare `A` may be the first
    letter of anything."""
    last = next(index for index in range(len(tags) - 1, -1, -1) if not tags[index].is_closing)
    opening, closings = tags[last], tags[last + 1 :]
    if not closings:
        end = len(text)
        if end - opening.end <= _LINE_CHARS and (tokens := _END_TOKENS.search(text.rstrip(), opening.end)):
            end = tokens.start() if not _ANSWER_END.match(text, tokens.start()) else end
        match = _CUT.fullmatch(text, opening.end, end)
        if match is None:
            return Place(problem="malformed_verdict")
        return Place(word=match["word"], span=match.span("word"), opening=opening.start, end=len(text))
    end = closings[-1].end
    for one, other in pairwise(closings):
        # One closing tag too many is harmless; one that ends other text is a broken verdict.
        if text[one.end : other.start].strip():
            return Place(problem="malformed_verdict", end=end)
    match = _read_plain(text, opening.end, closings[0].start)
    if match is None:
        inside = (opening.end, closings[0].start)
        return Place(problem="malformed_verdict", span=inside, opening=opening.start, end=end)
    return Place(word=narrow(match["word"]), span=match.span("word"), opening=opening.start, end=end)


def _read_plain(text: str, start: int, end: int) -> re.Match[str] | None:
    """The name in `text[start:end]`, which must hold nothing else but nouns, matching brackets and markup."""
    inside = text[start:end].rstrip(_MARKUP)
    if inside.endswith((".", "。", "!", "！")):
        inside = inside[:-1].rstrip(_MARKUP)
    end = start + len(inside)
    start = end - len(inside.lstrip(_MARKUP))
    match = _PLAIN.fullmatch(text, start, end) if end - start <= _LINE_CHARS else None
    if match is None:
        return None
    opened = [_OPENINGS[char] for char in match["open"] if char in _OPENINGS]
    closed = [char for char in match["close"] if not char.isspace()]
    return match if opened == closed[::-1] else None


def _find_plain(outline: TextOutline, labels: Sequence[str]) -> Place | None:
    """The name in a text that says nothing else, or in a last line that holds nothing but a bracketed name; also
    an answer in the escaped form of `rmr1.prompts.escape`, which a judge may copy."""
    text = outline.text
    own = "".join(outline.own_texts()).strip()
    line = own.rpartition("\n")[2].strip()
    start = text.rfind(line)
    end = start + len(line)
    if not line or len(line) > _LINE_CHARS or not is_last(text, end):
        return None
    match = _read_plain(text, start, end)
    # A noun and a letter may be the beginning of a sentence; brackets are not.
    if match is not None and (own == line or match["open"]) and (word := narrow(match["word"])) in labels:
        return Place(word=word, span=match.span("word"), opening=start, end=end)
    plain = unescape(line)
    found = None if plain == line else _ESCAPED.fullmatch(plain)
    if found is not None and unescape(own).count(found[0]) == 1:
        inside = _read_plain(plain, *found.span("inside" if found["mark"] is None else "mark"))
        if inside is not None and inside["word"] in labels:
            return Place(word=inside["word"], opening=start, end=end)
    return None
