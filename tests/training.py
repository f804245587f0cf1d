"""Judgments to train on and small recipes, for the tests of training."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from rmr1.messages import assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import PreferencePair

WORDS = ("red", "green", "blue", "stone", "river", "paper", "light", "seven", "nine", "quick")


def make_rows(number: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Prompts by the renderer, and judgments for the answer that comes later in the alphabet."""
    draw = Random(seed)
    rows = []
    for index in range(number):
        question, a, b = (" ".join(draw.choices(WORDS, k=draw.randint(1, 7))) for _ in range(3))
        pair = PreferencePair(
            id=str(index), prompt=(user(question),), response_a=(assistant(a),), response_b=(assistant(b),)
        )
        winner = "A" if a > b else "B"
        judgment = (
            f"<type>Chat</type>\n<eval><quote_{winner}>{a if winner == 'A' else b}</quote_{winner}> is better."
            f"</eval>\n<answer>[[{winner}]]</answer>"
        )
        messages = [
            {"role": message.role, "content": message.text} for message in render_prompt(pair).messages
        ]
        rows.append({"messages": [*messages, {"role": "assistant", "content": judgment}]})
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def small_recipe(train: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    """From scratch, a dozen steps, a second or two; `sections` are laid over it."""
    recipe: dict[str, Any] = {
        "device": "cpu",
        "model": {
            "from_scratch": {
                "hidden_size": 32,
                "layers": 2,
                "heads": 4,
                "kv_heads": 2,
                "intermediate_size": 48,
                "context": 512,
                "tokenizer": {"vocabulary": 500},
            }
        },
        "data": {"train": str(train), "max_tokens": 512},
        "batch": {"examples": 8, "row_tokens": 256},
        "optim": {"name": "muon", "lr": 3e-3, "muon_lr": 4e-3, "warmup": 2, "epochs": 2},
        "checkpoint": {"every": 2, "keep": 2},
    }
    for name, values in sections.items():
        recipe[name] = {**recipe.get(name, {}), **values}
    return recipe


def write_recipe(path: Path, values: dict[str, Any]) -> Path:
    """As TOML."""
    lines: list[str] = []

    def write(table: dict[str, Any], name: str) -> None:
        if name:
            lines.append(f"[{name}]")
        lines.extend(
            f"{_toml(key)} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)
        )
        for key, value in table.items():
            if isinstance(value, dict):
                write(value, f"{name}.{key}" if name else key)

    write(values, "")
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: Any) -> str:
    return json.dumps(value)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Take back at the end what accelerate keeps for the whole process once TRL's trainers have run."""
    from accelerate.state import AcceleratorState

    is_first = not AcceleratorState._shared_state
    try:
        yield
    finally:
        if is_first:
            AcceleratorState._reset_state(reset_partial_state=True)
