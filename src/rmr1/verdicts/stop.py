"""When a judge's text that is still being written may end. Pure: characters only.

By default nothing here ends a text: the model's own end token does. Two options do. A user's stop strings end it
where they first occur. Stopping at the verdict waits for a final one: behind the thinking, on a line of its own that
has ended, outside quotations and code; what was written up to there is all kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmr1.prompts.thinking import Pair
from rmr1.verdicts.place import find_place
from rmr1.verdicts.trace import is_enclosed, is_inside, read_outline

_CLOSING = "answer>"


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
        """Watch for any of `stop`, and for a final verdict if `at_verdict`; `opening` is the mark by which the prompt
        has opened the thinking."""
        self._stop = tuple(text for text in stop if text)
        self._kept = max(map(len, self._stop), default=1) - 1
        self._at_verdict = at_verdict
        self._labels = tuple(labels)
        self._thinking = tuple(thinking)
        self._text = opening
        self._opening = self._line_start = len(opening)

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
        return _CLOSING in lines.lower() and is_final(self._text[:line_end], self._labels, self._thinking)


def end_chars(stop: Sequence[str], *, at_verdict: bool) -> frozenset[str]:
    """The last characters of the stop strings, and the line break if a verdict ends the text."""
    return frozenset([text[-1] for text in stop if text] + (["\n"] if at_verdict else []))


def is_final(text: str, labels: Sequence[str], thinking: Sequence[Pair] = ()) -> bool:
    """Whether `text` ends with a verdict that a judge gives last: in an answer tag of its own words, on a line (or
    lines) of its own, and not in a code block."""
    outline = read_outline(text, labels, thinking)
    if outline.has_open_form or outline.has_open_fence:
        return False
    place = find_place(outline, labels, truncated=True)
    names = {"tie", *(label.lower() for label in labels)}
    if place.span is None or place.word is None or place.word.lower() not in names:
        return False
    if is_inside(outline.fences, place.opening) or is_enclosed(text, place.opening, place.end):
        return False
    last = max((tag for tag in outline.tags if tag.kind == "answer"), default=None)
    is_closed = last is not None and last.is_closing and last.end == place.end
    line = text[text.rfind("\n", 0, place.opening) + 1 : place.opening].strip(" \t*_`")
    return is_closed and not line and not text[place.end :].strip(" \t\r\n*_`")
