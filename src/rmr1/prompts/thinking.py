"""The forms in which models think before they speak: one table for parser, stop rule, escaping and servers.

A form is a pair of marks around the thinking. Every name of the table is read in every bracket, with a name space or words
before it (`<seed:think>`, `<chain_of_thought>`) and with `begin`, `start` and `end` in place of the slash
(`<|START_THINKING|>`). The rest are channels:

    harmony   <|channel|>analysis<|message|> ... <|channel|>final<|message|>, any channel but `final`; and
              `analysis` ... `assistantfinal`, which is left of it when a server drops control tokens
    Gemma 4   <|channel>thought ... <channel|>

This module finds marks; whether one is meant or only mentioned is decided by where it stands (`rmr1.verdicts.mentions`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rmr1.errors import ConfigError

Pair = tuple[str, str]
"""A user's own form: the literal opening and the literal closing mark."""

_NAMES = r"think(?:ing)?|thoughts?|reasoning|scratch[_-]?pad"
MARK_NAMES = (
    rf"(?:[a-z]{{1,16}}[:_-]){{0,3}}(?:end|begin|start)?(?:{_NAMES})(?:[_-](?:begin|start|open|end|close))?"
)
"""What stands between the brackets of a mark, in lower case: a regular expression."""

_ATTRIBUTES = r"(?:\s{1,4}[\w-]{1,20}=(?:\"[^\"<>\n]{0,60}\"|'[^'<>\n]{0,60}')){0,3}"
_BRACKETS = re.compile(
    r"(?P<left><[|｜]?|\[|◁)\s{0,4}(?P<slash>/?)\s{0,4}"
    rf"(?P<name>{MARK_NAMES}){_ATTRIBUTES}\s{{0,4}}(?P<right>[|｜]?>|\]|▷)",
    re.IGNORECASE | re.ASCII,
)
_SIDES = {"<": ">", "<|": "|>", "<｜": "｜>", "[": "]", "◁": "▷"}
_END = re.compile(r"(?:^|[:_-])(?:end|close)(?:$|[_-])|^end", re.ASCII)
_SHELL = re.compile(r"(?:^|[:_-])(?:end|begin|start|open|close|of)(?=$|[_-])|^(?:end|begin|start)", re.ASCII)

_CHANNEL = re.compile(
    r"(?:<\|start\|>\s{0,4}assistant)?<\|channel\|>\s{0,4}(?P<channel>[a-z]{1,20})[^<>\n]{0,80}"
    r"(?:<\|constrain\|>[^<>\n]{0,40})?<\|message\|>"
    r"|(?P<gemma><\|channel>[a-z]{1,20}\n?)|(?P<gemma_end><channel\|>)",
    re.IGNORECASE | re.ASCII,
)
_END_OF_MESSAGE = re.compile(r"<\|(?:end|return|call)\|>\s{0,4}\Z")
_BARE_OPENING = re.compile(r"\A\s{0,16}analysis(?=[^\s:.,;!?'’)/–-])")
_BARE_CLOSING = re.compile(r"assistant(?:commentary.{0,80}?)?final(?!ly|i[sz])", re.ASCII | re.DOTALL)
_OPEN_PROMPT_CHARS = 160
_FLAT_CLOSINGS = {
    "<|channel|>": "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel>": "<channel|>",
    "analysis": "assistantfinal",
}
FLAT_FORMS = frozenset(_FLAT_CLOSINGS)
"""Forms whose parts follow each other and never stand inside each other."""


class Mark(NamedTuple):
    """One opening or closing mark. A tuple, since a hostile text can hold a hundred thousand."""

    start: int
    end: int
    form: str
    """Marks of one form close each other; `<think>` and `<thinking>` are one."""
    is_closing: bool


def find_marks(text: str, pairs: Sequence[Pair] = ()) -> list[Mark]:
    """Every mark in `text`, in order, whatever it means there; in time linear in the text."""
    marks = [*_find_brackets(text), *_find_channels(text)]
    for opening, closing in pairs:
        for word, is_closing in ((opening, False), (closing, True)):
            marks += [
                Mark(found.start(), found.end(), f"own:{opening}", is_closing)
                for found in _literal(word).finditer(text)
            ]
    marks.sort()
    return marks


