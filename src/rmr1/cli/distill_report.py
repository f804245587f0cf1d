"""What `rmr1 distill` prints for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.screen import format_rough, format_usd, print


def is_done(recipe: DistillRecipe, summary: Mapping[str, Any]) -> bool:
    """Whether there are rows, nothing is open but for a budget that was set, and no more failed than may. What a teacher
    refuses for good is dropped, and nothing is left to do about it."""
    if not summary["rows"] or "stopped" in summary or _has_failed(recipe, summary):
        return False
    return not any(summary["waiting"].values()) or _is_exhausted(summary)


def list_next_steps(
    recipe: DistillRecipe, summary: Mapping[str, Any], *, recipe_path: str, folder: str
) -> list[str]:
    """What is left, and the command for it."""
    steps = []
    if "stopped" in summary:
        stopped = summary["stopped"]
        steps.append(
            f"stopped: pass {stopped['pass']} gave no verdict for {stopped['pairs']:,} pairs in a row, mostly: "
            f"{stopped['reason']}; the same command goes on, with --set pass{stopped['pass']}.give_up_after=0 without this stop"
        )
    for number, one in enumerate(recipe.passes, start=1):
        if not (left := summary["waiting"][f"pass{number}"]):
            continue
        if find_teacher(one).is_batch:
            export = f"rmr1 distill export {recipe_path} -o {folder} --pass {number} FILE"
            steps.append(f"{left:,} requests of pass {number} wait for a batch: {export}")
        elif _is_exhausted(summary):
            steps.append(f"{left:,} pairs are left for pass {number}; a higher --budget goes on from here")
        else:
            again = f"rmr1 distill run {recipe_path} -o {folder}"
            steps.append(f"{left:,} pairs are left for pass {number}: {again}")
    if failed := _count_failed(summary):
        told = f"{failed:,} of {summary['labelled']:,} pairs got no text from their teacher"
        # What was given up of a batch is asked by nobody here.
        can_ask = any(
            one["failed"] and not find_teacher(teacher).is_batch
            for teacher, one in zip(recipe.passes, summary["passes"], strict=True)
        )
        again = "; --retry-failed asks again" if can_ask else ""
        if not _has_failed(recipe, summary):
            allowed = f"max_failed_share = {recipe.max_failed_share:g} allows"
            steps.append(f"{told} and are left out, as {allowed}{again}")
        else:
            if can_ask:
                again += ", as rmr1 train does when its command is given again"
            # Rounded up, so that the share that is named suffices.
            enough = -(-100 * failed // summary["labelled"]) / 100
            steps.append(
                f"{told}{again}; --set max_failed_share={enough:g} goes on without them "
                f"(of rmr1 train: --set distill.max_failed_share={enough:g})"
            )
    return steps


def print_summary(summary: Mapping[str, Any], *, folder: str, steps: Sequence[str]) -> None:
    right = summary["right"]
    for number, one in enumerate(summary["passes"], start=1):
        name = f"pass{number}"
        answered = summary["answered"][name]
        share = f" ({right[name] / answered:.1%})" if answered else ""
        kept = f"{summary['rows_by_pass'][name]:,} kept"
        print(f"pass {number}: {one['teacher']}")
        print(f"  {answered:,} answered, {right[name]:,} right{share}, {kept}")
        if one["failed"] or one["refused"]:
            counts = [f"{kind} {one[kind]:,}" for kind in ("failed", "refused") if one[kind]]
            print(f"  {', '.join(counts)}, mostly: {next(iter(one['failures']))}")
        tokens = f"{one['prompt_tokens']:,} tokens read, {one['completion_tokens']:,} written"
        print(f"  {tokens}{_format_cost(one)}")
    if summary["dropped"]:
        reasons = ", ".join(f"{name} {count:,}" for name, count in summary["dropped"].items())
        print(f"dropped: {sum(summary['dropped'].values()):,} ({reasons})")
    if "budget" in summary:
        budget = summary["budget"]
        end = "; the next request may take more than is left" if budget["is_exhausted"] else ""
        if budget["overrun"] > 1:
            end += f"; an answer took up to {budget['overrun']:g} times what its limits allow, and that is reckoned with"
        print(f"budget: {_describe_budget(budget)}{end}")
    verdicts = ", ".join(f"{name} {count:,}" for name, count in summary["verdicts"].items())
    labelled, told = summary["labelled"], f" (verdicts: {verdicts})" if verdicts else ""
    share = f", {summary['yield']:.1%} of {labelled:,} labelled pairs" if labelled else ""
    print(f"rows: {summary['rows']:,}{share}{told}")
    for step in steps:
        print(step)
    if summary["rows"]:
        print(f'train on them: data.train = "{folder}/train.jsonl" in a recipe of rmr1 sft')


def print_import(counts: Mapping[str, Any]) -> None:
    stored = [f"{count:,} of {name[:4]} {name[4:]}" for name, count in counts["stored"].items() if count]
    kinds = ("refused", "failed", "given_up", "repeated", "foreign", "unreadable")
    parts = [f"stored {', '.join(stored) or 'none'}"]
    parts += [f"{kind.replace('_', ' ')} {counts[kind]:,}" for kind in kinds if counts[kind]]
    print(f"{counts['lines']:,} lines: {', '.join(parts)}")


def print_export(found: Mapping[str, Any]) -> None:
    """Files of a batch, what it can take at most, and that no budget stops it."""
    if not found["requests"]:
        print(f"pass {found['pass']}: nothing is left to ask")
    for file in found["files"]:
        print(f"{file['path']}: {file['requests']:,} requests of pass {found['pass']} to {found['model']}")
    if not found["requests"]:
        return
    most = found["completion_tokens"]["most"]
    cost = f", {format_usd(found['cost_usd']['most'])}" if found["cost_usd"] else ""
    print(f"at most {found['prompt_tokens']:,} tokens to read and {most:,} to write{cost}")
    if "budget" in found:
        print(f"the budget does not limit a batch: {_describe_budget(found['budget'])}")


def print_forecast(figures: Mapping[str, Any]) -> None:
    verdicts = ", ".join(f"{name} {count:,}" for name, count in figures["verdicts"].items())
    labelled = f"{figures['labelled']:,} with a preferred answer"
    print(f"pairs: {figures['pairs']:,}, {labelled} (verdicts: {verdicts})")
    for number, one in enumerate(figures["passes"], start=1):
        tokens = one["completion_tokens"]
        done = f", {one['answered']:,} answered" if one["answered"] else ""
        print(f"pass {number}: {one['teacher']}: {one['requests']:,} requests{done}")
        written = f"about {tokens['expected']:,} to write (at most {tokens['most']:,})"
        print(f"  tokens: {one['prompt_tokens']:,} to read, {written}")
        if one["seconds"] is not None:
            print(f"  time: about {format_rough(one['seconds'])}; rough")
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


def _count_failed(summary: Mapping[str, Any]) -> int:
    return sum(one["failed"] for one in summary["passes"])


def _has_failed(recipe: DistillRecipe, summary: Mapping[str, Any]) -> bool:
    return bool(_count_failed(summary) > recipe.max_failed_share * summary["labelled"])


def _is_exhausted(summary: Mapping[str, Any]) -> bool:
    return bool(summary.get("budget", {}).get("is_exhausted"))


def _describe_budget(budget: Mapping[str, Any]) -> str:
    return f"{_format(budget, 'amount')}, {_format(budget, 'spent')} of it used"


def _format(budget: Mapping[str, Any], key: str) -> str:
    return format_usd(budget[key]) if budget["unit"] == "usd" else f"{budget[key]:,.0f} tokens"


def _format_cost(one: Mapping[str, Any]) -> str:
    if not one["is_billed"]:
        return ""
    cost = ", cost not known" if one["cost_usd"] is None else f", {format_usd(one['cost_usd'])}"
    return f"{cost} (estimated: the server does not count tokens)" if one["is_estimated"] else cost
