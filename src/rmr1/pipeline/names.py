"""Whether the models that a pipeline names can do what it wants of them, told before the first stage.

Folders are looked at, the hub is not asked: of a model's name there only the form is checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.curate.measures import count_tokens
from rmr1.distill.recipe import DistillRecipe, PassRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.engines import ModelName, is_scorer, load_engine, parse_model_name
from rmr1.engines.folders import read_stated_context
from rmr1.errors import CheckpointError, ConfigError
from rmr1.models import is_bundled, resolve_model
from rmr1.named import find_missing_base, find_missing_model
from rmr1.pipeline.stages import HERE
from rmr1.prompts import load_family
from rmr1.settings import Mistakes
from rmr1.train.grpo.recipe import GrpoRecipe

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def check_models(recipes: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Note a base that cannot be trained or has no room for the prompt, and a teacher that cannot be asked."""
    for stage in ("sft", "grpo"):
        if stage not in recipes:
            continue
        base = recipes[stage].model.base
        if base is not None and HERE not in base:
            with mistakes.catch((stage, "model", "base")):
                _check_base(base, f"{stage}.model.base")
    if "grpo" in recipes:
        with mistakes.catch(("grpo", "model", "base")):
            _check_context(recipes["grpo"])
    if "distill" in recipes:
        distill: DistillRecipe = recipes["distill"]
        for number, one in enumerate(distill.passes, 1):
            with mistakes.catch(("distill", f"pass{number}", "teacher")):
                _check_teacher(one, f"distill.pass{number}.teacher")


def _check_base(base: str, place: str) -> None:
    if Path(base).is_dir() and (fault := find_missing_model(base)) is not None:
        raise CheckpointError(f"{place}: {fault}")
    if (fault := find_missing_base(base)) is not None:
        raise ConfigError(f"{place}: {fault}")
    check_name(base, place)


def _check_context(recipe: GrpoRecipe) -> None:
    """Whether a base in a folder has room for a prompt without question and answers; its tokenizer is read.

    Raises:
        ConfigError: it has none.
    """
    base, family = recipe.model.base, recipe.data.family
    context = read_stated_context(base)
    if base is None or context is None:
        return
    asked = load_family(family)
    text = f"{asked.system or ''}{asked.single}"
    if context > len(text.encode()):  # a token has a byte at least
        return
    length = count_tokens(Path(resolve_model(base)).expanduser(), text)
    if length >= context:
        raise ConfigError(
            f"grpo.model.base: {base} reads {context:,} tokens at most, and the prompt {family!r} alone has {length:,}; "
            "choose another base, or a shorter family with grpo.data.family"
        )


def _check_teacher(recipe: PassRecipe, place: str) -> None:
    teacher = recipe.teacher
    try:
        if find_teacher(recipe).served is None and parse_model_name(teacher).scheme in ("scripted", "replay"):
            load_engine(teacher)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
    if ":" not in teacher:
        check_name(teacher, place)
        if Path(teacher).is_dir() and is_scorer(teacher):
            raise ConfigError(f"{place}: {teacher} is a scalar reward model: it writes no judgments")


def check_name(name: str, place: str) -> None:
    """
    Raises:
        ConfigError: it names no model that could lie on this machine or on the hub.
    """
    _parse(name, place)
    if not Path(name).exists() and (fault := find_missing_model(name)) is not None:
        raise ConfigError(f"{place}: {fault}")
    if not (is_bundled(name) or Path(name).is_dir() or _HUB_NAME.fullmatch(name)):
        raise ConfigError(f"{place}: {name!r} is neither a folder nor a model of the hub (ORG/NAME)")


def _parse(name: str, place: str) -> ModelName:
    try:
        return parse_model_name(name)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
