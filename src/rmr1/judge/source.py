"""Files of pairs or of lists that are judged: read once before a model is loaded, and again as they are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from typing import Any

from rmr1.data.read import read_candidate_lists, read_several
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.base import list_keys
from rmr1.judge.config import DataConfig
from rmr1.records import Candidates, PreferencePair
from rmr1.store.keys import number_items

SHOWN_ERRORS = 5
"""Unreadable rows that are told; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSource:
    """Sources of pairs that were read once."""

    sources: tuple[str, ...]
    is_piped: bool
    """Whether they are a copy of standard input."""
    config: DataConfig
    total: int
    """Pairs up to the limit."""
    num_invalid: int
    kept: bytearray | None = None
    """The keys of each pair, a line each, if they were made when it was read."""

    def pairs(self, *, limited: bool = True) -> Iterator[PreferencePair]:
        """Up to the limit, or all."""
        limit = self.config.limit if limited else None
        return read_several(self.sources, errors=[], limit=limit, **self.config.reading())

    def keys(self) -> Iterator[str]:
        """The keys of all its pairs, those beyond the limit among them."""
        if self.kept is None or self.config.limit is not None:
            return list_keys(self.pairs(limited=False))
        return (key for keys in self.items() for key in keys)

    def items(self) -> Iterator[Sequence[str]]:
        """The keys of each pair up to the limit."""
        if self.kept is None:
            return (keys for keys, _ in number_items(self.pairs()))
        return (line.split() for line in TextIOWrapper(BytesIO(self.kept), encoding="ascii"))

    def describe(self) -> dict[str, Any]:
        """The data section of run.json, for people: what is compared are the pairs themselves."""
        return {
            "sources": ["-"] if self.is_piped else list(self.sources),
            "format": self.config.format,
            "map": dict(self.config.map),
            **({"label": dict(self.config.label)} if self.config.label else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSource(PairSource):
    """Sources of lists of answers that were read once."""

    def candidates(self, *, limited: bool = True) -> Iterator[Candidates]:
        """Up to the limit, or all."""
        limit = self.config.limit if limited else None
        return read_candidate_lists(
            self.sources, errors=[], limit=limit, fewest=2, **self.config.reading_candidates()
        )


def scan_pairs(
    sources: Sequence[str],
    config: DataConfig,
    *,
    tell: Callable[[object], None],
    is_piped: bool = False,
    keeps_keys: bool = False,
) -> PairSource:
    """Read everything once before a model is loaded: bad rows are known at the start, not hours in. With `keeps_keys`
    keys are made on the way, for a run that goes on; they take about 35 bytes a pair."""
    name = "standard input" if is_piped else ", ".join(sources)
    errors: list[DataError] = []
    pairs = read_several(sources, errors=errors, limit=config.limit, **config.reading())
    kept = bytearray() if keeps_keys else None
    read = pairs if kept is None else _keep_keys(pairs, kept)
    total = _count(read, errors, name, config, tell=tell, is_piped=is_piped, what="pairs")
    return PairSource(
        sources=tuple(sources),
        is_piped=is_piped,
        config=config,
        total=total,
        num_invalid=len(errors),
        kept=kept,
    )


def _keep_keys(pairs: Iterable[PreferencePair], kept: bytearray) -> Iterator[PreferencePair]:
    for keys, pair in number_items(pairs):
        kept += f"{' '.join(keys)}\n".encode()
        yield pair


def scan_candidates(
    sources: Sequence[str], config: DataConfig, *, tell: Callable[[object], None], is_piped: bool = False
) -> CandidateSource:
    """The same of lists of answers; a list of less than two is a bad row."""
    if config.label:
        raise ConfigError(f"{name_option('label')} is for pairs, and lists of answers have none")
    name = "standard input" if is_piped else ", ".join(sources)
    errors: list[DataError] = []
    lists = read_candidate_lists(
        sources, errors=errors, limit=config.limit, fewest=2, **config.reading_candidates()
    )
    total = _count(lists, errors, name, config, tell=tell, is_piped=is_piped, what="lists of answers")
    return CandidateSource(
        sources=tuple(sources), is_piped=is_piped, config=config, total=total, num_invalid=len(errors)
    )


def _count(
    records: Iterable[object],
    errors: Sequence[DataError],
    name: str,
    config: DataConfig,
    *,
    tell: Callable[[object], None],
    is_piped: bool,
    what: str,
) -> int:
    """How many records there are; `errors` fills as they are read."""
    total = sum(1 for _ in records)
    for error in errors[:SHOWN_ERRORS]:
        tell(DataError(error.message, path=name, line=error.line) if is_piped else error)
    if errors and not config.skip_invalid:
        raise DataError(
            f"{len(errors)} of {total + len(errors)} rows cannot be read (the first are shown above); "
            f"fix them or pass {name_option('skip_invalid', True)}",
            path=name,
        )
    if errors:
        tell(f"{name}: {len(errors)} rows passed over")
    if total == 0:
        raise DataError(f"no {what} in it", path=name)
    return total
