"""The point at which a judge's text that is still being written may end. Pure: characters only.

By default nothing here ends a text: the model's own end token does. Two options do. A user's stop strings end it
where they first occur. Stopping at the verdict waits for a final one: behind the thinking, on a line of its own that
has ended, outside quotations and code; what was written up to there is all kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rmr1.prompts.thinking import Pair
from rmr1.verdicts.location import find_place
from rmr1.verdicts.mentions import is_enclosed, is_inside
from rmr1.verdicts.trace import read_outline

_LAST_LINE = re.compile(
    r"\s{0,3}[*_`\s]{0,8}(?:<\s{0,4}answer\s{0,4}>[^<\n]{1,60})?</\s{0,4}answer\s{0,4}>[*_`\s]{0,8}",
    re.IGNORECASE,
)
"""The last line of a verdict that stands alone."""
_FREE_CHECKS = 64
_GROWTH = 1.05
_QUOTED_LINES = re.compile(r"<(?P<name>pre|code|blockquote)\b(?![^<]*</(?P=name)>)", re.IGNORECASE)


class StopWatcher:
    """Reads one text as it grows and says when it ends."""

    def __init__(
        self,
        stop: Sequence[str] = (),
        *,
        at_verdict: bool = False,
        opening: str = "",
        labels: Sequence[str] = ("A", "B"),
        thinking: Sequence[Pair] = (),
    ):
        """`opening` is the mark by which the prompt has opened the thinking."""
        self._stop = tuple(text for text in stop if text)
        self._kept = max(map(len, self._stop), default=1) - 1
        self._at_verdict = at_verdict
        self._labels = tuple(labels)
        self._thinking = tuple(thinking)
        self._text = opening
        self._opening = self._line_start = len(opening)
        self._num_checks = self._check_at = 0

    def feed(self, piece: str) -> int | None:
        """Read on. Returns where the text ends, as its length without `opening`; None if it goes on."""
        seen = len(self._text)
        self._text += piece
        start = max(self._opening, seen - self._kept)
        places = [(at, text) for text in self._stop if (at := self._text.find(text, start)) >= 0]
        if places:
            return min(at + len(text) for at, text in places) - self._opening
        return len(self._text) - self._opening if self._has_verdict(piece) else None

    def _has_verdict(self, piece: str) -> bool:
        if not self._at_verdict or "\n" not in piece:
            return False
        line_end = self._text.rfind("\n")
        lines = self._text[self._line_start : line_end]
        if not lines.strip():
            return False  # a blank line more
        self._line_start = line_end + 1
        if not _LAST_LINE.fullmatch(lines) or len(self._text) < self._check_at:
            return False
        self._num_checks += 1
        if self._num_checks > _FREE_CHECKS:  # a loop of verdicts in the thinking is not read again at each
            self._check_at = int(_GROWTH * len(self._text))
        return is_final(self._text[:line_end], self._labels, self._thinking)


def end_chars(stop: Sequence[str], *, at_verdict: bool) -> frozenset[str]:
    """The last characters of the stop strings, and the line break if a verdict ends the text."""
    return frozenset([text[-1] for text in stop if text] + (["\n"] if at_verdict else []))


def is_final(text: str, labels: Sequence[str], thinking: Sequence[Pair] = ()) -> bool:
    """Whether `text` ends with a verdict in an answer tag of the judge's own words, on a line (or lines) of its own."""
    outline = read_outline(text, labels, thinking)
    place = find_place(outline, labels, truncated=True)
    names = {"tie", *(label.lower() for label in labels)}
    if place.span is None or place.word is None or place.word.lower() not in names:
        return False
    if is_inside(outline.fences, place.opening) or is_enclosed(text, place.opening, place.end):
        return False
    last = max((tag for tag in outline.tags if tag.kind == "answer"), default=None)
    if last is None or not last.is_closing or last.end != place.end:
        return False
    line = text[text.rfind("\n", 0, place.opening) + 1 : place.opening]
    if line.startswith(("    ", "\t")) or line.strip(" \t*_`") or text[place.end :].strip(" \t\r\n*_`"):
        return False
    # A quotation of several lines, or preformatted text, may still be open.
    paragraph = text[text.rfind("\n\n", 0, place.opening) + 1 : place.opening]
    is_open = paragraph.count('"') % 2 == 1 or paragraph.count("“") > paragraph.count("”")
    return not is_open and not _QUOTED_LINES.search(text, 0, place.opening)
