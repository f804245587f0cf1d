"""A judgment -> a flat record of what figures, filters and sorts need; one pass, nothing but the judgment is read.

Everything is in the pair's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal, get_args, get_type_hints

from rmr1.audit.evidence import count_solutions, count_sums, count_twins, share_agreeing
from rmr1.audit.filters import winner_confidence
from rmr1.audit.markdown import count_marks
from rmr1.audit.quotes import answer_text, count_matches
from rmr1.audit.refusing import is_refusal
from rmr1.judge.consistency import do_differ, read_orders
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment, swap_label
from rmr1.store.codec import dump_record
from rmr1.store.rulings import number_prompt
from rmr1.verdicts.probability import tell_probability

FactKind = Literal["text", "name", "flag", "count", "number"]
"""text     differs from judgment to judgment
name     one of few strings
flag     yes or no
count    a whole number
number   any other
"""
UNIQUE = ("key", "id")
"""Fields of the kind "text"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is told of one judgment without its texts."""

    key: str
    """The item's key in the run."""
    id: str
    """The pair's id."""
    source: str | None
    subset: str | None
    family: str
    """The prompt family."""
    task_type: str | None
    """Reasoning or chat, as the judge says."""
    kind: str
    """What was asked: pair, choice, rating or score."""
    model: str | None
    """What wrote the deciding text."""
    winner: str | None
    label: str | None
    is_right: bool | None
    """Whether the winner is the label; no verdict is not right. None if there is no label."""
    problem: str | None
    """Why there is no winner."""
    has_failed: bool
    """Whether the engine gave an error."""
    given: str | None
    """The winner with A first, of a pair asked both ways."""
    swapped: str | None
    """The winner with B first."""
    has_flipped: bool | None
    """Whether the two orders name different winners; None if the pair was not asked both ways."""
    num_votes: int
    """Texts that were asked for."""
    agreement: float | None
    """The share of all votes that name the winner; None without a winner, or if no vote can name one."""
    probability: float | None
    """P(A is better), calibrated if the judge is."""
    confidence: float | None
    """The confidence in the winner, in [0, 1]."""
    is_calibrated: bool
    quotes_exact: int
    quotes_levelled: int
    quotes_invented: int
    """Quotations that do not stand in the answer they name."""
    num_criteria: int
    """Those that were given, else those of the deciding text."""
    prompt: int
    """A number that equal prompts share, of 63 bits."""
    length_a: int
    """Characters of answer A."""
    length_b: int
    marks_a: int
    """Headings, items of lists and pieces in bold of answer A."""
    marks_b: int
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    """Whether any of the tokens are reckoned from characters."""
    is_cached: bool
    """Whether nothing was asked, so that its tokens count for nothing."""
    seconds: float
    """The time from the asking to the verdict."""
    shown_first: str | None = None
    """The answer of a pair that stood first in every prompt; None if both did, or if it was not asked about in pairs."""
    vote_agreement: float | None = None
    """The share of pairs of votes in the same order that name the same side; None if there are none."""
    refuses_a: bool = False
    """Whether answer A begins as refusals do."""
    refuses_b: bool = False
    solutions: int = 0
    """Texts whose own solution ends in the answer of exactly one side."""
    solutions_denied: int = 0
    """Those of them whose verdict is for the other side."""
    sums: int = 0
    """Texts whose scores by the criteria add up to more for one side."""
    sums_denied: int = 0
    """Those of them whose verdict is for the other side."""
    scored: int = 0
    """Criteria, one for each text, by which both answers have a score."""
    scored_level: int = 0
    """Those of them by which both have the same."""
    weighable: int = 0
    """Texts with several criteria, whose verdict is on the side of the weighted sum."""
    turned: int = 0
    """Those of them whose sum would not be on that side without one of the criteria."""
    twins: int = 0
    """Criteria, of the `num_criteria`, that say nearly what one before them says."""


def tell_facts(key: str, judgment: Judgment) -> Facts:
    """The facts of the judgment under this key."""
    pair, deciding, winner = judgment.pair, judgment.deciding, judgment.winner
    orders = read_orders(judgment)
    quotes = count_matches(judgment)
    answers = answer_text(pair.response_a), answer_text(pair.response_b)
    trace = None if deciding is None else deciding.verdict.trace
    solutions, sums = count_solutions(judgment), count_sums(judgment)
    shown = set(judgment.orders)
    can_agree = judgment.votes and winner is not None and judgment.kind in ("pair", "choice")
    return Facts(
        key=key,
        id=pair.id,
        source=pair.source,
        subset=pair.subset,
        family=judgment.family,
        task_type=None if trace is None else trace.task_type,
        kind=judgment.kind,
        model=None if deciding is None else deciding.generation.model,
        winner=winner,
        label=pair.label,
        is_right=judgment.correct,
        problem=judgment.problem,
        has_failed=bool(list_failures(judgment)),
        given=None if orders is None else orders[0],
        swapped=None if orders is None else orders[1],
        has_flipped=None if orders is None else do_differ(orders),
        num_votes=len(judgment.votes),
        agreement=sum(vote.winner == winner for vote in judgment.votes) / len(judgment.votes)
        if can_agree
        else None,
        probability=tell_probability(judgment),
        confidence=winner_confidence(judgment),
        is_calibrated=judgment.calibrated is not None,
        quotes_exact=quotes["exact"],
        quotes_levelled=quotes["levelled"],
        quotes_invented=quotes["none"],
        num_criteria=len(judgment.criteria or (() if trace is None else trace.rubric)),
        prompt=number_prompt([dump_record(message) for message in pair.prompt]),
        length_a=len(answers[0]),
        length_b=len(answers[1]),
        marks_a=count_marks(answers[0]),
        marks_b=count_marks(answers[1]),
        prompt_tokens=judgment.prompt_tokens,
        completion_tokens=judgment.completion_tokens,
        is_estimated=judgment.is_estimated,
        is_cached=judgment.is_cached,
        seconds=judgment.seconds,
        shown_first=swap_label("A", judgment.orders[0])
        if judgment.kind == "pair" and len(shown) == 1
        else None,
        vote_agreement=share_agreeing(judgment),
        refuses_a=is_refusal(answers[0]),
        refuses_b=is_refusal(answers[1]),
        solutions=solutions.checked,
        solutions_denied=solutions.denied,
        sums=sums.checked,
        sums_denied=sums.denied,
        scored=sums.scored,
        scored_level=sums.level,
        weighable=sums.weighable,
        turned=sums.turned,
        twins=count_twins(judgment),
    )


@lru_cache(maxsize=1)
def list_kinds() -> dict[str, FactKind]:
    """Field of `Facts` -> its kind, in the sequence of the fields."""
    hints = get_type_hints(Facts)
    return {one.name: _kind_of(one.name, hints[one.name]) for one in fields(Facts)}


def _kind_of(name: str, hint: object) -> FactKind:
    if name in UNIQUE:
        return "text"
    kinds: dict[object, FactKind] = {bool: "flag", int: "count", float: "number", str: "name"}
    return next(kinds[one] for one in get_args(hint) or (hint,) if one in kinds)
