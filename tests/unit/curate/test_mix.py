"""Sizes of sources and which pairs are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rmr1.curate.choose import plan_sizes, rank_pairs
from rmr1.curate.recipe import CurateSourceRecipe, MixRecipe
from rmr1.errors import ConfigError


def sizes(sources: dict[str, dict[str, Any]], available: dict[str, int], **mix: Any) -> dict[str, int]:
    recipes = {name: CurateSourceRecipe(data="x", **one) for name, one in sources.items()}
    found, missing = plan_sizes(recipes, available, MixRecipe(**mix))
    assert not missing
    return found


@pytest.mark.parametrize(
    ("sources", "available", "mix", "expected"),
    [
        ({"a": {}, "b": {}}, {"a": 7, "b": 3}, {}, {"a": 7, "b": 3}),
        ({"a": {"take": 5}, "b": {}}, {"a": 7, "b": 3}, {}, {"a": 5, "b": 3}),
        ({"a": {"share": 0.5}, "b": {}}, {"a": 7, "b": 3}, {}, {"a": 4, "b": 3}),
        # The scarcest source decides: 2,000 is a quarter of 8,000.
        ({"a": {"weight": 3}, "b": {"weight": 1}}, {"a": 9000, "b": 2000}, {}, {"a": 6000, "b": 2000}),
        ({"a": {"weight": 1}, "b": {"weight": 2}}, {"a": 50, "b": 50}, {"total": 10}, {"a": 3, "b": 7}),
        ({"a": {"take": 4}, "b": {"weight": 1}}, {"a": 50, "b": 50}, {"total": 10}, {"a": 4, "b": 6}),
        # Without weights the proportions stay: 30 to 10.
        ({"a": {}, "b": {}}, {"a": 30, "b": 10}, {"total": 20}, {"a": 15, "b": 5}),
    ],
)
def test_sizes(sources: Any, available: Any, mix: Any, expected: Any) -> None:
    assert sizes(sources, available, **mix) == expected


def test_a_shortage_is_told_with_both_numbers() -> None:
    recipes = {"code": CurateSourceRecipe(data="x", take=8000)}
    assert plan_sizes(recipes, {"code": 6000}, MixRecipe()) == (
        {"code": 6000},
        ["code has 6,000 pairs left where 8,000 are asked for"],
    )


def test_a_total_below_what_must_be_taken_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mix\.total is 10, but the sources without a weight give 20"):
        sizes({"a": {"take": 20}, "b": {"weight": 1}}, {"a": 30, "b": 10}, total=10)


def rank(sample: str, places: list[int], *, num_rows: int, seed: int = 42, first: int = 0) -> list[int]:
    contents = [bytes([first + place]) * 16 for place in places]
    source = CurateSourceRecipe(data="x", sample=sample)  # type: ignore[arg-type]
    return rank_pairs(source, "s", np.array(places, dtype=np.uint32), contents, num_rows=num_rows, seed=seed)


def test_shuffle_takes_what_the_datasets_library_takes() -> None:
    datasets = pytest.importorskip("datasets")
    shuffled = datasets.Dataset.from_dict({"row": list(range(100))}).shuffle(seed=42)["row"]
    assert rank("shuffle", list(range(100)), num_rows=100) == list(shuffled)
    # Pair 0 stands in row 2, pair 1 in row 5, ...: rows that were filtered out are passed over.
    kept = [2, 5, 11, 90]
    assert [kept[item] for item in rank("shuffle", kept, num_rows=100)] == [
        row for row in shuffled if row in kept
    ]


def test_a_seeded_draw_follows_the_content_alone() -> None:
    few, many = rank("seeded", list(range(20)), num_rows=20), rank("seeded", list(range(40)), num_rows=40)
    assert [item for item in many if item < 20] == few
    assert few != rank("seeded", list(range(20)), num_rows=20, seed=1)
    assert rank("first", [3, 4, 9], num_rows=20) == [0, 1, 2]
