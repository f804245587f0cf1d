"""What the judging verbs share: the data that are named, the judge, and what is said to the user."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rmr1.data.files import expand_pattern, list_files
from rmr1.errors import DataError
from rmr1.judge.base import PairJudge
from rmr1.judge.config import JudgeConfig
from rmr1.judge.consistency import difference_interval
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.models import describe_limits, is_bundled, resolve_model, words
from rmr1.pipeline.stages import STAGE
from rmr1.records import PreferencePair
from rmr1.screen import format_usd, print
from rmr1.stats import wilson_interval


def tell(line: object) -> None:
    """One line on standard error."""
    print(f"rmr1: {line}", file=sys.stderr, flush=True)


def list_sources(names: Sequence[str]) -> list[str]:
    """Files, folders and datasets that a command line names, each once; patterns as `data/*.jsonl` are replaced by files.

    Raises:
        DataError: no file fits a pattern.
    """
    found: dict[str, str] = {}
    for name in names:
        files = expand_pattern(name)
        if not files:
            raise DataError("no file fits this pattern", path=name)
        for file in files:
            first = found.setdefault(os.path.realpath(file), file)
            if first is not file:
                tell(f"{file}: named twice, read once")
    files_of = functools.cache(lambda folder: frozenset(map(str, list_files(Path(folder)))))
    inside = {place: _folder_around(place, found, files_of) for place in found}
    for place, folder in inside.items():
        if folder is not None:
            tell(f"{found[place]}: is in {folder}, which is named too; read once")
    return [file for place, file in found.items() if inside[place] is None]


def _folder_around(
    place: str, found: Mapping[str, str], files_of: Callable[[str], Collection[str]]
) -> str | None:
    parents = (parent for parent in map(str, Path(place).parents) if parent in found)
    return next((found[parent] for parent in parents if place in files_of(parent)), None)


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


def format_usage(summary: Mapping[str, Any]) -> list[str]:
    """Lines about the tokens of a summary, and what they cost on a server; none if no tokens were used."""
    read, written = summary["prompt_tokens"], summary["completion_tokens"]
    note = " (estimated: the server does not count them)" if summary.get("is_estimated") else ""
    lines = [f"tokens: {read:,} read, {written:,} written{note}"] if read or written else []
    if "cost_usd" not in summary:
        return lines
    if summary["cost_usd"] is None:
        return [*lines, "cost: not known; set engine.price_in and engine.price_out (USD per million tokens)"]
    price = summary["price_usd"]
    return [
        *lines,
        f"cost: {format_usd(summary['cost_usd'])} for what is stored, at {price['prompt']:g} USD a million tokens read "
        f"and {price['completion']:g} written; replies that were lost may have been billed beside it",
    ]


def format_orders(summary: Mapping[str, Any]) -> list[str]:
    """Lines about consistency and position bias with their intervals; none if no pair was asked in both orders."""
    if (orders := summary.get("orders")) is None:
        return []
    asked, decided = orders["asked"], orders["decided"]
    left_out = (
        f"; {asked - decided} left out, without a verdict in one order or both" if asked > decided else ""
    )
    if decided == 0:
        return [f"consistency: not known, none of {asked} pairs has a verdict in both orders"]
    low, high = wilson_interval(orders["consistent"], decided) or (0.0, 1.0)
    first, second = orders["first"], orders["second"]
    bias = (first - second) / decided
    lowest, highest = difference_interval(first, second, decided)
    return [
        f"consistency: {orders['consistent']} of {decided} pairs have the same verdict in both orders "
        f"({100 * orders['consistent'] / decided:.1f}%, 95% interval {100 * low:.1f} to {100 * high:.1f}){left_out}",
        f"position bias: {100 * bias:+.1f}% (95% interval {100 * lowest:+.1f} to {100 * highest:+.1f}): "
        f"the first place wins both ways in {first} pairs, the second in {second}",
    ]
