"""The answers alone must not give the label away: n-grams and lengths, features of A minus those of B.

The bars were set before any model was trained on the world: at most 60% on balanced test pairs, for every
family and every style class, from 20,000 pairs. What is fitted on *biased* pairs has learnt to prefer the
fancy answer and says so in opposite ways on `easy` and `hard`; there the bar holds for the mean of the two,
which is what is left when style is no help. A smaller form runs by default.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.linear_model import LogisticRegression

from rmr1.world import Distribution, WorldItem, sample_pairs

BAR = 0.60
STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisation, from a timid fit to an eager one; the smaller form takes the middle one."""

TOKENS = r"\w+|[^\w\s]"


def answers(items: list[WorldItem]) -> tuple[list[str], list[str]]:
    return [one.pair.response_a[0].text for one in items], [one.pair.response_b[0].text for one in items]


def lengths(text: str) -> list[float]:
    return [
        len(text) / 100,
        len(text.split()) / 20,
        text.count("\n") / 3,
        text.count(".") / 3,
        text.count("*"),
    ]


def features(items: list[WorldItem], words: CountVectorizer) -> tuple[csr_matrix, np.ndarray]:
    first, second = answers(items)
    sizes = np.array([lengths(text) for text in first]) - np.array([lengths(text) for text in second])
    counts = words.transform(first) - words.transform(second)
    return hstack([counts, csr_matrix(sizes)]).tocsr(), np.array([one.pair.label == "A" for one in items])


def rates(items: list[WorldItem], is_right: np.ndarray) -> dict[str, float]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for item, right in zip(items, is_right, strict=True):
        for key in ("all", item.facts.family, item.facts.style_class):
            groups[key].append(bool(right))
    return {key: sum(found) / len(found) for key, found in groups.items()}


@pytest.mark.parametrize("distribution", ["balanced", "biased"])
def test_answers_alone_do_not_tell_the_label(distribution: Distribution, soak: bool) -> None:
    number, num_test = (20_000, 6_000) if soak else (6_000, 2_000)
    train = list(sample_pairs(21, number, distribution=distribution))
    test = list(sample_pairs(22, num_test, split="test", distribution="balanced"))
    words = CountVectorizer(ngram_range=(1, 3), token_pattern=TOKENS, lowercase=False, min_df=2)
    words.fit([text for texts in answers(train) for text in texts])
    known, labels = features(train, words)
    unknown, truth = features(test, words)
    for strength in STRENGTHS if soak else STRENGTHS[1:2]:
        # A minus B has no preferred side, so the fit has no intercept.
        model = LogisticRegression(C=strength, solver="liblinear", fit_intercept=False)
        found = rates(test, model.fit(known, labels).predict(unknown) == truth)
        shown = ", ".join(f"{key} {value:.3f}" for key, value in sorted(found.items()))
        print(f"{number} {distribution} pairs, C {strength}: {shown}")
        for key in ("all", "Reasoning", "Chat", "Safety", "normal"):
            assert found[key] <= BAR, key
        if distribution == "balanced":
            assert max(found["easy"], found["hard"]) <= BAR
        else:
            assert (found["easy"] + found["hard"]) / 2 <= BAR
            assert found["easy"] > found["hard"], "the training distribution favours the fancy style"


@pytest.mark.soak
def test_question_words_beside_answer_words_are_reported(soak: bool) -> None:
    """Crossed with the question, n-grams may tell something: harm words with refusals, say. A report only."""
    if not soak:
        pytest.skip("a report; runs under RMR1_SOAK=1")
    train = list(sample_pairs(21, 20_000, distribution="balanced"))
    test = list(sample_pairs(22, 4_000, split="test", distribution="balanced"))
    words = HashingVectorizer(n_features=2**20, token_pattern=r"\S+", norm=None, alternate_sign=False)

    def crossed(items: list[WorldItem], side: int) -> csr_matrix:
        texts = []
        for item in items:
            question = sorted(set(" ".join(message.text for message in item.pair.prompt).split()))
            answer = sorted(set(answers([item])[side][0].split()))
            texts.append(" ".join(f"{one}~{other}" for one in question for other in answer))
        return words.transform(texts)

    labels = np.array([item.pair.label == "A" for item in train])
    model = LogisticRegression(C=0.01, solver="liblinear", fit_intercept=False)
    model.fit(crossed(train, 0) - crossed(train, 1), labels)
    guesses = model.predict(crossed(test, 0) - crossed(test, 1))
    found = rates(test, guesses == np.array([item.pair.label == "A" for item in test]))
    print(
        "question words x answer words:",
        ", ".join(f"{key} {value:.3f}" for key, value in sorted(found.items())),
    )
    assert set(found) >= {"all", "Reasoning", "Chat", "Safety"}
