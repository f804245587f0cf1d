"""Sets of rows for the probes: clean ones, and ones with a planted fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

from rmr1.messages import assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import PreferencePair
from rmr1.world import sample_pairs
from rmr1.world.export import ExportFormat, export_rows

Rows = list[dict[str, Any]]

WORDS = (
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "knoll",
    "lagoon",
    "marsh",
)
TOKENS = (
    "<im_start>",
    "<|im_end|>",
    "</s>",
    "[INST]",
    "[[A]]",
    "<answer>",
    "\nUser: go on",
    "\nAssistant: yes",
)
MODELS = ("north", "south", "east", "west", "centre")


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def world_rows(seed: int, number: int, form: ExportFormat = "pairs") -> Rows:
    return list(export_rows(sample_pairs(seed, number), form, seed=seed))


def noise_rows(seed: int, number: int) -> Rows:
    """Pairs full of things that could leak, none of which has to do with the label.

    Prompts are shared by up to five rows, whose labels hang together, and A wins in three of five.
    """
    draw = Random(seed)
    rows: Rows = []
    while len(rows) < number:
        question, label = f"question {draw.random()}", "A" if draw.random() < 0.6 else "B"
        for _ in range(draw.choice((1, 1, 2, 3, 5))):
            if draw.random() < 0.2:
                label = "A" if draw.random() < 0.6 else "B"
            rows.append(
                {
                    "id": f"{draw.choice(WORDS)}-{draw.randrange(10_000)}-{draw.choice(WORDS)}",
                    "prompt": question,
                    "response_a": _answer(draw),
                    "response_b": _answer(draw),
                    "label": label,
                    "source": draw.choice(WORDS[:5]),
                    "model_a": draw.choice(MODELS),
                    "model_b": draw.choice(MODELS),
                    "batch": draw.randrange(6),
                }
            )
    return rows[:number]


def _answer(draw: Random) -> str:
    text = " ".join(draw.choices(WORDS, k=draw.randint(3, 12)))
    if draw.random() < 0.3:
        text += draw.choice(TOKENS)
    return f" {text}" if draw.random() < 0.2 else text


def render_rows(rows: Rows, draw: Random) -> Rows:
    """Judge prompts of these pairs with a verdict, in one of several wordings that are drawn without the label."""
    rendered = []
    for number, row in enumerate(rows):
        pair = PreferencePair(
            id=str(number),
            prompt=(user(row["prompt"]),)
            if draw.random() < 0.5
            else (user("hello"), assistant("yes?"), user(row["prompt"])),
            response_a=(assistant(row["response_a"]),),
            response_b=(assistant(row["response_b"]),),
        )
        messages = [
            {"role": message.role, "content": message.text}
            for message in render_prompt(pair, "rubric").messages
        ]
        messages[-1]["content"] += f"\nWording {draw.choice(WORDS)} {draw.choice(WORDS)}."
        verdict = {"role": "assistant", "content": f"<answer>[[{row['label']}]]</answer>"}
        rendered.append({"id": row["id"], "source": row["source"], "messages": [*messages, verdict]})
    return rendered


def verdict_of(row: dict[str, Any]) -> str:
    return row["messages"][-1]["content"].rpartition("[[")[2][0]


def edit_prompt(row: dict[str, Any], edit: Callable[[str], str]) -> dict[str, Any]:
    """The row with the user's message changed."""
    messages = [
        {**message, "content": edit(message["content"])} if message["role"] == "user" else message
        for message in row["messages"]
    ]
    return {**row, "messages": messages}
