"""Which pair a person is asked about next.

    random        in a sequence that the seed draws
    uncertainty   by the entropy of the mean verdict
    information   by z(information about the rubric) + beta * z(log(2 * distance to the nearest pair that was asked))

The last is the acquisition of BAL-PM (Melo et al. 2024, arXiv 2406.10023) with the rubric as what is to be learned: what was
asked before, in the same batch too, keeps others away that are like it. z() is over the pairs that may still be asked. The
distance is the Euclidean one between TF-IDF vectors of length 1 of question and answers, in [0, sqrt(2)].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rmr1.audit.quotes import answer_text
from rmr1.plugins import require
from rmr1.records import PreferencePair
from rmr1.store.keys import seed_for

Floats = NDArray[np.float64]
Strategy = Literal["information", "uncertainty", "random"]
STRATEGIES: tuple[Strategy, ...] = ("information", "uncertainty", "random")

_LEAST_DISTANCE = 1e-3
"""Nearer ones are as near as this: the logarithm of 0 is none."""


class Chooser:
    """Ranks the pairs of a pool anew after each that was asked."""

    def __init__(
        self,
        keys: Sequence[str],
        value_N: Floats,
        pairs: Sequence[PreferencePair],
        *,
        beta: float = 0.0,
        seed: int = 0,
    ):
        """Rank pairs by a value, the higher the sooner.

        Args:
            beta: the weight of the distance; 0 ranks by the value alone, and needs no library.
            seed: decides among equal ones.
        """
        self._keys = tuple(keys)
        self._places = {key: place for place, key in enumerate(keys)}
        self._value_N = np.asarray(value_N, dtype=np.float64)
        self._draw_N = np.array([seed_for(seed, "choice", key) for key in keys], dtype=np.float64)
        self._beta = beta
        self._vectors = read_features(pairs) if beta and len(keys) > 1 else None
        self._near: set[int] = set()
        self._nearest_N = np.full(len(keys), np.inf)
        """The distance of each pair to the nearest of `_near`."""

    def choose(self, open_keys: Iterable[str], asked: Iterable[str]) -> str | None:
        """The best of the open ones, given all that were asked, by anybody; None if none is open."""
        candidates = np.array([self._places[key] for key in open_keys], dtype=np.int64)
        if not len(candidates):
            return None
        score = _standardize(self._value_N[candidates]) if self._beta else self._value_N[candidates]
        near = {self._places[key] for key in asked if key in self._places}
        if self._vectors is not None and near:
            distance = np.maximum(self._find_nearest(self._vectors, near)[candidates], _LEAST_DISTANCE)
            score = score + self._beta * _standardize(np.log(2 * distance))
        best = int(candidates[np.lexsort((self._draw_N[candidates], -score.round(9)))[0]])
        return self._keys[best]

    def _find_nearest(self, vectors: Any, near: set[int]) -> Floats:
        """The distance of every pair to the nearest of these; only what is new since the last call is measured."""
        if not self._near <= near:  # an answer was taken back
            self._near, self._nearest_N = set(), np.full(len(self._keys), np.inf)
        for place in near - self._near:
            cosine_N = (vectors @ vectors[place].T).toarray().ravel()
            self._nearest_N = np.minimum(self._nearest_N, np.sqrt(np.maximum(2 - 2 * cosine_N, 0.0)))
        self._near = near
        return self._nearest_N


def read_features(pairs: Sequence[PreferencePair]) -> Any:
    """TF-IDF vectors of length 1 of question and answers, a sparse row for each pair; the same if the answers are exchanged.

    Raises:
        ConfigError: scikit-learn is missing.
    """
    with require(
        "distances between pairs", "data", hint="; or ask by uncertainty or at random, which needs none"
    ):
        from sklearn.feature_extraction.text import TfidfVectorizer
    texts = [
        "\n".join([answer_text(pair.prompt), *sorted(map(answer_text, (pair.response_a, pair.response_b)))])
        for pair in pairs
    ]
    return TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]").fit_transform(texts)


def _standardize(values: Floats) -> Floats:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-12 else np.zeros_like(values)
