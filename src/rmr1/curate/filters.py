"""The filters that look at one pair alone, cheapest first. Each gives the reason why a pair goes, or None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from rmr1.curate.recipe import Bounds, FilterRecipe
from rmr1.messages import Messages
from rmr1.records import PreferencePair

Reason = Literal[
    "unreadable",
    "empty",
    "benchmark",
    "source",
    "subset",
    "unlabelled",
    "tie",
    "identical",
    "forbidden_text",
    "characters",
    "tokens",
    "language",
    "duplicate",
    "contradiction",
    "near_duplicate",
    "per_prompt",
    "not_sampled",
]
"""Why a pair is not in the result. A closed list; the first that applies, in this order, is the one that counts."""

REASONS: tuple[Reason, ...] = Reason.__args__  # type: ignore[attr-defined]

ABOUT: dict[Reason, str] = {
    "unreadable": "the row cannot be read",
    "empty": "a prompt or response is missing or white space",
    "benchmark": "the prompt overlaps with a benchmark's",
    "source": "left out by the name of its source",
    "subset": "left out by the name of its subset",
    "unlabelled": "no side is preferred",
    "tie": "the label is a tie",
    "identical": "both responses are the same",
    "forbidden_text": "a response holds a forbidden text",
    "characters": "too short or too long, in characters",
    "tokens": "too short or too long, in tokens",
    "language": "in another language",
    "duplicate": "the same pair is there already",
    "contradiction": "the same pair, or nearly the same, occurs with different labels; no copy stays",
    "near_duplicate": "nearly the same pair is there already",
    "per_prompt": "the prompt has enough pairs",
    "not_sampled": "left over when the sources were mixed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    reason: Reason
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of a pair's three texts, in characters or tokens."""

    prompt: int
    response_a: int
    response_b: int

    @property
    def pair(self) -> int:
        return self.prompt + self.response_a + self.response_b


def join_texts(messages: Messages) -> str:
    return "\n\n".join(message.text for message in messages)


def measure(pair: PreferencePair, count: Callable[[str], int]) -> Lengths:
    """The lengths by `count`; the messages of a side are joined by blank lines."""
    prompt, a, b = (count(join_texts(one)) for one in (pair.prompt, pair.response_a, pair.response_b))
    return Lengths(prompt=prompt, response_a=a, response_b=b)


def check_names(pair: PreferencePair, rules: FilterRecipe) -> Drop | None:
    """The reason to drop a pair by what its row calls its source and its subset."""
    checks: tuple[tuple[Reason, str | None, tuple[str, ...] | None, tuple[str, ...]], ...] = (
        ("source", pair.source, rules.keep_sources, rules.drop_sources),
        ("subset", pair.subset, rules.keep_subsets, rules.drop_subsets),
    )
    for reason, name, kept, dropped in checks:
        if _matches(name, dropped) or (kept is not None and not _matches(name, kept)):
            return Drop(reason=reason, detail=name)
    return None


def _matches(name: str | None, patterns: tuple[str, ...]) -> bool:
    return name is not None and any(fnmatchcase(name, pattern) for pattern in patterns)


def check_pair(pair: PreferencePair, rules: FilterRecipe) -> Drop | None:
    """The reason to drop a pair by its label and responses."""
    if pair.label is None and rules.unlabelled == "drop":
        return Drop(reason="unlabelled")
    if pair.label == "tie" and rules.ties == "drop":
        return Drop(reason="tie")
    if rules.identical == "drop" and _split(pair.response_a) == _split(pair.response_b):
        return Drop(reason="identical")
    for text in rules.forbid:
        for side, response in (("a", pair.response_a), ("b", pair.response_b)):
            if any(text in message.text for message in response):
                return Drop(reason="forbidden_text", detail=f"{text!r} in response_{side}")
    return None


def _split(side: Messages) -> list[tuple[str, list[str]]]:
    return [(one.role, one.text.split()) for one in side]


def check_lengths(
    unit: Literal["characters", "tokens"], lengths: Lengths, rules: FilterRecipe
) -> Drop | None:
    """The reason to drop a pair by its lengths in this unit."""
    for name in ("prompt", "response_a", "response_b", "pair"):
        allowed: Bounds | None = getattr(rules, f"{name.partition('_')[0]}_{unit}")
        length = getattr(lengths, name)
        if allowed is not None and length not in allowed:
            return Drop(reason=unit, detail=f"{name} has {length}")
    return None
