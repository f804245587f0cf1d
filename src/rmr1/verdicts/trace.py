r"""A judge's text -> its parts: thinking, task type, rubric, quotations, and the judge's own words.

`read_outline` tokenises the text (regular expressions of bounded alternatives) and walks the tags once;
`read_trace` turns the outline into a `Trace`. Both take time linear in the text and accept any string. The
tags are those of RM-R1's prompts (arXiv 2505.02387, figures 3 and 6); case and blanks inside a tag do not
matter. What the walk decides:

- Thinking stands between the marks of one form of `rmr1.prompts.thinking`, nested ones counted. A closing
  mark before any opening one closes a part that the prompt opened: everything up to it is thinking. Later
  stray closing marks mean nothing.
- A mark that is only *mentioned* opens and closes nothing: one in quotation marks, in backticks or in a code
  block, one with blanks on both sides in the middle of a sentence ("an empty <think> block"), and an opening
  one in the middle of a line that nothing closes.
- A form that nobody listed is thinking if the text begins with its mark, the mark is closed, and the verdict
  stands behind it while no part of the protocol stands inside.
- `<quote_X>` and `<summary_X>` blocks are not the judge's own words: whatever tag stands in them is
  somebody else's. Each closing tag belongs to the nearest open tag of its name; the outermost block
  is recorded, with inner tags as they stand, and so are quotations inside a summary.
- An unclosed quotation ends at the next tag, except at `<answer>`: a judge that quotes an injected verdict
  and is cut off there leaves exactly a quotation that ends after that verdict.
- A turn of the user's that the judge made up ends what is its own: `<|im_end|><|im_start|>user ...`.
- Any other unclosed block ends where the next block or thinking begins or an outer one ends.
- Of a repeated block the first that is not blank counts. Blank parts are None or left out.

User text shown to the judge has a backslash in its protocol tokens (`<\answer>`, `[\[A]]`); these are
no tags here, and stay in quotations as written.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rmr1.prompts.thinking import FLAT_FORMS, Mark, Pair, find_marks
from rmr1.records import RubricItem, SideText, TaskType, Trace
from rmr1.verdicts.rubric import parse_rubric

_TAG = re.compile(
    r"<\s{0,4}(/?)\s{0,4}"
    r"(type|rubric|justify|solution|eval|answer|(quote|summary)_([a-z0-9]{1,16}))"
    r"\s{0,4}>",
    re.IGNORECASE | re.ASCII,  # ASCII: else the long s and the Kelvin sign match "s" and "k"
)
_JUSTIFY_TAG = re.compile(r"<\s{0,4}/?\s{0,4}justify\s{0,4}>", re.IGNORECASE | re.ASCII)
_TASK_TYPES: dict[str, TaskType] = {"reasoning": "reasoning", "chat": "chat"}

QUOTING = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u00ab": "\u00bb",
    "\u300c": "\u300d",
    "\u300e": "\u300f",
}
"""Opening quotation mark -> the one that closes it."""
_CLOSING_MARKS = frozenset(QUOTING.values())
_FENCE = re.compile(r"^[ \t]{0,24}(`{3,16}|~{3,16})([^\n`]{0,300})$", re.MULTILINE)
_BLOCK = re.compile(r"<\s{0,4}(?:type|rubric|solution|eval)\s{0,4}>", re.IGNORECASE)
_SENTENCE_END = ".!?:;)\uff0c\u3001\uff1a\u3002\uff01\uff1f\u2026*_"
_GOES_ON = re.compile(r"[,;]|'s\b|-\w")
_LINE_CHARS = 80
"""How far into a line it is looked for what stands beside a mark."""
_FIRST_MARK = re.compile(
    r"(?:\s{0,8}<\|[\w.-]{1,32}\|>){0,4}\s{0,16}"
    r"(?P<left><[|\uff5c]?|\[|\{|\u25c1|\u27e8|\u3010)(?P<name>[^\W\d_][\w:.-]{1,40})"
    r"(?:\s[^<>\n]{0,120})?(?P<right>[|\uff5c]?>|\]|\}|\u25b7|\u27e9|\u3011)"
)
_COMMENT = "<!--"
_RUN_ON = re.compile(
    r"<(?:[|\uff5c][^<>\s]{1,40}[|\uff5c]|\|turn|(?:start|begin)_of_turn|im_start)>\s{0,4}(?:user|human)\b",
    re.IGNORECASE | re.ASCII,
)
"""A control token that gives the turn to the user: behind a verdict, what follows is no longer the judge's."""
_CONTROLS = re.compile(r"(?:\s|[*_`.]|</?[|｜]?[\w:-]{1,32}[|｜]?>(?<!answer>))*\Z")
_BEGIN = re.compile(r"(?<![A-Za-z])(begin|start|open)(?![A-Za-z])", re.IGNORECASE)
_ENDS = {"begin": ("end",), "start": ("end", "stop"), "open": ("close",)}
_MARKED_END = re.compile(r"\[\[[^\[\]]{1,16}\]\][\s.*_`]{0,16}\Z")
_VERDICT_LIKE = re.compile(r"<\s{0,4}answer\s{0,4}>|\[\[", re.IGNORECASE)

