"""Names of criteria -> groups of near-equal ones.

Names are compared by their character n-grams (2 to 4, within words), weighed by TF-IDF, and grouped by complete linkage:
every two names of a group are as similar as asked for (cosine), at least.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.plugins import require

MOST_GROUPED = 3000
"""Names that are compared with each other: memory grows with the square. The rest stand alone."""


def group_names(names: Sequence[str], similar: float) -> list[list[str]]:
    """The names in groups, in the sequence of each group's first one; those behind `MOST_GROUPED` stand alone.

    Args:
        similar: the least cosine of two names of a group, in (0, 1]; 1 groups equal names only.

    Raises:
        ConfigError: it is out of its range, or scikit-learn is missing.
    """
    if not 0 < similar <= 1:
        raise ConfigError(f"{name_option('similar')} is {similar:g}; expected more than 0, and at most 1")
    compared = names[:MOST_GROUPED]
    if similar == 1 or len(compared) < 2:
        return [[name] for name in names]
    hint = f"; or leave all apart with {name_option('similar', 1)}"
    with require("grouping near-equal criteria", "data", hint=hint):
        from sklearn.cluster import AgglomerativeClustering
        from sklearn.feature_extraction.text import TfidfVectorizer
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(compared)
    distance_NN = (1 - (vectors @ vectors.T).toarray()).clip(min=0)
    clustering = AgglomerativeClustering(
        n_clusters=None,
        metric="precomputed",
        linkage="complete",
        distance_threshold=1 - similar + 1e-9,
    )
    groups: dict[int, list[str]] = {}
    for name, label in zip(compared, clustering.fit_predict(distance_NN).tolist(), strict=True):
        groups.setdefault(label, []).append(name)
    return [*groups.values(), *([name] for name in names[MOST_GROUPED:])]
