"""Whether the models that a pipeline names can do what it wants of them, told before the first stage.

Folders are looked at, the hub is not asked: of a model's name there only the form is checked, more strictly than by the
single commands, because a mistyped folder would be found only when its stage begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmr1.curate.measures import count_tokens
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.engines.folders import read_stated_context
from rmr1.errors import ConfigError
from rmr1.models import is_bundled, resolve_model
from rmr1.named import find_missing_model
from rmr1.prompts import load_family
from rmr1.settings import LATER, Mistakes, Place
from rmr1.train.grpo.recipe import GrpoRecipe

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def check_models(recipes: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Note names that are none of a model, a teacher that cannot be asked, and a base without room for the prompt."""
    for stage in ("sft", "grpo"):
        if stage in recipes:
            check_name(recipes[stage].model.base, (stage, "model", "base"), mistakes)
    if "grpo" in recipes:
        with mistakes.catch(("grpo", "model", "base")):
            _check_context(recipes["grpo"])
    if "distill" in recipes:
        distill: DistillRecipe = recipes["distill"]
        for number, one in enumerate(distill.passes, 1):
            place = ("distill", f"pass{number}", "teacher")
            with mistakes.catch(place), placed(place):
                find_teacher(one)
            if ":" not in one.teacher:
                check_name(one.teacher, place, mistakes)


def check_name(name: str | None, place: Place, mistakes: Mistakes) -> None:
    """Note one that is no folder, nor as the hub's are; what is wrong with a folder was told already."""
    if name is None or LATER in name or find_missing_model(name) is not None:
        return
    if not (is_bundled(name) or Path(name).is_dir() or _HUB_NAME.fullmatch(name)):
        told = f"{name!r} is neither a folder nor a model of the hub (ORG/NAME)"
        mistakes.add(f"{'.'.join(place)}: {told}", place)


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """Say of a complaint where the file says what it is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{'.'.join(place)}: {error}") from None


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
