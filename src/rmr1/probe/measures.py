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


def count_characters(question: str, answer: str) -> float:
    return len(answer)


def count_words(question: str, answer: str) -> float:
    return len(split_words(answer))


def count_headings(question: str, answer: str) -> float:
    return len(_HEADING.findall(answer))


def count_list_items(question: str, answer: str) -> float:
    return len(_LIST_ITEM.findall(answer))


def count_bold(question: str, answer: str) -> float:
    return len(_BOLD.findall(answer))


def count_code(question: str, answer: str) -> float:
    """Fences and inline code."""
    return len(_CODE.findall(answer))


def has_refusal(question: str, answer: str) -> float:
    return float(_REFUSAL.search(answer[:_REFUSED_WITHIN].replace("’", "'")) is not None)


def share_from_question(question: str, answer: str) -> float:
    """The share of the answer's different words that stands in the question too."""
    words = set(split_words(answer))
    return len(words.intersection(split_words(question))) / len(words) if words else 0.0


def share_of_question(question: str, answer: str) -> float:
    """The share of the question's different words that the answer takes up; long answers take up more."""
    words = set(split_words(question))
    return len(words.intersection(split_words(answer))) / len(words) if words else 0.0


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
    scale: Callable[[float], float]
    """How a difference enters the regression: of counts the first ones matter most."""


MEASURES = (
    AnswerMeasure(name="characters", compute=count_characters, scale=_signed_log),
    AnswerMeasure(name="words", compute=count_words, scale=_signed_log),
    AnswerMeasure(name="headings", compute=count_headings, scale=_signed_log),
    AnswerMeasure(name="list items", compute=count_list_items, scale=_signed_log),
    AnswerMeasure(name="bold", compute=count_bold, scale=_signed_log),
    AnswerMeasure(name="code", compute=count_code, scale=_signed_log),
    AnswerMeasure(name="refusal", compute=has_refusal, scale=_identity),
    AnswerMeasure(name="words from the question", compute=share_from_question, scale=_identity),
    AnswerMeasure(name="question's words used", compute=share_of_question, scale=_identity),
)
