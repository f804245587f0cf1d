"""Near duplicates by MinHash: signatures by datasketch, candidates by bands, groups of what is alike.

The share of equal places in two signatures estimates the Jaccard similarity of two texts' sets of shingles (words in
a row). Legend: `I` items, `P` permutations.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.curate.texts import Hashes
from rmr1.plugins import require

Signatures = NDArray[np.uint32]

_CHUNK = 4096
"""Shingles at a time; a text of a million words would otherwise take a gigabyte."""


class Signer:
    """Makes signatures, and keeps them in the order they were made: 4 bytes a permutation."""

    def __init__(self, permutations: int, seed: int = 1):
        self._library = import_datasketch()
        self._permutations = permutations
        self._parameters = self._library.MinHash(num_perm=permutations, seed=seed).permutations
        self.values = array("I")

    def __len__(self) -> int:
        return len(self.values) // self._permutations

    def add(self, shingles: Hashes) -> None:
        sketch = self._library.MinHash(
            num_perm=self._permutations, hashfunc=int, permutations=self._parameters, scheme="affine32"
        )
        folded = (shingles ^ (shingles >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
        for start in range(0, len(folded), _CHUNK):
            sketch.update_batch(folded[start : start + _CHUNK].tolist())
        self.values.frombytes(sketch.hashvalues.astype(np.uint32).tobytes())

    def signatures(self) -> Signatures:
        """[I, P]"""
        return np.frombuffer(self.values, dtype=np.uint32).reshape(-1, self._permutations)


class Groups:
    """Items 0 to n - 1 that are joined step by step; a group is called by its smallest item."""

    def __init__(self, number: int):
        self._parents = list(range(number))

    def find(self, item: int) -> int:
        root = item
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[item] != root:
            self._parents[item], item = root, self._parents[item]
        return root

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self._parents[high] = low

    def roots(self) -> list[int]:
        return [self.find(item) for item in range(len(self._parents))]


def join_similar(signatures: Signatures, threshold: float, groups: Groups) -> None:
    """Join the groups of all items whose estimated similarity is `threshold` or more. In a bucket of candidates an
    item is compared with one item of each group, so that a thousand copies cost a thousand comparisons."""
    for bucket in find_candidates(signatures, threshold):
        leaders: list[int] = []
        for item in bucket:
            if any(groups.find(leader) == groups.find(item) for leader in leaders):
                continue
            if leaders:
                similar = estimate(signatures[leaders], signatures[item]) >= threshold
                for place in np.flatnonzero(similar):
                    groups.join(leaders[place], item)
                if similar.any():
                    continue
            leaders.append(item)


def find_candidates(signatures: Signatures, threshold: float) -> Iterator[list[int]]:
    """Items that agree in a whole band of their signatures, in ascending order; at least two of them."""
    number, permutations = signatures.shape
    if number < 2:
        return
    index = import_datasketch().MinHashLSH(threshold=threshold, num_perm=permutations)
    for band in range(index.b):
        part = np.ascontiguousarray(signatures[:, band * index.r : (band + 1) * index.r])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * index.r))).ravel()
        order = np.argsort(keys, kind="stable")
        changes = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
        for bucket in np.split(order, changes):
            if len(bucket) > 1:
                yield bucket.tolist()


def estimate(some: Signatures, other: Signatures) -> NDArray[np.float64]:
    """The estimated similarity of each of `some` [I, P] with `other` [P], in [0, 1]."""
    shares: NDArray[np.float64] = np.mean(some == other, axis=1)
    return shares


def estimate_sides(some: Signatures, other: Signatures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How alike each of `some` [I, 2, P] and `other` [2, P] are, first with first and first with second: as alike as
    the less similar of their two texts, so that a long one does not drown a short one."""
    straight, crossed = (
        np.minimum(estimate(some[:, 0], one), estimate(some[:, 1], two))
        for one, two in ((other[0], other[1]), (other[1], other[0]))
    )
    return straight, crossed


def find_repeats(
    members: Iterable[int], compare: Callable[[list[int], int], NDArray[np.float64]], threshold: float
) -> Iterator[tuple[int, int, float]]:
    """(item, earlier item that stays, similarity) for every item that is like one that stays, in order, by
    `compare`."""
    staying: list[int] = []
    for item in members:
        if staying:
            alike = compare(staying, item)
            place = int(np.argmax(alike))
            if alike[place] >= threshold:
                yield item, staying[place], float(alike[place])
                continue
        staying.append(item)


def import_datasketch() -> Any:
    """The library, or an error that says how to install it."""
    with require(
        "finding near duplicates", "data", hint=", or set duplicates.near = 0 and duplicates.prompts = 0"
    ):
        import datasketch
    return datasketch
