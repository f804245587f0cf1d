r"""Whole conversations that repeat their prompt: message lists and transcripts -> prompt and answers.

The prompt is the longest common beginning that ends before an answer; a response is several messages if the
conversations part early.

    [user 1, assistant 1, user 2, assistant 2]          prompt: user 1, assistant 1, user 2
    [user 1, assistant 1, user 2, assistant 2']         responses: assistant 2 | assistant 2'
"""

from __future__ import annotations

import re

from rmr1.data.sources.reader import is_blank
from rmr1.data.sources.values import shorten
from rmr1.errors import DataError
from rmr1.messages import Messages, assistant, user

_ANSWERS = ("assistant", "tool")

_MARKERS = (
    re.compile(r"(?:^|\n\n)(Human|Assistant):"),
    re.compile(r"(?:^|\n)## (Human|Assistant):"),
)
"""How HH-RLHF and WebGPT (as DSP publishes it) name the speakers of a transcript."""


def split_conversations(
    first: Messages, second: Messages, names: tuple[str, str]
) -> tuple[Messages, Messages, Messages]:
    """Prompt, first response, second response; none of them may be empty."""
    shortest = min(len(first), len(second))
    shared = 0
    while shared < shortest and first[shared] == second[shared]:
        shared += 1
    if shared < shortest:
        if first[shared].role not in _ANSWERS or second[shared].role not in _ANSWERS:
            raise DataError(f"the prompts of {names[0]} and {names[1]} differ")
    else:
        # One is the beginning of the other: the last answer that both have is where they part.
        shared -= 1
        while shared >= 0 and first[shared].role not in _ANSWERS:
            shared -= 1
        if shared < 0:
            raise DataError(f"{(names[0] if len(first) == shortest else names[1])!r} has no answer")
    parts = first[:shared], first[shared:], second[shared:]
    where = f"the prompt in {names[0]!r}", f"the answer in {names[0]!r}", f"the answer in {names[1]!r}"
    for messages, place in zip(parts, where, strict=True):
        if is_blank(messages):
            raise DataError(f"{place} is empty")
    return parts


def parse_dialogue(text: str, name: str) -> Messages:
    r"""The turns of `\n\nHuman: ...\n\nAssistant: ...` or `## Human:\n...\n\n## Assistant:\n...`.

    White space around a turn is left out. Two turns of one speaker stay two messages.
    """
    for marker in _MARKERS:
        before, *parts = marker.split(text)
        if parts and not before.strip():
            return tuple(
                (user if speaker == "Human" else assistant)(said.strip())
                for speaker, said in zip(parts[::2], parts[1::2], strict=True)
            )
    raise DataError(
        f"{name!r} is no transcript: it begins with {shorten(text[:40])}, expected 'Human:'; plain answers need a column 'prompt'"
    )
