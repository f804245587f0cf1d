"""Keys of items, and a counter of keys that fits millions in little memory.

A key is the hash of the item's content and its occurrence number: benchmarks hold identical rows, and exact
scoring counts them all, so the second of two equal rows is an item of its own. An item may be asked about in variants,
such as with an injection in an answer; their keys name it.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import Any

from rmr1.data.ids import OwnId, own_id, strip_repeat
from rmr1.records import Candidates, PreferencePair
from rmr1.store.codec import dump_record, dumps

_HALVES = Struct(">QQ").unpack


def content_digest(item: PreferencePair | Candidates) -> bytes:
    """16 bytes that identify everything in the item: texts, label, id, subset."""
    return hashlib.blake2b(dumps(dump_record(item)), digest_size=16).digest()


def item_digest(pair: PreferencePair) -> bytes:
    """16 bytes that identify a pair in a run, wherever its row is: what its id owes to the place counts for nothing."""
    digest = marked_digest if isinstance(pair.id, OwnId) else stored_digest
    return digest(dump_record(pair))


def stored_digest(pair: Mapping[str, Any]) -> bytes:
    """`item_digest` of a pair as it is stored, unless its id is marked as its own."""
    return hashlib.blake2b(dumps({**pair, "id": own_id(pair["id"])}), digest_size=16).digest()


def marked_digest(pair: Mapping[str, Any]) -> bytes:
    """`item_digest` of a pair as it is stored whose id is marked as its own; equal to that of no other pair."""
    own = {**pair, "id": strip_repeat(pair["id"])}
    return hashlib.blake2b(dumps(own), digest_size=16, person=b"own id").digest()


def question_digest(pair: PreferencePair) -> str:
    """32 hex digits that identify what the pair's answers respond to: all messages before them."""
    messages = [dump_record(message) for message in pair.prompt]
    return hashlib.blake2b(dumps(messages), digest_size=16, person=b"question").hexdigest()


def number_items(pairs: Iterable[PreferencePair]) -> Iterator[tuple[tuple[str, ...], PreferencePair]]:
    """Every pair with its keys; identical ones are told apart by number. The second key, of a pair whose id is
    marked, is that of earlier versions, who took such an id for a place."""
    occurrences = KeyCounter()

    def number(digest: bytes) -> str:
        return format_key(digest, occurrences.increment(digest))

    for pair in pairs:
        key = number(item_digest(pair))
        is_marked = isinstance(pair.id, OwnId)
        yield ((key, number(stored_digest(dump_record(pair)))) if is_marked else (key,)), pair


def format_key(digest: bytes, occurrence: int) -> str:
    """`<32 hex digits>` for the first occurrence, `<32 hex digits>-1` for the second."""
    return digest.hex() if occurrence == 0 else f"{digest.hex()}-{occurrence}"


def vary_key(key: str, name: str) -> str:
    """The key of a variant of an item, which stands in its prompts where the item does: `<key>+<name>`."""
    return f"{key}+{name}"


def split_variant(key: str) -> tuple[str, str]:
    """The key of the item and the variant's name; "" if the key is that of the item itself."""
    item, _, name = key.partition("+")
    return item, name


def seed_for(seed: int, *parts: str) -> int:
    """A 63-bit seed that depends on nothing but its arguments."""
    text = "\0".join([str(seed), *parts]).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


class KeyCounter:
    """Counts 16-byte digests in packed arrays: about 40 bytes a key, against 100 in a dict
    (`benchmarks/key_table.py`), by open addressing with linear probing over three columns (high half, low half,
    count)."""

    def __init__(self, capacity: int = 1024):
        self._allocate(capacity)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def __contains__(self, digest: bytes) -> bool:
        return self._counts[self._slot(*_HALVES(digest))] > 0

    def increment(self, digest: bytes) -> int:
        """How often the digest had been counted before; it is counted once more."""
        slot = self._slot(*_HALVES(digest))
        before = self._counts[slot]
        if before == 0:
            if 3 * (self._used + 1) > 2 * self._capacity:
                self._grow()
                slot = self._slot(*_HALVES(digest))
            self._high[slot], self._low[slot] = _HALVES(digest)
            self._used += 1
        self._counts[slot] = before + 1
        return before

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self._high, self._low = (array("Q", bytes(8 * capacity)) for _ in range(2))
        self._counts = array("I", bytes(4 * capacity))

    def _slot(self, high: int, low: int) -> int:
        highs, lows, counts, capacity = self._high, self._low, self._counts, self._capacity
        slot = low % capacity
        while counts[slot] and (lows[slot] != low or highs[slot] != high):
            slot = slot + 1 if slot + 1 < capacity else 0
        return slot

    def _grow(self) -> None:
        columns = self._high, self._low, self._counts
        self._allocate(2 * self._capacity)
        for high, low, count in zip(*columns, strict=True):
            if count:
                slot = self._slot(high, low)
                self._high[slot], self._low[slot], self._counts[slot] = high, low, count
