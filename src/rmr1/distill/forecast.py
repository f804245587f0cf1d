"""What a distillation would ask and cost, every assumption named. Nothing is loaded, sent or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.distill.budget import Budget
from rmr1.distill.folder import PassTotals, describe_run, read_pass, read_totals, require_folder
from rmr1.distill.items import count_data
from rmr1.distill.recipe import DistillRecipe, PassRecipe
from rmr1.distill.run import describe_pass, list_questions
from rmr1.distill.second import JUDGMENT_END, JUDGMENT_START, load_second_prompt
from rmr1.distill.teachers import Teacher, find_teacher
from rmr1.errors import RMR1Error
from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import CHARS_PER_TOKEN
from rmr1.forecast.prices import compute_cost
from rmr1.judge.estimate import expect_tokens as expect_text
from rmr1.judge.plan import plan_judge
from rmr1.store.keys import KeyCounter
from rmr1.store.runs import RUN_FILE, key_digest

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
    seconds: float | None = None
    """Of a teacher that this machine computes."""

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
            "seconds": None if self.seconds is None else float(f"{self.seconds:.3g}"),
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
    machine: Machine | None = None,
) -> dict[str, Any]:
    """Figures of what is left to do; local teachers on this machine, or on the one at hand.

    Raises:
        ConfigError, DataError: the recipe cannot be followed. RunError: the folder is of something else.
    """
    describe_run(recipe)  # the prompt family is there
    counts = count_data(recipe)
    here = folder if folder is not None and (folder / RUN_FILE).exists() else None
    if here is not None:
        require_folder(here)
    assumptions = [f"a token has {CHARS_PER_TOKEN} characters"]

    def forecast(number: int, chars: list[int]) -> PassForecast:
        return _forecast_pass(
            recipe.passes[number - 1], here, number, chars, expect_tokens, machine, assumptions
        )

    answered = _answered(here, 1)
    open_questions = list_questions(
        recipe, here or Path(), 1, is_answered=lambda key: key_digest(key) in answered
    )
    passes = [forecast(1, [question.num_chars for question in open_questions])]
    if recipe.pass2 is not None:
        passes.append(forecast(2, _list_second(recipe, here, passes[0], assumptions)))
    for one in passes:
        if (price := one.teacher.price) is not None:
            assumptions.append(
                f"{one.teacher.served}: {price.prompt:g} USD a million tokens read and {price.completion:g} written; no "
                "discounts for batches, no tries that fail"
            )
    return {
        "pairs": counts.pairs,
        "labelled": counts.labelled,
        "verdicts": dict(sorted(counts.labels.items())),
        "passes": [one.describe() for one in passes],
        "assumptions": assumptions,
        **({} if budget is None else {"budget": {"unit": budget.unit, "amount": budget.amount}}),
    }


def _answered(folder: Path | None, number: int) -> KeyCounter:
    found = KeyCounter()
    for key, _ in read_pass(folder, number) if folder is not None else ():
        found.increment(key_digest(key))
    return found


def _list_second(
    recipe: DistillRecipe, folder: Path | None, first: PassForecast, assumptions: list[str]
) -> list[int]:
    """Characters of the second pass's questions: those that are known to be wrong, and a share of those that the
    first pass has still to judge."""
    assert recipe.pass2 is not None
    answered, wrong = _answered(folder, 2), 0
    chars: list[int] = []
    for question in (
        list_questions(recipe, folder, 2, is_answered=lambda key: False) if folder is not None else ()
    ):
        wrong += 1
        if key_digest(question.item.key) not in answered:
            chars.append(question.num_chars)
    if first.requests:
        judged = first.stored["asked"]
        share = wrong / judged if judged else WRONG_SHARE
        reason = "the share so far" if judged else "about what the paper's first teacher missed"
        assumptions.append(f"pass 2: asked about {share:.0%} of the pairs that wait for pass 1: {reason}")
        note = load_second_prompt(recipe.pass2.template, recipe.pass2.max_judgment_chars)
        shown = round(min(first.text_tokens * CHARS_PER_TOKEN, recipe.pass2.max_judgment_chars))
        extra = len(note.template) + len(JUDGMENT_START) + len(JUDGMENT_END) + shown
        mean = round(first.prompt_tokens * CHARS_PER_TOKEN / first.requests + extra)
        chars += [mean] * round(first.requests * share)
    return chars


def _forecast_pass(
    recipe: PassRecipe,
    folder: Path | None,
    number: int,
    chars: list[int],
    given: int | None,
    machine: Machine | None,
    assumptions: list[str],
) -> PassForecast:
    totals = PassTotals() if folder is None else read_totals(folder, number)
    teacher, seconds = find_teacher(recipe), None
    text, reason = expect_text(recipe.max_new_tokens, given=given, stored=totals.mean_tokens)
    assumptions.append(f"pass {number}: a text has {text:,.0f} tokens: {reason}")
    if teacher.served is None:
        try:
            plan = plan_judge(recipe.teacher, options=recipe.engine, machine=machine)
        except RMR1Error as error:
            assumptions.append(f"pass {number}: its time is not known: {error}")
        else:
            forecast = plan.forecast(num_samples=recipe.samples, expected_tokens=text)
            if forecast is not None:
                for length in chars:
                    forecast.add(round(length / CHARS_PER_TOKEN), recipe.max_new_tokens)
                seconds = forecast.seconds()
    return PassForecast(
        teacher=teacher,
        requests=len(chars),
        samples=recipe.samples,
        prompt_tokens=round(sum(chars) / CHARS_PER_TOKEN),
        text_tokens=text,
        max_new_tokens=recipe.max_new_tokens,
        stored=describe_pass(teacher, totals),
        seconds=seconds,
    )
