"""Items that several tests look at."""

from __future__ import annotations

import pytest

from rmr1.world import FAMILIES, WorldItem, sample_pairs

ITEMS_PER_FAMILY = 2000


@pytest.fixture(scope="session")
def world_items() -> dict[str, tuple[WorldItem, ...]]:
    """2,000 balanced test items of every family."""
    return {
        family: tuple(sample_pairs(7, ITEMS_PER_FAMILY, split="test", distribution="balanced", family=family))
        for family in FAMILIES
    }
