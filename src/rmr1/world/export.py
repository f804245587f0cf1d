"""World items as rows of JSON: labelled pairs, or conversations to fine-tune a judge on.

pairs     {"id", "prompt", "response_a", "response_b", "label", "source", "subset"}: rmr1's own form; every
          prompt is a list of messages, since some questions follow a conversation
messages  {"id", "subset", "messages": [system, user, assistant]}: the `rubric` family's prompt, and a teacher's judgment
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from rmr1.messages import Messages
from rmr1.prompts import render_prompt
from rmr1.world.items import WorldItem
from rmr1.world.teacher import WorldTeacher, teacher_trace

ExportFormat = Literal["pairs", "messages"]
FORMATS: tuple[ExportFormat, ...] = ("pairs", "messages")

FAMILY = "rubric"
"""The prompt family that the teachers write for."""


def pair_row(item: WorldItem) -> dict[str, Any]:
    """A labelled pair."""
    pair = item.pair
    return {
        "id": pair.id,
        "prompt": _dump_messages(pair.prompt),
        "response_a": pair.response_a[0].text,
        "response_b": pair.response_b[0].text,
        "label": pair.label,
        "source": pair.source,
        "subset": pair.subset,
    }


def messages_row(item: WorldItem, teacher: WorldTeacher = "oracle", seed: int = 0) -> dict[str, Any]:
    """A judge prompt with a teacher's judgment; `seed` is the fallible teacher's."""
    prompt = render_prompt(item.pair, FAMILY)
    judgment = {"role": "assistant", "content": teacher_trace(item, teacher, seed)}
    messages = [*_dump_messages(prompt.messages), judgment]
    return {"id": item.pair.id, "subset": item.pair.subset, "messages": messages}


def export_rows(
    items: Iterable[WorldItem], form: ExportFormat, *, teacher: WorldTeacher = "oracle", seed: int = 0
) -> Iterator[dict[str, Any]]:
    """One row per item, as it comes."""
    for item in items:
        yield pair_row(item) if form == "pairs" else messages_row(item, teacher, seed)


def _dump_messages(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in messages]
