"""How far form alone predicts the label: length, Markdown, refusals, overlap with the question, position.

The better answer's number is compared with the worse one's, and all numbers together go through a
cross-validated logistic regression. Data that people judged show all of it; the report condemns nothing.

Shapes: `n` pairs, `k` measures.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log1p
from typing import Any

import numpy as np

from rmr1.audit.markdown import BOLD, HEADING, LIST_ITEM
from rmr1.audit.refusing import is_refusal
from rmr1.errors import DataError
from rmr1.messages import Messages
from rmr1.probe.crossval import FOLDS, side_auc, split_folds
from rmr1.probe.rows import ProbeReport, RowCounts, Sources, name_sources, scan_probe_rows
from rmr1.records import Label
from rmr1.stats import Floats, Numbers, fit_logistic, share_interval

POSITION = "position"
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
"""A run of letters and digits; in scripts without spaces every character."""
_CODE = re.compile(r"^[ \t]*(?:```|~~~)|(?<!`)`[^`\n]{1,200}`(?!`)", re.M)


@lru_cache(maxsize=4)
def split_words(text: str) -> tuple[str, ...]:
    """Words in lower case."""
    return tuple(word.lower() for word in _WORD.findall(text))


def _overlap(text: str, other: str) -> float:
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
    AnswerMeasure(name="headings", compute=_count(HEADING)),
    AnswerMeasure(name="list items", compute=_count(LIST_ITEM)),
    AnswerMeasure(name="bold", compute=_count(BOLD)),
    AnswerMeasure(name="code", compute=_count(_CODE)),
    AnswerMeasure(
        name="refusal", compute=lambda question, answer: float(is_refusal(answer)), scale=_identity
    ),
    AnswerMeasure(
        name="words from the question",
        compute=lambda question, answer: _overlap(answer, question),
        scale=_identity,
    ),
    AnswerMeasure(name="question's words used", compute=_overlap, scale=_identity),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasFeature:
    """One measure."""

    name: str
    mean_better: float
    mean_worse: float
    differing: int
    """Pairs in which the two answers differ; the share is of these."""
    larger_wins: int
    """Pairs in which the larger number is the better answer's (of position: A is the better one)."""
    share: float | None
    interval: tuple[float, float] | None
    """95%, Wilson's; by prompt where pairs share prompts."""
    auc: float
    """AUC of the difference, each pair shown both ways round; 0.5 where it says nothing."""
    weight: float
    """The weight in the regression with all of them, per standard deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReport(ProbeReport):
    """The whole answer."""

    features: tuple[BiasFeature, ...]
    together_auc: float | None
    """Out of fold; None with fewer than two prompts."""
    together_right: int | None
    """Pairs decided rightly, out of fold; a draw counts a half."""
    together_share: float | None
    together_interval: tuple[float, float] | None


def probe_bias(
    source: Sources,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Mapping[str, Label] | None = None,
    limit: int | None = None,
    seed: int = 0,
    step: Callable[[int], Any] | None = None,
) -> BiasReport:
    """Measure the answers in `source`; arguments and errors as in `probe_leak`."""
    counts = RowCounts()
    better, worse = array("d"), array("d")
    numbers: dict[bytes, int] = {}
    groups, positions = array("q"), array("b")
    rows = scan_probe_rows(
        source, counts, columns=columns, format=format, labels=labels, limit=limit, step=step
    )
    for row in rows:
        if not row.response_a or not row.response_b:
            continue
        question = _text(row.prompt)
        a, b = (
            [measure.compute(question, _text(answer)) for measure in MEASURES]
            for answer in (row.response_a, row.response_b)
        )
        better.extend(a if row.label == "A" else b)
        worse.extend(b if row.label == "A" else a)
        groups.append(numbers.setdefault(row.group, len(numbers)))
        positions.append(0 if row.sides != "named" else 1 if row.label == "A" else -1)
    if not groups:
        raise DataError(
            f"no answers in {name_sources(source)}: {counts.untaken} prompts could not be taken apart"
        )
    shape = (len(groups), len(MEASURES))
    better_nk, worse_nk = np.array(better).reshape(shape), np.array(worse).reshape(shape)
    sides_n = np.array(positions, dtype=np.float64)
    inputs_nk = _inputs(better_nk - worse_nk, sides_n)
    groups_n = np.array(groups, dtype=np.int64)
    weights = fit_logistic(inputs_nk)
    right_n, auc = _cross_validate(inputs_nk, groups_n, seed)
    right = None if right_n is None else int(right_n.sum())
    features = [
        _describe(measure.name, better_nk[:, k], worse_nk[:, k], groups_n, weights[k])
        for k, measure in enumerate(MEASURES)
    ]
    named_n = sides_n[sides_n != 0]
    if len(named_n):
        is_a = (named_n + 1) / 2
        features.append(_describe(POSITION, is_a, 1 - is_a, groups_n[sides_n != 0], weights[-1]))
    return BiasReport(
        source=name_sources(source),
        **counts.report(),
        pairs=len(groups),
        named=len(named_n),
        prompts=len(numbers),
        seed=seed,
        features=tuple(features),
        together_auc=auc,
        together_right=right,
        together_share=None if right is None else right / len(groups),
        together_interval=None if right_n is None else share_interval(right_n, groups_n),
    )


def _text(messages: Messages) -> str:
    return "\n\n".join(message.text for message in messages)


def _describe(
    name: str,
    better_n: Floats,
    worse_n: Floats,
    groups_n: Numbers,
    weight: float,
) -> BiasFeature:
    difference = better_n - worse_n
    differing, larger = int((difference != 0).sum()), int((difference > 0).sum())
    return BiasFeature(
        name=name,
        mean_better=float(better_n.mean()),
        mean_worse=float(worse_n.mean()),
        differing=differing,
        larger_wins=larger,
        share=larger / differing if differing else None,
        interval=share_interval(
            (difference > 0)[difference != 0].astype(np.float64), groups_n[difference != 0]
        ),
        auc=side_auc(difference, len(difference)),
        weight=float(weight),
    )


def _inputs(differences_nk: Floats, sides_n: Floats) -> Floats:
    """Better minus worse, scaled; the last column is the side if sides have names."""
    columns = [
        np.array([measure.scale(value) for value in differences_nk[:, k]])
        for k, measure in enumerate(MEASURES)
    ]
    inputs_nk = np.stack([*columns, sides_n] if sides_n.any() else columns, axis=1)
    spread = np.sqrt((inputs_nk**2).mean(axis=0))
    scaled_nk: Floats = inputs_nk / np.where(spread > 0, spread, 1.0)
    return scaled_nk


def _cross_validate(inputs_nk: Floats, groups_n: Numbers, seed: int) -> tuple[Floats | None, float | None]:
    """(1 for each pair decided rightly, a half for a draw; AUC), on prompts left out of the fit."""
    if len(np.unique(groups_n)) < 2:
        return None, None
    folds = split_folds(groups_n, np.random.default_rng(seed))
    scores = np.zeros(len(inputs_nk))
    for fold in range(FOLDS):
        held_out = folds == fold
        if held_out.any() and not held_out.all():
            scores[held_out] = inputs_nk[held_out] @ fit_logistic(inputs_nk[~held_out])
    right_n = (scores > 0) + 0.5 * (scores == 0)
    return right_n, side_auc(scores, len(scores))
