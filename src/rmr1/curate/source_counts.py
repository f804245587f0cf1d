"""Counts of a curation: what was read of each source, what went and why, and which benchmarks it overlapped with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rmr1.curate.contamination import KINDS, Overlap, OverlapKind
from rmr1.curate.filters import REASONS, Reason

NUM_NAMED = 3
"""So many bad rows of a source are named."""


@dataclass(slots=True, kw_only=True)
class OverlapCount:
    """Overlaps of one source with one benchmark. Pairs and prompts are counted by their nearest kind."""

    pairs: Counter[OverlapKind] = field(default_factory=Counter)
    prompts: dict[OverlapKind, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Digests of the different prompts."""

    def describe(self) -> dict[str, Any]:
        return {
            "pairs": sum(self.pairs.values()),
            "prompts": len(set().union(*self.prompts.values())),
            "pairs_by_kind": {kind: self.pairs[kind] for kind in KINDS},
            "prompts_by_kind": {kind: len(self.prompts[kind]) for kind in KINDS},
        }


@dataclass(slots=True, kw_only=True)
class SourceTally:
    """One source: `read` + unreadable rows = kept + all that went."""

    read: int = 0
    """Pairs."""
    dropped: Counter[Reason] = field(default_factory=Counter)
    bad_rows: list[str] = field(default_factory=list)
    """The first few, as they are named in messages."""
    overlaps: dict[str, OverlapCount] = field(default_factory=lambda: defaultdict(OverlapCount))
    languages: Counter[str] = field(default_factory=Counter)
    """Languages of the pairs whose language was asked for; unsure ones under their likeliest language."""
    passed: int = 0
    """Pairs that passed every filter."""
    digest: str = ""
    """Digest of all pairs in the order they were read."""

    @property
    def unreadable(self) -> int:
        return self.dropped["unreadable"] + self.dropped["empty"]

    def note_overlaps(self, overlaps: Iterable[Overlap], prompt: bytes) -> None:
        for overlap in overlaps:
            count = self.overlaps[overlap.benchmark]
            count.pairs[overlap.kind] += 1
            count.prompts[overlap.kind].add(prompt)

    def dump(self) -> dict[str, Any]:
        """All of it as plain JSON values, for `load`."""
        overlaps = {
            name: {
                "pairs": one.pairs,
                "prompts": {kind: [digest.hex() for digest in some] for kind, some in one.prompts.items()},
            }
            for name, one in self.overlaps.items()
        }
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**own, "overlaps": overlaps}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> SourceTally:
        tally = cls(**{**values, "overlaps": defaultdict(OverlapCount)})
        tally.dropped, tally.languages = Counter(tally.dropped), Counter(tally.languages)
        for name, one in values["overlaps"].items():
            count = tally.overlaps[name]
            count.pairs.update(one["pairs"])
            for kind, digests in one["prompts"].items():
                count.prompts[kind].update(map(bytes.fromhex, digests))
        return tally

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
