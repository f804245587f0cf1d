"""Settings of a training that fit a machine: those that change its memory and time, and nothing of what is learnt.

Of all combinations that fit, the fastest by the estimate is taken; one that fits at its limits too goes before one that
fits as expected only, unless it takes half as long again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from rmr1.forecast.machine import Machine
from rmr1.forecast.numbers import RunNumbers
from rmr1.forecast.shape import ModelShape
from rmr1.forecast.training import Estimate, estimate_run, find_obstacle, find_risk
from rmr1.train.recipe import TrainingRecipe

MOST_FOR_SAFETY = 1.5
"""Times as long that settings may take to fit at their limits too."""
_GPU_MEMORY = (0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
_ROW_TOKENS = (65_536, 32_768, 16_384, 8_192)
_ROWS = (128, 64, 32, 16, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A training on a machine, with the settings that fit it best."""

    settings: Mapping[str, Any]
    """Settings of the recipe by their full names, those that differ from its own."""
    estimate: Estimate
    obstacle: str | None
    """Why it cannot be done with any of them; then they are the recipe's own."""
    risk: str | None

    def nest(self) -> dict[str, dict[str, Any]]:
        """The settings as sections of a recipe."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.settings.items():
            section, _, key = name.partition(".")
            found.setdefault(section, {})[key] = value
        return found

    def describe(self) -> str:
        """The settings as a user writes them."""
        return ", ".join(
            f"{name} = {str(value).lower() if isinstance(value, bool) else value}"
            for name, value in self.settings.items()
        )


def fit_settings(
    shape: ModelShape, numbers: RunNumbers, machine: Machine, *, said: Collection[str] = ()
) -> Fitting:
    """The fastest settings that fit; those named in `said` stay as they are."""
    best: dict[bool, tuple[tuple[bool, float, int], Fitting]] = {}
    for changes in _list_changes(numbers, machine, said):
        estimate = estimate_run(shape, replace(numbers, **changes), machine)
        if find_obstacle(estimate) is not None:
            continue
        risk, names = find_risk(estimate), name_settings(numbers)
        found = Fitting(
            settings={names[key]: value for key, value in changes.items() if value != getattr(numbers, key)},
            estimate=estimate,
            obstacle=None,
            risk=risk,
        )
        # The host's memory is the last resort; of equally fast settings those that change least are taken.
        rank = (bool(estimate.host_bytes), float(f"{estimate.seconds:.2g}"), len(found.settings))
        is_safe = risk is None
        if is_safe not in best or rank < best[is_safe][0]:
            best[is_safe] = rank, found
    safe, risky = best.get(True), best.get(False)
    if safe and risky and safe[1].estimate.seconds > MOST_FOR_SAFETY * risky[1].estimate.seconds:
        safe = None
    if taken := safe or risky:
        return taken[1]
    own = estimate_run(shape, numbers, machine)
    return Fitting(settings={}, estimate=own, obstacle=find_obstacle(own), risk=find_risk(own))


def name_settings(numbers: RunNumbers) -> dict[str, str]:
    """Names in the recipe of what may change."""
    looks = "evaluation.batch_size" if numbers.engine is None else "evaluation.rows"
    return {
        "gpu_memory": "rollout.gpu_memory",
        "rows": "rollout.rows",
        "row_tokens": numbers.row_setting,
        "checkpointing": "model.checkpointing",
        "offload": "sharding.offload",
        "look_rows": looks,
    }


def _list_changes(numbers: RunNumbers, machine: Machine, said: Collection[str]) -> Iterator[dict[str, Any]]:
    names, least = name_settings(numbers), numbers.prompt_tokens + numbers.new_tokens
    choices: dict[str, tuple[Any, ...]] = {"checkpointing": (numbers.checkpointing, True)}
    if numbers.row_groups is None and numbers.row_tokens:
        # A row is no shorter than the longest document.
        choices["row_tokens"] = tuple(one for one in _ROW_TOKENS if one >= least or numbers.engine)
    if numbers.engine == "vllm":
        choices["gpu_memory"] = _GPU_MEMORY
    if numbers.engine == "transformers":
        choices["rows"] = _ROWS
    if numbers.look_rows:
        choices["look_rows"] = tuple(one for one in _ROWS if one <= numbers.look_rows)
    if machine.kind == "cuda" and machine.num_devices > 1:
        choices["offload"] = (False, True)
    choices = {
        key: tuple(dict.fromkeys((getattr(numbers, key), *values)))
        for key, values in choices.items()
        if names[key] not in said
    }
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def add_advice(obstacle: str, recipe: TrainingRecipe, estimate: Estimate) -> str:
    """The obstacle, with the settings that fit on the same machine if there are any."""
    found = fit_settings(estimate.shape, estimate.numbers, estimate.machine)
    if found.obstacle is not None or not found.settings:
        return obstacle
    return f"{obstacle}; what fits is {found.describe()}"
