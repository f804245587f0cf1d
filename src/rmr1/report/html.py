"""A report as one HTML page that needs nothing else: no script, no network, no other file.

Whatever judges and answers hold is foreign text: it is made inert (`rmr1.screen`) and escaped by the template
engine, and the page's content-security policy forbids every script and every load besides.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from rmr1.audit.filters import has_flipped, winner_confidence
from rmr1.audit.quotes import LinkedQuote, link_quotes
from rmr1.judge.summary import list_failures
from rmr1.plugins import require
from rmr1.prompts.render import format_weight
from rmr1.records import Judgment, RubricItem, Vote
from rmr1.report.overview import Entry, ReportData
from rmr1.report.pieces import Turn, mark_reasons, mark_turns, plain
from rmr1.report.sentences import Section, list_sections
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import inert, one_line
from rmr1.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template

MOST_BYTES = 2_500_000
"""Size at which no further judgment is put on the page."""
_MOST_CHARS = 12_000
"""Characters of one text that are shown."""
_MOST_VOTES = 4
"""Texts of one judgment that are shown: of each order and each winner the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Criterion:
    text: str
    weight: str
    bar: int | None
    """The share of all weights in percent; None without weights."""
    scores: tuple[str, str] | None = None
    """What A and B got by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reasons:
    """One text of the judge."""

    head: str
    said: str
    criteria: tuple[_Criterion, ...]
    asides: tuple[tuple[str, Turn], ...]
    """Title and text of what is folded away: thinking, justification, solution."""
    words: Turn
    quotes: tuple[LinkedQuote, ...]
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """One judgment of the page."""

    name: str
    """The beginning of its anchors: j1, j2, ..."""
    key: str
    id: str
    subset: str | None
    marks: tuple[tuple[str, str], ...]
    """(class, text) of each badge."""
    verdict: str
    question: tuple[Turn, ...]
    answers: tuple[tuple[str, tuple[str, ...], tuple[Turn, ...]], ...]
    """Name, what is said of it, and its turns, of each answer."""
    reasons: tuple[_Reasons, ...]
    left_votes: int


def format_html(report: ReportData) -> str:
    """The page, of less than 3 MB.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    template, style = _load()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    lists = (
        ("worst", "Wrong, the surest first", report.worst),
        ("flips", "The two orders name different winners", report.flips),
        ("sample", "A random sample of the rest", report.sample),
    )
    head = template.module.head(  # type: ignore[attr-defined]
        title=one_line(f"{report.folder}: {report.model}"),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=style,
        report={
            "folder": one_line(report.folder),
            "model": one_line(report.model),
            "created": one_line(report.created[:16].replace("T", " ")),
        },
        conditions=[one_line(one) for one in report.conditions],
        sections=_clean(list_sections(report.overview)),
        lists=[(name, title, len(entries)) for name, title, entries in lists],
    )
    parts, size, number, left = [str(head)], len(str(head)), 0, 0
    for name, title, entries in lists:
        parts.append(str(template.module.opening(name=name, title=title, count=len(entries))))  # type: ignore[attr-defined]
        for entry in entries:
            number += 1
            page = str(template.module.judgment(one=_show(f"j{number}", entry)))  # type: ignore[attr-defined]
            if (size := size + len(page.encode())) > MOST_BYTES:
                size, left = size - len(page.encode()), left + 1
            else:
                parts.append(page)
        parts.append("</section>")
    parts.append(str(template.module.closing(version=__version__, left=left)))  # type: ignore[attr-defined]
    return "".join(parts)


@lru_cache(maxsize=1)
def _load() -> tuple[Template, str]:
    with require("an HTML report", "report"):
        from jinja2 import Environment, StrictUndefined
    folder = files("rmr1.report")
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    widths = "".join(f".w{width}{{width:{width}%}}" for width in range(101))
    return template, (folder / "page.css").read_text(encoding="utf-8") + widths


def _clean(sections: Sequence[Section]) -> list[Section]:
    return [
        Section(
            title=one.title,
            lines=tuple(map(one_line, one.lines)),
            header=one.header,
            rows=tuple(tuple(map(one_line, row)) for row in one.rows),
        )
        for one in sections
    ]