Span = tuple[int, int]


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
    """Of a mark of thinking: marks of one form close each other."""
    is_sure: bool = True
    """Whether an opening mark of thinking stands where thinking begins; else it counts only if it is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Where the parts of a judge's text stand."""

    text: str
    spans: tuple[Span, ...]
    """The judge's own words: outside thinking, quotations and summaries; in order."""
    tags: tuple[Tag, ...]
    """Tags that stand in `spans`, and each one that opens a thinking part: no block runs into it."""
    quotes: tuple[SideText, ...]
    summaries: tuple[SideText, ...]
    thinking: str | None
    is_thinking_unclosed: bool
    visible_start: int = 0
    """Where the text behind the last thinking part begins."""
    has_open_form: bool = False
    """Whether the text begins with a mark of an unknown form that is not closed: what follows may be thinking."""
    fences: tuple[Span, ...] = ()
    """Code blocks, but for one that holds the whole text."""
    has_open_fence: bool = False
    """Whether the text ends inside a code block."""

    def own_texts(self) -> Iterator[str]:
        return (self.text[start:end] for start, end in self.spans)


def read_outline(text: str, labels: Sequence[str] = ("A", "B"), thinking: Sequence[Pair] = ()) -> Outline:
    """Find the parts of `text`. Quotations of a side that is not in `labels` are skipped over.

    `thinking` holds a user's own forms of thinking, (opening, closing).
    """
    fences, has_open_fence = _find_fences(text)
    limit = _find_limit(text)
    tags = [
        _to_tag(match)
        for match in _TAG.finditer(text, 0, limit)
        if not is_enclosed(text, *match.span(), is_tag=True)
    ]
    marks = [mark for mark in find_marks(text, thinking) if mark.end <= limit]
    first = None if marks and not text[: marks[0].start].strip() else _find_first_form(text, tags, marks)
    has_open_form = first is not None and len(first) == 1
    if first is not None and len(first) == 2:
        marks = [*first, *(mark for mark in marks if mark.start >= first[1].end)]
    tags = sorted([*tags, *_weigh_marks(text, marks, fences)])
    balance = _Balance(tags)
    partner = _match_tags(tags)
    boundary = _next_index(tags, lambda tag: tag.kind != "answer")
    sides = {label.upper(): label for label in labels}
    spans: list[Span] = []
    own: list[Tag] = []
    quotes: list[SideText] = []
    summaries: list[SideText] = []
    thoughts: list[Span] = []
    own_start = thought_start = visible_start = depth = index = 0
    form = ""

    def record(at: int, inner_end: int) -> None:
        tag = tags[at]
        words = text[tag.end : inner_end].strip()
        if words and tag.side in sides:
            target = quotes if tag.kind == "quote" else summaries
            target.append(SideText(side=sides[tag.side], text=words))

    while index < len(tags):
        tag = tags[index]
        following = index + 1
        if tag.kind == "think":
            if (
                depth
                and tag.form != form
                and not (tag.is_closing and balance.is_last_resort(tag, form, index))
            ):
                pass  # another form's mark, inside thinking
            elif not tag.is_closing:
                if depth == 0 and (tag.is_sure or balance.count(tag, index) > 0):
                    spans.append((own_start, tag.start))
                    own.append(tag)
                    thought_start, form, depth = tag.end, tag.form, 1
                elif depth and form not in FLAT_FORMS and (tag.is_sure or balance.count(tag, index) > depth):
                    depth += 1
            elif depth > 0:
                depth -= 1
                if depth == 0:
                    thoughts.append((thought_start, tag.start))
                    own_start = visible_start = tag.end
            elif not thoughts:
                thoughts.append((0, tag.start))
                for parts in (spans, own, quotes, summaries):
                    parts.clear()
                own_start = visible_start = tag.end
        elif depth == 0 and tag.side and not tag.is_closing:
            close = partner[index]
            if close is None:
                following = boundary[index]
                block_end = inner_end = tags[following].start if following < len(tags) else len(text)
            else:
                following = close + 1
                block_end, inner_end = tags[close].end, tags[close].start
            record(index, inner_end)
            if tag.kind == "summary" and close is not None:
                inner = index + 1
                while inner < close:
                    inner_close = partner[inner]
                    if tags[inner].kind == "quote" and inner_close is not None and inner_close < close:
                        record(inner, tags[inner_close].start)
                        inner = inner_close
                    inner += 1
            spans.append((own_start, tag.start))
            own_start = block_end
        elif depth == 0:
            own.append(tag)
        index = following
    if depth:
        thoughts.append((thought_start, len(text)))
    else:
        spans.append((own_start, limit))
    thought = "\n\n".join(thought for start, end in thoughts if (thought := text[start:end].strip()))
    return Outline(
        text=text,
        spans=tuple(span for span in spans if span[0] < span[1]),
        tags=tuple(own),
        quotes=tuple(quotes),
        summaries=tuple(summaries),
        thinking=thought or None,
        is_thinking_unclosed=depth > 0,
        visible_start=visible_start,
        has_open_form=has_open_form,
        fences=tuple(fences),
        has_open_fence=has_open_fence,
    )


