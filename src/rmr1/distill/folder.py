"""The folder of a distillation, whose files docs/distill.md lists.

The passes' files have the form of a judging run and are only ever appended to; rows, dropped.jsonl, dataset_info.json and
summary.json are written anew at the end of each run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmr1.distill.items import describe_data, read_items
from rmr1.distill.recipe import DistillRecipe, PassRecipe, SecondPassRecipe
from rmr1.distill.second import load_second_prompt
from rmr1.errors import RunError
from rmr1.prompts import load_family
from rmr1.records import NO_TEXT, Judgment
from rmr1.store.identity import refuse_differences
from rmr1.store.replace import write_json
from rmr1.store.runs import (
    RUN_FILE,
    JudgmentIndex,
    RunWriter,
    iterate_lines,
    list_generations,
    open_run,
    read_description,
    read_judgments,
)

TRAIN_FILE = "train.jsonl"
DROPPED_FILE = "dropped.jsonl"


def pass_file(number: int) -> str:
    return f"pass{number}.jsonl"


def failed_file(number: int) -> str:
    return f"pass{number}-failed.jsonl"


def describe_run(recipe: DistillRecipe) -> dict[str, Any]:
    """What run.json says and a run is recognised by: passes are added as they begin, and selection is free."""
    from rmr1.version import __version__

    family = load_family(recipe.family)
    own = {"control_tokens": list(recipe.control_tokens)} if recipe.control_tokens else {}
    return {
        "kind": "distill",
        "version": __version__,
        "data": describe_data(recipe.data),
        "prompt": {
            "family": family.name,
            "digest": family.digest,
            "system": family.system,
            "single": family.single,
            "multi": family.multi,
        },
        "settings": {"seed": recipe.seed, "order": recipe.data.order, **own},
    }


def open_pass(folder: Path, recipe: DistillRecipe, number: int, *, retry_failed: bool = False) -> RunWriter:
    """The file of a pass, for appending; the folder is made if there is none.

    What is asked for again with `retry_failed` is kept in a file of its own, because it may have been billed; what
    the server refused for good is not asked for again.
    """
    refuse_other_folder(folder)
    whole = recipe.model_copy(update={"data": recipe.data.model_copy(update={"limit": None})})
    return open_run(
        folder,
        describe_run(recipe),
        retry_failed=retry_failed,
        file=pass_file(number),
        failed_file=failed_file(number),
        keeps_refused=True,
        keys=None if recipe.data.world is not None else lambda: (item.key for item in read_items(whole)),
    )


def claim_pass(
    folder: Path, number: int, recipe: PassRecipe, identity: Mapping[str, object], *, name: str | None = None
) -> None:
    """Note who answers a pass and how, or make sure that it is as before.

    `name` is that of a teacher whose identity takes the engine; under it `is_claimed` knows it without one.
    """
    description = read_description(folder)
    passes = description.setdefault("passes", {})
    about = {"teacher": dict(identity), **_describe_asking(recipe)}
    key = f"pass{number}"
    if key in passes:
        stored = dict(passes[key])
        before = stored.pop("name", None)
        refuse_differences(folder, {key: stored}, {key: about})
        if name == before:
            return
    passes[key] = about if name is None else {**about, "name": name}
    write_json(folder / RUN_FILE, description)


def _read_claim(folder: Path, number: int) -> dict[str, Any]:
    """How a pass was begun; nothing if it was not."""
    return dict(read_description(folder).get("passes", {}).get(f"pass{number}", {}))


def read_teacher(folder: Path, number: int) -> dict[str, object] | None:
    """Who answers a pass, as it was noted; None if it has not begun."""
    return _read_claim(folder, number).get("teacher")


def is_claimed(folder: Path, number: int, recipe: PassRecipe) -> bool:
    """Whether the answers of a pass, if there are any, are those of the recipe's teacher, by its name.

    A teacher under another name may be the same one, which only its engine can tell.
    """
    stored = _read_claim(folder, number)
    if not stored:
        return True
    del stored["teacher"]
    name = stored.pop("name", None)
    refuse_differences(folder, {f"pass{number}": stored}, {f"pass{number}": _describe_asking(recipe)})
    return bool(name == recipe.teacher)


def _describe_asking(recipe: PassRecipe) -> dict[str, Any]:
    about: dict[str, Any] = recipe.model_dump(
        include={"samples", "temperature", "top_p", "top_k", "max_new_tokens"}
    )
    if isinstance(recipe, SecondPassRecipe):
        note = load_second_prompt(recipe.template, recipe.max_judgment_chars)
        about["template"], about["template_right"] = note.template, note.template_right
        about["max_judgment_chars"] = recipe.max_judgment_chars
    return about


@dataclass(slots=True, kw_only=True)
class PassTotals:
    """What a pass has used."""

    stored: int = 0
    failed: int = 0
    """Without a text, or without all of several, that may be asked again."""
    refused: int = 0
    """Pairs that the server will not answer."""
    failures: Counter[str] = field(default_factory=Counter)
    """Reasons of both."""
    texts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    """Whether any of the tokens are reckoned from characters."""

    @property
    def mean_tokens(self) -> float | None:
        """Mean tokens of a text."""
        return self.completion_tokens / self.texts if self.texts and self.completion_tokens else None

    def add_tokens(self, line: Mapping[str, Any]) -> None:
        self.prompt_tokens += line.get("prompt_tokens", 0)
        self.completion_tokens += line.get("completion_tokens", 0)
        self.is_estimated |= line.get("is_estimated", False)


def read_totals(folder: Path, number: int) -> PassTotals:
    """Totals of all that is stored; tokens also of what failed and was asked again."""
    totals = PassTotals()
    for _, line in iterate_lines(folder / failed_file(number)):
        totals.add_tokens(line)
    for _, line in iterate_lines(folder / pass_file(number)):
        totals.stored += 1
        generations = list_generations(line)
        errors = [one for one in generations if one["finish_reason"] == "error"]
        is_failed = any(not one.get("is_refused") for one in errors)
        totals.failed += is_failed
        totals.refused += not is_failed and len(errors) == len(generations)
        totals.failures.update({one.get("error") or "no reason given" for one in errors})
        totals.texts += sum(one["finish_reason"] not in NO_TEXT for one in generations)
        totals.add_tokens(line)
    return totals


def read_pass(folder: Path, number: int) -> Iterator[tuple[str, Judgment]]:
    """(key, judgment) in the order they finished; nothing if the pass has not begun."""
    return read_judgments(folder, file=pass_file(number))


def list_passes(folder: Path) -> list[int]:
    """Numbers of the passes that have judgments."""
    return [number for number in (1, 2) if (folder / pass_file(number)).is_file()]


def index_pass(folder: Path, number: int) -> JudgmentIndex:
    """The judgments of a pass, by key."""
    return JudgmentIndex(folder / pass_file(number))


def refuse_other_folder(folder: Path) -> None:
    """Raise RunError if the folder holds something else."""
    if (folder / RUN_FILE).exists():
        require_folder(folder)
    elif folder.is_dir() and (found := sorted(path.name for path in folder.iterdir() if path.name[0] != ".")):
        raise RunError(
            f"{folder}: not a distillation, and not empty (it holds {found[0]}); choose another folder"
        )


def require_folder(folder: Path) -> None:
    """Raise RunError if the folder is none of a distillation."""
    if read_description(folder).get("kind") != "distill":
        raise RunError(f"{folder}: not a distillation; expected a folder made by rmr1 distill")
