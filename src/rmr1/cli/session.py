"""What the judging verbs share: the data to judge, the judge."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.cli.config import DataConfig, JudgeConfig
from rmr1.data.read import read_several
from rmr1.errors import DataError
from rmr1.judge.base import PairJudge, list_keys
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.models import describe_limits, is_bundled, resolve_model
from rmr1.pipeline.stages import STAGE
from rmr1.records import PreferencePair
from rmr1.screen import print

SHOWN_ERRORS = 5
"""Unreadable rows that are printed; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSource:
    """Sources of pairs that were read once: they are readable, and how many pairs they hold is known."""

    sources: tuple[str, ...]
    is_piped: bool
    """Whether the pairs came from standard input; what is read is a copy of them then."""
    config: DataConfig
    total: int
    """Pairs up to the limit."""
    num_invalid: int

    def pairs(self) -> Iterator[PreferencePair]:
        """Up to the limit."""
        return _read(self.sources, self.config, [])

    def keys(self) -> Iterator[str]:
        """The keys of all its pairs, those beyond the limit among them."""
        return list_keys(_read(self.sources, self.config.model_copy(update={"limit": None}), []))

    def describe(self) -> dict[str, Any]:
        """The data section of run.json, for people: what is compared are the pairs themselves."""
        return {
            "sources": ["-"] if self.is_piped else list(self.sources),
            "format": self.config.format,
            "map": dict(self.config.map),
            **({"label": dict(self.config.label)} if self.config.label else {}),
        }


def scan_pairs(sources: Sequence[str], config: DataConfig, *, is_piped: bool = False) -> PairSource:
    """Read everything once before a model is loaded: bad rows are known at the start, not hours in.

    Raises:
        DataError: nothing can be read, or rows cannot and `skip_invalid` is off.
    """
    errors: list[DataError] = []
    total = sum(1 for _ in _read(sources, config, errors))
    name = "standard input" if is_piped else ", ".join(sources)
    for error in errors[:SHOWN_ERRORS]:
        shown = DataError(error.message, path=name, line=error.line) if is_piped else error
        print(f"rmr1: {shown}", file=sys.stderr)
    if errors and not config.skip_invalid:
        raise DataError(
            f"{len(errors)} of {total + len(errors)} rows cannot be read (the first are shown above); "
            "fix them or pass --skip-invalid",
            path=name,
        )
    if errors:
        print(f"rmr1: {name}: {len(errors)} rows passed over", file=sys.stderr)
    if total == 0:
        raise DataError("no pairs in it", path=name)
    return PairSource(
        sources=tuple(sources), is_piped=is_piped, config=config, total=total, num_invalid=len(errors)
    )


def open_judge(config: JudgeConfig, settings: JudgeSettings | None = None) -> PairJudge:
    """The judge that the configuration names; `settings` instead of the configuration's own.

    Raises:
        ConfigError: a setting means nothing to the model, or a library is missing.
        CheckpointError: it cannot be loaded.
    """
    judge = load_judge(
        config.model,
        family=config.family,
        settings=settings or config.judge_settings(),
        options=config.engine,
    )
    if is_bundled(config.model) and STAGE not in os.environ:
        print(f"rmr1: {describe_limits()}", file=sys.stderr)
    return judge


def refuse_foreign(config: JudgeConfig, pairs: Iterable[PreferencePair]) -> None:
    """Unless a model was named, refuse pairs that mean nothing to the bundled judge, before it is loaded.

    Raises:
        ConfigError: most of them do not.
    """
    if "model" in config.model_fields_set:
        return
    from rmr1.models import words

    resolve_model(config.model)  # says which library is missing
    if (note := words.refuse_foreign(pairs)) is not None:
        print(f"rmr1: {note}", file=sys.stderr)


def tell_resumed(folder: object, num_stored: int, limit: int | None, *, quiet: bool) -> None:
    """What a run folder holds already, in one line; also with `quiet` if it is more than was asked for."""
    if limit is not None and num_stored > limit:
        print(
            f"rmr1: {folder}: {limit} items are asked for (--limit), {num_stored} are stored already; the summary is of all",
            file=sys.stderr,
        )
    elif num_stored and not quiet:
        print(f"rmr1: {folder}: going on after {num_stored} finished items", file=sys.stderr)


def spool_standard_input() -> Path:
    """Standard input as a temporary JSONL file, so that it can be read twice."""
    with tempfile.NamedTemporaryFile(prefix="rmr1-", suffix=".jsonl", delete=False) as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
    return Path(file.name)


def _read(sources: Sequence[str], config: DataConfig, errors: list[DataError]) -> Iterator[PreferencePair]:
    return read_several(
        sources,
        columns=config.map or None,
        format=config.format,
        labels=config.label,
        errors=errors,
        limit=config.limit,
    )
