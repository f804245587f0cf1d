"""The first reading: every pair of every source goes through the filters; what passes is noted in a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from rmr1.curate.contamination import BenchmarkIndex, Overlap
from rmr1.curate.filters import (
    Drop,
    Lengths,
    check_characters,
    check_names,
    check_pair,
    check_tokens,
    join_texts,
    measure,
)
from rmr1.curate.inputs import CurateSource, name_place, read_source, under_name
from rmr1.curate.measures import load_counter, load_identifier
from rmr1.curate.recipe import CurateRecipe, FilterRecipe
from rmr1.curate.source_counts import NUM_NAMED, SourceTally
from rmr1.curate.table import PairTable
from rmr1.curate.texts import digest_text, find_later_turns
from rmr1.errors import DataError
from rmr1.records import Messages, PreferencePair
from rmr1.store.keys import content_digest

Note = Callable[[str, str, Drop], None]
"""Told of every pair that goes: id or place, name of the source, why."""
Report = Callable[[str, int], None]
"""Told how far a stage is: its name, pairs done."""

SOME_ROWS = 256
"""Pairs between two reports."""

LANGUAGE_CHARACTERS = 700
"""Characters of prompt and each response from which the language is told."""


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
        if drop := check_characters(characters, rules):
            return drop
        tokens = None if self._count is None else measure(pair, self._count)
        if tokens is not None and (drop := check_tokens(tokens, rules)):
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
        tally.note_overlaps(overlaps, digest_text(whole))
        told = (
            f"{one.benchmark} {one.item}: {one.kind}" + (f" {one.shared!r}" if one.shared else "")
            for one in overlaps
        )
        return Drop(reason="benchmark", detail="; ".join(told))

    def _check_language(self, pair: PreferencePair, rules: FilterRecipe, tally: SourceTally) -> Drop | None:
        if not rules.languages or self._identify is None:
            return None
        sides = (pair.prompt, pair.response_a, pair.response_b)
        code, confidence = self._identify(
            "\n\n".join(join_texts(side)[:LANGUAGE_CHARACTERS] for side in sides)
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
    """Read all sources once into `scan`, but for those that it has; `save` is called after each.

    Raises:
        DataError: a source cannot be read, or holds no pair; it is named.
        ConfigError: a library that a filter needs is not installed.
    """
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
            drop = bad_row(found)
            tally.dropped[drop.reason] += 1
            if len(tally.bad_rows) < NUM_NAMED:
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


def bad_row(error: DataError) -> Drop:
    # Readers say so of every text that is missing or white space (`rmr1.data.sources.reader.require_text`).
    is_empty = error.message.endswith(" is empty")
    return Drop(reason="empty" if is_empty else "unreadable", detail=error.message)
