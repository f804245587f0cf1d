"""The reward terms that come with the package: one sample -> one number.

`verdict`      the paper's (arXiv 2505.02387, section 4.2; reference repository's reward): +1 where the label's
               `<answer>[[A]]</answer>` stands in the last 80 characters and the other side's does not, else -1
`parsed`       +1 where the default parser reads the label as the verdict, else -1
`consistency`  +1 where `verdict` is +1 for the sample and for its partner, which is the sample of the same
               number from the same pair in the other order, else -1
`format`       1 where the text has the whole form that its prompt asks for, else 0
`quotes`       share of its quotations of three words or more that stand in the answer they name; 0 without any
`rubric`       1 where the rubric's weights are well formed, or none is due, else 0
`overlong`     0 to -1: -1 for a text cut off at the token limit, and on the last tokens before it the way there
               (arXiv 2503.14476, equation 13)

`quotes` looks up as `rmr1.verdicts.grounding` does, but a quotation of nothing but short pieces joined by ellipses
counts as too short: such pieces are found in any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from rmr1.errors import ConfigError
from rmr1.records import RubricItem
from rmr1.rewards.samples import Judged
from rmr1.rewards.verdict import reward_text, reward_verdict
from rmr1.verdicts.grounding import is_grounded
from rmr1.verdicts.trace import read_outline

QUOTE_WORDS = 3
"""Shorter quotations are found in almost any text."""

_TOLERANCE = 0.005
"""How far the weights' sum may be from the whole: thirds are written as 33%."""

_ELLIPSIS = re.compile(r"\[?(?:\.{3,}|…)\]?")

_REASONING = "type /type solution /solution eval /eval answer /answer"
_CHAT = re.compile(r"type /type rubric (justify /justify )+/rubric eval /eval answer /answer")


def reward_tail(sample: Judged) -> float:
    """The paper's reward: +1 or -1."""
    return reward_text(sample.text, sample.label)


def reward_consistency(sample: Judged) -> float:
    """+1 if both orders are right, else -1."""
    if sample.partner is None:
        raise ConfigError(
            f"reward 'consistency': pair {sample.pair.id!r} was asked in one order; roll out both orders"
        )
    return min(reward_tail(sample), reward_tail(sample.partner))


def reward_format(sample: Judged) -> float:
    """1 or 0. A rubric prompt asks for its blocks, each once, closed, filled and in order; every prompt for
    closed thinking and a verdict with nothing after it."""
    verdict = sample.verdict
    if sample.is_cut or verdict.winner not in sample.prompt.labels:
        return 0.0
    if not sample.text.rstrip().endswith(f"<answer>[[{verdict.winner}]]</answer>"):
        return 0.0
    outline = read_outline(sample.text, sample.prompt.labels)
    tags = " ".join(
        ("/" if tag.is_closing else "") + (f"{tag.kind}_{tag.side}" if tag.side else tag.kind)
        for tag in outline.tags
        if tag.kind != "think"
    )
    if not sample.is_rubric_asked:
        return float(tags.count("answer /answer") == 1 and not outline.is_thinking_unclosed)
    trace = verdict.trace
    if trace.evaluation is None:
        return 0.0
    if trace.task_type == "reasoning":
        return float(tags == _REASONING and trace.solution is not None)
    is_chat = trace.task_type == "chat" and _CHAT.fullmatch(tags) is not None
    return float(is_chat and bool(trace.rubric) and trace.justification is not None)


def reward_quotes(sample: Judged) -> float:
    """In [0, 1]."""
    found = []
    for quote in sample.verdict.trace.quotes:
        if max(len(piece.split()) for piece in _ELLIPSIS.split(quote.text)) >= QUOTE_WORDS:
            response = "\n".join(message.text for message in sample.response(quote.side))
            found.append(is_grounded(quote.text, response))
    return sum(found) / len(found) if found else 0.0


def reward_rubric(sample: Judged) -> float:
    """1 or 0. Every criterion has a weight above 0 and together they are 100%; none is due in a task called
    Reasoning, or where the prompt asks for none, and one that is there must be well formed all the same."""
    trace = sample.verdict.trace
    if trace.rubric:
        return float(_is_whole(trace.rubric))
    return float(trace.task_type == "reasoning" or not sample.is_rubric_asked)


def build_overlong(max_new_tokens: int | None, buffer: int) -> Callable[[Judged], float]:
    """The term `overlong` for a token limit; its slope begins `buffer` tokens before the limit."""
    if buffer < 0 or (buffer and (max_new_tokens is None or buffer > max_new_tokens)):
        raise ConfigError(
            f"reward 'overlong': a buffer of {buffer} tokens with a limit of {max_new_tokens}; "
            "expected a buffer from 0 to the limit"
        )

    def reward_overlong(sample: Judged) -> float:
        if sample.is_cut:
            return -1.0
        if not buffer or max_new_tokens is None:
            return 0.0
        return -min(1.0, max(0.0, (sample.num_tokens - (max_new_tokens - buffer)) / buffer))

    return reward_overlong


TERMS: Mapping[str, Callable[[Judged], float]] = MappingProxyType(
    {
        "verdict": reward_tail,
        "parsed": lambda sample: reward_verdict(sample.verdict, sample.label),
        "consistency": reward_consistency,
        "format": reward_format,
        "quotes": reward_quotes,
        "rubric": reward_rubric,
    }
)
"""The terms without settings, by name."""


def _is_whole(rubric: tuple[RubricItem, ...]) -> bool:
    weights = [item.weight or 0.0 for item in rubric]
    if min(weights) <= 0.0:
        return False
    total = sum(weights)
    # Percentages are read as shares; "weight: 40" stays 40.
    whole = 1.0 if total < 50.0 else 100.0
    return abs(total / whole - 1.0) <= _TOLERANCE
