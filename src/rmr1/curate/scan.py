"""The first reading: every pair of every source goes through the filters; what passes is noted in a table."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rmr1.curate.contamination import KINDS, BenchmarkIndex, Overlap, OverlapKind
from rmr1.curate.filters import (
    REASONS,
    Drop,
    Lengths,
    Reason,
    check_lengths,
    check_names,
    check_pair,
    join_texts,
    measure,
)
from rmr1.curate.inputs import CurateSource, name_place, read_source, under_name
from rmr1.curate.measures import load_counter, load_identifier
from rmr1.curate.recipe import CurateRecipe, FilterRecipe
from rmr1.curate.table import PairTable
from rmr1.curate.texts import digest_text, find_later_turns
from rmr1.errors import DataError
from rmr1.messages import Messages
from rmr1.records import PreferencePair
from rmr1.store.keys import content_digest

Note = Callable[[str, str, Drop], None]
"""Told of every pair that goes: id or place, name of the source, why."""
Report = Callable[[str, int], None]
"""Told how far a stage is: its name, pairs done."""

SOME_ROWS = 256

_NUM_NAMED = 3

_LANGUAGE_CHARACTERS = 700
"""Characters of prompt and each response from which the language is told."""

Overlaps = dict[OverlapKind, Counter[str]]
"""Digest of each different prompt that overlaps with one benchmark, by its nearest kind, with the number of its
pairs."""


@dataclass(slots=True, kw_only=True)
class SourceTally:
    """Counts of one source: `read` + unreadable rows = kept + all that went."""

    read: int = 0
    """Pairs."""
    dropped: Counter[Reason] = field(default_factory=Counter)
    bad_rows: list[str] = field(default_factory=list)
    overlaps: dict[str, Overlaps] = field(
        default_factory=lambda: defaultdict(lambda: {kind: Counter() for kind in KINDS})
    )
    languages: Counter[str] = field(default_factory=Counter)
    """Languages of the pairs whose language was asked for; unsure ones under their likeliest language."""
    passed: int = 0
    digest: str = ""

    @property
    def unreadable(self) -> int:
        return self.dropped["unreadable"] + self.dropped["empty"]

    def dump(self) -> dict[str, Any]:
        """All of it as plain JSON values, for `load`."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> SourceTally:
        counters = {name: Counter(values[name]) for name in ("dropped", "languages")}
        overlaps = {
            name: {kind: Counter(prompts) for kind, prompts in found.items()}
            for name, found in values["overlaps"].items()
        }
        return cls(**{**values, **counters, "overlaps": overlaps})

    def describe(self) -> dict[str, Any]:
        """Plain JSON values; without the overlaps."""
        return {
            "read": self.read,
            "unreadable": self.unreadable,
            "passed": self.passed,
            "dropped": {reason: self.dropped[reason] for reason in REASONS if self.dropped[reason]},
            "digest": self.digest,
            **({"languages": dict(sorted(self.languages.items()))} if self.languages else {}),
            **({"first_bad_rows": self.bad_rows} if self.bad_rows else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What is known of the sources that were read."""

    table: PairTable
    tallies: dict[str, SourceTally]


class Sieve:
    """All filters of one recipe; the libraries that they need are loaded here, or their absence is told."""

    def __init__(self, recipe: CurateRecipe, index: BenchmarkIndex | None):
        codes = frozenset(code for one in recipe.sources.values() for code in one.filters.languages)
        self._identify = load_identifier(codes) if codes else None
        self._count = None if recipe.tokenizer is None else load_counter(recipe.tokenizer)
        self._index = index
        self._overlaps: tuple[tuple[Messages, Messages] | None, tuple[Overlap, ...]] = (None, ())

    def check(
        self, pair: PreferencePair, rules: FilterRecipe, tally: SourceTally
    ) -> Drop | tuple[Lengths, Lengths | None]:
        """Why the pair goes, or its lengths in characters and tokens."""
        # Overlaps are counted whatever else would drop the pair, so they are looked for first.
        drop = self._check_benchmarks(pair, tally) or check_names(pair, rules) or check_pair(pair, rules)
        if drop is not None:
            return drop
        characters = measure(pair, len)
        if drop := check_lengths("characters", characters, rules):
            return drop
        tokens = None if self._count is None else measure(pair, self._count)
        if tokens is not None and (drop := check_lengths("tokens", tokens, rules)):
            return drop
        return self._check_language(pair, rules, tally) or (characters, tokens)

    def _check_benchmarks(self, pair: PreferencePair, tally: SourceTally) -> Drop | None:
        if self._index is None:
            return None
        # The pairs of one prompt often follow each other.
        asked = (pair.prompt, find_later_turns(pair))
        if self._overlaps[0] != asked:
            self._overlaps = (asked, self._index.find(*asked))
        overlaps = self._overlaps[1]
        if not overlaps:
            return None
        whole = "\n".join(message.text.strip() for message in pair.prompt)
        told = []
        for one in overlaps:
            tally.overlaps[one.benchmark][one.kind][digest_text(whole).hex()] += 1
            shared = f" {one.shared!r}" if one.shared else ""
            told.append(f"{one.benchmark} {one.item}: {one.kind}{shared}")
        return Drop(reason="benchmark", detail="; ".join(told))

    def _check_language(self, pair: PreferencePair, rules: FilterRecipe, tally: SourceTally) -> Drop | None:
        if not rules.languages or self._identify is None:
            return None
        sides = (pair.prompt, pair.response_a, pair.response_b)
        code, confidence = self._identify(
            "\n\n".join(join_texts(side)[:_LANGUAGE_CHARACTERS] for side in sides)
        )
        tally.languages[code] += 1
        if code in rules.languages or confidence < rules.language_confidence:
            return None
        return Drop(reason="language", detail=f"{code} ({confidence:.2f})")


def scan_sources(
    recipe: CurateRecipe,
    sources: tuple[CurateSource, ...],
    index: BenchmarkIndex | None,
    note: Note,
    report: Report,
    scan: Scan,
    save: Callable[[], None],
) -> None:
    """Read all sources once into `scan`, but for those that it has; `save` is called after each."""
    sieve = Sieve(recipe, index)
    for number, source in enumerate(sources):
        if source.name in scan.tallies:
            continue
        try:
            scan.tallies[source.name] = _scan_source(number, source, sieve, scan.table, note, report)
        except DataError as error:
            raise DataError(f"sources.{source.name}: {error}") from None
        save()


def _scan_source(
    number: int, source: CurateSource, sieve: Sieve, table: PairTable, note: Note, report: Report
) -> SourceTally:
    tally = SourceTally()
    contents = hashlib.sha256()
    place = -1
    for place, found in read_source(source):
        if place % SOME_ROWS == 0:
            report(f"reading {source.name}", place)
        if isinstance(found, DataError):
            # Readers say so of a text that is missing or white space (`data.sources.reader.require_text`).
            is_empty = found.message.endswith(" is empty")
            drop = Drop(reason="empty" if is_empty else "unreadable", detail=found.message)
            tally.dropped[drop.reason] += 1
            if len(tally.bad_rows) < _NUM_NAMED:
                tally.bad_rows.append(f"{name_place(found)}: {found.message}")
            note(name_place(found), source.name, drop)
            continue
        tally.read += 1
        contents.update(content_digest(found))
        outcome = sieve.check(found, source.recipe.filters, tally)
        if isinstance(outcome, Drop):
            tally.dropped[outcome.reason] += 1
            note(found.id, source.name, outcome)
            continue
        tally.passed += 1
        table.add(number, place, under_name(found, source.name), *outcome)
    report(f"reading {source.name}", place + 1)
    if tally.read == 0:
        first = f"; the first: {tally.bad_rows[0]}" if tally.bad_rows else ""
        raise DataError(f"not one pair could be read of {place + 1:,} rows{first}")
    tally.digest = contents.hexdigest()
    return tally