def is_enclosed(text: str, start: int, end: int, *, is_tag: bool = False) -> bool:
    """Whether `text[start:end]` stands directly between quotation marks or backticks: it is spoken of.

    A single tag (`is_tag`) that closes a block is believed, since quoted words may end right before it.
    """
    before, after = text[start - 1 : start], text[end : end + 1]
    if QUOTING.get(before) != after or not before:
        return False
    return not (is_tag and "/" in text[start : start + 6])


def read_trace(outline: Outline) -> Trace:
    """The judge's reasoning as data."""
    blocks = _find_blocks(outline)
    text = outline.text

    def first(kind: str) -> str | None:
        return next(
            (inner for start, end in blocks.get(kind, ()) if (inner := text[start:end].strip())), None
        )

    return Trace(
        task_type=_read_task_type(first("type")),
        rubric=_read_rubric(outline, blocks),
        justification=first("justify"),
        solution=first("solution"),
        evaluation=first("eval"),
        quotes=outline.quotes,
        summaries=outline.summaries,
        thinking=outline.thinking,
    )


def _to_tag(match: re.Match[str]) -> Tag:
    slash, name, sided, side = match.groups()
    if sided is not None:
        return Tag(match.start(), match.end(), sided.lower(), side.upper(), slash == "/")
    return Tag(match.start(), match.end(), name.lower(), "", slash == "/")


def _find_limit(text: str) -> int:
    """Where the judge's turn ends: before a turn of the user's that it went on to make up."""
    verdict = _VERDICT_LIKE.search(text)
    for found in _RUN_ON.finditer(text, verdict.end()) if verdict else ():
        before = _CONTROLS.sub("", text[max(0, found.start() - _LINE_CHARS) : found.start()])
        if before.lower().endswith(("answer>", "]]")):
            return found.start()
    return len(text)


def _find_fences(text: str) -> tuple[list[Span], bool]:
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
    is_open = opening is not None
    return fences[is_wrapped:], is_open


def is_inside(spans: Sequence[Span], place: int) -> bool:
    """Whether `place` lies in one of the spans, which are in order."""
    index = bisect_right(spans, (place, len(spans) and spans[-1][1])) - 1
    return index >= 0 and spans[index][0] <= place < spans[index][1]


def _weigh_marks(text: str, marks: Sequence[Mark], fences: Sequence[Span]) -> Iterator[Tag]:
    """The marks of thinking that are more than mentions."""
    last = {mark.form: mark.start for mark in marks if mark.is_closing}
    mentioned: dict[str, int] = {}
    for mark in marks:
        start, end = mark.start, mark.end
        line_start = max(text.rfind("\n", max(0, start - _LINE_CHARS), start) + 1, start - _LINE_CHARS, 0)
        before, after = text[line_start:start], text[end : end + _LINE_CHARS].partition("\n")[0]
        words_before, words_after = before.strip(), after.strip()
        if is_inside(fences, start):
            # An odd fence in the thinking does not swallow its end.
            is_end = mark.is_closing and last[mark.form] == start and not words_before and not words_after
            if not is_end:
                continue
        if is_enclosed(text, start, end):
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
    """Whether a closing mark in the middle of a line ends the thinking there, by what stands on its sides."""
    words_before, words_after = before.strip(), after.strip()
    if not words_after or words_after.startswith(("<", "[")) or words_before.endswith(tuple(_SENTENCE_END)):
        return True
    if before[-1:].isspace():
        # "so B wins </think> Chatbot B ..." goes on with a sentence, "a </think> tag" does not.
        return after[:1].isspace() and (words_after[0].isupper() or not words_after[0].isascii())
    return before[-1] not in "([{" and not _GOES_ON.match(after)


class _Balance:
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


