"""A recipe for one's own labelled pairs and one model: `rmr1 train pairs.csv --base MODEL`.

Without a teacher: curate, reinforce the base, measure it before and after on pairs that were kept aside. With
one: curate, distil, fine-tune, reinforce, measure. The settings are the paper's where the model is of its kind;
a model of some million parameters gets those that the bundled judge was trained with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rmr1.data.read import read_pairs
from rmr1.errors import ConfigError, DataError
from rmr1.forecast.shape import ModelShape
from rmr1.models import is_bundled

SMALL = 100_000_000
"""Parameters below which a model is trained as the bundled judge was."""
FEWEST = 50
"""Pairs that can be split into some to learn from and some to measure on."""
HELD_OUT, LOOKS, DISTILL = 0.1, 0.1, 0.3
"""Shares of the prompts; few pairs need larger ones than the paper's."""

_MOST_HELD_OUT, _MOST_LOOKS = 2000, 256


def plan_own(
    data: str,
    base: str,
    *,
    teacher: str | None = None,
    seed: int = 0,
    **form: Any,
) -> dict[str, Any]:
    """The values of a pipeline's recipe; `form` says how the pairs are read, by arguments of `rmr1.read_pairs`.

    Raises:
        ConfigError: there are too few pairs. DataError: they cannot be read.
        CheckpointError: the base cannot be read.
    """
    num_pairs = _count(data, form)
    shape = find_shape(base)
    is_small = shape is not None and shape.parameters() < SMALL
    source: dict[str, Any] = {"data": str(Path(data).resolve()) if Path(data).exists() else data}
    for name, key in (("columns", "columns"), ("format", "format"), ("labels", "label")):
        if form.get(name):
            source[key] = form[name]
    held_out = min(HELD_OUT, _MOST_HELD_OUT / num_pairs)
    looks = min(LOOKS, _MOST_LOOKS / num_pairs)
    splits: dict[str, Any] = {"held_out": held_out, "looks": looks, "rl": "rest"}
    if teacher is not None:
        splits = {"distill": DISTILL, **splits}
    num_rl = round(num_pairs * (1 - held_out - looks - (0 if teacher is None else DISTILL)))
    bench: dict[str, Any] = {"benchmarks": ["pairs"], "baseline": base}
    if is_small:
        bench["judge"] = {"sampling": {"max_new_tokens": 512}}
    values: dict[str, Any] = {
        "seed": seed,
        # Prompts from one template are alike; only nearly the same ones must stay together.
        "curate": {"sources": {"pairs": source}, "splits": splits, "duplicates": {"prompts": 0.9}},
        "grpo": _small_grpo(num_rl) if is_small else _grpo(base, num_rl),
        "bench": bench,
    }
    if teacher is None:
        values["grpo"]["model"]["base"] = _name(base)
        return values
    tokens = 512 if is_small else 4096
    values["distill"] = {
        "pass1": {"teacher": teacher, "max_new_tokens": tokens},
        "pass2": {"teacher": teacher, "max_new_tokens": tokens},
    }
    values["sft"] = _small_sft() if is_small else _sft()
    values["sft"]["model"]["base"] = _name(base)
    order = ("seed", "curate", "distill", "sft", "grpo", "bench")
    return {name: values[name] for name in order}


def find_shape(base: str) -> ModelShape | None:
    """The model's sizes; None if only the hub knows them.

    Raises:
        CheckpointError: a folder holds no model.
    """
    from rmr1.train import fit

    try:
        return fit.find_shape(base)
    except ConfigError:
        return None


def _name(base: str) -> str:
    """A folder by its whole path: the recipe may be read from elsewhere."""
    return str(Path(base).resolve()) if not is_bundled(base) and Path(base).is_dir() else base


def _count(data: str, form: Mapping[str, Any]) -> int:
    errors: list[DataError] = []
    pairs = read_pairs(data, on_error="skip", errors=errors, **form)
    counts = Counter(pair.label for pair in pairs)
    number = counts["A"] + counts["B"]
    if number >= FEWEST:
        return number
    others = [
        f"{count:,} {what}"
        for count, what in (
            (len(errors), f"rows cannot be read (the first: {errors[0]})" if errors else ""),
            (counts[None], "have no label"),
            (counts["tie"], "are ties"),
        )
        if count
    ]
    told = f", {', '.join(others)}" if others else ""
    labels = (
        "A, B or tie, in the column label or the one that --map label=THEIRS names; "
        "--label 1=A,2=B says what other values mean"
    )
    hint = f"; a label is {labels}" if errors or counts[None] else ""
    raise ConfigError(
        f"{data}: {number} pairs with a preferred answer{told}; expected at least {FEWEST}, some to learn from and "
        f"some to measure on{hint}"
    )


def _steps(num_pairs: int, prompts: int, *, epochs: int, most: int) -> int:
    return max(1, min(most, -(-num_pairs * epochs // prompts)))


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
            "steps": _steps(num_pairs, prompts, epochs=2, most=60),
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


def _grpo(base: str, num_pairs: int) -> dict[str, Any]:
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
    """Settings of the paper's supervised stage."""
    return {
        "model": {"precision": "bf16", "checkpointing": True},
        "data": {"max_tokens": 12288, "held_out_share": 0.02},
        "batch": {"examples": 64, "row_tokens": 12288},
        "optim": {"lr": 5e-6, "min_ratio": 0.1, "epochs": 1},
    }
