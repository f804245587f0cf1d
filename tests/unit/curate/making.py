"""Made-up pairs on disk, and recipes over them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rmr1.curate.recipe import CurateRecipe

WORDS = [
    f"{first}{second}"
    for first in ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu")
    for second in ("nar", "pel", "rin", "sov", "tun", "vak", "wes", "xil", "zom", "qu")
]


def sentence(draw: random.Random, number: int) -> str:
    return " ".join(draw.choices(WORDS, k=number))


def make_pair(draw: random.Random, **about: Any) -> dict[str, Any]:
    """A labelled pair of random words; two of them are never alike."""
    return {
        "prompt": sentence(draw, 20),
        "response_a": sentence(draw, 30),
        "response_b": sentence(draw, 30),
        "label": draw.choice("AB"),
        **about,
    }


def make_pairs(number: int, *, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [make_pair(draw, id=f"p{seed}-{index}") for index in range(number)]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    """A JSONL file; a text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def recipe_of(sources: Mapping[str, Any], **values: Any) -> CurateRecipe:
    """A recipe over files or tables."""
    tables = {
        name: dict(one) if isinstance(one, Mapping) else {"data": str(one)} for name, one in sources.items()
    }
    return CurateRecipe.from_values({"sources": tables, **values}, "recipe.toml")
