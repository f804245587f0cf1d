"""What a teacher wrote about a pair -> whether it may be trained on, and if not, the first check that fails.

Form, weights and quotations are measured as the rewards of reinforcement learning measure them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rmr1.distill.hints import find_hint
from rmr1.distill.items import Item
from rmr1.distill.recipe import SelectRecipe
from rmr1.records import JudgePrompt, Vote
from rmr1.rewards.samples import Judged, read_sample
from rmr1.rewards.terms import QUOTE_WORDS, reward_format, reward_rubric
from rmr1.verdicts.grounding import is_grounded
from rmr1.verdicts.trace import read_outline

DropReason = Literal[
    "no_label",
    "tie",
    "failed",
    "refused",
    "prompt_too_long",
    "no_verdict",
    "wrong",
    "format",
    "hint",
    "rubric",
    "quotes",
    "length",
    "quota",
]
"""Why a pair has no row, in the order of the checks; docs/distill.md ("What is checked") says what each means."""

_ORDER: tuple[str, ...] = DropReason.__args__  # type: ignore[attr-defined]
_UNANSWERED = ("failed", "refused", "prompt_too_long")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One text and what the checks say."""

    text: str
    """The text that would be stored: stripped, thinking dropped or kept."""
    sample: int
    model: str | None
    reason: DropReason | None = None
    detail: str | None = None
    """What was seen, for people."""
    task: str | None = None
    """The task type that the text names."""
    num_quotes: int = 0
    """Different grounded quotations of three words or more."""

    @property
    def is_told_apart(self) -> bool:
        """Whether the verdict is right, whatever else is not."""
        return self.reason not in (*_UNANSWERED, "no_verdict", "wrong")

    @property
    def is_answered(self) -> bool:
        """Whether there is a text."""
        return self.reason not in _UNANSWERED

    @property
    def is_wrong(self) -> bool:
        """Whether there is a text and its verdict is wrong or missing."""
        return self.reason in ("no_verdict", "wrong")


def check_votes(
    votes: Sequence[Vote], item: Item, prompt: JudgePrompt, select: SelectRecipe, *, is_told: bool
) -> Checked:
    """The text of these that is kept, or else the one that came furthest. `prompt` is the plain one."""
    checked = [check_vote(vote, item, prompt, select, is_told=is_told) for vote in votes]
    passing = [one for one in checked if one.reason is None]
    if not passing:
        return max(checked, key=lambda one: (_ORDER.index(one.reason or "quota"), -one.sample))
    ranks: dict[str, Callable[[Checked], tuple[int, ...]]] = {
        "best": lambda one: (-one.num_quotes, len(one.text)),
        "shortest": lambda one: (len(one.text),),
        "longest": lambda one: (-len(one.text),),
        "first": lambda one: (),
    }
    return min(passing, key=ranks[select.keep])


def check_vote(
    vote: Vote, item: Item, prompt: JudgePrompt, select: SelectRecipe, *, is_told: bool
) -> Checked:
    """One text; with `is_told` its writer knew the verdict."""
    generation = vote.generation
    asks_rubric = any("<rubric>" in message.text for message in prompt.messages)
    is_dropped = select.thinking == "drop" or (select.thinking == "auto" and asks_rubric)
    text = (drop_thinking(generation.text) if is_dropped else generation.text).strip()
    sample = read_sample(
        text,
        prompt=prompt,
        pair=item.pair,
        num_tokens=generation.completion_tokens,
        is_cut=generation.finish_reason == "length",
    )
    quotes = _find_quotes(sample)
    reason, detail = _find_fault(vote, sample, quotes, select, is_told=is_told) or (None, None)
    return Checked(
        text=text,
        sample=vote.sample,
        model=generation.model,
        reason=reason,
        detail=detail,
        task=sample.verdict.trace.task_type,
        num_quotes=len(
            {(side, quote) for side, quote, stands in quotes if stands and len(quote.split()) >= QUOTE_WORDS}
        ),
    )


def drop_thinking(text: str) -> str:
    """What follows a closed thinking part; thinking that is never closed stays, and no verdict is read in it."""
    outline = read_outline(text)
    return text if outline.is_thinking_unclosed else text[outline.visible_start :].lstrip()


def _find_quotes(sample: Judged) -> tuple[tuple[str, str, bool], ...]:
    """(side, quotation, whether it stands in that answer) of every quotation."""
    answers = {
        side: "\n".join(message.text for message in sample.response(side)) for side in sample.prompt.labels
    }
    return tuple(
        (quote.side, quote.text, is_grounded(quote.text, answers[quote.side]))
        for quote in sample.verdict.trace.quotes
    )


def _find_fault(
    vote: Vote,
    sample: Judged,
    quotes: Sequence[tuple[str, str, bool]],
    select: SelectRecipe,
    *,
    is_told: bool,
) -> tuple[DropReason, str] | None:
    generation, verdict = vote.generation, sample.verdict
    if generation.finish_reason == "error":
        return "refused" if generation.is_refused else "failed", generation.error or "no reason given"
    if generation.finish_reason == "skipped":
        return "prompt_too_long", generation.error or "the prompt does not fit"
    if verdict.winner not in ("A", "B"):
        return "no_verdict", verdict.problem or f"the verdict is {verdict.winner}"
    if verdict.winner != sample.label:
        return "wrong", f"the verdict is {verdict.winner}, the label {sample.label}"
    if select.format and reward_format(sample) < 1.0:
        return "format", "a block is missing, repeated, empty or out of order, or text follows the verdict"
    if is_told and select.hints and (hint := find_hint(sample.text)) is not None:
        return "hint", f"{hint.kind}: {hint.sentence}"
    if select.rubric and reward_rubric(sample) < 1.0:
        return "rubric", "the weights are missing or do not add up to 100%"
    asks_quotes = any("<quote_A>" in message.text for message in sample.prompt.messages)
    if asks_quotes and len(quotes) < select.min_quotes:
        return "quotes", f"{len(quotes)} quotations, expected at least {select.min_quotes}"
    invented = [quote for _, quote, stands in quotes if not stands]
    if quotes and 1 - len(invented) / len(quotes) < select.quotes:
        return "quotes", f"{len(invented)} of {len(quotes)} stand in no answer, first {invented[0][:120]!r}"
    chars = len(sample.text)
    if chars < select.min_chars:
        return "length", f"{chars} characters, expected at least {select.min_chars}"
    for number, most, unit in (
        (chars, select.max_chars, "characters"),
        (sample.num_tokens, select.max_tokens, "tokens"),
    ):
        if most is not None and number > most:
            return "length", f"{number} {unit}, expected at most {most}"
    return None