def _find_first_form(text: str, tags: Sequence[Tag], marks: Sequence[Mark]) -> list[Mark] | None:
    """The marks of a form that nobody listed, with which the text begins: opening and closing, or the opening
    one alone if it is never closed; None if there is none, or if it is a part of the visible text."""
    if text.lstrip().startswith(_COMMENT):
        start = text.index(_COMMENT)
        return _close_first_form(text, tags, start, start + len(_COMMENT), ["-->"])
    found = _FIRST_MARK.match(text)
    if found is None or _TAG.fullmatch(text, found.start("left"), found.end()):
        return None
    left, name, right = found["left"], found["name"], found["right"]
    start = found.start("left")
    if any(mark.start == start for mark in marks):
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
    places = [
        (found.start(), closing)
        for closing in closings
        for found in [next(_find_meant(text, closing, end), None)]
        if found is not None
    ]
    if not places:
        # "[Assistant A] ..." begins many a text that thinks nothing.
        name = text[start:end]
        is_form = name[0] not in "[{" or (name == name.upper() and " " not in name)
        return [opening] if is_form else None
    place, closing = min(places)
    inside = [tag for tag in tags if tag.start < place]
    answers = [tag for tag in tags if tag.start > place and tag.kind == "answer"]
    is_answered = any(text[tag.start - 1] not in QUOTING for tag in answers if not tag.is_closing)
    if any(tag.kind != "answer" for tag in inside) or not (
        is_answered or (not inside and _ends_marked(text))
    ):
        return None
    return [opening, Mark(place, place + len(closing), "unknown", True)]


def _ends_marked(text: str) -> bool:
    return _MARKED_END.search(text[-_LINE_CHARS:]) is not None


def _find_meant(text: str, word: str, start: int) -> Iterator[re.Match[str]]:
    """Where `word` stands behind `start` and is not spoken of."""
    pattern = re.compile(re.escape(word))
    return (found for found in pattern.finditer(text, start) if not is_enclosed(text, *found.span()))


def _match_tags(tags: Sequence[Tag]) -> list[int | None]:
    """For each opening tag the index of its closing tag, innermost first within one name."""
    partner: list[int | None] = [None] * len(tags)
    waiting: dict[tuple[str, str], list[int]] = {}
    for index, tag in enumerate(tags):
        opened = waiting.setdefault((tag.kind, tag.side), [])
        if not tag.is_closing:
            opened.append(index)
        elif opened:
            partner[opened.pop()] = index
    return partner


def _next_index(tags: Sequence[Tag], is_wanted: Callable[[Tag], bool]) -> list[int]:
    """For each tag the index of the next wanted one after it, `len(tags)` where there is none."""
    found = [len(tags)] * len(tags)
    upcoming = len(tags)
    for index in range(len(tags) - 1, -1, -1):
        found[index] = upcoming
        if is_wanted(tags[index]):
            upcoming = index
    return found


def _find_blocks(outline: Outline) -> dict[str, list[Span]]:
    """Inner span of every block of the judge's own, by kind, in order."""
    tags = [tag for tag in outline.tags if not tag.side]
    partner = _match_tags(tags)
    next_any = _next_index(tags, lambda tag: True)
    next_outer = _next_index(tags, lambda tag: tag.kind != "justify")
    blocks: dict[str, list[Span]] = {}
    for index, tag in enumerate(tags):
        if tag.is_closing:
            continue
        end = partner[index]
        if end is None:
            end = (next_outer if tag.kind == "rubric" else next_any)[index]
        inner_end = tags[end].start if end < len(tags) else len(outline.text)
        blocks.setdefault(tag.kind, []).append((tag.end, inner_end))
    return blocks


def _read_task_type(inner: str | None) -> TaskType | None:
    words = {word.lower() for word in re.findall(r"[A-Za-z]{1,20}", (inner or "")[:200])}
    named = words & _TASK_TYPES.keys()
    return _TASK_TYPES[named.pop()] if len(named) == 1 else None


def _read_rubric(outline: Outline, blocks: dict[str, list[Span]]) -> tuple[RubricItem, ...]:
    """Items of the first rubric that is not blank; quoted text and `<justify>` blocks cut out."""
    text = outline.text
    for start, end in blocks.get("rubric", ()):
        if not text[start:end].strip():
            continue
        pieces: list[Span] = []
        position = start
        for inner_start, inner_end in blocks.get("justify", ()):
            if position <= inner_start < end:
                pieces.append((position, inner_start))
                position = min(inner_end, end)
        pieces.append((position, end))
        # The tags themselves lie outside the inner spans.
        own = (_JUSTIFY_TAG.sub("", piece) for piece in _cut_own(text, pieces, outline.spans))
        return parse_rubric("\n".join(own))
    return ()


def _cut_own(text: str, pieces: Sequence[Span], spans: Sequence[Span]) -> Iterator[str]:
    """Each piece without what lies outside the spans; both are in order and do not overlap."""
    index = 0
    for start, end in pieces:
        parts = []
        while index < len(spans) and spans[index][0] < end:
            parts.append(text[max(start, spans[index][0]) : min(end, spans[index][1])])
            if spans[index][1] > end:
                break
            index += 1
        yield "".join(parts)
