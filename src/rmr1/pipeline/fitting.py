"""Whole weights or adapters, and the settings that bound the memory: what the stages of a pipeline fit their machine with.

A preset without `-lora` or `-qlora` behind its name stands for whole weights if both trainings fit, and for adapters if
not. What a recipe says itself stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmr1.errors import RMR1Error
from rmr1.forecast.machine import Machine
from rmr1.pipeline.stages import CHOICE_FILE
from rmr1.settings import Section
from rmr1.store.replace import read_json
from rmr1.train.fit import count_grpo, count_sft, find_shape
from rmr1.train.fitting import Fitting, fit_settings
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.recipe import Recipe

KINDS: Mapping[str, str] = {
    "": "whole weights",
    "-lora": "adapters",
    "-qlora": "adapters on a base in 4 bits",
}
"""Ending of a preset's name -> what it trains."""
AUTOMATIC = ("", "-lora")
"""What a preset that says neither may be, the first that fits."""
TYPICAL_TOKENS = 2400
"""Tokens of a judgment to learn from, prompt included, if no data say."""

_STAGES: Mapping[str, type[Section]] = {"sft": Recipe, "grpo": GrpoRecipe}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is trained, and how it fits."""

    kind: str
    """A key of `KINDS`."""
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Stage -> section -> settings that lie under the recipe's own."""
    told: str
    """The choice in a line."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What it was made for: a folder goes on with the one that it began with."""


def choose(
    variants: Mapping[str, Mapping[str, Mapping[str, Any]]],
    sections: Mapping[str, Mapping[str, Any]],
    machine: Machine,
    *,
    asked: Mapping[str, Any],
    folder: Path | None = None,
) -> Choice | None:
    """The first of the variants whose trainings all fit, or what was chosen when the folder began; if nothing fits, the
    first as it stands.

    Args:
        variants: ending of `KINDS` -> stage -> the values that lie under that of the recipe.
        sections: what the recipe says of each stage.

    Returns:
        None if nothing can be estimated.
    """
    if (stored := read_choice(folder, asked)) is not None:
        return stored
    where = f"{machine.num_devices} x {machine.name}"
    for kind, values in variants.items():
        try:
            found = dict(_fit(values, sections, machine))
        except RMR1Error:  # what is wrong with a section is told where it is read
            return None
        obstacle = next((one.obstacle for one in found.values() if one.obstacle), None)
        settings = {stage: one.nest() for stage, one in found.items() if one.settings}
        listed = "; ".join(f"{stage}: {one.describe()}" for stage, one in found.items() if one.settings)
        told = f"trains {KINDS[kind]}, which fit {where}{': ' if listed else ''}{listed}"
        if obstacle is None:
            return Choice(kind=kind, settings=settings, told=told, asked=asked)
    first = next(iter(variants))
    return Choice(
        kind=first, settings={}, told=f"trains {KINDS[first]}, and nothing fits {where}", asked=asked
    )


def _fit(
    values: Mapping[str, Mapping[str, Any]], sections: Mapping[str, Mapping[str, Any]], machine: Machine
) -> Iterator[tuple[str, Fitting]]:
    base: str | None = None
    for stage, kind in _STAGES.items():
        if stage not in sections or stage not in values:
            continue
        section = kind.merge(values[stage], sections[stage])
        section = {**section, "data": {"train": "rows", **section.get("data", {})}}
        model = dict(section.get("model", {}))
        model["base"] = model.get("base") or base
        recipe: Any = kind.from_values({**section, "model": model, "preset": None}, stage)
        base, said = model["base"], {*_list_names(sections[stage])}
        yield stage, fit_settings(find_shape(str(base)), count(recipe), machine, said=said)


def count(recipe: Recipe | GrpoRecipe) -> Any:
    """The numbers of a training before its data are there."""
    if isinstance(recipe, GrpoRecipe):
        return count_grpo(recipe)
    tokens = min(TYPICAL_TOKENS, recipe.data.max_tokens)
    return count_sft(recipe, tokens=tokens, judged=tokens / 3, steps=1)


def _list_names(values: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _list_names(value, f"{place}{key}.")
        else:
            yield f"{place}{key}"


def read_choice(folder: Path | None, asked: Mapping[str, Any]) -> Choice | None:
    """The choice that a folder began with, if the same was asked then."""
    path = None if folder is None else folder / CHOICE_FILE
    if path is None or not path.is_file():
        return None
    stored = read_json(path)
    if stored.get("asked") != dict(asked):
        return None
    return Choice(
        kind=stored["kind"], settings=stored["settings"], told=stored["told"], asked=stored["asked"]
    )
