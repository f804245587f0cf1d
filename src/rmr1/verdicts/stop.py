"""Where a judge's text may end, and where its verdict letter stands. Pure: characters only.

`StopWatcher` reads a text as it grows; `find_verdict_span` reads a finished one. Both know that tags
inside thinking (`<think>`), quotations and summaries are not the judge's own words: a verdict quoted
from a response neither stops generation nor counts. Tags are those of the judge protocol; case and
blanks inside a tag do not matter, as for the verdict parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rmr1.prompts.protocol import SIDE_TAGS, TAGS

_SIDED = "|".join(SIDE_TAGS)
_TAG = re.compile(
    rf"<\s{{0,4}}(/?)\s{{0,4}}({'|'.join(sorted(TAGS, key=len, reverse=True))}|({_SIDED})_[a-z0-9]{{1,16}})\s{{0,4}}>",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_TAG = 64
"""No tag is longer, blanks included."""

_OPEN_THINKING = re.compile(r"<think(?:ing)?>\s*\Z", re.IGNORECASE | re.ASCII)
_MARK = re.compile(r"\[\[\s{0,8}([A-Za-z0-9]{1,16})\s{0,8}\]\]")
_EMPHASIS = r"[\s*_`]{0,16}"
_VERDICT = re.compile(
    rf"{_EMPHASIS}(?:\[\[{_EMPHASIS}([A-Za-z0-9]{{1,16}}){_EMPHASIS}\]\]|([A-Za-z0-9]{{1,16}})){_EMPHASIS}"
)
_CUT_VERDICT = re.compile(
    rf"{_EMPHASIS}\[\[{_EMPHASIS}([A-Za-z0-9]{{1,16}}){_EMPHASIS}\]\]{_EMPHASIS}(?:<[/a-z]{{0,8}})?\s{{0,16}}\Z",
    re.IGNORECASE,
)

Span = tuple[int, int]


class _Tag(NamedTuple):
    start: int
    end: int
    name: str
    """Lower case; "think" for both spellings; with the side, as in "quote_a"."""
    is_sided: bool
    is_closing: bool


def has_open_thinking(prompt: str) -> bool:
    """Whether a rendered prompt ends by opening the thinking part, as some chat templates do."""
    return _OPEN_THINKING.search(prompt[-64:]) is not None


class StopWatcher:
    """Finds the first stop string in a growing text, except inside thinking, quotations and summaries.

    A quotation that is not closed yet holds stopping off: whether its closing tag is still to come
    cannot be known. An unclosed one thus costs tokens (the text then ends by the model's own end token
    or the limit), never a wrong verdict.
    """

    def __init__(self, stop: Sequence[str], *, is_thinking: bool = False):
        """Watch for any of `stop`; `is_thinking` where the prompt has opened the thinking part."""
        self._stop = tuple(text for text in stop if text)
        self._kept = max([_LONGEST_TAG, *map(len, self._stop)])
        self._buffer = ""
        self._offset = 0
        self._tag_end = 0
        self._prompt_thinking = is_thinking
        self._depth = 0
        self._block = ""
        self._block_depth = 0

    @property
    def may_stop(self) -> bool:
        """Whether what was read so far ends in the judge's own words."""
        return not (self._prompt_thinking or self._depth or self._block)

    def feed(self, piece: str) -> int | None:
        """Read on. Returns the length of the whole text up to the end of the stop string, or None."""
        seen = len(self._buffer)
        self._buffer += piece
        events: list[tuple[int, _Tag | None]] = []
        for tag in _find_tags(self._buffer, self._tag_end):
            self._tag_end = tag.end
            events.append((tag.end, tag))
        for text in self._stop:
            at = self._buffer.find(text, max(0, seen - len(text) + 1))
            while at >= 0:
                events.append((at + len(text), None))
                at = self._buffer.find(text, at + 1)
        # At one place the tag comes first: `</think>` as a stop string ends the thinking it closes.
        for end, event in sorted(events, key=lambda event: (event[0], event[1] is None)):
            if event is not None:
                self._pass(event)
            elif self.may_stop:
                return self._offset + end
        if len(self._buffer) > 4 * self._kept:
            cut = len(self._buffer) - self._kept
            self._buffer = self._buffer[cut:]
            self._offset += cut
            self._tag_end = max(0, self._tag_end - cut)
        return None

    def _pass(self, tag: _Tag) -> None:
        if self._block:
            if tag.name == self._block:
                self._block_depth += -1 if tag.is_closing else 1
                if self._block_depth == 0:
                    self._block = ""
        elif tag.name == "think":
            if not tag.is_closing:
                self._depth += 1
                return
            self._depth = max(0, self._depth - 1)
            self._prompt_thinking = self._prompt_thinking and self._depth > 0
        elif tag.is_sided and not tag.is_closing and not (self._depth or self._prompt_thinking):
            self._block, self._block_depth = tag.name, 1


