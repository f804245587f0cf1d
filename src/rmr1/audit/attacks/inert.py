"""Trials of injections against rendering -> how many would have acted as typed, and whether any still does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rmr1.audit.attacks.proof import Trial

_MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Inertness:
    """What one group of trials says."""

    name: str
    """A kind of injection, or what reads the prompt."""
    injections: int
    """Those that act on the reader when nothing is escaped; of a kind, all of it."""
    trials: int
    """Injections times families, forms and places."""
    acting_raw: int
    """Trials in which the injection acts if nothing is escaped; `injections_raw`, injections that do in any."""
    injections_raw: int
    acting: int
    """Trials in which it acts in the prompt that judges are asked with; 0 if all are inert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InertReport:
    """What trying all injections on the renderer has shown."""

    kinds: tuple[Inertness, ...]
    readers: tuple[Inertness, ...]
    all: Inertness
    families: tuple[str, ...]
    harmless: tuple[str, ...]
    """Injections that act nowhere even if nothing is escaped."""
    examples: tuple[Trial, ...]
    """The first trials in which an injection is not inert."""

    @property
    def is_inert(self) -> bool:
        """Whether every injection is."""
        return self.all.acting == 0

    def describe(self) -> dict[str, Any]:
        """The report as plain values."""
        examples = [
            {**asdict(one), "raw": sorted(one.raw), "rendered": sorted(one.rendered)} for one in self.examples
        ]
        return {"is_inert": self.is_inert, **asdict(self), "examples": examples}


def summarize_trials(trials: Iterable[Trial]) -> InertReport:
    """Count them by kind and by reader, each in the sequence in which it first occurs."""
    held = tuple(trials)
    kinds = {one.kind: [two for two in held if two.kind == one.kind] for one in held}
    readers = dict.fromkeys(sorted({name for one in held for name in one.raw | one.rendered}))
    acting = {one.injection for one in held if one.raw or one.rendered}
    return InertReport(
        kinds=tuple(_count(name, group) for name, group in kinds.items()),
        readers=tuple(_count(name, held, name) for name in readers),
        all=_count("all", held),
        families=tuple(dict.fromkeys(one.family for one in held)),
        harmless=tuple(dict.fromkeys(one.injection for one in held if one.injection not in acting)),
        examples=tuple(one for one in held if not one.is_inert)[:_MOST_EXAMPLES],
    )


def _count(name: str, trials: Sequence[Trial], reader: str | None = None) -> Inertness:
    raw = [one for one in trials if (reader in one.raw if reader else one.raw)]
    rendered = [one for one in trials if (reader in one.rendered if reader else one.rendered)]
    acting = {one.injection for one in raw}
    return Inertness(
        name=name,
        injections=len({one.injection for one in trials}),
        trials=len(trials),
        acting_raw=len(raw),
        injections_raw=len(acting),
        acting=len(rendered),
    )
