"""`--dry-run`: what a judging run would do and cost, with every assumption named. No weights are loaded, no request is sent and no folder is written."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rmr1.cli.dry_run_parts import Estimate, check_expected, list_assumptions, read_stored
from rmr1.cli.dry_run_stages import print_stages
from rmr1.forecast.machine import parse_machine
from rmr1.forecast.memory import MEMORY_SHARE
from rmr1.judge.config import JudgeConfig
from rmr1.judge.estimate import StoredRun, Work, expect_tokens, measure_work
from rmr1.judge.load import find_stages
from rmr1.judge.plan import JudgePlan, plan_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.records import PreferencePair
from rmr1.screen import format_bytes, format_gb, format_rough, format_usd, print, print_json
from rmr1.store.runs import Keys

_LEAST_SHOWN_BYTES = 1 << 17


def print_dry_run(
    arguments: Namespace,
    config: JudgeConfig,
    settings: JudgeSettings,
    pairs: Iterable[PreferencePair],
    *,
    data: Callable[[], Mapping[str, Any]] | None = None,
    keys: Keys | None = None,
) -> int:
    """Count, estimate and print; returns the exit code.

    `data` gives the data section of run.json, `keys` the items, if the data are known by them instead.
    """
    if (stages := find_stages(config.cascade, config.calibration)) is not None:
        return print_stages(arguments, config, settings, pairs, stages, data=data, keys=keys)
    given, sampling = check_expected(arguments), settings.sampling
    machine = None if arguments.machine is None else parse_machine(arguments.machine)
    plan = plan_judge(
        config.model, family=config.family, settings=settings, options=config.engine, machine=machine
    )
    stored = read_stored(arguments, plan.sections, data=data, keys=keys)
    mean = None if stored is None else stored.mean_tokens
    where = "" if stored is None else f"the {stored.num_texts:,} texts in {stored.folder}"
    expected, reason = expect_tokens(sum(plan.parts), given=given, stored=mean, where=where)
    estimate = Estimate.begin(plan, sampling, expected)
    work = estimate.work
    measure_work(pairs, plan.counter, work, stored=stored, on_prompt=estimate.add)
    figures = estimate.collect(stored)
    figures["assumptions"] = [*list_assumptions(plan, work, stored, reason)]
    if arguments.json:
        print_json(figures)
        return 0
    print("Dry run: nothing was loaded, sent or written.\n")
    for label, text in _list_rows(plan, work, stored, settings.order, figures):
        print(f"{label:<16} {text}")
    print("\nAssumptions")
    for line in figures["assumptions"]:
        print(f"- {line}")
    return 0


def _list_rows(
    plan: JudgePlan, work: Work, stored: StoredRun | None, order: str, figures: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    done = "" if stored is None else f", of them {work.finished:,} finished in {stored.folder}"
    yield "items", f"{work.items:,}{done}"
    how = "one for each answer" if plan.kind == "scalar" else f"order {order}"
    yield "prompts", f"{work.prompts:,} ({how}{', a request each' if plan.kind == 'decisions' else ''})"
    if plan.writes:
        yield "texts", f"{work.texts:,} ({work.num_samples} a prompt)"
    if work.overlong:
        fate = "the run would end" if plan.options.get("on_overlong") == "fail" else "skipped"
        yield "over the limit", f"{work.overlong:,} prompts, limit {plan.limit:,} tokens: {fate}"
    elif plan.limit is not None:
        yield "over the limit", f"none, limit {plan.limit:,} tokens"
    if work.short:
        yield "less room", f"{work.short:,} prompts leave less than {work.max_new_tokens:,} tokens for a text"
    if work.failed:
        yield "cannot be asked", f"{work.failed:,} prompts that the chat template refuses"
    if not work.prompts:
        yield "tokens", "none: nothing is left to do"
    elif figures["prompt_tokens"] is None:
        yield "tokens", "not counted: nothing is computed"
    else:
        how = "estimated" if plan.is_served else "counted"
        spread = f"median {work.median_tokens:,}, longest {work.longest_tokens:,}"
        yield "prompt tokens", f"{work.prompt_tokens:,} {how} ({spread})"
        if plan.writes:
            expected = f"{work.expected_completion_tokens:,.0f} if a text has {work.expected_tokens:,.0f}"
            yield "text tokens", f"about {expected}; at most {work.most_completion_tokens:,}"
    if figures["seconds"] is not None:
        yield "time", f"about {format_rough(figures['seconds'])}; rough"
    if plan.outline is not None:
        machine, needed = plan.outline.decoder.machine, figures["memory_bytes"]
        is_short = machine.memory_bytes and needed > MEMORY_SHARE * machine.memory_bytes
        lack = f": TOO MUCH, {machine.name} has {format_gb(machine.memory_bytes)}" if is_short else ""
        yield "memory", f"about {format_gb(needed)} of a device{lack}"
    if plan.pace is not None:
        cost = figures["cost_usd"]
        unknown = "not known: no list price of this model; set engine.price_in and engine.price_out"
        told = cost and f"about {format_usd(cost['expected'])}; at most {format_usd(cost['most'])}"
        yield "cost", told or unknown
    size = max(figures["disk_bytes"], _LEAST_SHOWN_BYTES)
    yield "disk", f"{'about' if size > _LEAST_SHOWN_BYTES else 'at most'} {format_bytes(size)}"
