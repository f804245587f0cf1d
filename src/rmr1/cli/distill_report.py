"""What `rmr1 distill` prints for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.cli.usage import format_usd
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.teachers import find_teacher


def is_done(summary: Mapping[str, Any]) -> bool:
    """Whether there are rows, and nothing is open or failed but for a budget that was set."""
    if not summary["rows"]:
        return False
    if any(one["failed"] for one in summary["passes"]):
        return False
    return not any(summary["waiting"].values()) or _is_exhausted(summary)


def list_next_steps(
    recipe: DistillRecipe, summary: Mapping[str, Any], *, recipe_path: str, folder: str
) -> list[str]:
    """What is left, and the command for it."""
    steps = []
    for number, one in enumerate(recipe.passes, start=1):
        left = summary["waiting"][f"pass{number}"]
        if not left:
            continue
        if find_teacher(one).is_batch:
            steps.append(
                f"{left:,} requests of pass {number} wait for a batch: rmr1 distill export {recipe_path} -o {folder} "
                f"--pass {number} FILE"
            )
        elif _is_exhausted(summary):
            steps.append(f"{left:,} pairs are left for pass {number}; a higher --budget goes on from here")
        else:
            steps.append(
                f"{left:,} pairs are left for pass {number}: rmr1 distill run {recipe_path} -o {folder}"
            )
    failed = sum(one["failed"] for one in summary["passes"])
    if failed:
        steps.append(f"{failed:,} pairs got no text from their teacher; --retry-failed asks again")
    return steps


def print_summary(summary: Mapping[str, Any], *, folder: str, steps: Sequence[str]) -> None:
    right = summary["right"]
    for number, one in enumerate(summary["passes"], start=1):
        name = f"pass{number}"
        judged = one["asked"] if number == 1 else right["pass2_asked"]
        share = f" ({right[name] / judged:.1%})" if judged else ""
        print(f"pass {number}: {one['teacher']}")
        print(
            f"  {one['asked']:,} answered, {right[name]:,} right{share}, {summary['rows_by_pass'][name]:,} kept"
        )
        print(
            f"  {one['prompt_tokens']:,} tokens read, {one['completion_tokens']:,} written{_format_cost(one)}"
        )
    if summary["dropped"]:
        reasons = ", ".join(f"{name} {count:,}" for name, count in summary["dropped"].items())
        print(f"dropped: {sum(summary['dropped'].values()):,} ({reasons})")
    if "budget" in summary:
        budget = summary["budget"]
        end = "; the next request may take more than is left" if budget["is_exhausted"] else ""
        print(f"budget: {_format(budget, 'amount')}, {_format(budget, 'spent')} of it used{end}")
    verdicts = ", ".join(f"{name} {count:,}" for name, count in summary["verdicts"].items())
    share = (
        f", {summary['yield']:.1%} of {summary['labelled']:,} labelled pairs" if summary["labelled"] else ""
    )
    print(f"rows: {summary['rows']:,}{share}{f' (verdicts: {verdicts})' if verdicts else ''}")
    for step in steps:
        print(step)
    if summary["rows"]:
        print(f'train on them: data.train = "{folder}/train.jsonl" in a recipe of rmr1 sft')


def print_import(counts: Mapping[str, Any]) -> None:
    stored = ", ".join(
        f"{count:,} of {name[:4]} {name[4:]}" for name, count in counts["stored"].items() if count
    )
    parts = [f"stored {stored or 'none'}"]
    parts += [
        f"{name.replace('_', ' ')} {counts[name]:,}"
        for name in ("failed", "given_up", "repeated", "foreign", "unreadable")
        if counts[name]
    ]
    print(f"{counts['lines']:,} lines: {', '.join(parts)}")


def print_forecast(figures: Mapping[str, Any]) -> None:
    verdicts = ", ".join(f"{name} {count:,}" for name, count in figures["verdicts"].items())
    print(
        f"pairs: {figures['pairs']:,}, {figures['labelled']:,} with a preferred answer (verdicts: {verdicts})"
    )
    for number, one in enumerate(figures["passes"], start=1):
        tokens = one["completion_tokens"]
        done = f", {one['answered']:,} answered" if one["answered"] else ""
        print(f"pass {number}: {one['teacher']}: {one['requests']:,} requests{done}")
        print(
            f"  tokens: {one['prompt_tokens']:,} to read, about {tokens['expected']:,} to write (at most {tokens['most']:,})"
        )
        cost = one["cost_usd"]
        if cost is not None:
            print(f"  cost: about {format_usd(cost['expected'])} (at most {format_usd(cost['most'])})")
        elif one["is_billed"]:
            print("  cost: not known; set engine.price_in and engine.price_out (USD per million tokens)")
    if "budget" in figures:
        print(f"budget: {_format(figures['budget'], 'amount')}, what is stored counted")
    print("assumed:")
    for line in figures["assumptions"]:
        print(f"  {line}")


def _is_exhausted(summary: Mapping[str, Any]) -> bool:
    return bool(summary.get("budget", {}).get("is_exhausted"))


def _format(budget: Mapping[str, Any], key: str) -> str:
    return format_usd(budget[key]) if budget["unit"] == "usd" else f"{budget[key]:,.0f} tokens"


def _format_cost(one: Mapping[str, Any]) -> str:
    if not one["is_billed"]:
        return ""
    return ", cost not known" if one["cost_usd"] is None else f", {format_usd(one['cost_usd'])}"
