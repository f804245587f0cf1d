"""What both teachers wrote -> rows to train on, the pairs without one, and the figures.

Read from the passes' files and the data alone, so it can be done again with another selection at no cost.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from rmr1.distill.checks import Checked, check_votes
from rmr1.distill.folder import DROPPED_FILE, TRAIN_FILE, index_pass
from rmr1.distill.items import Item, find_pair_family, read_items
from rmr1.distill.recipe import DistillRecipe
from rmr1.prompts import load_family, render_prompt
from rmr1.records import JudgePrompt
from rmr1.store.codec import dumps
from rmr1.store.keys import seed_for
from rmr1.store.replace import replacing, write_json, writing

_DATASET_INFO = {
    "rmr1_distill": {
        "file_name": TRAIN_FILE,
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
}
"""How LLaMA-Factory is told of a file of messages (its data/README.md)."""


class Outcome(NamedTuple):
    """What came of a pair so far."""

    item: Item
    prompt: JudgePrompt | None = None
    """The plain one; None where the pair is not asked about."""
    checks: tuple[Checked, ...] = ()
    """What the passes wrote, the last of which decides."""
    waits_for: int | None = None
    """The pass that has not answered yet."""

    @property
    def last(self) -> Checked | None:
        return self.checks[-1] if self.checks else None


def needs_second(recipe: DistillRecipe, first: Checked) -> bool:
    """Whether the second teacher is asked about a pair."""
    if recipe.pass2 is None or first.reason is None:
        return False
    return first.is_wrong or (recipe.pass2.redo == "all" and first.is_told_apart)


def read_outcomes(recipe: DistillRecipe, folder: Path) -> Iterator[Outcome]:
    """Outcomes of every pair, in the data's order."""
    family = load_family(recipe.family)
    first, second = index_pass(folder, 1), index_pass(folder, 2)
    for item in read_items(recipe):
        if not item.is_labelled:
            yield Outcome(item=item)
            continue
        prompt = render_prompt(item.pair, family, order=item.order, special_tokens=recipe.control_tokens)
        checks: list[Checked] = []
        waits_for = None
        for number, answers in enumerate((first, second), start=1):
            if number == 2 and not needs_second(recipe, checks[0]):
                break
            answer = answers.get(item.key)
            if answer is None:
                waits_for = number
                break
            checks.append(check_votes(answer.votes, item, prompt, recipe.select, is_told=number == 2))
        yield Outcome(item=item, prompt=prompt, checks=tuple(checks), waits_for=waits_for)


def write_rows(recipe: DistillRecipe, folder: Path) -> dict[str, Any]:
    """Write train.jsonl, dropped.jsonl and dataset_info.json anew, each as a whole; returns their figures."""
    with (
        writing(folder, "answers are kept: free space, then run it again", what="rows"),
        replacing(folder / TRAIN_FILE) as train,
        replacing(folder / DROPPED_FILE) as dropped,
        train.open("wb") as kept,
        dropped.open("wb") as lost,
    ):
        figures = _write_outcomes(recipe, folder, kept, lost)
    write_json(folder / "dataset_info.json", _DATASET_INFO)
    return figures


def _write_outcomes(recipe: DistillRecipe, folder: Path, kept: BinaryIO, lost: BinaryIO) -> dict[str, Any]:
    names = ("pass1", "pass2")
    counts, asked, answered, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    waiting, rows, dropped, verdicts = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    families: dict[str, Counter[str]] = {}
    full = _find_full(recipe, folder) if recipe.select.quotas else frozenset()
    for outcome in read_outcomes(recipe, folder):
        item, last = outcome.item, outcome.last
        counts["pairs"] += 1
        counts["labelled"] += item.is_labelled
        for name, checked in zip(names, outcome.checks, strict=False):
            asked[name] += 1
            answered[name] += checked.is_answered
            right[name] += checked.is_told_apart
        if outcome.waits_for is not None:
            waiting[f"pass{outcome.waits_for}"] += 1
            continue
        family = find_family(outcome, recipe.select.quota_by)
        of_family = families.setdefault(family, Counter())
        if last is None:
            reason, detail = ("tie", None) if item.pair.label == "tie" else ("no_label", None)
        elif last.reason is not None:
            reason, detail = last.reason, last.detail
        elif item.key in full:
            reason, detail = "quota", f"family {family!r} is full"
        else:
            kept.write(dumps(_row(outcome, last)) + b"\n")
            rows[f"pass{len(outcome.checks)}"] += 1
            verdicts[item.verdict] += 1
            of_family["rows"] += 1
            continue
        dropped[reason] += 1
        of_family["dropped"] += 1
        row = {
            "id": item.pair.id,
            "key": item.key,
            "source": item.pair.source,
            "subset": item.pair.subset,
            "pass": len(outcome.checks) or None,
            "reason": reason,
            "detail": detail,
        }
        lost.write(dumps(row) + b"\n")
    num_rows, labelled = rows.total(), counts["labelled"]
    return {
        "pairs": counts["pairs"],
        "labelled": labelled,
        "rows": num_rows,
        "rows_by_pass": {name: rows[name] for name in names},
        "yield": round(num_rows / labelled, 6) if labelled else None,
        "answered": {name: answered[name] for name in names},
        "right": {**{name: right[name] for name in names}, "pass2_asked": asked["pass2"]},
        "verdicts": dict(sorted(verdicts.items())),
        "dropped": dict(sorted(dropped.items())),
        "waiting": {name: waiting[name] for name in names},
        "families": {
            name: {"rows": found["rows"], "dropped": found["dropped"]}
            for name, found in sorted(families.items())
        },
    }


def find_family(outcome: Outcome, by: str) -> str:
    """What quotas count a pair under."""
    if by == "task":
        return (outcome.last.task if outcome.last is not None else None) or "none"
    return find_pair_family(outcome.item.pair, by)


def _find_full(recipe: DistillRecipe, folder: Path) -> frozenset[str]:
    """Keys of the pairs that pass and are over their family's quota; a draw by the seed decides which."""
    quotas = recipe.select.quotas
    drawn: dict[str, tuple[array[int], list[str]]] = {}
    for outcome in read_outcomes(recipe, folder):
        last = outcome.last
        if last is None or outcome.waits_for is not None or last.reason is not None:
            continue
        family = find_family(outcome, recipe.select.quota_by)
        if family in quotas or "*" in quotas:
            draws, keys = drawn.setdefault(family, (array("Q"), []))
            draws.append(seed_for(recipe.seed, "quota", outcome.item.key))
            keys.append(outcome.item.key)
    full: list[str] = []
    for family, (draws, keys) in drawn.items():
        order = sorted(range(len(keys)), key=draws.__getitem__)
        full += [keys[place] for place in order[quotas.get(family, quotas.get("*", 0)) :]]
    return frozenset(full)


def _row(outcome: Outcome, kept: Checked) -> dict[str, Any]:
    assert outcome.prompt is not None
    pair = outcome.item.pair
    messages = [{"role": message.role, "content": message.text} for message in outcome.prompt.messages]
    return {
        "messages": [*messages, {"role": "assistant", "content": kept.text}],
        "id": pair.id,
        "source": pair.source,
        "subset": pair.subset,
        "verdict": outcome.item.verdict,
        "order": outcome.item.order,
        "pass": len(outcome.checks),
        "teacher": kept.model,
        "key": outcome.item.key,
    }
