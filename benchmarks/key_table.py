"""Counting keys: the packed arrays of `rmr1.store.keys` beside a dict and sqlite3.

    python benchmarks/key_table.py [NUMBER]

A million keys on two busy cores, 2026-11-30: processor time to add and to look up, growth of the peak memory.

    arrays                2.52 s    1.66 s     69 MiB      (42 MiB once it has grown)
    dict                  0.71 s    0.47 s    103 MiB
    sqlite3 in memory     7.51 s    3.73 s     25 MiB
    sqlite3 in a file     8.42 s    4.40 s      3 MiB
"""

from __future__ import annotations

import hashlib
import multiprocessing
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

from rmr1.store.keys import KeyCounter


class DictCounter(dict[bytes, int]):
    def increment(self, digest: bytes) -> int:
        before = self.get(digest, 0)
        self[digest] = before + 1
        return before


class SqliteCounter:
    """A table without a journal, in one transaction."""

    def __init__(self, path: str):
        connection = sqlite3.connect(path, isolation_level=None)
        self._execute = connection.execute
        for line in (
            "pragma journal_mode = off",
            "pragma synchronous = off",
            "create table keys (digest blob primary key, number integer) without rowid",
            "begin",
        ):
            self._execute(line)

    def increment(self, digest: bytes) -> int:
        line = "insert into keys values (?, 1) on conflict (digest) do update set number = number + 1 returning number - 1"
        return int(self._execute(line, (digest,)).fetchone()[0])

    def __contains__(self, digest: bytes) -> bool:
        return self._execute("select 1 from keys where digest = ?", (digest,)).fetchone() is not None


KINDS = {
    "arrays": KeyCounter,
    "dict": DictCounter,
    "sqlite3 in memory": lambda: SqliteCounter(":memory:"),
    "sqlite3 in a file": lambda: SqliteCounter(""),
}


def make_digests(number: int) -> Iterator[bytes]:
    return (hashlib.blake2b(index.to_bytes(8, "big"), digest_size=16).digest() for index in range(number))


def measure(kind: str, number: int) -> None:
    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = peak()
    times = [time.process_time()]
    for _ in make_digests(number):
        pass
    times.append(time.process_time())
    counter = KINDS[kind]()
    for digest in make_digests(number):
        counter.increment(digest)
    times.append(time.process_time())
    assert all(digest in counter for digest in make_digests(number))
    times.append(time.process_time())
    own, add, look_up = (after - start for start, after in pairwise(times))
    print(f"{kind:<18} {add - own:7.2f} s {look_up - own:7.2f} s {peak() - before:6.0f} MiB", flush=True)


if __name__ == "__main__":
    for kind in KINDS:  # each in a process of its own, for its own peak
        work = multiprocessing.get_context("spawn").Process(
            target=measure, args=(kind, int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
        )
        work.start()
        work.join()
