"""What can be measured of an answer without understanding it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import log1p
from typing import Any

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
"""A run of letters and digits; in scripts without spaces every character."""
_HEADING = re.compile(r"^ {0,3}#{1,6} \S", re.M)
_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.M)
_BOLD = re.compile(r"\*\*(?=\S)[^*\n]{1,200}(?<=\S)\*\*|(?<!\w)__(?=\S)[^_\n]{1,200}(?<=\S)__(?!\w)")
_CODE = re.compile(r"^[ \t]*(?:```|~~~)|(?<!`)`[^`\n]{1,200}`(?!`)", re.M)
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am)(?: really| very| so)? sorry|I (?:apologi[sz]e|regret)|my apologies"
    r"|I (?:can(?:no|')t|can not|won't|will not|am (?:not able|unable) to|'?m (?:not able|unable) to"
    r"|must (?:decline|refuse)|do not feel comfortable|don't feel comfortable)"
    r"|I(?:'m| am) (?:unable|not able|not comfortable)|as an AI\b"
    r"|cannot (?:assist|help|provide|fulfill|comply)|can't (?:assist|help|provide|fulfill|comply))"
    r"|抱歉|对不起|无法(?:提供|帮助|回答)|不能(?:提供|帮助|回答)",
    re.I,
)
_REFUSED_WITHIN = 200
"""Characters from the beginning of an answer in which a refusal stands."""


@lru_cache(maxsize=4)
def split_words(text: str) -> tuple[str, ...]:
    """Words in lower case."""
    return tuple(word.lower() for word in _WORD.findall(text))


def has_refusal(question: str, answer: str) -> float:
    return float(_REFUSAL.search(answer[:_REFUSED_WITHIN].replace("’", "'")) is not None)


def _overlap(text: str, other: str) -> float:
    """The share of the text's different words that stands in the other too."""
    words = set(split_words(text))
    return len(words.intersection(split_words(other))) / len(words) if words else 0.0


def _count(pattern: re.Pattern[str]) -> Callable[[str, str], float]:
    return lambda question, answer: len(pattern.findall(answer))


def _identity(difference: Any) -> Any:
    return difference


def _signed_log(difference: float) -> float:
    return log1p(difference) if difference >= 0 else -log1p(-difference)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMeasure:
    """One number of an answer."""

    name: str
    compute: Callable[[str, str], float]
    """(question, answer) -> the number."""
    scale: Callable[[float], float] = _signed_log
    """How a difference enters the regression: of counts the first ones matter most."""


MEASURES = (
    AnswerMeasure(name="characters", compute=lambda question, answer: len(answer)),
    AnswerMeasure(name="words", compute=lambda question, answer: len(split_words(answer))),
    AnswerMeasure(name="headings", compute=_count(_HEADING)),
    AnswerMeasure(name="list items", compute=_count(_LIST_ITEM)),
    AnswerMeasure(name="bold", compute=_count(_BOLD)),
    AnswerMeasure(name="code", compute=_count(_CODE)),
    AnswerMeasure(name="refusal", compute=has_refusal, scale=_identity),
    AnswerMeasure(
        name="words from the question",
        compute=lambda question, answer: _overlap(answer, question),
        scale=_identity,
    ),
    AnswerMeasure(name="question's words used", compute=_overlap, scale=_identity),
)
