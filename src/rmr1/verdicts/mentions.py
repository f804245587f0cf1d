"""The tags, marks of thinking and code blocks of a text that are meant, told from those only mentioned.

`rmr1.prompts.thinking` finds the marks wherever they stand; here it is decided by what stands beside them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rmr1.prompts.protocol import SCORE_TAG
from rmr1.prompts.thinking import Mark

QUOTING = {
    '"': '"',
    "'": "'",
    "`": "`",
    "“": "”",
    "‘": "’",
    "«": "»",
    "「": "」",
    "『": "』",
}
"""Opening quotation mark -> the one that closes it."""
_FENCE = re.compile(r"^[ \t]{0,24}(`{3,16}|~{3,16})([^\n`]{0,300})$", re.MULTILINE)
_BLOCK = re.compile(r"<\s{0,4}(?:type|rubric|solution|eval)\s{0,4}>", re.IGNORECASE)
_SENTENCE_END = ".!?:;)，、：。！？…*_"
_GOES_ON = re.compile(r"[,;]|'s\b|-\w")
_LINE_CHARS = 80
"""How far into a line it is looked for what stands beside a mark."""
_FIRST_MARK = re.compile(
    r"(?:\s{0,8}<\|[\w.-]{1,32}\|>){0,4}\s{0,16}"
    r"(?P<left><[|｜]?|\[|\{|◁|⟨|【)(?P<name>[^\W\d_][\w:.-]{1,40})"
    r"(?:\s[^<>\n]{0,120})?(?P<right>[|｜]?>|\]|\}|▷|⟩|】)"
)
_SCORES = re.compile(rf"<{SCORE_TAG}_\d{{1,3}}>", re.IGNORECASE | re.ASCII)
_COMMENT = "<!--"
_RUN_ON = re.compile(
    r"<(?:[|｜][^<>\s]{1,40}[|｜]|\|turn|(?:start|begin)_of_turn|im_start)>\s{0,4}(?:user|human)\b",
    re.IGNORECASE | re.ASCII,
)
"""A control token that gives the turn to the user: behind a verdict, what follows is no longer the judge's."""
_CONTROLS = re.compile(r"(?:\s|[*_`.]|</?[|｜]?[\w:-]{1,32}[|｜]?>(?<!answer>))*\Z")
_BEGIN = re.compile(r"(?<![A-Za-z])(begin|start|open)(?![A-Za-z])", re.IGNORECASE)
_ENDS = {"begin": ("end",), "start": ("end", "stop"), "open": ("close",)}
_MARKED_END = re.compile(r"\[\[[^\[\]]{1,16}\]\][\s.*_`]{0,16}\Z")
_VERDICT_LIKE = re.compile(r"<\s{0,4}answer\s{0,4}>|\[\[", re.IGNORECASE)

_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord(wide): narrow for wide, narrow in zip("\u3000【】、", " [],", strict=True)
}
"""Full-width digits, brackets and signs, as Chinese and Japanese texts have them -> ASCII."""

Span = tuple[int, int]


def narrow(text: str) -> str:
    """`text` with ASCII for every full-width sign, place by place.

    >>> narrow("（40％）"), narrow("【8】")
    ('(40%)', '[8]')
    """
    return text if text.isascii() else text.translate(_NARROW)


class Tag(NamedTuple):
    """One protocol tag. A tuple, since a hostile text can hold a hundred thousand."""

    start: int
    end: int
    kind: str
    """"think", "type", "rubric", "justify", "solution", "eval", "answer", "quote" or "summary"."""
    side: str
    """Upper-case name after `quote_` or `summary_`, else empty."""
    is_closing: bool
    form: str = ""
    """Form of a mark of thinking, as `Mark.form`."""
    is_sure: bool = True
    """Whether a mark of thinking stands where thinking begins; else it counts only if it is closed."""


def is_enclosed(text: str, start: int, end: int, *, is_tag: bool = False) -> bool:
    """Whether `text[start:end]` stands directly between quotation marks or backticks: it is spoken of.

    A single tag (`is_tag`) that closes a block is believed, since quoted words may end right before it.
    """
    before, after = text[start - 1 : start], text[end : end + 1]
    return QUOTING.get(before) == after and not (is_tag and "/" in text[start : start + 6])


def find_limit(text: str) -> int:
    """Index at which the judge's turn ends, before one of the user's that it made up."""
    verdict = _VERDICT_LIKE.search(text)
    for found in _RUN_ON.finditer(text, verdict.end()) if verdict else ():
        before = _CONTROLS.sub("", text[max(0, found.start() - _LINE_CHARS) : found.start()])
        if before.lower().endswith(("answer>", "]]")):
            return found.start()
    return len(text)


def find_fences(text: str) -> tuple[list[Span], bool]:
    """Code blocks (an opening fence to the next bare one), and whether the last one is open. A text that
    stands in a fence as a whole is wrapped in it, and that one is no code."""
    if "```" not in text and "~~~" not in text:
        return [], False
    fences: list[Span] = []
    opening: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opening is None or match[2].strip():
            opening = match  # a fence with a language never closes another one
        elif match[1][0] == opening[1][0] and len(match[1]) >= len(opening[1]):
            # A fence around the judgment itself is no code.
            if not _BLOCK.search(text, opening.end(), match.start()):
                fences.append((opening.start(), match.end()))
            opening = None
    is_wrapped = bool(fences) and not text[: fences[0][0]].strip() and not text[fences[0][1] :].strip()
    return fences[is_wrapped:], opening is not None


def is_inside(spans: Sequence[Span], place: int) -> bool:
    """Whether `place` lies in one of the spans, which are in order."""
    index = bisect_right(spans, (place, len(spans) and spans[-1][1])) - 1
    return index >= 0 and spans[index][0] <= place < spans[index][1]


