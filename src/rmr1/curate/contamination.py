"""Prompts of benchmarks, and which training prompts overlap with them.

same the whole prompt is a benchmark's, character for character but for white space around each message wording the
whole prompt, or one user's turn, is a benchmark's prompt but for case and punctuation ngram it shares `length` words
in a row (13 by default) with a benchmark's prompt

Only prompts are compared, since two answers to different questions may well share a sentence, and users' later turns
in the responses of a conversation whose first answers differ.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rmr1.curate.recipe import is_dataset
from rmr1.curate.texts import digest_text, hash_ngrams, hash_words, split_words
from rmr1.data.read import read_prompts
from rmr1.data.sources.benchmarks import READERS
from rmr1.errors import DataError
from rmr1.messages import Messages

OverlapKind = Literal["same", "wording", "ngram"]
KINDS: tuple[OverlapKind, ...] = ("same", "wording", "ngram")

KNOWN = tuple(reader.name for reader in READERS if reader.name != "rmb-bon")
"""Benchmarks that have a reader; the card names those that were not compared with. RMB has two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A training prompt and the nearest prompt of one benchmark."""

    benchmark: str
    kind: OverlapKind
    item: str
    """The benchmark's identifier of the first pair with that prompt."""
    shared: str | None = None
    """The first words in a row that both have, of an n-gram."""


class BenchmarkIndex:
    """The prompts of all benchmarks, as hashes: 16 bytes for each n-gram, about 250 for each prompt."""

    def __init__(self, length: int):
        self.figures: dict[str, dict[str, int]] = {}
        """The different `prompts` and the `unreadable` rows of each benchmark; if only the answers of a row are at
        fault its prompt counts nevertheless."""
        self._length = length
        self._names: list[str] = []
        self._items: list[tuple[int, str]] = []
        self._texts: dict[bytes, list[int]] = defaultdict(list)
        self._wordings: dict[bytes, list[int]] = defaultdict(list)
        self._keys = np.empty(0, dtype=np.uint64)
        self._owners = np.empty(0, dtype=np.uint32)
        self._new_keys, self._new_owners = array("Q"), array("I")

    def add(self, name: str, asked: Iterable[tuple[str, Messages]], errors: list[DataError]) -> None:
        """Every prompt of one benchmark, with its item's identifier; `errors` are complete when all is read."""
        benchmark = len(self._names)
        self._names.append(name)
        prompts = 0
        for item, prompt in asked:
            digest = _digest_whole(prompt)
            if any(self._items[one][0] == benchmark for one in self._texts.get(digest, ())):
                continue
            owner = len(self._items)
            prompts += 1
            self._items.append((benchmark, item))
            self._texts[digest].append(owner)
            words = [split_words(message.text) for message in prompt]
            if any(words):
                self._wordings[_digest_words([word for one in words for word in one])].append(owner)
            for one in words:
                keys = hash_ngrams(hash_words(one), self._length)
                self._new_keys.frombytes(keys.tobytes())
                self._new_owners.frombytes(np.full(len(keys), owner, dtype=np.uint32).tobytes())
        self.figures[name] = {"prompts": prompts, "unreadable": len(errors)}

    def find(self, prompt: Messages, later: Messages = ()) -> tuple[Overlap, ...]:
        """The nearest overlap with each benchmark that has one; `later` are users' turns behind the prompt."""
        self._merge()
        found: dict[int, Overlap] = {}
        for owner in self._texts.get(_digest_whole(prompt), ()):
            self._note(found, owner, "same")
        whole = [word for message in prompt for word in split_words(message.text)]
        messages = (*prompt, *later)
        words = [split_words(message.text) for message in messages]
        turns = [one for one, message in zip(words, messages, strict=True) if message.role == "user"]
        for one in (whole, *turns):
            for owner in self._wordings.get(_digest_words(one), ()) if one else ():
                self._note(found, owner, "wording")
        for one in words:
            keys = hash_ngrams(hash_words(one), self._length)
            starts = np.searchsorted(self._keys, keys, side="left")
            ends = np.searchsorted(self._keys, keys, side="right")
            for place in np.flatnonzero(ends > starts):
                shared = " ".join(one[place : place + self._length])
                for owner in self._owners[starts[place] : ends[place]]:
                    self._note(found, int(owner), "ngram", shared)
        return tuple(found[benchmark] for benchmark in sorted(found))

    def _note(
        self, found: dict[int, Overlap], owner: int, kind: OverlapKind, shared: str | None = None
    ) -> None:
        benchmark, item = self._items[owner]
        if benchmark not in found:
            found[benchmark] = Overlap(benchmark=self._names[benchmark], kind=kind, item=item, shared=shared)

    def _merge(self) -> None:
        if not self._new_keys:
            return
        keys = np.concatenate([self._keys, np.frombuffer(self._new_keys, dtype=np.uint64)])
        owners = np.concatenate([self._owners, np.frombuffer(self._new_owners, dtype=np.uint32)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._owners = keys[order], owners[order]
        self._new_keys, self._new_owners = array("Q"), array("I")


def build_index(
    benchmarks: Mapping[str, tuple[str, ...]], length: int, report: Callable[[str], None]
) -> BenchmarkIndex:
    """Read every benchmark; `report` is told its name before."""
    index = BenchmarkIndex(length)
    for name, paths in benchmarks.items():
        report(name)
        errors: list[DataError] = []
        try:
            index.add(name, _read(name, paths, errors), errors)
        except DataError as error:
            raise DataError(f"decontaminate.benchmarks.{name}: {error}") from None
        if not index.figures[name]["prompts"]:
            raise DataError(
                f"decontaminate.benchmarks.{name}: no prompt could be read from {', '.join(paths)}"
            )
    return index


def _read(name: str, paths: tuple[str, ...], errors: list[DataError]) -> Iterator[tuple[str, Messages]]:
    for path in paths:
        for file in _find_files(name, path):
            yield from read_prompts(file, errors=errors)


def _find_files(name: str, path: str) -> list[str]:
    """The files to compare with; only the data of a benchmark's own folder, since they lie beside other files
    (`rmr1.bench`)."""
    if is_dataset(path) or not Path(path).is_dir():
        return [path]
    from rmr1.bench.run import NAMES, load_benchmark

    if name not in NAMES:
        return [path]
    return [str(file) for file in load_benchmark(name).find_files(Path(path))]


def _digest_whole(prompt: Messages) -> bytes:
    return digest_text("\n".join(message.text.strip() for message in prompt))


def _digest_words(words: list[str]) -> bytes:
    return digest_text(" ".join(words))
