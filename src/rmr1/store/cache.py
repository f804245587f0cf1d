"""A cache of judgments that several runs and processes share: a folder with one SQLite database.

What is looked up is the judgment of an item by a judge that was asked in the same way. Its key is a hash of all that
decides it: model, prompts, settings, the item's own key (from which its placement and its samples' seeds are drawn) and
the version of this package, which reads the verdict. Judgments in which the engine failed are not kept.

SQLite's write-ahead log makes every entry whole or absent, also after a kill, and lets processes read while one writes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from rmr1.errors import RunError, reason_of
from rmr1.records import Judgment, PreferencePair
from rmr1.store.codec import dump_record, dumps, load_judgment, loads
from rmr1.version import __version__

CACHE_FILE = "judgments.sqlite"
FORMAT = 1
"""Version of the table, as SQLite's `user_version`."""
_WAIT_SECONDS = 60.0
"""How long a process waits for another one's write."""
_OTHER = "choose another folder for the cache, or none"


class JudgmentCache:
    """An open cache. A context manager; safe for several threads and processes."""

    def __init__(self, folder: str | Path):
        """Open the cache in a folder, which is made if it is not there.

        Raises:
            RunError: the folder cannot be made, or what it holds is no cache of this version.
        """
        self.path = Path(folder) / CACHE_FILE
        self.num_found = 0
        """Judgments that were found since it was opened."""
        self.num_missing = 0
        """Those that were not."""
        self._lock = Lock()
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            (found,) = self._database.execute("PRAGMA user_version").fetchone()
            if found not in (0, FORMAT):
                raise RunError(
                    f"{self.path}: a cache of format {found}; this version reads {FORMAT}; {_OTHER}"
                )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS judgments (key BLOB PRIMARY KEY, judgment BLOB) WITHOUT ROWID"
            )
            self._database.execute(f"PRAGMA user_version = {FORMAT}")

    def __enter__(self) -> JudgmentCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; closing twice is harmless."""
        self._database.close()

    def __len__(self) -> int:
        with self._telling():
            (number,) = self._database.execute("SELECT COUNT(*) FROM judgments").fetchone()
        return int(number)

    def find(self, key: bytes, pair: PreferencePair) -> Judgment | None:
        """The judgment of this pair that is kept under the key, or None; `pair` takes the place of the kept one, whose
        id may tell another place.

        Raises:
            RunError: the cache cannot be read.
        """
        with self._telling():
            row = self._database.execute("SELECT judgment FROM judgments WHERE key = ?", (key,)).fetchone()
        if row is None:
            self.num_missing += 1
            return None
        self.num_found += 1
        return replace(load_judgment(loads(row[0])), pair=pair, is_cached=True)

    def keep(self, key: bytes, judgment: Judgment) -> None:
        """Keep a judgment, unless an engine failed in it; one that is kept already stays.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        has_failed = any(vote.generation.finish_reason == "error" for vote in judgment.votes)
        if has_failed or any(stage.error is not None for stage in judgment.stages):
            return
        with self._telling():
            self._database.execute(
                "INSERT OR IGNORE INTO judgments VALUES (?, ?)", (key, dumps(dump_record(judgment)))
            )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (OSError, sqlite3.Error) as error:
                raise RunError(
                    f"{self.path}: the cache cannot be used ({reason_of(error)}); {_OTHER}"
                ) from None


def make_keys(described: Mapping[str, Any]) -> Callable[[str], bytes]:
    """Item key -> cache key, for the judge that is described (`PairJudge.describe`)."""
    decisive = {name: value for name, value in described.items() if name != "model_name"}
    judge = hashlib.blake2b(dumps({**decisive, "version": __version__}), digest_size=32).digest()
    return lambda item: hashlib.blake2b(judge + item.encode(errors="surrogatepass"), digest_size=32).digest()
