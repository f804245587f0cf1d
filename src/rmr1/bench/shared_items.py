"""The items that two runs of one benchmark share, beside each other.

Items that only one run has, and pairs of one id with other texts or another label, are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.bench.outcomes import Outcomes, Part
from rmr1.errors import DataError
from rmr1.records import Judgment
from rmr1.stats import Numbers
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import KeyCounter
from rmr1.store.runs import JUDGMENTS_FILE, iterate_lines, key_digest, read_description

Source = Path | Sequence[Judgment]
"""A run folder, or judgments at hand."""

NUM_EXAMPLES = 5
_CONTENT = ("prompt", "response_a", "response_b", "others", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Items that are not compared."""

    count: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The outcomes of two runs over the items that both hold."""

    new: Outcomes
    old: Outcomes
    only_new: LeftOut
    only_old: LeftOut


def find_changed(new: Source, old: Source) -> set[str]:
    """Ids of pairs that both runs hold with different texts or another label."""
    if (identity := _identify_data(new)) is not None and identity == _identify_data(old):
        return set()
    ids, contents = KeyCounter(), KeyCounter()
    for name, content in _contents(old):
        ids.increment(key_digest(name))
        contents.increment(content)
    return {name for name, content in _contents(new) if content not in contents and key_digest(name) in ids}


def _identify_data(source: Source) -> dict[str, Any] | None:
    """What identifies all the data of a run and how it was read, if its description holds the digest."""
    found = (read_description(source).get("data") or {}) if isinstance(source, Path) else {}
    # A run of own pairs names the data it was last gone on with; its ids may be of earlier ones.
    if "pairs" in found or "sha256" not in found:
        return None
    return {name: found.get(name) for name in ("sha256", "format", "map", "label")}


def _contents(source: Source) -> Iterator[tuple[str, bytes]]:
    if isinstance(source, Path):
        pairs = (line["pair"] for _, line in iterate_lines(source / JUDGMENTS_FILE))
    else:
        pairs = (dump_record(judgment.pair) for judgment in source)
    for pair in pairs:
        values = [pair["id"], *(pair.get(name) for name in _CONTENT)]
        yield pair["id"], blake2b(dumps(values), digest_size=16).digest()


def pair_outcomes(new: Outcomes, old: Outcomes) -> Paired:
    """Keep what both hold, item beside item; of ids that repeat, the first goes with the first."""
    only_new: list[str] = []
    only_old: list[str] = []
    pairs: dict[str, tuple[Part, Part]] = {}
    for name in dict.fromkeys([*new.parts, *old.parts]):
        first, second = new.parts.get(name), old.parts.get(name)
        indices, lone_new, lone_old = _match(
            () if first is None else first.items, () if second is None else second.items
        )
        only_new += (f"{name}#{item}".replace("\t", " ") for item in lone_new)
        only_old += (f"{name}#{item}".replace("\t", " ") for item in lone_old)
        if first is not None and second is not None:
            pairs[name] = _select_both(first, second, *indices)
    if not any(len(one) for one, _ in pairs.values()):
        raise DataError(
            f"the runs share no item of {new.benchmark}: {len(only_new)} items are in the new one only "
            f"({name_some(only_new)}), {len(only_old)} in the old one only ({name_some(only_old)})"
        )
    return Paired(
        new=replace(new, parts={name: pair[0] for name, pair in pairs.items()}),
        old=replace(old, parts={name: pair[1] for name, pair in pairs.items()}),
        only_new=left_out(only_new),
        only_old=left_out(only_old),
    )


def name_some(items: Sequence[str]) -> str:
    """The first two, for a message."""
    return ", ".join(items[:2]) + (", ..." if len(items) > 2 else "") if items else "none"


def left_out(items: Sequence[str]) -> LeftOut:
    return LeftOut(count=len(items), examples=tuple(items[:NUM_EXAMPLES]))


def _match(
    first: Sequence[str], second: Sequence[str]
) -> tuple[tuple[Numbers, Numbers], list[str], list[str]]:
    if tuple(first) == tuple(second):
        return (np.arange(len(first)), np.arange(len(first))), [], []
    places: dict[str, list[int]] = {}
    for index in range(len(second) - 1, -1, -1):
        places.setdefault(second[index], []).append(index)
    left, right, lone = [], [], []
    for index, item in enumerate(first):
        if found := places.get(item):
            left.append(index)
            right.append(found.pop())
        else:
            lone.append(item)
    rest = sorted(index for found in places.values() for index in found)
    both = np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
    return both, lone, [second[index] for index in rest]


def _select_both(first: Part, second: Part, left: Numbers, right: Numbers) -> tuple[Part, Part]:
    if first.credits.shape[1] != second.credits.shape[1]:
        raise DataError(f"part {first.name!r} was asked in different ways in the two runs")
    names = [name for name in first.beside if name in second.beside]
    is_all = len(left) == len(first) == len(second) and first.items == second.items
    # Equal texts have equal prompts, so the first run's numbers serve both.
    clusters = None if first.clusters is None else first.clusters[left]

    def select(part: Part, indices: Numbers) -> Part:
        return replace(
            part,
            items=part.items if is_all else tuple(part.items[index] for index in indices),
            credits=part.credits[indices],
            no_verdict=part.no_verdict[indices],
            ties=part.ties[indices],
            clusters=clusters,
            beside={name: part.beside[name][indices] for name in names},
        )

    return select(first, left), select(second, right)
