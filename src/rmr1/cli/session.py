"""What the judging verbs share: what is said to the user, and the judge."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rmr1.judge.base import PairJudge
from rmr1.judge.config import JudgeConfig
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.models import describe_limits, is_bundled, resolve_model, words
from rmr1.pipeline.stages import STAGE
from rmr1.records import PreferencePair
from rmr1.screen import print


def tell(line: object) -> None:
    """One line on standard error."""
    print(f"rmr1: {line}", file=sys.stderr, flush=True)


def open_judge(config: JudgeConfig, settings: JudgeSettings | None = None) -> PairJudge:
    """The judge that the configuration names; `settings` instead of the configuration's own.

    Raises:
        ConfigError: a setting means nothing to the model, or a library is missing.
        CheckpointError: it cannot be loaded.
    """
    settings = settings or config.judge_settings()
    judge = load_judge(config.model, family=config.family, settings=settings, options=config.engine)
    if is_bundled(config.model) and STAGE not in os.environ:
        tell(describe_limits())
    return judge


def refuse_foreign(config: JudgeConfig, pairs: Iterable[PreferencePair]) -> None:
    """Unless a model was named, refuse pairs that mean nothing to the bundled judge, before it is loaded.

    Raises:
        ConfigError: most of them do not.
    """
    if "model" in config.model_fields_set:
        return

    resolve_model(config.model)  # says which library is missing
    if (note := words.refuse_foreign(pairs)) is not None:
        tell(note)


def tell_resumed(folder: object, num_stored: int, limit: int | None, *, quiet: bool) -> None:
    """What a run folder holds already, in one line; also with `quiet` if it is more than was asked for."""
    if limit is not None and num_stored > limit:
        asked = f"{limit} items are asked for (--limit), {num_stored} are stored already"
        tell(f"{folder}: {asked}; the summary is of all")
    elif num_stored and not quiet:
        tell(f"{folder}: going on after {num_stored} finished items")


def spool_standard_input() -> Path:
    """Standard input as a temporary JSONL file, so that it can be read twice."""
    with tempfile.NamedTemporaryFile(prefix="rmr1-", suffix=".jsonl", delete=False) as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
    return Path(file.name)
