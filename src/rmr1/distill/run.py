"""`run_distill`: both passes, as far as budget and answers go, then the rows. The only module that holds it all together."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rmr1.distill.ask import PassSettings, Question, ask_teacher
from rmr1.distill.budget import Budget, Meter, parse_budget
from rmr1.distill.checks import check_votes, drop_thinking
from rmr1.distill.folder import (
    PassTotals,
    claim_pass,
    is_claimed,
    open_pass,
    read_pass,
    read_teacher,
    read_totals,
    refuse_other_folder,
)
from rmr1.distill.items import Item, count_data, read_items
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.rows import needs_second, write_rows
from rmr1.distill.second import load_second_prompt
from rmr1.distill.teachers import Teacher, find_teacher, open_teacher
from rmr1.engines import Engine
from rmr1.errors import StoppedError
from rmr1.judge.alarm import FIRST_ALIKE, Alarm
from rmr1.judge.base import Watcher
from rmr1.judge.identity import begin_run
from rmr1.judge.placement import orders_for
from rmr1.prompts import load_family, render_prompt
from rmr1.store.replace import write_json
from rmr1.store.runs import SUMMARY_FILE, RunWriter

MOST_FAILURES = 5
"""Different reasons of failures that a summary names."""


Watch = Callable[[int, int, int], AbstractContextManager[Watcher]]
"""(pass, questions in all, of them answered before) -> what sees the pass's judgments."""


