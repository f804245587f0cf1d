"""A judge's text -> `Verdict`, by a named rule. The one parser of the package; docs/verdicts.md says what each rule reads.

`tail` and `published` are RM-R1's reward rule (arXiv 2505.02387) and its evaluation rule: exact strings anywhere in
the last 80 characters, or in the whole raw text, thinking included. `tagged`, `arena` and `ratings` read only the judge's
own words (`rmr1.verdicts.trace`). Every rule takes any string in linear time, never raises, never guesses: no winner means
a `problem`. The trace is filled whatever the rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from rmr1.errors import ConfigError
from rmr1.prompts.thinking import Pair
from rmr1.records import Problem, Verdict
from rmr1.verdicts.location import find_mark, find_place, is_last, iterate_marks
from rmr1.verdicts.ratings import read_ratings
from rmr1.verdicts.scores import read_scores
from rmr1.verdicts.trace import TextOutline, read_outline, read_trace

TAIL_CHARS = 80
"""How much of the end the reward rule looks at."""

_WORD = re.compile(r"[A-Za-z0-9]{1,16}")
_COMPARISON = re.compile(
    r"\[\[\s{0,8}([A-Za-z0-9]{1,16})\s{0,8}(?:([<>=]{1,4})\s{0,8}([A-Za-z0-9]{1,16})\s{0,8})?\]\]"
)
_NO_TEXT: frozenset[Problem] = frozenset({"empty", "no_verdict", "unclosed_thinking", "no_ratings"})
"""Problems whose cause is that the text stops too early, if it was cut off."""


def parse_verdict(
    text: str,
    rule: str = "tagged",
    labels: Sequence[str] = ("A", "B"),
    truncated: bool = False,
    thinking: Sequence[Pair] = (),
    num_criteria: int = 0,
) -> Verdict:
    """Read what `text` says by `rule`, one of `RULES`.

    `labels` are the names of the responses in the prompt: letters or digits. `truncated` says that
    the generation ended at its token limit: a verdict that is complete and the last thing written still
    counts, anything else has the problem "truncated" (the exact rules `tail` and `published` know no such
    difference). `thinking` holds a user's own forms of thinking, as (opening, closing) marks. With
    `num_criteria` the text's scores by so many criteria are read too, into the trace.

        >>> verdict = parse_verdict("<eval>Says <quote_B>2 + 2 = 5</quote_B>.</eval> <answer>[[A]]</answer>")
        >>> verdict.winner, verdict.trace.quotes
        ('A', (SideText(side='B', text='2 + 2 = 5'),))
        >>> parse_verdict("<answer>[[A]]</answer> or <answer>[[B]]</answer>").problem
        'ambiguous'
        >>> parse_verdict("A little better. [[A>B]]", "arena").strength
        'slight'

    Raises:
        ConfigError: for an unknown rule or unusable labels; never for a text.
    """
    if rule not in RULES:
        raise ConfigError(f"rule {rule!r} is not known; choose one of {', '.join(RULES)}")
    _check_labels(labels)
    outline = read_outline(text, labels, thinking)
    verdict = RULES[rule](outline, labels, truncated) if text.strip() else _none("empty")
    if truncated and verdict.problem in _NO_TEXT:
        verdict = _none("truncated")
    trace = read_trace(outline)
    if num_criteria:
        trace = replace(trace, scores=read_scores(outline, num_criteria, labels))
    return replace(verdict, trace=trace)


def _read_tail(outline: TextOutline, labels: Sequence[str], truncated: bool) -> Verdict:
    return _find_exact(outline.text[-TAIL_CHARS:], "<answer>[[{}]]</answer>", labels, several="contradiction")


def _read_published(outline: TextOutline, labels: Sequence[str], truncated: bool) -> Verdict:
    return _find_exact(outline.text, "[[{}]]", labels, several="ambiguous")


def _read_tagged(outline: TextOutline, labels: Sequence[str], truncated: bool) -> Verdict:
    place = find_place(outline, labels, truncated=truncated)
    if place.problem is not None:
        return _none(place.problem)
    winner = _to_label(place.word or "", labels)
    return _none("unknown_label") if winner is None else Verdict(winner=winner)


def _read_arena(outline: TextOutline, labels: Sequence[str], truncated: bool) -> Verdict:
    if outline.is_thinking_unclosed:
        return _none("unclosed_thinking")
    found: dict[Verdict, int] = {}
    bare = find_mark(outline, labels)
    for match in iterate_marks(outline, _COMPARISON):
        verdict = _compare(*match.groups(), labels=labels)
        # A bare letter counts as for `tagged`; a comparison is a form that nothing else has.
        if verdict is not None and (match[2] or bare is None or bare.problem != "no_verdict"):
            found[verdict] = match.end()
    if truncated and (not found or not is_last(outline.text, max(found.values()))):
        return _none("truncated")
    if not found:
        return _none("no_verdict")
    if len(found) == 1:
        return next(iter(found))
    problems = {verdict.problem for verdict in found}
    known: tuple[Problem, ...] = ("unknown_label", "malformed_verdict")
    return _none(next((problem for problem in known if problem in problems), "contradiction"))


def _read_ratings(outline: TextOutline, labels: Sequence[str], truncated: bool) -> Verdict:
    if outline.is_thinking_unclosed:
        return _none("unclosed_thinking")
    ratings = read_ratings(outline, labels, is_cut=truncated)
    if ratings is None:
        return _none("no_ratings")
    best = [label for label, rating in zip(labels, ratings, strict=True) if rating == max(ratings)]
    return Verdict(winner=best[0] if len(best) == 1 else "tie", ratings=ratings)


RULES: Mapping[str, Callable[[TextOutline, Sequence[str], bool], Verdict]] = MappingProxyType(
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


def _find_exact(text: str, form: str, labels: Sequence[str], *, several: Problem) -> Verdict:
    named = [label for label in labels if form.format(label) in text]
    if len(named) == 1:
        return Verdict(winner=named[0])
    return _none(several if named else "no_verdict")


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
