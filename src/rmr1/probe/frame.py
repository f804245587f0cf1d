"""The frame of a rendered judge prompt: what is left of it when question and answers are taken out.

Delimiters, speaker names, instructions, white space: all of it should be the same whoever wins. The reference's
rendering misspelt the second speaker ("Chabot B") exactly when A was preferred.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise

from rmr1.errors import DataError
from rmr1.messages import Messages
from rmr1.prompts.blocks import Blocks, parse_blocks
from rmr1.prompts.protocol import DIALECTS

_LINE_NAME = re.compile(r"^[ \t]*([^\W\d_][^\n:：]{0,30}?)[ \t]*[:：]", re.M)
_NAMES = ("User", "Human", "Client", "System", "Tool", "Assistant", *(f"Chatbot {label}" for label in "ABCD"))
_DELIMITERS = tuple(
    delimiter
    for dialect in DIALECTS
    for label in "AB"
    for delimiter in (dialect.question, *dialect.response(label), *dialect.conversation(label))
)
_BRACKETS = re.compile(r"^[ \t]*\[[^\]\n]{2,90}\][ \t]*$", re.M)
_SHOWN = 70


def frame_features(rendered: Messages) -> tuple[str, ...]:
    """What can be said of the frame: roles, speakers, lines, words, pairs of words, the whole."""
    return _features(tuple((message.role, _skeleton(message.role, message.text)) for message in rendered))


def _skeleton(role: str, text: str) -> str:
    if role != "user":
        return text
    try:
        blocks = parse_blocks(text)
    except DataError:
        return _rough_skeleton(text)
    return _cut_out(text, blocks)


def _cut_out(text: str, blocks: Blocks) -> str:
    parts = [] if blocks.question is None else [("‹question›", blocks.question)]
    parts += [("‹A›", blocks.response_a), ("‹B›", blocks.response_b)]
    written, place = [], len(blocks.prefix)
    written.append(blocks.prefix)
    for mark, part in parts:
        start = text.find(f"\n{part}\n", place)
        start = text.find(part, place) if start < 0 else start + 1
        if part is blocks.question:
            # White space at the ends of an answer is looked at side by side, in a field of its own.
            mark = part[: len(part) - len(part.lstrip())] + mark + part[len(part.rstrip()) :]
        spelt = [line for line in _ends(part) if _is_delimiter(line)]
        if spelt:
            # A delimiter that is misspelt was not taken for one, and stands in the part beside it.
            mark = "\n".join([mark, *spelt])
        if blocks.is_conversation:
            # How often the speakers take turns is the conversation's, how they are spelt is the frame's.
            mark = "\n".join([mark, *(f"{name}: in {mark}" for name in _speakers(part))])
        written += [text[place:start], mark]
        place = start + len(part)
    written.append(text[place:])
    return "".join(written)


def _ends(text: str) -> tuple[str, ...]:
    lines = text.strip().splitlines()
    return tuple(dict.fromkeys(line.strip() for line in (*lines[:1], *lines[-1:])))


@lru_cache(maxsize=4096)
def _is_delimiter(line: str) -> bool:
    if not 6 <= len(line) <= 90 or not (line[0] in "[［(【" or line[-1] in "]］)】"):
        return False
    return any(SequenceMatcher(None, known, line).ratio() >= 0.8 for known in _DELIMITERS)


def _rough_skeleton(text: str) -> str:
    """The frame of a prompt in a form of its own: lines in brackets, speakers' names, the first line and the last."""
    lines = text.strip().splitlines() or [""]
    kept = [line.strip() for line in _BRACKETS.findall(text)]
    ends = [line[:200] for line in (lines[0], lines[-1])]
    return "\n".join(["‹not the protocol's form›", *kept, *(f"{name}:" for name in _speakers(text)), *ends])


def _speakers(text: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(match[1] for match in _LINE_NAME.finditer(text) if _is_speaker(match[1].strip()))
    )


@lru_cache(maxsize=65536)
def _is_speaker(name: str) -> bool:
    if name in _NAMES:
        return True
    return not name.lower().endswith("s") and any(
        abs(len(known) - len(name)) <= 2 and SequenceMatcher(None, known, name).ratio() >= 0.75
        for known in _NAMES
    )


@lru_cache(maxsize=64)
def _features(skeletons: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    roles = " ".join(role for role, _ in skeletons)
    found: dict[str, None] = {f"roles {roles}": None}
    for role, skeleton in skeletons:
        lines = [line for line in skeleton.splitlines() if line.strip()]
        words = skeleton.split()
        found.update(dict.fromkeys(f"line {_short(line)!r}" for line in lines))
        found.update(dict.fromkeys(f"word {_short(word)!r}" for word in words))
        found.update(dict.fromkeys(f"words {_short(f'{one} {two}')!r}" for one, two in pairwise(words)))
        for gap in sorted(set(re.findall(r"\n{2,}|[ \t]+\n|\n[ \t]+|[ \t]{2,}", skeleton))):
            found[f"white space {gap!r} in the {role} message"] = None
    return tuple(found)


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 20]}…{text[-19:]}"


def excerpt_of_feature(rendered: Messages, feature: str) -> str:
    """A place in the prompt where the feature's text stands."""
    found = re.match(r"(?:line|words?) (['\"])(.*)\1", feature)
    wanted = found[2].split(" in ‹")[0].split("…")[0] if found else ""
    for message in rendered:
        place = message.text.find(wanted) if wanted else -1
        if place >= 0:
            start, end = max(0, place - 20), min(len(message.text), place + len(wanted) + 40)
            return " ".join(message.text[start:end].split())
    return ""
