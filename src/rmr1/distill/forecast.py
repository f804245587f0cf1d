"""What a distillation would ask and cost, every assumption named. Nothing is loaded, sent or written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rmr1.distill.budget import Budget
from rmr1.distill.folder import PassTotals, describe_run, pass_file, read_totals, require_folder
from rmr1.distill.items import count_data
from rmr1.distill.recipe import DistillRecipe, PassRecipe
from rmr1.distill.run import describe_pass, list_questions
from rmr1.distill.second import JUDGMENT_END, JUDGMENT_START, load_second_prompt
from rmr1.distill.teachers import find_teacher
from rmr1.errors import RMR1Error
from rmr1.forecast.machine import Machine
from rmr1.forecast.numbers import CHARS_PER_TOKEN
from rmr1.judge.estimate import expect_tokens as expect_text
from rmr1.judge.plan import plan_judge
from rmr1.store.keys import KeyCounter
from rmr1.store.runs import RUN_FILE, key_digest, read_finished

WRONG_SHARE = 0.25
"""Share of wrong first judgments, before any is there: the paper's first teacher is right about three times in four
(arXiv 2505.02387, section 3.2)."""


def forecast_distill(
    recipe: DistillRecipe,
    folder: Path | None,
    *,
    expect_tokens: int | None = None,
    budget: Budget | None = None,
    machine: Machine | None = None,
) -> dict[str, Any]:
    """Figures of what is left to do; local teachers on this machine, or on the one at hand."""
    describe_run(recipe)  # the prompt family is there
    counts = count_data(recipe)
    here = folder if folder is not None and (folder / RUN_FILE).exists() else None
    if here is not None:
        require_folder(here)
    assumptions = [f"a token has {CHARS_PER_TOKEN} characters"]
    answered = _answered(here, 1)
    chars: list[float] = [
        question.num_chars
        for question in list_questions(
            recipe, here or Path(), 1, is_answered=lambda key: key_digest(key) in answered
        )
    ]
    passes: list[dict[str, Any]] = []
    first_text = 0.0
    for number, one in enumerate(recipe.passes, 1):
        totals = PassTotals() if here is None else read_totals(here, number)
        text, reason = expect_text(one.max_new_tokens, given=expect_tokens, stored=totals.mean_tokens)
        told = [f"pass {number}: a text has {text:,.0f} tokens: {reason}"]
        if number == 2:
            chars, shares = _list_second(recipe, here, chars, passes[0], first_text)
            told = [*shares, *told]
        found, more = _forecast_pass(one, totals, chars, text, machine)
        assumptions += [*told, *(f"pass {number}: {line}" for line in more)]
        passes.append(found)
        first_text = text
    return {
        "pairs": counts.pairs,
        "labelled": counts.labelled,
        "verdicts": dict(sorted(counts.labels.items())),
        "passes": passes,
        "assumptions": assumptions,
        **({} if budget is None else {"budget": asdict(budget)}),
    }


def _answered(folder: Path | None, number: int) -> KeyCounter:
    return KeyCounter() if folder is None else read_finished(folder / pass_file(number)).keys


def _list_second(
    recipe: DistillRecipe, folder: Path | None, first: list[float], pass1: dict[str, Any], text: float
) -> tuple[list[float], list[str]]:
    """Characters of the second pass's questions: those that are known to be wrong, and a share of those that the
    first pass has still to judge, with texts of `text` tokens; and what was assumed of that share."""
    assert recipe.pass2 is not None
    answered, judged = _answered(folder, 2), pass1["answered"]
    known = [] if folder is None else [*list_questions(recipe, folder, 2, is_answered=lambda key: False)]
    chars: list[float] = [one.num_chars for one in known if key_digest(one.item.key) not in answered]
    if not first:
        return chars, []
    share = len(known) / judged if judged else WRONG_SHARE
    reason = "the share so far" if judged else "about what the paper's first teacher missed"
    note = load_second_prompt(recipe.pass2.template, recipe.pass2.max_judgment_chars)
    shown = round(min(text * CHARS_PER_TOKEN, recipe.pass2.max_judgment_chars))
    extra = len(note.template) + len(JUDGMENT_START) + len(JUDGMENT_END) + shown
    chars += [sum(first) / len(first) + extra] * round(len(first) * share)
    return chars, [f"pass 2: asked about {share:.0%} of the pairs that wait for pass 1: {reason}"]


def _forecast_pass(
    recipe: PassRecipe, totals: PassTotals, chars: list[float], text: float, machine: Machine | None
) -> tuple[dict[str, Any], list[str]]:
    """What one pass would still take for questions of so many characters, and what is assumed of it."""
    teacher, told, seconds, cost = find_teacher(recipe), [], None, None
    texts, prompt_tokens = len(chars) * recipe.samples, round(sum(chars) / CHARS_PER_TOKEN)
    written = {"expected": round(texts * text), "most": texts * recipe.max_new_tokens}
    if teacher.served is None:
        try:
            plan = plan_judge(recipe.teacher, options=recipe.engine, machine=machine)
        except RMR1Error as error:
            told.append(f"its time is not known: {error}")
        else:
            if forecast := plan.forecast(num_samples=recipe.samples, expected_tokens=text):
                for length in chars:
                    forecast.add(round(length / CHARS_PER_TOKEN), recipe.max_new_tokens)
                seconds = float(f"{forecast.seconds():.3g}")
    elif (price := teacher.price) is not None:
        told.append(
            f"{teacher.served} takes {price.prompt:g} USD a million tokens read and {price.completion:g} written; no "
            "discounts for batches, no tries that fail"
        )
        cost = {name: teacher.cost(prompt_tokens, tokens) for name, tokens in written.items()}
    return {
        "teacher": teacher.name,
        "is_billed": teacher.is_billed,
        "answered": describe_pass(teacher, totals)["asked"],
        "requests": len(chars),
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "seconds": seconds,
        "cost_usd": cost,
    }, told