def find_verdict_span(text: str, labels: Sequence[str]) -> Span | None:
    """Where the letter of the text's verdict stands, `(start, end)`; None where there is none.

    That is the last `<answer>` of the judge's own words, `[[A]]` or `A` inside; where no answer tag
    stands there at all, the last bare `[[A]]`. The same place that the verdict parser reads.
    """
    read = _read_own(text)
    if read is None:
        return None
    spans, answers = read
    opening = next(
        (index for index in range(len(answers) - 1, -1, -1) if not answers[index].is_closing), None
    )
    if answers:
        return None if opening is None else _find_answer(text, answers[opening:], labels)
    marks = [
        match for start, end in spans for match in _MARK.finditer(text, start, end) if match[1] in labels
    ]
    return marks[-1].span(1) if marks else None


def _find_answer(text: str, tags: Sequence[_Tag], labels: Sequence[str]) -> Span | None:
    """`tags` are the last opening answer tag and the closing ones after it."""
    start = tags[0].end
    if len(tags) == 1:
        match = _CUT_VERDICT.match(text, start)
    else:
        match = _VERDICT.fullmatch(text, start, tags[1].start)
    if match is None:
        return None
    span = match.span(match.lastindex or 1)
    word = text[span[0] : span[1]].lower()
    return span if word in {label.lower() for label in labels} else None


def _find_tags(text: str, start: int = 0) -> list[_Tag]:
    found = []
    for match in _TAG.finditer(text, start):
        name = match[2].lower()
        name = "think" if name == "thinking" else name
        found.append(_Tag(match.start(), match.end(), name, match[3] is not None, match[1] == "/"))
    return found


def _read_own(text: str) -> tuple[list[Span], list[_Tag]] | None:
    """The judge's own words and the answer tags in them; None where thinking is never closed."""
    tags = _find_tags(text)
    partner: dict[int, int] = {}
    waiting: dict[str, list[int]] = {}
    for index, tag in enumerate(tags):
        if not tag.is_closing:
            waiting.setdefault(tag.name, []).append(index)
        elif waiting.get(tag.name):
            partner[waiting[tag.name].pop()] = index
    spans: list[Span] = []
    answers: list[_Tag] = []
    start = depth = index = 0
    has_thought = False
    while index < len(tags):
        tag = tags[index]
        index += 1
        if tag.name == "think":
            if not tag.is_closing:
                if depth == 0:
                    spans.append((start, tag.start))
                depth += 1
            elif depth or not has_thought:
                if depth == 0:
                    # The prompt opened this thinking: all that came before belongs to it.
                    spans.clear()
                    answers.clear()
                depth = max(0, depth - 1)
                if depth == 0:
                    has_thought = True
                    start = tag.end
        elif depth == 0 and tag.is_sided and not tag.is_closing:
            spans.append((start, tag.start))
            if index - 1 in partner:
                index = partner[index - 1]
                start = tags[index].end
                index += 1
                continue
            # Never closed: it ends at the next tag other than an answer.
            while index < len(tags) and tags[index].name == "answer":
                index += 1
            start = tags[index].start if index < len(tags) else len(text)
        elif depth == 0 and tag.name == "answer":
            answers.append(tag)
    if depth:
        return None
    spans.append((start, len(text)))
    return spans, answers
