"""A judgment -> what a page shows of it: marks, verdict, answers with the quotations in them, the judge's reasons.

The report's page and the viewer's are made of it. All texts are inert; the page's template escapes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rmr1.audit.filters import has_flipped, winner_confidence
from rmr1.audit.quotes import LinkedQuote, link_quotes
from rmr1.judge.summary import list_failures
from rmr1.prompts.render import format_weight
from rmr1.records import Judgment, RubricItem, Vote
from rmr1.report.numbered import Numbers
from rmr1.report.pieces import Turn, mark_reasons, mark_turns, plain
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import format_sure, inert, one_line

Shape = Callable[[Turn, str, str, Numbers], Turn]
"""Gets a turn, the letter of the place that its quotations lead to ("a" an answer, "e" the evaluation), that of its own
anchors, and the quotations' numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    text: str
    weight: str
    bar: int | None
    """The share of all weights in percent; None without weights."""
    scores: tuple[str, str] | None = None
    """What A and B got by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """One text of the judge."""

    number: int
    """Index of its vote."""
    head: str
    said: str
    criteria: tuple[Criterion, ...]
    asides: tuple[tuple[str, Turn], ...]
    """Title and text of what is folded away: thinking, justification, solution."""
    words: Turn
    quotes: tuple[LinkedQuote, ...]
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
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
    reasons: tuple[Reasons, ...]
    left_votes: int
    numbers: Numbers
    """What quotations are called."""


def show_judgment(
    name: str,
    key: str,
    judgment: Judgment,
    *,
    votes: Sequence[int],
    most_chars: int,
    shape: Shape | None = None,
) -> Shown:
    """The judgment with these of its votes, under anchors that begin with `name`; of each text at most so many characters.
    `shape` gives a turn its form, as that of Markdown; without, it is shown as it is written."""
    pair, quotes = judgment.pair, link_quotes(judgment)
    numbers = Numbers(quotes)

    def form(turn: Turn, aim: str, here: str) -> Turn:
        return turn if shape is None else shape(turn, aim, here, numbers)

    marked = [one for one in quotes if one.vote in votes]
    answers = []
    for side, response in zip("ABCD", pair.responses, strict=False):
        said = ["preferred by the label"] * (pair.label == side)
        said += ["chosen by the judge"] * (judgment.winner == side)
        turns = mark_turns(response, [one for one in marked if one.side == side], most_chars)
        answers.append((side, tuple(said), tuple(form(turn, "e", "a") for turn in turns)))
    return Shown(
        name=name,
        key=one_line(key[:12]),
        id=one_line(pair.id),
        subset=None if pair.subset is None else one_line(pair.subset),
        marks=tuple(_list_marks(judgment, quotes)),
        verdict=_say_verdict(judgment),
        question=tuple(form(turn, "e", "q") for turn in mark_turns(pair.prompt, (), most_chars)),
        numbers=numbers,
        answers=tuple(answers),
        reasons=tuple(
            _show_reasons(judgment, number, [one for one in quotes if one.vote == number], most_chars, form)
            for number in votes
        ),
        left_votes=len(judgment.votes) - len(votes),
    )


def choose_votes(judgment: Judgment, most: int) -> tuple[int, ...]:
    """The indices of at most so many votes: the deciding one, then of each order and each winner the first."""
    chosen = []
    seen: set[tuple[str, str | None]] = set()
    deciding = judgment.deciding
    numbered = sorted(enumerate(judgment.votes), key=lambda one: (one[1] is not deciding, one[0]))
    for number, vote in numbered:
        sort = (vote.slot, vote.winner)
        if sort not in seen and len(seen) < most:
            seen.add(sort)
            chosen.append(number)
    return tuple(chosen)


def _list_marks(judgment: Judgment, quotes: Sequence[LinkedQuote]) -> Iterator[tuple[str, str]]:
    if judgment.winner is None:
        yield "warn", "no verdict" if judgment.correct is None else "no verdict, not right"
    elif judgment.correct is not None:
        yield ("good", "right") if judgment.correct else ("bad", "wrong")
    if has_flipped(judgment):
        yield "warn", "orders disagree"
    if invented := sum(not one.is_found for one in quotes):
        yield "bad", f"{invented} of {len(quotes)} quotations not found"
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
        said += "." if confidence is None else f", confidence {format_sure(confidence)}."
    if judgment.scores is not None:
        said += f" Scores: A {judgment.scores[0]:.4g}, B {judgment.scores[1]:.4g}."
    label = judgment.pair.label
    return said + ("" if label is None else f" The label is {one_line(label)}.")


def _show_reasons(
    judgment: Judgment,
    number: int,
    quotes: Sequence[LinkedQuote],
    most_chars: int,
    form: Callable[[Turn, str, str], Turn],
) -> Reasons:
    vote = judgment.votes[number]
    trace, generation = vote.verdict.trace, vote.generation
    head = f"The judge, {one_line(judgment.family)}"
    if trace.task_type:
        head += f", {trace.task_type} task"
    first = vote.name_in_pair("A")
    if judgment.kind == "rating":
        head += f", about answer {first} alone"
    elif first != "A":
        head += f"; it saw answer {first} first, as its A"
    said = tell_vote(vote)
    if generation.completion_tokens:
        said += f", {generation.completion_tokens:,} tokens"
    if vote.probability is not None:
        said += f", P(A) {vote.probability:.3f}"
    asides = (
        ("Thinking", trace.thinking),
        ("Why this rubric", trace.justification),
        ("Own solution", trace.solution),
    )
    return Reasons(
        number=number,
        head=head,
        said=said,
        criteria=tuple(_weigh(judgment.criteria or trace.rubric, vote)),
        asides=tuple((title, form(plain(text, most_chars), "a", "e")) for title, text in asides if text),
        words=form(mark_reasons(vote, quotes, most_chars), "a", "e"),
        quotes=tuple(quotes),
        error=None if generation.error is None else inert(generation.error),
    )


def tell_vote(vote: Vote) -> str:
    """What a vote says, in few words; of an answer that it was shown alone, how it rates it."""
    if vote.side is not None and vote.verdict.ratings:
        return f"rates it {vote.verdict.ratings[0]:g}"
    if vote.winner is None:
        return PROBLEM_TEXTS.get(vote.problem or "", "no verdict")
    return "says it is a tie" if vote.winner == "tie" else f"says {one_line(vote.winner)}"


def _weigh(items: Sequence[RubricItem], vote: Vote) -> Iterator[Criterion]:
    total = sum(item.weight or 0.0 for item in items)
    whole = total if total > 1.005 else 1.0
    scores = {one.criterion: one for one in vote.trace.scores}
    for number, item in enumerate(items, start=1):
        found = scores.get(number)
        yield Criterion(
            text=inert(item.text if item.name is None else f"{item.name}: {item.text}"),
            weight="" if item.weight is None else format_weight(item.weight),
            bar=None if item.weight is None else round(100 * max(0.0, min(1.0, item.weight / whole))),
            scores=None if found is None else (_score(found.a), _score(found.b)),
        )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
