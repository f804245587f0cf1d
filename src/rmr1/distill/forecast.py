"""What a distillation would ask and cost, every assumption named. Nothing is loaded, sent or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.data.keys import KeyCounter
from rmr1.data.runs import RUN_FILE, key_digest
from rmr1.distill.budget import Budget
from rmr1.distill.folder import PassTotals, describe_run, read_pass, read_totals, require_folder
from rmr1.distill.items import count_data
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.run import describe_pass, list_questions
from rmr1.distill.second import JUDGMENT_END, JUDGMENT_START, load_second_prompt
from rmr1.distill.teachers import Teacher, find_teacher
from rmr1.engines.prices import compute_cost
from rmr1.faces import name_option
from rmr1.judge.estimate import CHARS_PER_TOKEN, DEFAULT_TEXT_TOKENS

WRONG_SHARE = 0.25
"""Of first judgments, before any is there: the paper's first teacher is right about three times in four
(arXiv 2505.02387, section 3.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassForecast:
    """What one pass would still take."""

    teacher: Teacher
    requests: int
    samples: int
    prompt_tokens: int
    text_tokens: float
    """Expected, of one text."""
    max_new_tokens: int
    stored: dict[str, Any]
    """What is answered already; see `describe_pass`."""

    @property
    def expected_tokens(self) -> int:
        """That would be written."""
        return round(self.requests * self.samples * self.text_tokens)

    @property
    def most_tokens(self) -> int:
        return self.requests * self.samples * self.max_new_tokens

    def cost(self, completion_tokens: int) -> float | None:
        """USD; None where it is not known or nobody bills."""
        if self.teacher.price is None:
            return None
        return compute_cost(
            self.teacher.price, prompt_tokens=self.prompt_tokens, completion_tokens=completion_tokens
        )

    def describe(self) -> dict[str, Any]:
        expected, most = self.cost(self.expected_tokens), self.cost(self.most_tokens)
        return {
            "teacher": self.teacher.name,
            "is_billed": self.teacher.is_billed,
            "answered": self.stored["asked"],
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": {"expected": self.expected_tokens, "most": self.most_tokens},
            "cost_usd": None
            if expected is None or most is None
            else {"expected": round(expected, 6), "most": round(most, 6)},
        }


def forecast_distill(
    recipe: DistillRecipe,
    folder: Path | None,
    *,
    expect_tokens: int | None = None,
    budget: Budget | None = None,
) -> dict[str, Any]:
    """Figures of what is left to do.

    Raises:
        ConfigError, DataError: the recipe cannot be followed. RunError: the folder is of something else.
    """
    describe_run(recipe)  # the prompt family is there
    counts = count_data(recipe)
    here = folder if folder is not None and (folder / RUN_FILE).exists() else None
    if here is not None:
        require_folder(here)
    assumptions = [f"a token has {CHARS_PER_TOKEN} characters"]
    first = _forecast_first(recipe, here, expect_tokens, assumptions)
    passes = [first]
    if recipe.pass2 is not None:
        passes.append(_forecast_second(recipe, here, first, expect_tokens, assumptions))
    for one in passes:
        if one.teacher.price is not None:
            price = one.teacher.price
            assumptions.append(
                f"{one.teacher.served}: {price.prompt:g} USD a million tokens read and {price.completion:g} written; no "
                "discounts for batches, no tries that fail"
            )
    figures: dict[str, Any] = {
        "pairs": counts.pairs,
        "labelled": counts.labelled,
        "verdicts": dict(sorted(counts.labels.items())),
        "passes": [one.describe() for one in passes],
        "assumptions": assumptions,
    }
    if budget is not None:
        figures["budget"] = {"unit": budget.unit, "amount": budget.amount}
    return figures


def _answered(folder: Path | None, number: int) -> KeyCounter:
    found = KeyCounter()
    for key, _ in read_pass(folder, number) if folder is not None else ():
        found.increment(key_digest(key))
    return found


def _expect(stored: float | None, most: int, given: int | None, number: int, assumptions: list[str]) -> float:
    """Tokens of a text, and a line that says where the figure is from."""
    expected: float
    if given is not None:
        expected, reason = min(given, most), f"as {name_option('expect_tokens')} says"
    elif stored:
        expected, reason = min(stored, most), "the mean of those stored"
    else:
        expected, reason = (
            min(DEFAULT_TEXT_TOKENS, most),
            f"a guess; {name_option('expect_tokens', 'N')} is another",
        )
    assumptions.append(f"pass {number}: a text has {expected:,.0f} tokens: {reason}")
    return expected


def _forecast_first(
    recipe: DistillRecipe, folder: Path | None, given: int | None, assumptions: list[str]
) -> PassForecast:
    answered = _answered(folder, 1)
    requests = chars = 0
    for question in list_questions(
        recipe, folder or Path(), 1, is_answered=lambda key: key_digest(key) in answered
    ):
        requests += 1
        chars += question.num_chars
    return _build(recipe, folder, 1, requests, chars, given, assumptions)


def _forecast_second(
    recipe: DistillRecipe,
    folder: Path | None,
    first: PassForecast,
    given: int | None,
    assumptions: list[str],
) -> PassForecast:
    """Those that are known to be wrong, and a share of those that the first pass has still to judge."""
    assert recipe.pass2 is not None
    answered = _answered(folder, 2)
    requests = wrong = chars = 0
    if folder is not None:
        for question in list_questions(recipe, folder, 2, is_answered=lambda key: False):
            wrong += 1
            if key_digest(question.item.key) not in answered:
                requests += 1
                chars += question.num_chars
    judged = first.stored["asked"]
    share = wrong / judged if judged else WRONG_SHARE
    if first.requests:
        reason = "the share so far" if judged else "about what the paper's first teacher missed"
        assumptions.append(f"pass 2: asked about {share:.0%} of the pairs that wait for pass 1: {reason}")
        more = round(first.requests * share)
        note = load_second_prompt(recipe.pass2.template, recipe.pass2.max_judgment_chars)
        shown = round(min(first.text_tokens * CHARS_PER_TOKEN, recipe.pass2.max_judgment_chars))
        extra = len(note.template) + len(JUDGMENT_START) + len(JUDGMENT_END) + shown
        requests += more
        chars += round(more * (first.prompt_tokens * CHARS_PER_TOKEN / first.requests + extra))
    return _build(recipe, folder, 2, requests, chars, given, assumptions)


def _build(
    recipe: DistillRecipe,
    folder: Path | None,
    number: int,
    requests: int,
    chars: int,
    given: int | None,
    assumptions: list[str],
) -> PassForecast:
    settings = recipe.passes[number - 1]
    totals = PassTotals() if folder is None else read_totals(folder, number)
    teacher = find_teacher(settings)
    return PassForecast(
        teacher=teacher,
        requests=requests,
        samples=settings.samples,
        prompt_tokens=round(chars / CHARS_PER_TOKEN),
        text_tokens=_expect(totals.mean_tokens, settings.max_new_tokens, given, number, assumptions),
        max_new_tokens=settings.max_new_tokens,
        stored=describe_pass(teacher, totals),
    )
