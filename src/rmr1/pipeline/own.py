"""A recipe for one's own labelled pairs and one model: `rmr1 train pairs.csv --base MODEL`.

Without a teacher: curate, reinforce the base, measure it before and after on pairs that were kept aside. With
one: curate, distil, fine-tune, reinforce, measure. The settings are the paper's where the model is of its kind;
a model of some million parameters gets those that the bundled judge was trained with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rmr1.data.read import read_pairs
from rmr1.errors import ConfigError, DataError
from rmr1.forecast.machine import Machine
from rmr1.forecast.shape import ModelShape
from rmr1.models import is_bundled
from rmr1.pipeline.fitting import Choice, choose
from rmr1.settings import Section
from rmr1.train.recipe import with_adapters

SMALL = 100_000_000
"""Parameters below which a model is trained as the bundled judge was."""
FEWEST = 50
"""Pairs that can be split into some to learn from and some to measure on."""
HELD_OUT, LOOKS, DISTILL = 0.1, 0.1, 0.3
"""Shares of the prompts; few pairs need larger ones than the paper's."""

_MOST_HELD_OUT, _MOST_LOOKS = 2000, 256


def choose_own(
    values: Mapping[str, Any], base: str, machine: Machine, folder: Path | None = None
) -> tuple[dict[str, Any], Choice | None]:
    """The values of `plan_own` with whole weights or adapters, whichever fits the machine, and what was chosen; None
    for a model of some million parameters, which is trained on a CPU, and for one whose sizes are not known."""
    full = {stage: values[stage] for stage in ("sft", "grpo") if stage in values}
    shape = find_shape(base)
    if shape is None or shape.parameters() < SMALL:
        return dict(values), None
    variants = {"": full, "-lora": {stage: with_adapters(one) for stage, one in full.items()}}
    asked = {"base": base, "stages": [*full]}
    seen: dict[str, dict[str, Any]] = {"sft": {}, "grpo": {"data": {"held_out": "looks"}}}
    found = choose(variants, {stage: seen[stage] for stage in full}, machine, asked=asked, folder=folder)
    if found is None:
        return dict(values), None
    chosen = {
        stage: Section.merge(variants[found.kind][stage], found.settings.get(stage, {})) for stage in full
    }
    return {**values, **chosen}, found


def plan_own(
    data: str, base: str, *, teacher: str | None = None, seed: int = 0, **form: Any
) -> dict[str, Any]:
    """The values of a pipeline's recipe; `form` says how the pairs are read, by arguments of `rmr1.read_pairs`."""
    num_pairs = _count(data, form)
    shape = find_shape(base)
    is_small = shape is not None and shape.parameters() < SMALL
    source: dict[str, Any] = {"data": str(Path(data).resolve()) if Path(data).exists() else data}
    source |= {name.replace("labels", "label"): value for name, value in form.items() if value}
    held_out = min(HELD_OUT, _MOST_HELD_OUT / num_pairs)
    looks = min(LOOKS, _MOST_LOOKS / num_pairs)
    distill = {} if teacher is None else {"distill": DISTILL}
    num_rl = round(num_pairs * (1 - held_out - looks - distill.get("distill", 0)))
    bench: dict[str, Any] = {"benchmarks": ["pairs"], "baseline": base}
    if is_small:
        bench["judge"] = {"sampling": {"max_new_tokens": 512}}
    values: dict[str, Any] = {
        "seed": seed,
        # Prompts from one template are alike; only nearly the same ones must stay together.
        "curate": {
            "sources": {"pairs": source},
            "splits": {**distill, "held_out": held_out, "looks": looks, "rl": "rest"},
            "duplicates": {"prompts": 0.9},
        },
    }
    if teacher is not None:
        asked = {"teacher": teacher, "max_new_tokens": 512 if is_small else 4096}
        values |= {
            "distill": {"pass1": asked, "pass2": {**asked}},
            "sft": _small_sft() if is_small else _sft(),
        }
    values["grpo"] = _small_grpo(num_rl) if is_small else _grpo(num_rl)
    # A folder by its whole path: the recipe may be read from elsewhere.
    is_folder = not is_bundled(base) and Path(base).is_dir()
    values["grpo" if teacher is None else "sft"]["model"]["base"] = (
        str(Path(base).resolve()) if is_folder else base
    )
    return {**values, "bench": bench}


