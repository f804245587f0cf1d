r"""A judge's text -> its parts: thinking, task type, rubric, quotations, and the judge's own words.

`read_outline` walks the tags once, `read_trace` turns the outline into a `Trace`; both take time linear in the text and accept
any string. The tags are those of RM-R1's prompts (arXiv 2505.02387, figures 3 and 6); case and blanks inside a tag do not
matter. What the walk decides, beside what docs/verdicts.md says of thinking:

- A closing mark of thinking before any opening one closes a part that the prompt opened: everything up to it is
  thinking. Later stray closing marks mean nothing.
- `<quote_X>` and `<summary_X>` blocks are not the judge's own words: whatever tag stands in them is
  somebody else's. Each closing tag belongs to the nearest open tag of its name; the outermost block
  is recorded, with inner tags as they stand, and so are quotations inside a summary.
- An unclosed quotation ends at the next tag, except at `<answer>`: a judge that quotes an injected verdict
  and is cut off there leaves exactly a quotation that ends after that verdict.
- Any other unclosed block ends where the next block or thinking begins or an outer one ends.
- Of a repeated block the first that is not blank counts. Blank parts are None or left out.

User text shown to the judge has a backslash in its protocol tokens (`<\answer>`, `[\[A]]`); these are
no tags here, and stay in quotations as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rmr1.prompts.thinking import FLAT_FORMS, Pair, find_marks
from rmr1.records import RubricItem, SideText, TaskType, Trace
from rmr1.verdicts.mentions import (
    Balance,
    Span,
    Tag,
    find_fences,
    find_first_form,
    find_limit,
    is_enclosed,
    weigh_marks,
)
from rmr1.verdicts.rubric import parse_rubric

_TAG = re.compile(
    r"<\s{0,4}(/?)\s{0,4}"
    r"(type|rubric|justify|solution|eval|answer|(quote|summary)_([a-z0-9]{1,16}))"
    r"\s{0,4}>",
    re.IGNORECASE | re.ASCII,  # ASCII: else the long s and the Kelvin sign match "s" and "k"
)
_JUSTIFY_TAG = re.compile(r"<\s{0,4}/?\s{0,4}justify\s{0,4}>", re.IGNORECASE | re.ASCII)
_TASK_TYPES: dict[str, TaskType] = {"reasoning": "reasoning", "chat": "chat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOutline:
    """The places of the parts of a judge's text."""

    text: str
    spans: tuple[Span, ...]
    """The judge's own words: outside thinking, quotations and summaries; in order."""
    tags: tuple[Tag, ...]
    """Tags that stand in `spans`, and each one that opens a thinking part: no block runs into it."""
    quotes: tuple[SideText, ...]
    quote_places: tuple[Span, ...]
    """The place of each of them."""
    summaries: tuple[SideText, ...]
    thinking: str | None
    is_thinking_unclosed: bool
    visible_start: int = 0
    """The place where the text behind the last thinking part begins."""
    has_open_form: bool = False
    """Whether the text begins with an unclosed mark of an unknown form, so that all of it may be thinking."""
    fences: tuple[Span, ...] = ()
    """Code blocks, but for one that holds the whole text."""
    has_open_fence: bool = False
    """Whether the text ends inside a code block."""

    def own_texts(self) -> Iterator[str]:
        return (self.text[start:end] for start, end in self.spans)


def read_outline(text: str, labels: Sequence[str] = ("A", "B"), thinking: Sequence[Pair] = ()) -> TextOutline:
    """Find the parts of `text`. Quotations of a side that is not in `labels` are skipped over.

    `thinking` holds a user's own forms of thinking, (opening, closing).
    """
    fences, has_open_fence = find_fences(text)
    limit = find_limit(text)
    tags = [
        _to_tag(match)
        for match in _TAG.finditer(text, 0, limit)
        if not is_enclosed(text, *match.span(), is_tag=True)
    ]
    marks = [mark for mark in find_marks(text, thinking) if mark.end <= limit]
    first = None if marks and not text[: marks[0].start].strip() else find_first_form(text, tags, marks)
    has_open_form = first is not None and len(first) == 1
    if first is not None and len(first) == 2:
        marks = [*first, *(mark for mark in marks if mark.start >= first[1].end)]
    tags = sorted([*tags, *weigh_marks(text, marks, fences)])
    balance = Balance(tags)
    partner = _match_tags(tags)
    boundary = _next_index(tags, lambda tag: tag.kind != "answer")
    sides = {label.upper(): label for label in labels}
    spans: list[Span] = []
    own: list[Tag] = []
    quotes: list[SideText] = []
    places: list[Span] = []
    summaries: list[SideText] = []
    thoughts: list[Span] = []
    own_start = thought_start = visible_start = depth = index = 0
    form = ""

    def record(at: int, inner_end: int) -> None:
        tag = tags[at]
        words = text[tag.end : inner_end].strip()
        if not words or tag.side not in sides:
            return
        said = SideText(side=sides[tag.side], text=words)
        if tag.kind == "quote":
            start = text.index(words, tag.end)
            quotes.append(said)
            places.append((start, start + len(words)))
        else:
            summaries.append(said)

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
                for parts in (spans, own, quotes, places, summaries):
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
    return TextOutline(
        text=text,
        spans=tuple(span for span in spans if span[0] < span[1]),
        tags=tuple(own),
        quotes=tuple(quotes),
        quote_places=tuple(places),
        summaries=tuple(summaries),
        thinking=thought or None,
        is_thinking_unclosed=depth > 0,
        visible_start=visible_start,
        has_open_form=has_open_form,
        fences=tuple(fences),
        has_open_fence=has_open_fence,
    )


def read_trace(outline: TextOutline) -> Trace:
    """The judge's reasoning as data."""
    blocks = _find_blocks(outline)
    text = outline.text

    def first(kind: str) -> str | None:
        inner = (text[start:end].strip() for start, end in blocks.get(kind, ()))
        return next(filter(None, inner), None)

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
    slash, name, sided, side = match.groups("")
    return Tag(match.start(), match.end(), (sided or name).lower(), side.upper(), slash == "/")


def _match_tags(tags: Sequence[Tag]) -> list[int | None]:
    """Index of each opening tag's closing tag, innermost first within one name."""
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
    """Index of the next wanted tag after each, or `len(tags)`."""
    found = [len(tags)] * len(tags)
    upcoming = len(tags)
    for index in range(len(tags) - 1, -1, -1):
        found[index] = upcoming
        if is_wanted(tags[index]):
            upcoming = index
    return found


def _find_blocks(outline: TextOutline) -> dict[str, list[Span]]:
    """Inner span of every block of the judge's own, by kind."""
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


def _read_rubric(outline: TextOutline, blocks: dict[str, list[Span]]) -> tuple[RubricItem, ...]:
    """Items of the first rubric that is not blank, quoted text and `<justify>` blocks cut out."""
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
