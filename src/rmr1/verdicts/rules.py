"""A judge's text -> `Verdict`, by a named rule. The one parser of the package.

`tail`       RM-R1's reward rule (arXiv 2505.02387): only the last 80 characters of the raw text
             count; A wins where `<answer>[[A]]</answer>` stands there and B's does not; exact strings.
`tagged`     the default: the last answer tag of the judge's own words. Tolerant to case and blanks;
             `[[A]]`, `A` and either in `**` are read. What stands there decides, readable or not: no
             earlier tag is fallen back to. Where there is no answer tag at all, a bare `[[A]]` counts
             if nothing else is marked.
`published`  RM-R1's evaluation rule: the whole raw text, thinking included; A wins where `[[A]]`
             occurs and `[[B]]` does not; exact strings.
`arena`      JudgeBench and Arena-Hard: `[[A>>B]]`, `[[A>B]]`, `[[A=B]]` and their mirrors, or a bare
             `[[A]]`; all of them must say the same, strength included.
`ratings`    one number per answer: two answer tags, the first line ("8 9.5"), lines "Assistant 1: 8",
             or "scores are (8, 9)", looked for in this order; the highest wins, equal ones tie.

`tagged`, `arena` and `ratings` read only the judge's own words (`rmr1.verdicts.trace`): text in thinking,
quotations and summaries never decides, and thinking that is never closed leaves no verdict. Every rule
takes any string in linear time, never raises, never guesses: no winner means a `problem`. The trace is
filled whatever the rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

from rmr1.errors import ConfigError
from rmr1.records import Problem, Verdict
from rmr1.verdicts.ratings import read_ratings
from rmr1.verdicts.trace import Outline, Tag, read_outline, read_trace

TAIL_CHARS = 80
"""How much of the end the reward rule looks at."""

_WORD = re.compile(r"[A-Za-z0-9]{1,16}")
_MARK = re.compile(r"\[\[\s{0,8}([A-Za-z0-9]{1,16})\s{0,8}\]\]")
_COMPARISON = re.compile(
    r"\[\[\s{0,8}([A-Za-z0-9]{1,16})\s{0,8}(?:([<>=]{1,4})\s{0,8}([A-Za-z0-9]{1,16})\s{0,8})?\]\]"
)
_END_TOKENS = re.compile(r"(?:\s{0,8}(?:<\|[A-Za-z_]{1,32}\|>|</s>)){1,4}\Z")

_LINE_CHARS = 300
"""Longer lines hold prose, not ratings."""

_NO_TEXT: frozenset[Problem] = frozenset({"empty", "no_verdict", "unclosed_thinking", "no_ratings"})
"""Problems whose cause is that the text stops too early, if it was cut off."""


def parse_verdict(
    text: str, rule: str = "tagged", labels: Sequence[str] = ("A", "B"), truncated: bool = False
) -> Verdict:
    """Read what `text` says by `rule`, one of `RULES`.

    `labels` are the names of the responses in the prompt: letters or digits. `truncated` says that
    the generation ended at its token limit: a complete verdict still counts, a missing one has the
    problem "truncated".

        >>> parse_verdict("<eval>B is wrong.</eval> <answer>[[A]]</answer>").winner
        'A'

    Raises:
        ConfigError: for an unknown rule or unusable labels; never for a text.
    """
    if rule not in RULES:
        raise ConfigError(f"rule {rule!r} is not known; choose one of {', '.join(RULES)}")
    _check_labels(labels)
    outline = read_outline(text, labels)
    verdict = RULES[rule](outline, labels) if text.strip() else _none("empty")
    if truncated and verdict.problem in _NO_TEXT:
        verdict = _none("truncated")
    return replace(verdict, trace=read_trace(outline))


def _read_tail(outline: Outline, labels: Sequence[str]) -> Verdict:
    tail = outline.text[-TAIL_CHARS:]
    named = [label for label in labels if f"<answer>[[{label}]]</answer>" in tail]
    return _choose(named, several="contradiction")


def _read_published(outline: Outline, labels: Sequence[str]) -> Verdict:
    named = [label for label in labels if f"[[{label}]]" in outline.text]
    return _choose(named, several="ambiguous")


def _read_tagged(outline: Outline, labels: Sequence[str]) -> Verdict:
    if outline.is_thinking_unclosed:
        return _none("unclosed_thinking")
    tags = [tag for tag in outline.tags if tag.kind == "answer"]
    if tags:
        content = _last_answer(outline.text, tags)
        return _none("malformed_verdict") if content is None else _name(_unwrap(content), labels)
    marks = {
        word
        for own in outline.own_texts()
        for word in _MARK.findall(own)
        # Without a tag only the exact form counts: `[[a]]` and `[[1]]` are lists in code.
        if word in labels or word.lower() == "tie" or (len(word) == 1 and "A" <= word <= "Z")
    }
    if len(marks) == 1:
        return _name(marks.pop(), labels)
    return _none("ambiguous" if marks else "no_verdict")


def _read_arena(outline: Outline, labels: Sequence[str]) -> Verdict:
    if outline.is_thinking_unclosed:
        return _none("unclosed_thinking")
    found = {
        verdict
        for own in outline.own_texts()
        for parts in set(_COMPARISON.findall(own))
        if (verdict := _compare(*parts, labels=labels)) is not None
    }
    if not found:
        return _none("no_verdict")
    if len(found) == 1:
        return found.pop()
    for problem in ("unknown_label", "malformed_verdict"):
        if any(verdict.problem == problem for verdict in found):
            return _none(problem)
    return _none("contradiction")


def _read_ratings(outline: Outline, labels: Sequence[str]) -> Verdict:
    if outline.is_thinking_unclosed:
        return _none("unclosed_thinking")
    ratings = read_ratings(outline, labels)
    if ratings is None:
        return _none("no_ratings")
    best = [label for label, rating in zip(labels, ratings, strict=True) if rating == max(ratings)]
    return Verdict(winner=best[0] if len(best) == 1 else "tie", ratings=ratings)


RULES: Mapping[str, Callable[[Outline, Sequence[str]], Verdict]] = MappingProxyType(
    {
        "tagged": _read_tagged,
        "tail": _read_tail,
        "published": _read_published,
        "arena": _read_arena,
        "ratings": _read_ratings,
    }
)
"""The rules by name; iterate over it for the names."""


def _none(problem: Problem) -> Verdict:
    return Verdict(winner=None, problem=problem)


def _check_labels(labels: Sequence[str]) -> None:
    if isinstance(labels, str) or len(labels) < 2:
        raise ConfigError(f"labels {labels!r} are not the names of two or more responses")
    for label in labels:
        if not _WORD.fullmatch(label) or label.lower() == "tie":
            raise ConfigError(f"label {label!r} is not 1 to 16 letters or digits, or is 'tie'")
    if len({label.lower() for label in labels}) < len(labels):
        raise ConfigError(f"labels {labels!r} do not differ in more than case")


def _to_label(word: str, labels: Sequence[str]) -> str | None:
    """The label that `word` names in any case, "tie", or None."""
    lower = word.lower()
    return next((label for label in labels if label.lower() == lower), "tie" if lower == "tie" else None)


def _name(word: str | None, labels: Sequence[str]) -> Verdict:
    if word is None:
        return _none("malformed_verdict")
    winner = _to_label(word, labels)
    return _none("unknown_label") if winner is None else Verdict(winner=winner)


def _choose(named: Sequence[str], *, several: Problem) -> Verdict:
    if len(named) == 1:
        return Verdict(winner=named[0])
    return _none(several if named else "no_verdict")


def _last_answer(text: str, tags: Sequence[Tag]) -> str | None:
    """What stands in the last answer tag; None where it is broken.

    A stop string or a token limit may have taken the closing tag; then the text must end with a
    complete `[[A]]`, because a bare `A` could be the first letter of anything.
    """
    last = next((index for index in range(len(tags) - 1, -1, -1) if not tags[index].is_closing), None)
    if last is None:
        return None
    opening, closings = tags[last], tags[last + 1 :]
    if not closings:
        rest = text[opening.end :].strip()
        rest = _END_TOKENS.sub("", rest) if len(rest) <= _LINE_CHARS else rest
        before, bracket, name = rest.rpartition("<")
        if bracket and "/answer>".startswith(name.lower()):
            rest = before
        return rest if "]]" in rest[-8:] else None
    for one, other in pairwise(closings):
        # One closing tag too many is harmless; one that ends other text is a broken verdict.
        if text[one.end : other.start].strip():
            return None
    return text[opening.end : closings[0].start]


def _unwrap(content: str) -> str | None:
    """The word in `[[word]]` or `word`, markdown emphasis around it ignored; else None."""
    content = content.strip().strip("*_`").strip()
    if content.startswith("[[") and content.endswith("]]"):
        content = content[2:-2].strip().strip("*_`").strip()
    return content if _WORD.fullmatch(content) else None


def _compare(left: str, operator: str, right: str, *, labels: Sequence[str]) -> Verdict | None:
    """One `[[...]]` of the arena forms; None where it is something else, such as a list in code."""
    if not operator:
        if left in labels:
            return Verdict(winner=left)
        return _none("unknown_label") if len(left) == 1 and "A" <= left <= "Z" else None
    first, second = _to_label(left, labels), _to_label(right, labels)
    if first is None or second is None or "tie" in (first, second):
        return _none("unknown_label") if left.isupper() and right.isupper() else None
    if first == second or len(labels) != 2 or operator not in ("<<", "<", "=", ">", ">>"):
        return _none("malformed_verdict")
    if operator == "=":
        return Verdict(winner="tie")
    return Verdict(
        winner=first if operator[0] == ">" else second,
        strength="much" if len(operator) == 2 else "slight",
    )
