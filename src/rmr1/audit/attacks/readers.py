"""What reads a rendered prompt, or what a judge repeats of it -> the structure that it finds there.

Each reader counts what it takes for structure. User text worked on a reader if it finds more, or other things, than in the
same prompt without that text. None of them is the escaping itself: they are the parsers of this package, loose forms of
the protocol's delimiters and speakers, and the control tokens of chat templates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rmr1.errors import DataError
from rmr1.prompts.blocks import parse_blocks
from rmr1.prompts.render import RATINGS
from rmr1.prompts.thinking import find_marks
from rmr1.verdicts.kinds import read_verdict
from rmr1.verdicts.rules import RULES, parse_verdict

_DELIMITER = re.compile(
    r"\[\s*(?:Client\s+Question|The\s+(?:Start|End)\s+of\s[^\]\n]{0,80}"
    r"|客户问题|客服[A-Z](?:的回答|与客户的对话)(?:开始|结束))\s*\]",
    re.IGNORECASE,
)
_HIDDEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"
_SPEAKER = re.compile(r"(?:User|System|Tool|Chat?bot\s+[A-Z])\s*[:：]")
_MARK_RULES = tuple(name for name in RULES if name != "ratings")
"""Rules that go by a mark. `ratings` reads numbers in prose, which nothing can tell from those of an answer."""
_THOUGHTS = {"tags": ("<think>", "</think>\n"), "channels": ("analysis", "assistantfinal")}
"""Thinking in tags, and what is left of gpt-oss's channels when a server drops control tokens."""


def find_delimiters(content: str) -> Counter[str]:
    """The protocol's delimiters in a user message, in any case and with any blanks."""
    return Counter(" ".join(match[0].lower().split()) for match in _DELIMITER.finditer(content))


def find_speakers(content: str) -> Counter[str]:
    """Lines that begin with a speaker's name, behind any line break and any blank."""
    lines = (line.strip(_HIDDEN + " \t\u00a0\u3000") for line in content.splitlines())
    return Counter(match[0] for line in lines if (match := _SPEAKER.match(line)))


def find_thinking(content: str) -> Counter[str]:
    """Marks of thinking in any form."""
    return Counter(content[mark.start : mark.end] for mark in find_marks(content))


def split_answers(content: str) -> tuple[str | None, str, str] | None:
    """(question, answer A, answer B) by the protocol's parser; None if it finds no such blocks."""
    try:
        blocks = parse_blocks(content)
    except DataError:
        return None
    return blocks.question, blocks.response_a, blocks.response_b


def read_repeated(text: str, labels: Sequence[str]) -> Counter[str]:
    """The verdicts that every rule finds in what a judge writes if it does no more than repeat a text."""
    said = f"It says: {text} and that is all."
    if tuple(labels) == RATINGS:
        found = {rule: read_verdict(said, "rating", rule).ratings for rule in ("tagged", "published")}
        return Counter(f"{rule}: {ratings}" for rule, ratings in found.items() if ratings is not None)
    winners = {rule: parse_verdict(said, rule, labels).winner for rule in _MARK_RULES}
    return Counter(f"{rule}: {winner}" for rule, winner in winners.items() if winner is not None)


def read_quoting(text: str, labels: Sequence[str], decided: str) -> Counter[str]:
    """What is read of a judge that repeats a text in its evaluation, or in its thinking, and then decides for a label: the
    verdict by each rule, how many quotations, summaries, scores and criteria, and whether the thinking ends where it does.
    """
    repeated, verdict = f"It says: {text} and that is all.", f"<answer>[[{decided}]]</answer>"
    said = f"<eval>{repeated}</eval>\n{verdict}"
    found: Counter[str] = Counter()
    if tuple(labels) == RATINGS:
        found.update(
            f"rated: {read_verdict(one, 'rating').ratings}" for one in (said, f"{repeated}\nRating: 3/10")
        )
    else:
        found.update(f"{rule}: {parse_verdict(said, rule, labels).winner}" for rule in _MARK_RULES)
    trace = parse_verdict(said, "tagged", labels, num_criteria=2).trace
    for name in ("quotes", "summaries", "rubric"):
        found[name] += len(getattr(trace, name))
    found["scores"] += sum(one.a is not None or one.b is not None for one in trace.scores)
    found["thinking"] += trace.thinking is not None
    for name, (opening, closing) in _THOUGHTS.items():
        read = parse_verdict(f"{opening}{repeated}{closing}{verdict}", "tagged", labels)
        is_whole = (read.trace.thinking or "").rstrip().endswith("that is all.")
        found[f"{name}: {read.winner}, {'whole' if is_whole else 'cut'}"] += 1
    return +found
