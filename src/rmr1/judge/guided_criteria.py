"""The evaluation of a guided text by given criteria: a part for each of them, and the line of its scores."""

from __future__ import annotations

import re
from collections.abc import Generator

from rmr1.engines.base import Request
from rmr1.judge.guided_text import GAP, GrowingText, Guide, close_open
from rmr1.prompts.protocol import SCORE_TAG
from rmr1.records import Generation, JudgePrompt

SCORE_TOKENS = 6
"""Most tokens of a score."""

_SCORE = re.compile(r"\s*(10|[1-9](?:\.\d{1,2})?)(?![\d.])")


def write_criteria(
    text: GrowingText, prompt: JudgePrompt, guide: Guide
) -> Generator[Request, Generation, bool]:
    """The evaluation: a part for each criterion, and behind it the line of its scores."""
    text.text += "<eval>\n"
    for number in range(1, prompt.num_criteria + 1):
        tag, start = f"{SCORE_TAG}_{number}", len(text.text)
        if guide.part_tokens:
            text.text += f"{number}."
            stop = [f"<{tag}>", "</eval>", "<answer>"]
            if not (yield from text.write(stop, guide.part_tokens)):
                return False
            inside = text.text[start:]
            for mark in stop:
                inside = inside.removesuffix(mark)
            text.text = text.text[:start] + close_open(inside.rstrip(), guide.thinking) + "\n"
        text.text += f"<{tag}>"
        for label, behind in zip(prompt.labels, (", ", f"</{tag}>\n"), strict=True):
            text.text += f"{label}:"
            if not (yield from _write_score(text)):
                return False
            text.text += behind
    text.text += f"</eval>{GAP}"
    return True


def _write_score(text: GrowingText) -> Generator[Request, Generation, bool]:
    """A number that the model writes; if it writes none, the likeliest of those with one digit."""
    start = len(text.text)
    if not (yield from text.write([",", "<", "\n"], SCORE_TOKENS)):
        return False
    found = _SCORE.match(text.text, start)
    text.text = text.text[:start]
    if found is not None:
        text.text += f" {found[1]}"
        return True
    return (yield from text.choose([f" {number}" for number in range(1, 10)]))