def find_open_mark(prompt: str, pairs: Sequence[Pair] = ()) -> str:
    """The mark by which a rendered prompt opens the thinking, as some chat templates do, with the blanks that follow
    it; else "".

    >>> find_open_mark("<|im_start|>assistant <think> ")
    '<think> '
    """
    tail = prompt[-_OPEN_PROMPT_CHARS:]
    marks = find_marks(tail, pairs)
    if not marks or marks[-1].is_closing or tail[marks[-1].end :].strip():
        return ""
    return tail[marks[-1].start :].lstrip()


def find_close_mark(opening: str, source: str = "", pairs: Sequence[Pair] = ()) -> str:
    """The mark that ends the thinking which `opening` begins: the one in `source`, such as a chat template's own
    text, if there is one of the same form; else what the form is built like.

    >>> find_close_mark("<|begin_of_thought|>"), find_close_mark("[THINK]")
    ('<|end_of_thought|>', '[/THINK]')
    """
    mark = find_marks(opening, pairs)[-1]
    for other in find_marks(source, pairs):
        if other.is_closing and other.form == mark.form:
            return source[other.start : other.end]
    if mark.form in _FLAT_CLOSINGS:
        return _FLAT_CLOSINGS[mark.form]
    for own, closing in pairs:
        if mark.form == f"own:{own}":
            return closing
    word = opening[mark.start : mark.end]
    for begin, end in (("begin", "end"), ("start", "end"), ("open", "close")):
        for turned in (str.lower, str.upper, str.title):
            if (changed := word.replace(turned(begin), turned(end))) != word:
                return changed
    inner = word.lstrip("<[◁|｜")
    return f"{word[: len(word) - len(inner)]}/{inner}"


def check_pairs(pairs: Sequence[Sequence[str]]) -> tuple[Pair, ...]:
    """A user's own forms as pairs.

    Raises:
        ConfigError: one is not two different texts.
    """
    checked: list[Pair] = []
    for pair in pairs:
        marks = tuple(pair)
        if len(marks) != 2 or not all(marks) or marks[0] == marks[1] or any(word.isspace() for word in marks):
            raise ConfigError(f"thinking form {pair!r} is not an opening and a different closing mark")
        checked.append((marks[0], marks[1]))
    return tuple(checked)


def _find_brackets(text: str) -> list[Mark]:
    marks = []
    for found in _BRACKETS.finditer(text):
        left, slash, name, right = found["left"], found["slash"], found["name"], found["right"]
        if _SIDES[left] != right or (left == "[" and name != name.upper()):
            continue
        lower = name.lower()
        core = _SHELL.sub("", lower).strip(":_-")
        core = "think" if core == "thinking" else core
        marks.append(
            Mark(found.start(), found.end(), f"{left}{core}", bool(slash) or bool(_END.search(lower)))
        )
    return marks


def _find_channels(text: str) -> list[Mark]:
    found_marks = list(_CHANNEL.finditer(text)) if "<|channel" in text or "<channel|>" in text else []
    if not found_marks:  # half a token, in what a judge quotes, is none
        start = len(text) - len(text.lstrip())
        if not text.startswith("analysis", start):
            return []
        marks = [Mark(found.start(), found.end(), "analysis", True) for found in _BARE_CLOSING.finditer(text)]
        if marks or _BARE_OPENING.match(text):
            marks.insert(0, Mark(start, start + len("analysis"), "analysis", False))
        return marks
    marks = []
    for found in found_marks:
        if found["channel"] is None:
            marks.append(Mark(found.start(), found.end(), "<|channel>", found["gemma"] is None))
            continue
        start = found.start()
        if ended := _END_OF_MESSAGE.search(text, max(0, start - 16), start):
            start = ended.start()
        marks.append(Mark(start, found.end(), "<|channel|>", found["channel"].lower() == "final"))
    return marks


@lru_cache(maxsize=64)
def _literal(word: str) -> re.Pattern[str]:
    return re.compile(re.escape(word))