def run_distill(
    recipe: DistillRecipe,
    folder: str | Path,
    *,
    budget: Budget | None = None,
    retry_failed: bool = False,
    engines: Mapping[int, Engine] | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Ask what was not asked yet, write the rows, and return what summary.json says.

    Args:
        budget: the most that both teachers may use in this folder, earlier runs counted; by default the recipe's.
        retry_failed: ask again what a teacher gave an error for, refusals for good left out. What was given up of a
            batch stays so: nobody is asked here.
        engines: teachers by the number of their pass, instead of those that the recipe names.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe cannot be followed.
        GenerationError: a teacher as a whole failed. What was answered is stored.
        RunError: the folder cannot be used.
    """
    folder = Path(folder)
    count_data(recipe)
    teachers = [find_teacher(one) for one in recipe.passes]
    if budget is None and recipe.budget is not None:
        budget = parse_budget(recipe.budget)
    refuse_other_folder(folder)
    meter = start_meter(recipe, folder, budget)
    stopped = None
    for number, teacher in enumerate(teachers, start=1):
        if meter.is_exhausted or stopped is not None:
            continue
        meter.set_price(teacher.price, is_billed=teacher.is_billed, name=teacher.name)
        engine = (engines or {}).get(number)
        retries = retry_failed and (not teacher.is_batch or engine is not None)
        with open_pass(folder, recipe, number, retry_failed=retries) as run:
            stopped = _run_pass(recipe, folder, number, teacher, run, meter, engine, watch)
    return finish(recipe, folder, meter=meter, stopped=stopped)


def start_meter(recipe: DistillRecipe, folder: Path, budget: Budget | None) -> Meter:
    """A meter that knows what both teachers have used in the folder."""
    meter = Meter(budget)
    for number, teacher in enumerate(map(find_teacher, recipe.passes), start=1):
        meter.set_price(teacher.price, is_billed=teacher.is_billed, name=teacher.name)
        totals = read_totals(folder, number)
        meter.add(totals.prompt_tokens, totals.completion_tokens)
    return meter


def finish(
    recipe: DistillRecipe,
    folder: Path,
    *,
    meter: Meter | None = None,
    stopped: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write rows and summary from what is stored; `stopped` says where a teacher was given up, and why."""
    summary = write_rows(recipe, folder)
    summary["passes"] = [
        describe_pass(find_teacher(one), read_totals(folder, number))
        for number, one in enumerate(recipe.passes, start=1)
    ]
    costs = [one["cost_usd"] for one in summary["passes"] if one["is_billed"]]
    summary["cost_usd"] = None if None in costs else round(sum(costs), 6)
    if meter is not None and meter.budget is not None:
        summary["budget"] = {
            **asdict(meter.budget),
            "spent": round(meter.spent, 6),
            "is_exhausted": meter.is_exhausted,
            "overrun": round(meter.overrun, 2),
        }
    if stopped is not None:
        summary["stopped"] = dict(stopped)
    write_json(folder / SUMMARY_FILE, summary)
    return summary


def describe_pass(teacher: Teacher, totals: PassTotals) -> dict[str, Any]:
    """What a teacher was asked and what that took, as far as it is stored."""
    return {
        "teacher": teacher.name,
        "asked": totals.stored,
        "failed": totals.failed,
        "refused": totals.refused,
        "failures": dict(totals.failures.most_common(MOST_FAILURES)),
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "is_estimated": totals.is_estimated,
        "is_billed": teacher.is_billed,
        "cost_usd": teacher.cost(totals.prompt_tokens, totals.completion_tokens),
        "price_usd": None if teacher.price is None else teacher.price._asdict(),
    }


def pass_settings(recipe: DistillRecipe, number: int) -> PassSettings:
    return PassSettings(
        number=number,
        family=load_family(recipe.family).name,
        seed=recipe.seed,
        params=recipe.passes[number - 1].sampling(),
    )


def list_questions(
    recipe: DistillRecipe,
    folder: Path,
    number: int,
    *,
    is_answered: Callable[[str], bool],
    only: Container[str] | None = None,
    special_tokens: tuple[str, ...] = (),
) -> Iterator[Question]:
    """What a pass has still to ask: of the first all labelled pairs, of the second those that the first one missed.

    `only` are the keys that an earlier look has found to be so.
    """
    family = load_family(recipe.family)
    special_tokens = (*special_tokens, *recipe.control_tokens)
    if number == 1:
        for item in read_items(recipe):
            if item.is_labelled and not is_answered(item.key) and (only is None or item.key in only):
                prompt = render_prompt(item.pair, family, order=item.order, special_tokens=special_tokens)
                yield Question(item=item, prompt=prompt)
        return
    assert recipe.pass2 is not None
    note = load_second_prompt(recipe.pass2.template, recipe.pass2.max_judgment_chars)
    wanted = {item.key for item in read_items(recipe)} if only is None else only
    for key, judgment in read_pass(folder, 1):
        if key not in wanted or is_answered(key):
            continue
        (order,) = orders_for(recipe.data.order, seed=recipe.seed, key=key)
        item = Item(key=key, pair=judgment.pair, order=order)
        plain = render_prompt(item.pair, family, order=order, special_tokens=recipe.control_tokens)
        checked = check_votes(judgment.votes, item, plain, recipe.select, is_told=False)
        if only is None and not needs_second(recipe, checked):
            continue
        is_right = checked.is_told_apart
        # Of several texts one with the right verdict is shown, if there is one: the note speaks of it.
        texts = [checked.text] if is_right else [vote.generation.text for vote in judgment.votes]
        shown = next((text for text in map(drop_thinking, texts) if text.strip()), "")
        prompt = render_prompt(item.pair, family, order=order, special_tokens=special_tokens)
        yield Question(item=item, prompt=note.render(prompt, item.verdict, shown, is_right=is_right))


def _run_pass(
    recipe: DistillRecipe,
    folder: Path,
    number: int,
    teacher: Teacher,
    run: RunWriter,
    meter: Meter,
    given: Engine | None,
    watch: Watch | None,
) -> dict[str, Any] | None:
    """Ask what is not answered; a teacher with nothing to do is not loaded, unless the answers are another name's.

    Of a teacher that was given up: why.
    """
    settings = recipe.passes[number - 1]
    if (identity := teacher.identify()) is not None:
        claim_pass(folder, number, settings, identity)
    if number == 1:  # its questions are not rendered for this
        items = (item for item in read_items(recipe) if item.is_labelled and not run.is_finished(item.key))
    else:
        items = (one.item for one in list_questions(recipe, folder, number, is_answered=run.is_finished))
    left = {item.key for item in items}
    if teacher.is_batch and given is None:
        return None
    if not left and (identity is not None or is_claimed(folder, number, settings)):
        return None
    engine = given or open_teacher(settings)
    try:
        if identity is None:
            begin_run(engine, read_teacher(folder, number))
            claim_pass(folder, number, settings, engine.fingerprint(), name=settings.teacher)
        if not left:
            return None
        alarm = Alarm(
            num_alike=min(FIRST_ALIKE, settings.give_up_after),
            num_useless=settings.give_up_after,
            has_answers=run.has_answers,
            advice=getattr(engine, "advice", None),
        )
        questions = list_questions(
            recipe,
            folder,
            number,
            is_answered=run.is_finished,
            only=left,
            special_tokens=engine.special_tokens(),
        )
        answers = ask_teacher(
            questions, engine, pass_settings(recipe, number), run=run, meter=meter, alarm=alarm
        )
        # Closed whatever happens, so that an engine cancels what is in flight.
        with (
            closing(answers),
            nullcontext()
            if watch is None
            else watch(number, len(left) + run.num_resumed, run.num_resumed) as watcher,
        ):
            for _, judgment in answers:
                if watcher is not None:
                    watcher.update(judgment)
    except StoppedError:
        assert alarm.cause is not None
        return {"pass": number, "pairs": alarm.cause.pairs, "reason": alarm.cause.reason}
    finally:
        if given is None:
            engine.close()
    return None
