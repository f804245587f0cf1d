"""Whether curation left each later stage enough pairs, told as soon as it is known: what follows may take days.

Shares are of prompts, and similar prompts stay together, so few or templated ones can leave a split without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.errors import ConfigError, RunError
from rmr1.store.kinds import CURATION_FILE
from rmr1.store.replace import read_json

LEAST_ASIDE = 2
"""Prompts of a split that is measured on: with one, all its pairs are right or wrong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNeed:
    """What a stage needs of a split at least."""

    split: str
    stage: str
    pairs: int = 1
    prompts: int = 1


def require_splits(folder: Path, *, needs: Sequence[SplitNeed]) -> None:
    """
    Raises:
        ConfigError: a split of the finished curation is too small. RunError: its description is damaged.
    """
    path = folder / CURATION_FILE
    try:
        described = read_json(path)
        counts, recipe = described["counts"], described["recipe"]
    except (RunError, KeyError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete {folder} to curate anew") from None
    for need in needs:
        pairs, prompts = (counts["splits"][need.split][name] for name in ("pairs", "prompts"))
        if pairs >= need.pairs and prompts >= need.prompts:
            continue
        least = f"{need.pairs:,} pairs" if pairs < need.pairs else f"{need.prompts} prompts"
        raise ConfigError(
            f"{folder}: split {need.split} has {pairs:,} pairs of {prompts:,} prompts, and stage {need.stage} needs at "
            f"least {least}; {_describe_whole(counts)}; {_advise(need, counts, recipe)}"
        )


def _describe_whole(counts: dict[str, Any]) -> str:
    prompts, groups = counts["prompt_groups"]["prompts"], counts["prompt_groups"]["groups"]
    similar = f" in {groups:,} groups of similar ones" if groups < prompts else ""
    return f"the {counts['kept']:,} pairs have {prompts:,} distinct prompts{similar}, and prompts are what is split"


def _advise(need: SplitNeed, counts: dict[str, Any], recipe: dict[str, Any]) -> str:
    found = ["add pairs with other prompts"]
    if recipe["splits"].get(need.split) != "rest":
        found.append(f"give the split a larger share (--set curate.splits.{need.split}=SHARE)")
    if counts["prompt_groups"]["groups"] < counts["prompt_groups"]["prompts"]:
        found.append(
            f"raise curate.duplicates.prompts, now {recipe['duplicates']['prompts']:g}, where prompts are alike only by "
            "their template (0 keeps none together but equal ones)"
        )
    return ", or ".join(found)
