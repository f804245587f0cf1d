"""A question about an input, with options of which one is to be chosen: what decision endpoints are asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from string import ascii_uppercase

from rmr1.messages import Message, Messages, user
from rmr1.prompts.escape import escape
from rmr1.prompts.render import render_transcript

FAMILY = "question"
MOST_OPTIONS = len(ascii_uppercase)

_FIELD = re.compile(r"\{(input|question|options)\}")


def name_options(number: int) -> tuple[str, ...]:
    """The letters of so many options."""
    return tuple(ascii_uppercase[:number])


def render_choice(
    input: Messages, question: str, options: Sequence[str], *, special_tokens: tuple[str, ...] = ()
) -> Messages:
    """The messages that ask it; what the input and the options say is made harmless as in every prompt.

    Args:
        input: a text alone is shown as it is, a conversation as a transcript.
        options: at most `MOST_OPTIONS`.
    """
    lone = len(input) == 1 and input[0].role == "user"
    shown = escape(input[0].text, special_tokens) if lone else render_transcript(input, "A", special_tokens)
    lines = [
        f"{letter}. {escape(text, special_tokens)}"
        for letter, text in zip(name_options(len(options)), options, strict=True)
    ]
    values = {
        "input": shown,
        "question": escape(question, special_tokens),
        "options": "\n".join(lines),
    }
    folder = files("rmr1.prompts") / "question"
    system, template = (
        (folder / name).read_text(encoding="utf-8").strip() for name in ("system.txt", "user.txt")
    )
    return (
        Message(role="system", content=system),
        user(_FIELD.sub(lambda field: values[field[1]], template)),
    )
