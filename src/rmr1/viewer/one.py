"""One judgment: question, answers, rubric, evidence, verdicts of all votes, what was asked and what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import exp
from typing import Any

from rmr1.audit.quotes import answer_text, link_quotes
from rmr1.errors import DataError, RMR1Error
from rmr1.prompts import PromptFamily, render_prompt
from rmr1.records import Judgment, Vote
from rmr1.report.diff import diff_words
from rmr1.report.numbered import Numbers
from rmr1.report.pieces import Turn
from rmr1.report.shown import show_judgment, tell_vote
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import inert, one_line
from rmr1.viewer.address import Address
from rmr1.viewer.allowance import Allowance
from rmr1.viewer.people import list_marks
from rmr1.viewer.rich import format_turn
from rmr1.viewer.runs import OpenRun

FORMS = {"formatted": "formatted", "plain": "as written", "diff": "differences"}
"""How answers are shown."""
_NAME = "j"
"""The beginning of the anchors."""
_MOST_CHARS = 200_000
_SECONDS = 1.5
"""Processor seconds for the formulas and colours of a page."""
_MOST_QUOTED = 120
"""Letters of a quotation on top of the page."""
_MOST_VOTES = 8
"""Texts of one judgment that are shown in full; the table has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRow:
    """One vote in the table of all."""

    number: int
    order: str
    sample: int
    said: str
    kind: str
    probability: str
    ended: str
    tokens: int
    is_shown: bool
    is_deciding: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a vote's model was asked, and what it wrote."""

    number: int
    messages: tuple[tuple[str, str], ...]
    """(role, text)."""
    why_not: str | None
    """Why the prompt cannot be shown."""
    text: str
    details: tuple[tuple[str, str], ...]


def describe_one(
    run: OpenRun, address: Address, number: int, form: str, is_blind: bool, at: int | None
) -> dict[str, Any]:
    """What the template of the page needs; `at` is the judgment's place in the list, if it was reached from there.

    Raises:
        DataError: there is no such judgment, or it cannot be read.
    """
    if not 1 <= number <= run.judgments.num_items:
        raise DataError(f"there is no judgment {number}; the run has {run.judgments.num_items:,}")
    key, judgment = run.judgments.read(number)
    previous, following = run.judgments.neighbours(address.query, number)
    votes = () if is_blind else _choose_votes(judgment)
    allowance = Allowance(_SECONDS)

    def format_marked(turn: Turn, aim: str, here: str, numbers: Numbers) -> Turn:
        """The turn as Markdown with code and formulas; a tool's result stays as it is written."""
        if turn.is_tool:
            return turn
        found = format_turn(turn, _NAME, aim, here, numbers, allowance)
        return replace(turn, html=found.html) if found.is_formatted else turn

    shape = None if form == "plain" else format_marked
    shown = show_judgment(_NAME, key, judgment, votes=votes, most_chars=_MOST_CHARS, shape=shape)
    quotes = link_quotes(judgment)
    return {
        "number": number,
        "key": key,
        "judgment": judgment,
        "shown": shown,
        "votes": list(_list_votes(judgment, votes)),
        "asked": [_show_asked(run, judgment, vote) for vote in votes],
        "quotes": quotes,
        "invented": [
            (one, f"#{_NAME}e{one.vote}-{one.number}", inert(one.text[:_MOST_QUOTED]))
            for one in quotes
            if not one.is_found and one.vote in votes
        ],
        "invented_left": sum(not one.is_found and one.vote not in votes for one in quotes),
        "stages": [
            (
                one_line(stage.stage),
                one_line(stage.winner or PROBLEM_TEXTS.get(stage.problem or "", "no verdict")),
                "-" if stage.probability is None else f"{stage.probability:.3f}",
                stage.completion_tokens,
            )
            for stage in judgment.stages
        ],
        "form": form,
        "forms": FORMS,
        "diff": _describe_diff(judgment) if form == "diff" else None,
        "is_blind": is_blind,
        "previous": None
        if previous is None
        else f"{previous}{_keep(address, form, is_blind, at and at - 1)}",
        "next": None if following is None else f"{following}{_keep(address, form, is_blind, at and at + 1)}",
        "at": at,
        "total": run.judgments.search(address.query, limit=0).total if at else None,
        "links": {name: _keep(address, name, is_blind, at) or "?" for name in FORMS},
        "blind_link": _keep(address, form, True, at),
        **_tell_marks(run, key, is_blind),
    }


def _tell_marks(run: OpenRun, key: str, is_blind: bool) -> dict[str, Any]:
    try:
        labels = run.labels_of(key)
    except DataError as error:
        return {"marks": [], "marks_fault": one_line(str(error))}
    return {"marks": [] if is_blind else list_marks(labels), "marks_fault": None}