def find_shape(base: str) -> ModelShape | None:
    """The model's sizes; None if only the hub knows them."""
    from rmr1.train import fit

    with suppress(ConfigError):
        return fit.find_shape(base)
    return None


def _count(data: str, form: Mapping[str, Any]) -> int:
    errors: list[DataError] = []
    pairs = read_pairs(data, on_error="skip", errors=errors, **form)
    counts = Counter(pair.label for pair in pairs)
    number = counts["A"] + counts["B"]
    if number >= FEWEST:
        return number
    told = f", {len(errors):,} rows cannot be read (the first: {errors[0]})" if errors else ""
    told += f", {counts[None]:,} have no label" if counts[None] else ""
    told += f", {counts['tie']:,} are ties" if counts["tie"] else ""
    hint = (
        ""
        if not errors and not counts[None]
        else (
            "; a label is A, B or tie, in the column label or the one that --map label=THEIRS names; "
            "--label 1=A,2=B says what other values mean"
        )
    )
    raise ConfigError(
        f"{data}: {number} pairs with a preferred answer{told}; expected at least {FEWEST}, some to learn from and "
        f"some to measure on{hint}"
    )


def _small_grpo(num_pairs: int) -> dict[str, Any]:
    """Settings of recipes/tiny-grpo.toml."""
    prompts = 96 if num_pairs >= 96 else 2 * (num_pairs // 2)
    return {
        "model": {"precision": "fp32"},
        "device": "cpu",
        "rollout": {"prompts": prompts, "samples": 8, "max_new_tokens": 320},
        "update": {"row_tokens": 8192},
        "objective": {"options": ["token-level", "no-std"], "beta": 0.0},
        "optim": {
            "lr": 1e-4,
            "betas": [0.9, 0.98],
            "weight_decay": 0.0,
            "warmup": 5,
            "steps": max(1, min(60, -(-num_pairs * 2 // prompts))),
            "epochs": 2,
        },
        "evaluation": {"every": 10},
        "checkpoint": {"every": 5},
    }


def _small_sft() -> dict[str, Any]:
    """The bundled judge's optimizer at a third of its rate."""
    return {
        "model": {"precision": "fp32"},
        "device": "cpu",
        "data": {"max_tokens": 2048, "held_out_share": 0.02},
        "batch": {"tokens": 8192, "row_tokens": 4096},
        "optim": {"name": "muon", "lr": 1e-3, "muon_lr": 1.3e-3, "warmup": 10, "epochs": 3},
    }


def _grpo(num_pairs: int) -> dict[str, Any]:
    """The paper's objective and rate; groups and rollouts that a few thousand pairs are enough for."""
    # Of few pairs half, because shares of prompts are shares of pairs only about.
    prompts = max(2, min(32, num_pairs // 2))
    while prompts < 1024 and 16 * prompts < num_pairs:
        prompts *= 2
    has_vllm = find_spec("vllm") is not None
    return {
        "model": {"precision": "bf16", "checkpointing": True},
        "rollout": {
            "engine": "vllm" if has_vllm else "transformers",
            "prompts": prompts,
            "samples": 8,
            "max_new_tokens": 4096,
        },
        "update": {"prompts": min(prompts, 128), "row_tokens": 32768},
        "optim": {"lr": 1e-6, "epochs": 1},
        "evaluation": {"every": 10},
        "checkpoint": {"every": 5},
    }


def _sft() -> dict[str, Any]:
    return {
        "model": {"precision": "bf16", "checkpointing": True},
        "data": {"max_tokens": 12288, "held_out_share": 0.02},
        "batch": {"examples": 64, "row_tokens": 12288},
        "optim": {"lr": 5e-6, "min_ratio": 0.1, "epochs": 1},
    }
