"""How much is in the local files that a recipe names; datasets of the hub are not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmr1.curate.recipe import is_dataset
from rmr1.curate.write import pair_row
from rmr1.data.read import read_pairs
from rmr1.errors import DataError
from rmr1.records import Label
from rmr1.store.codec import dumps


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSizes:
    """Counts of rows that can be read."""

    pairs: int
    decided: int
    """Pairs with a preferred answer."""
    num_bytes: int
    """Bytes of all pairs, in rmr1's own form."""


def measure_pairs(
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Mapping[str, Label] | None = None,
) -> PairSizes | None:
    """Reads everything; None of a dataset of the hub.

    Raises:
        DataError: the file is missing or of no known form.
    """
    if is_dataset(source):
        return None
    pairs = decided = num_bytes = 0
    errors: list[DataError] = []
    pairs_read = read_pairs(
        source, columns=columns or None, format=format, labels=labels, on_error="skip", errors=errors
    )
    for pair in pairs_read:
        pairs += 1
        decided += pair.label in ("A", "B")
        num_bytes += len(dumps(pair_row(pair))) + 1
    return PairSizes(pairs=pairs, decided=decided, num_bytes=num_bytes)