def _keep(address: Address, form: str, is_blind: bool, at: int | None) -> str:
    """The parameters of another page of one judgment, shown alike."""
    return address.link(
        page=address.page,
        form=None if form == "formatted" else form,
        blind=1 if is_blind else None,
        at=at or None,
    )


def _choose_votes(judgment: Judgment) -> tuple[int, ...]:
    """The first votes, in their sequence, and the deciding one among them."""
    decides = judgment.deciding
    deciding = [number for number, vote in enumerate(judgment.votes) if vote is decides]
    others = [number for number in range(len(judgment.votes)) if number not in deciding]
    return tuple(sorted([*deciding, *others[: _MOST_VOTES - len(deciding)]]))


def _list_votes(judgment: Judgment, shown: tuple[int, ...]) -> Iterator[VoteRow]:
    names = {"given": "A first", "swapped": "B first", "swapped_c": "C first", "swapped_d": "D first"}
    deciding = judgment.deciding
    for number, vote in enumerate(judgment.votes):
        is_rating = vote.side is not None and bool(vote.verdict.ratings)
        kind = "warn" if vote.winner is None and not is_rating else "none"
        if judgment.pair.label is not None and vote.winner is not None:
            kind = "good" if vote.winner == judgment.pair.label else "bad"
        yield VoteRow(
            number=number,
            order=f"answer {vote.side} alone" if vote.side else names[vote.order],
            sample=vote.sample + 1,
            said=tell_vote(vote),
            kind=kind,
            probability="-" if vote.probability is None else f"{vote.probability:.3f}",
            ended=one_line(vote.generation.finish_reason),
            tokens=vote.generation.completion_tokens,
            is_shown=number in shown,
            is_deciding=vote is deciding and vote.side is None and judgment.winner is not None,
        )


def _show_asked(run: OpenRun, judgment: Judgment, number: int) -> Asked:
    vote = judgment.votes[number]
    messages: tuple[tuple[str, str], ...] = ()
    why_not = None
    try:
        first = next(
            one
            for one, other in enumerate(judgment.votes)
            if (other.slot, other.side) == (vote.slot, vote.side)
        )
        if first == number:
            messages = tuple(_render(run.description, judgment, vote))
        else:
            why_not = f"The prompt is that of vote {first + 1}."
    except (RMR1Error, KeyError, TypeError, ValueError) as error:
        why_not = f"The prompt cannot be written again from what the run keeps ({one_line(str(error))})."
    generation = vote.generation
    details = [("ended by", generation.finish_reason), ("tokens read", f"{generation.prompt_tokens:,}")]
    details += [("tokens written", f"{generation.completion_tokens:,}")]
    details += [("model", generation.model)] if generation.model else []
    details += [("seed", str(generation.seed))] if generation.seed is not None else []
    details += [
        (f"P of its {label}", f"{exp(min(value, 0.0)):.4f}")
        for label, value in generation.verdict_logprobs or ()
    ]
    if generation.is_forced:
        details.append(("verdict", "written for the model and read from its probabilities"))
    return Asked(
        number=number,
        messages=messages,
        why_not=why_not,
        text=inert(generation.text[:_MOST_CHARS]),
        details=tuple((one_line(name), one_line(value)) for name, value in details),
    )


def _render(description: Mapping[str, Any], judgment: Judgment, vote: Vote) -> Iterator[tuple[str, str]]:
    """The messages of a vote's prompt, by the texts that the run keeps of its family."""
    prompt = description["prompt"]
    if prompt["family"] != judgment.family:
        raise DataError(
            f"the run keeps the texts of {prompt['family']}, the judgment is by {judgment.family}"
        )
    texts = {name: prompt[name] for name in ("system", "single", "multi")}
    family = PromptFamily(name=judgment.family, **texts)
    tokens = (description.get("settings") or {}).get("control_tokens") or ()
    rendered = render_prompt(
        judgment.pair,
        family,
        order=vote.order,
        side=vote.side,
        special_tokens=tuple(tokens),
        criteria=judgment.criteria,
    )
    for message in rendered.messages:
        text = message.text
        cut = f" … {len(text) - _MOST_CHARS:,} more characters" if len(text) > _MOST_CHARS else ""
        yield message.role, inert(text[:_MOST_CHARS]) + cut


def _describe_diff(judgment: Judgment) -> dict[str, Any]:
    try:
        found = diff_words(*(answer_text(one) for one in judgment.pair.responses[:2]))
    except DataError as error:
        return {"why_not": one_line(error.message), "sides": (), "share": 0.0, "unit": "word"}
    sides = tuple(
        (name.upper(), [(piece.kind, inert(piece.text)) for piece in found.side(name)]) for name in ("a", "b")
    )
    return {"why_not": None, "sides": sides, "share": found.share, "unit": found.unit}
