"""What both teachers wrote -> rows to train on, the pairs without one, and the figures.

Read from the passes' files and the data alone, so it can be done again with another selection at no cost. A row is

    {"messages": [system, user, assistant], "id", "source", "subset", "verdict", "order", "pass", "teacher", "key"}

with the plain judge prompt and the text that was kept. `verdict` is the label as the prompt calls it and `order`
says which answer stood first. TRL, OpenRLHF and LLaMA-Factory read `messages` and pass over the rest.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmr1.distill.checks import Checked, check_votes
from rmr1.distill.folder import DROPPED_FILE, TRAIN_FILE, index_pass
from rmr1.distill.items import Item, find_pair_family, read_items
from rmr1.distill.recipe import DistillRecipe
from rmr1.prompts import PromptFamily, load_family, render_prompt
from rmr1.records import JudgePrompt
from rmr1.store.codec import dumps
from rmr1.store.keys import seed_for
from rmr1.store.replace import replacing, write_json, writing
from rmr1.store.runs import JudgmentIndex

DATASET_NAME = "rmr1_distill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a pair."""

    item: Item
    prompt: JudgePrompt | None = None
    """The plain one; None where the pair is not asked about."""
    first: Checked | None = None
    second: Checked | None = None
    waits_for: int | None = None
    """The pass that has not answered yet."""

    @property
    def last(self) -> Checked | None:
        return self.second or self.first

    @property
    def number(self) -> int | None:
        """The pass that decided."""
        return 2 if self.second is not None else 1 if self.first is not None else None


@dataclass(slots=True)
class RowCounts:
    """Counts of outcomes."""

    pairs: int = 0
    labelled: int = 0
    first_answered: int = 0
    """Pairs with a text of the first pass."""
    first_right: int = 0
    second_asked: int = 0
    second_answered: int = 0
    second_right: int = 0
    waiting: Counter[int] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    families: dict[str, Counter[str]] = field(default_factory=dict)


def needs_second(recipe: DistillRecipe, first: Checked) -> bool:
    """Whether the second teacher is asked about a pair."""
    if recipe.pass2 is None or first.reason is None:
        return False
    return first.is_wrong or (recipe.pass2.redo == "all" and first.is_told_apart)


def judge_outcome(
    item: Item, recipe: DistillRecipe, family: PromptFamily, first: JudgmentIndex, second: JudgmentIndex
) -> Outcome:
    """What the passes say of a pair so far."""
    if not item.is_labelled:
        return Outcome(item=item)
    prompt = render_prompt(item.pair, family, order=item.order, special_tokens=recipe.control_tokens)
    answer = first.get(item.key)
    if answer is None:
        return Outcome(item=item, prompt=prompt, waits_for=1)
    checked = check_votes(answer.votes, item, prompt, recipe.select, is_told=False)
    if not needs_second(recipe, checked):
        return Outcome(item=item, prompt=prompt, first=checked)
    again = second.get(item.key)
    if again is None:
        return Outcome(item=item, prompt=prompt, first=checked, waits_for=2)
    return Outcome(
        item=item,
        prompt=prompt,
        first=checked,
        second=check_votes(again.votes, item, prompt, recipe.select, is_told=True),
    )


def read_outcomes(recipe: DistillRecipe, folder: Path) -> Iterator[Outcome]:
    """Outcomes of every pair, in the data's order."""
    family = load_family(recipe.family)
    first, second = index_pass(folder, 1), index_pass(folder, 2)
    for item in read_items(recipe):
        yield judge_outcome(item, recipe, family, first, second)


def write_rows(recipe: DistillRecipe, folder: Path) -> dict[str, Any]:
    """Write train.jsonl, dropped.jsonl and dataset_info.json anew, each as a whole; returns their figures.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    with (
        writing(folder, "answers are kept: free space, then run it again", what="rows"),
        replacing(folder / TRAIN_FILE) as train,
        replacing(folder / DROPPED_FILE) as dropped,
        train.open("wb") as kept,
        dropped.open("wb") as lost,
    ):
        counts = _write_outcomes(recipe, folder, kept, lost)
    write_json(folder / "dataset_info.json", _dataset_info())
    return _summarize(counts)


def _write_outcomes(recipe: DistillRecipe, folder: Path, kept: Any, lost: Any) -> RowCounts:
    counts = RowCounts()
    full = _find_full(recipe, folder) if recipe.select.quotas else frozenset()
    for outcome in read_outcomes(recipe, folder):
        item = outcome.item
        counts.pairs += 1
        counts.labelled += item.is_labelled
        family = find_family(outcome, recipe.select.quota_by)
        _count_passes(counts, outcome)
        if outcome.waits_for is not None:
            counts.waiting[outcome.waits_for] += 1
            continue
        of_family = counts.families.setdefault(family, Counter())
        last = outcome.last
        if last is None:
            reason, detail = ("tie", None) if item.pair.label == "tie" else ("no_label", None)
        elif last.reason is not None:
            reason, detail = last.reason, last.detail
        elif item.key in full:
            reason, detail = "quota", f"family {family!r} is full"
        else:
            assert outcome.number is not None
            kept.write(dumps(_row(outcome, last)) + b"\n")
            counts.rows[f"pass{outcome.number}"] += 1
            counts.verdicts[item.verdict] += 1
            of_family["rows"] += 1
            continue
        counts.dropped[reason] += 1
        of_family["dropped"] += 1
        lost.write(
            dumps(
                {
                    "id": item.pair.id,
                    "key": item.key,
                    "source": item.pair.source,
                    "subset": item.pair.subset,
                    "pass": outcome.number,
                    "reason": reason,
                    "detail": detail,
                }
            )
            + b"\n"
        )
    return counts


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


def _count_passes(counts: RowCounts, outcome: Outcome) -> None:
    if outcome.first is not None:
        counts.first_answered += outcome.first.is_answered
        counts.first_right += outcome.first.is_told_apart
    if outcome.second is not None:
        counts.second_asked += 1
        counts.second_answered += outcome.second.is_answered
        counts.second_right += outcome.second.is_told_apart


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
        "pass": outcome.number,
        "teacher": kept.model,
        "key": outcome.item.key,
    }


def _summarize(counts: RowCounts) -> dict[str, Any]:
    rows = counts.rows.total()
    return {
        "pairs": counts.pairs,
        "labelled": counts.labelled,
        "rows": rows,
        "rows_by_pass": {"pass1": counts.rows["pass1"], "pass2": counts.rows["pass2"]},
        "yield": round(rows / counts.labelled, 6) if counts.labelled else None,
        "answered": {"pass1": counts.first_answered, "pass2": counts.second_answered},
        "right": {
            "pass1": counts.first_right,
            "pass2": counts.second_right,
            "pass2_asked": counts.second_asked,
        },
        "verdicts": dict(sorted(counts.verdicts.items())),
        "dropped": dict(sorted(counts.dropped.items())),
        "waiting": {f"pass{number}": counts.waiting[number] for number in (1, 2)},
        "families": {
            name: {"rows": found["rows"], "dropped": found["dropped"]}
            for name, found in sorted(counts.families.items())
        },
    }


def _dataset_info() -> dict[str, Any]:
    """How LLaMA-Factory is told of a file of messages (its data/README.md)."""
    return {
        DATASET_NAME: {
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
