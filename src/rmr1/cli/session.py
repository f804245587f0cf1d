"""What the judging verbs share: the data to judge, the judge."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.cli.config import DataConfig, JudgeConfig
from rmr1.data.fingerprint import fingerprint_source
from rmr1.data.read import read_pairs
from rmr1.errors import DataError
from rmr1.judge.base import PairJudge
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.models import NOTE, is_bundled
from rmr1.records import PreferencePair
from rmr1.screen import print

SHOWN_ERRORS = 5
"""Unreadable rows that are printed; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSource:
    """A source of pairs that was read once: it is readable, and its size is known."""

    source: str
    name: str
    """What it is called in run.json."""
    config: DataConfig
    total: int
    num_invalid: int

    def pairs(self) -> Iterator[PreferencePair]:
        return _read(self.source, self.config, [])

    def describe(self) -> dict[str, Any]:
        """The data section of run.json. The limit is left out, so that a run can be widened."""
        return {
            "source": self.name,
            **fingerprint_source(self.source),
            "format": self.config.format,
            "map": dict(self.config.map),
            **({"label": dict(self.config.label)} if self.config.label else {}),
        }


def scan_pairs(source: str, config: DataConfig, *, name: str | None = None) -> PairSource:
    """Read everything once before a model is loaded: bad rows are known at the start, not hours in.

    Raises:
        DataError: nothing can be read, or rows cannot and `skip_invalid` is off.
    """
    errors: list[DataError] = []
    total = sum(1 for _ in _read(source, config, errors))
    for error in errors[:SHOWN_ERRORS]:
        print(f"rmr1: {error}", file=sys.stderr)
    if errors and not config.skip_invalid:
        raise DataError(
            f"{len(errors)} of {total + len(errors)} rows cannot be read (the first are shown above); "
            "fix them or pass --skip-invalid",
            path=source,
        )
    if errors:
        print(f"rmr1: {source}: {len(errors)} rows passed over", file=sys.stderr)
    if total == 0:
        raise DataError("no pairs in it", path=source)
    return PairSource(
        source=source,
        name=name or Path(source).name,
        config=config,
        total=total,
        num_invalid=len(errors),
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
    if is_bundled(config.model):
        print(f"rmr1: {NOTE}", file=sys.stderr)
    return judge


def spool_standard_input() -> Path:
    """Standard input as a temporary JSONL file, so that it can be read twice."""
    with tempfile.NamedTemporaryFile(prefix="rmr1-", suffix=".jsonl", delete=False) as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
    return Path(file.name)


def _read(source: str, config: DataConfig, errors: list[DataError]) -> Iterator[PreferencePair]:
    return read_pairs(
        source,
        columns=config.map or None,
        format=config.format,
        labels=config.label,
        on_error="skip",
        errors=errors,
        limit=config.limit,
    )
