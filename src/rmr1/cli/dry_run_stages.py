"""`--dry-run` of a cascade: each stage as if every pair reached it, and what is known of how many do.

The first stage is asked about every pair, and so is each one behind a stage that accepts nothing; that is the least.
The most is every stage about every pair, which a cascade without thresholds asks.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rmr1.cli.dry_run_parts import Estimate, check_expected, list_assumptions, read_stored
from rmr1.forecast.machine import Machine, parse_machine
from rmr1.judge.calibrate import CascadeThresholds, read_calibration
from rmr1.judge.config import JudgeConfig
from rmr1.judge.estimate import expect_tokens, measure_several
from rmr1.judge.load import StagePlan, plan_stages
from rmr1.judge.plan import plan_asked
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.stages import hide_secrets
from rmr1.records import PreferencePair
from rmr1.report.tables import make_table, print_table
from rmr1.screen import format_rough, format_usd, print, print_json
from rmr1.store.runs import Keys


def print_stages(
    arguments: Namespace,
    config: JudgeConfig,
    settings: JudgeSettings,
    pairs: Iterable[PreferencePair],
    names: Sequence[str],
    *,
    data: Callable[[], Mapping[str, Any]] | None,
    keys: Keys | None,
) -> int:
    """Count, estimate and print; returns the exit code. The arguments are those of `print_dry_run`, and the stages."""
    given = check_expected(arguments)
    machine = None if arguments.machine is None else parse_machine(arguments.machine)
    thresholds = _read_thresholds(config.calibration)
    plans = plan_stages(names, config.asked_model, config.family, settings, config.engine)
    estimates, reasons = zip(*(_begin(one, given, machine) for one in plans), strict=True)
    known = {"settings": {"cascade": [one.plan.sections["settings"] for one in estimates]}}
    stored = read_stored(arguments, known, data=data, keys=keys)
    measure_several(pairs, [(one.plan.counter, one.work, one.add) for one in estimates], stored=stored)
    stages = [
        {"stage": plan.name, "is_billed": one.plan.pace is not None, **one.collect(None)}
        for plan, one in zip(plans, estimates, strict=True)
    ]
    certain = _count_certain(thresholds, len(stages))
    figures = {
        "items": stages[0]["items"],
        "finished": stages[0]["finished"],
        "stages": stages,
        "at_least": {"stages": certain, **_add_up(stages[:certain])},
        "at_most": {"stages": len(stages), **_add_up(stages)},
        "assumptions": [*_list_assumptions(estimates, reasons, certain)],
    }
    if arguments.json:
        print_json(figures)
        return 0
    print("Dry run: nothing was loaded, sent or written.\n")
    done = "" if stored is None else f", of them {figures['finished']:,} finished in {stored.folder}"
    print(f"items            {figures['items']:,}{done}")
    header = (
        "If every pair reaches it",
        "Requests",
        "Prompt tokens",
        "Text tokens",
        "Most of them",
        "Time",
        "Cost",
    )
    rows = [(hide_secrets(one["stage"]), *_list_cells(_add_up([one]))) for one in stages]
    rows.append(("In all, at least", *_list_cells(figures["at_least"])))
    rows.append(("In all, at most", *_list_cells(figures["at_most"])))
    print_table(make_table(header, rows))
    print("\nAssumptions")
    for line in figures["assumptions"]:
        print(f"- {line}")
    return 0


def _read_thresholds(calibration: str | None) -> tuple[float | None, ...] | None:
    stored = None if calibration is None else read_calibration(calibration)
    return stored.thresholds if isinstance(stored, CascadeThresholds) else None


def _begin(stage: StagePlan, given: int | None, machine: Machine | None) -> tuple[Estimate, str]:
    plan, sampling = plan_asked(stage, machine=machine), stage.settings.sampling
    expected, reason = expect_tokens(sampling.max_new_tokens, given=given)
    return Estimate.begin(plan, sampling, expected), reason


def _count_certain(thresholds: Sequence[float | None] | None, number: int) -> int:
    """The stages that every pair reaches."""
    if thresholds is None:
        return number
    return next((place + 1 for place, one in enumerate(thresholds) if one is not None), number)


def _add_up(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums; None if something is not known of a stage that takes it. A stage that nobody bills costs nothing."""
    seconds = [one["seconds"] for one in stages if one["seconds"] is not None]
    counted = [one for one in stages if one["prompt_tokens"] is not None]
    billed = [one["cost_usd"] for one in stages if one["is_billed"]]
    is_priced = None not in billed
    return {
        "prompts": sum(one["prompts"] for one in stages),
        "texts": sum(one["texts"] for one in stages),
        "prompt_tokens": sum(one["prompt_tokens"]["total"] for one in counted) if counted else None,
        "completion_tokens": {
            name: sum(one["completion_tokens"][name] for one in counted) if counted else None
            for name in ("expected", "most")
        },
        "seconds": sum(seconds) if seconds else None,
        "cost_usd": {name: round(sum(one[name] for one in billed), 6) for name in ("expected", "most")}
        if is_priced
        else None,
    }


def _list_cells(figures: Mapping[str, Any]) -> Iterator[str]:
    written, cost = figures["completion_tokens"], figures["cost_usd"]
    yield f"{figures['prompts']:,}"
    for count in (figures["prompt_tokens"], written["expected"], written["most"]):
        yield "-" if count is None else f"{count:,}"
    yield "-" if figures["seconds"] is None else format_rough(figures["seconds"])
    yield "not known" if cost is None else format_usd(cost["expected"]) if cost["most"] else "-"


def _list_assumptions(estimates: Sequence[Estimate], reasons: Sequence[str], certain: int) -> Iterator[str]:
    if certain == len(estimates):
        yield "every stage is asked about every pair: there are no thresholds, or none accepts before the last stage"
    else:
        reached = "the first stage" if certain == 1 else f"the first {certain} stages"
        yield f"every pair reaches {reached}; how many go further is not known before the run"
    yield "a request gives all samples of a prompt, and the models are asked one at a time"
    lines = [
        list_assumptions(one.plan, one.work, None, reason)
        for one, reason in zip(estimates, reasons, strict=True)
    ]
    yield from dict.fromkeys(line for several in lines for line in several)