def _show(name: str, entry: Entry) -> _Shown:
    key, judgment = entry
    pair, quotes = judgment.pair, link_quotes(judgment)
    votes = list(_choose_votes(judgment))
    shown = {number for number, _ in votes}
    marked = [one for one in quotes if one.vote in shown]
    answers = []
    for side, response in zip("ABCD", pair.responses, strict=False):
        said = ["preferred by the label"] * (pair.label == side)
        said += ["chosen by the judge"] * (judgment.winner == side)
        turns = mark_turns(response, [one for one in marked if one.side == side], _MOST_CHARS)
        answers.append((side, tuple(said), turns))
    return _Shown(
        name=name,
        key=one_line(key[:12]),
        id=one_line(pair.id),
        subset=None if pair.subset is None else one_line(pair.subset),
        marks=tuple(_list_marks(judgment, quotes)),
        verdict=_say_verdict(judgment),
        question=mark_turns(pair.prompt, (), _MOST_CHARS),
        answers=tuple(answers),
        reasons=tuple(
            _show_reasons(judgment, vote, [one for one in quotes if one.vote == number])
            for number, vote in votes
        ),
        left_votes=len(judgment.votes) - len(votes),
    )


def _choose_votes(judgment: Judgment) -> Iterator[tuple[int, Vote]]:
    """The deciding vote first, and of each order and each winner the first."""
    seen: set[tuple[str, str | None]] = set()
    deciding = judgment.deciding
    numbered = sorted(enumerate(judgment.votes), key=lambda one: (one[1] is not deciding, one[0]))
    for number, vote in numbered:
        sort = (vote.slot, vote.winner)
        if sort not in seen and len(seen) < _MOST_VOTES:
            seen.add(sort)
            yield number, vote


def _list_marks(judgment: Judgment, quotes: Sequence[LinkedQuote]) -> Iterator[tuple[str, str]]:
    if judgment.correct is not None:
        yield ("good", "right") if judgment.correct else ("bad", "wrong")
    if judgment.winner is None:
        yield "warn", "no verdict"
    if has_flipped(judgment):
        yield "warn", "orders disagree"
    if invented := sum(not one.is_found for one in quotes):
        yield "bad", f"{invented} of {len(quotes)} quotations invented"
    if list_failures(judgment):
        yield "bad", "engine error"


def _say_verdict(judgment: Judgment) -> str:
    if judgment.winner is None:
        said = f"No verdict: {PROBLEM_TEXTS.get(judgment.problem or '', judgment.problem or 'unknown')}."
    elif judgment.winner == "tie":
        said = "The judge calls it a tie."
    else:
        said = f"The judge prefers {one_line(judgment.winner)}"
        confidence = winner_confidence(judgment)
        said += "." if confidence is None else f", confidence {confidence:.0%}."
    if judgment.scores is not None:
        said += f" Scores: A {judgment.scores[0]:.4g}, B {judgment.scores[1]:.4g}."
    label = judgment.pair.label
    return said + ("" if label is None else f" The label is {one_line(label)}.")


def _show_reasons(judgment: Judgment, vote: Vote, quotes: Sequence[LinkedQuote]) -> _Reasons:
    trace, generation = vote.verdict.trace, vote.generation
    head = f"The judge, {one_line(judgment.family)}"
    if trace.task_type:
        head += f", {trace.task_type} task"
    first = vote.name_in_pair("A")
    if judgment.kind == "rating":
        head += f", about answer {first} alone"
    elif first != "A":
        head += f"; it saw answer {first} first, as its A"
    said = {None: "no verdict", "tie": "says it is a tie"}.get(
        vote.winner
    ) or f"says {one_line(str(vote.winner))}"
    if generation.completion_tokens:
        said += f", {generation.completion_tokens:,} tokens"
    if vote.probability is not None:
        said += f", P(A) {vote.probability:.3f}"
    asides = (
        ("Thinking", trace.thinking),
        ("Why this rubric", trace.justification),
        ("Own solution", trace.solution),
    )
    return _Reasons(
        head=head,
        said=said,
        criteria=tuple(_weigh(judgment.criteria or trace.rubric, vote)),
        asides=tuple((title, plain(text, _MOST_CHARS)) for title, text in asides if text),
        words=mark_reasons(vote, quotes, _MOST_CHARS),
        quotes=tuple(quotes),
        error=None if generation.error is None else inert(generation.error),
    )


def _weigh(items: Sequence[RubricItem], vote: Vote) -> Iterator[_Criterion]:
    total = sum(item.weight or 0.0 for item in items)
    whole = total if total > 1.005 else 1.0
    scores = {one.criterion: one for one in vote.trace.scores}
    for number, item in enumerate(items, start=1):
        found = scores.get(number)
        yield _Criterion(
            text=inert(item.text if item.name is None else f"{item.name}: {item.text}"),
            weight="" if item.weight is None else format_weight(item.weight),
            bar=None if item.weight is None else max(0, min(100, round(100 * item.weight / whole))),
            scores=None if found is None else (_score(found.a), _score(found.b)),
        )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