def weigh_marks(text: str, marks: Sequence[Mark], fences: Sequence[Span]) -> Iterator[Tag]:
    """The marks of thinking that are more than mentions."""
    last = {mark.form: mark.start for mark in marks if mark.is_closing}
    mentioned: dict[str, int] = {}
    for mark in marks:
        start, end = mark.start, mark.end
        line_start = max(text.rfind("\n", max(0, start - _LINE_CHARS), start) + 1, start - _LINE_CHARS, 0)
        before, after = text[line_start:start], text[end : end + _LINE_CHARS].partition("\n")[0]
        words_before, words_after = before.strip(), after.strip()
        # An odd fence in the thinking does not swallow its end.
        is_end = mark.is_closing and last[mark.form] == start and not words_before and not words_after
        if (is_inside(fences, start) and not is_end) or is_enclosed(text, start, end):
            continue
        is_free = not words_before or words_before.endswith((">", "▷"))
        if mark.is_closing:
            is_pair = mentioned.pop(mark.form, -1) >= line_start
            if not is_pair and (is_free or _is_meant_closing(before, after)):
                yield Tag(start, end, "think", "", True, mark.form)
            continue
        is_sure = is_free or words_before.endswith(tuple(_SENTENCE_END))
        if is_sure or not words_after or after[:1].isalnum() or after[:1] in ("<", "["):
            yield Tag(start, end, "think", "", False, mark.form, is_sure)
        else:
            mentioned[mark.form] = start


def _is_meant_closing(before: str, after: str) -> bool:
    """Whether a closing mark in the middle of a line ends the thinking."""
    words_before, words_after = before.strip(), after.strip()
    if not words_after or words_after.startswith(("<", "[")) or words_before.endswith(tuple(_SENTENCE_END)):
        return True
    if before[-1:].isspace():
        # "so B wins </think> Chatbot B ..." goes on with a sentence, "a </think> tag" does not.
        return after[:1].isspace() and (words_after[0].isupper() or not words_after[0].isascii())
    return before[-1] not in "([{" and not _GOES_ON.match(after)


class Balance:
    """What closes thinking behind each place, by form."""

    def __init__(self, tags: Sequence[Tag]):
        self._closings: dict[str, list[int]] = {}
        self._openings: dict[str, list[int]] = {}
        for index, tag in enumerate(tags):
            if tag.kind == "think" and (tag.is_closing or tag.is_sure):
                marks = self._closings if tag.is_closing else self._openings
                marks.setdefault(tag.form, []).append(index)

    def count(self, tag: Tag, index: int) -> int:
        """How many closing marks behind `index` no surer opening mark needs."""
        return self._behind(self._closings, tag.form, index) - self._behind(self._openings, tag.form, index)

    def is_last_resort(self, tag: Tag, form: str, index: int) -> bool:
        """Whether a closing mark of another name in the same brackets is all that is left to close `form`."""
        return tag.form[:1] == form[:1] and not self._behind(self._closings, form, index)

    @staticmethod
    def _behind(marks: dict[str, list[int]], form: str, index: int) -> int:
        places = marks.get(form, [])
        return len(places) - bisect_right(places, index)


def find_first_form(text: str, tags: Sequence[Tag], marks: Sequence[Mark]) -> list[Mark] | None:
    """The marks of a form that nobody listed, with which the text begins, the opening one alone if it is never closed;
    None if there is none, or if it is a part of the visible text."""
    if text.lstrip().startswith(_COMMENT):
        start = text.index(_COMMENT)
        return _close_first_form(text, tags, start, start + len(_COMMENT), ["-->"])
    found = _FIRST_MARK.match(text)
    if found is None or any(tag.start == found.start("left") for tag in tags[:1]):
        return None
    left, name, right = found["left"], found["name"], found["right"]
    start = found.start("left")
    if any(mark.start == start for mark in marks) or _SCORES.fullmatch(text, start, found.end()):
        return None
    closings = [f"{left}/{name}{right}", f"{left[0]}/{left[1:]}{name}{right}"]
    if begin := _BEGIN.search(name.replace("_", " ").replace("-", " ").replace(":", " ")):
        for word in _ENDS[begin[1].lower()]:
            word = word.upper() if begin[1].isupper() else word
            closings.append(f"{left}{name[: begin.start()]}{word}{name[begin.end() :]}{right}")
    return _close_first_form(text, tags, start, found.end(), closings)


def _close_first_form(
    text: str, tags: Sequence[Tag], start: int, end: int, closings: Sequence[str]
) -> list[Mark] | None:
    opening = Mark(start, end, "unknown", False)
    places = []
    for closing in closings:
        for found in re.compile(re.escape(closing)).finditer(text, end):
            if not is_enclosed(text, *found.span()):  # not only spoken of
                places.append((found.start(), closing))
                break
    if not places:
        # "[Assistant A] ..." begins many a text that thinks nothing.
        name = text[start:end]
        is_form = name[0] not in "[{" or (name == name.upper() and " " not in name)
        return [opening] if is_form else None
    place, closing = min(places)
    inside = [tag for tag in tags if tag.start < place]
    answers = [tag for tag in tags if tag.start > place and tag.kind == "answer"]
    is_answered = any(text[tag.start - 1] not in QUOTING for tag in answers if not tag.is_closing)
    is_answered = is_answered or (not inside and _MARKED_END.search(text[-_LINE_CHARS:]) is not None)
    if not is_answered or any(tag.kind != "answer" for tag in inside):
        return None
    return [opening, Mark(place, place + len(closing), "unknown", True)]
