"""Pairs and recipes for the tests of distillation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rmr1.distill.recipe import DistillRecipe

GOOD = (
    "<type>Chat</type>\n<rubric>\n1. Helpful (100%)\n<justify>It matters.</justify>\n</rubric>\n"
    "<eval><quote_A>{a}</quote_A> <quote_B>{b}</quote_B> {words}</eval>\n<answer>[[{winner}]]</answer>"
)
QUOTES = ("the first answer is about roses", "the second answer is about tulips")


def good_text(winner: str, *, order: str = "given", words: str = "One is better.") -> str:
    """A judgment that passes every check; `winner` is a label of the prompt."""
    a, b = QUOTES if order == "given" else QUOTES[::-1]
    return GOOD.format(a=a, b=b, winner=winner, words=words)


def write_pairs(path: Path, labels: str = "ABAB", **fields: Any) -> Path:
    """Pairs p0, p1, ... with these labels; "-" is none, "t" a tie."""
    with path.open("w") as file:
        for number, label in enumerate(labels):
            row = {
                "id": f"p{number}",
                "prompt": f"Question {number}?",
                "response_a": f"Here {QUOTES[0]} {number}.",
                "response_b": f"Here {QUOTES[1]} {number}.",
                "label": {"-": None, "t": "tie"}.get(label, label),
                **fields,
            }
            file.write(json.dumps(row) + "\n")
    return path


def make_recipe(path: Path | str, /, **values: Any) -> DistillRecipe:
    """Answers as they stand, scripted teachers."""
    base: dict[str, Any] = {
        "data": {"train": str(path), "order": "given", **values.pop("data", {})},
        "pass1": {"teacher": "scripted:one", **values.pop("pass1", {})},
        "pass2": {"teacher": "scripted:two", **values.pop("pass2", {})},
    }
    return DistillRecipe.from_values({**base, **values}, "test")
