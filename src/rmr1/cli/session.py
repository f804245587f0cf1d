"""What the judging verbs share: the data that are named, the judge, and what is said to the user."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmr1.cluster.options import ClusterOptions
from rmr1.data.files import expand_pattern, list_files
from rmr1.errors import ConfigError, DataError
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
    """Files, folders and datasets that a command line names, each once; patterns as `data/*.jsonl` are replaced by files."""
    found: dict[str, str] = {}
    for name in names:
        files = expand_pattern(name)
        if not files:
            raise DataError("no file fits this pattern", path=name)
        for file in files:
            first = found.setdefault(os.path.realpath(file), file)
            if first is not file:
                tell(f"{file}: named twice, read once")
    inside = {
        str(file): folder
        for folder in sorted(found)  # of several folders around a file the innermost
        if any(folder in map(str, Path(place).parents) for place in found)
        for file in list_files(Path(folder))
    }
    for place in found:
        if place in inside:
            tell(f"{found[place]}: is in {found[inside[place]]}, which is named too; read once")
    return [file for place, file in found.items() if place not in inside]


def open_judge(
    config: JudgeConfig, settings: JudgeSettings | None = None, *, cluster: ClusterOptions | None = None
) -> PairJudge:
    """The judge that the configuration names, in this process or over a cluster; `settings` instead of the
    configuration's own."""
    settings = settings or config.judge_settings()
    judge: PairJudge
    if cluster is not None:
        from rmr1.cluster.judging import open_cluster_judge

        judge = open_cluster_judge(config, settings, cluster, directory=os.getcwd(), tell=tell)
    else:
        judge = load_judge(
            config.asked_model,
            family=config.family,
            settings=settings,
            options=config.engine,
            cascade=config.cascade,
            calibration=config.calibration,
            cache=config.cache,
        )
    if is_bundled(config.asked_model or "") and STAGE not in os.environ:
        tell(describe_limits())
    return judge


def refuse_foreign(config: JudgeConfig, pairs: Iterable[PreferencePair]) -> None:
    """Unless a model was named, refuse pairs that mean nothing to the bundled judge, before it is loaded."""
    if "model" in config.model_fields_set or config.asked_model is None:
        return

    resolve_model(config.model)  # says which library is missing
    if (note := words.refuse_foreign(pairs)) is not None:
        tell(note)


def tell_resumed(folder: object, num_stored: int, limit: int | None, *, quiet: bool) -> None:
    """How much a run folder holds already; also with `quiet` if it is more than was asked for."""
    if limit is not None and num_stored > limit:
        asked = f"{limit} items are asked for (--limit), {num_stored} are stored already"
        tell(f"{folder}: {asked}; the summary is of all")
    elif num_stored and not quiet:
        tell(f"{folder}: going on after {num_stored} finished items")


@contextmanager
def named_sources(names: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """(the sources that a command line names, whether they are a copy of standard input): `-` alone is standard input, kept
    in a temporary file so that it can be read twice.

    Raises:
        ConfigError: `-` stands among files. DataError: a pattern fits no file; those of the block's, with the place renamed.
    """
    if list(names) != ["-"]:
        if "-" in names:
            raise ConfigError("- is standard input and stands alone; give the files without it")
        yield list_sources(names), False
        return
    with tempfile.NamedTemporaryFile(prefix="rmr1-", suffix=".jsonl", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    try:
        yield [file.name], True
    except DataError as error:
        if str(error.path) != file.name:
            raise
        raise DataError(error.message, path="standard input", line=error.line) from None
    finally:
        Path(file.name).unlink(missing_ok=True)


def format_usage(summary: Mapping[str, Any]) -> list[str]:
    """Lines about the tokens of a summary, and what they cost on a server; none if no tokens were used."""
    read, written = summary["prompt_tokens"], summary["completion_tokens"]
    note = " (estimated: the server does not count them)" if summary.get("is_estimated") else ""
    lines = [f"tokens: {read:,} read, {written:,} written{note}"] if read or written else []
    if "cost_usd" not in summary:
        return lines
    if summary["cost_usd"] is None:
        return [*lines, "cost: not known; set engine.price_in and engine.price_out (USD per million tokens)"]
    price, told = summary["price_usd"], "{prompt:g} USD a million tokens read and {completion:g} written"
    several = [price] if "prompt" in price else list(price.values())
    prices = "; ".join(dict.fromkeys(told.format(**one) for one in several))
    cost = f"cost: {format_usd(summary['cost_usd'])} for what is stored, at {prices}"
    return [*lines, f"{cost}; replies that were lost may have been billed beside it"]


def format_orders(summary: Mapping[str, Any]) -> list[str]:
    """Lines about consistency and position bias with their intervals; none if no pair was asked in both orders."""
    if (orders := summary.get("orders")) is None:
        return []
    asked, decided = orders["asked"], orders["decided"]
    if decided == 0:
        return [f"consistency: not known, none of {asked} pairs has a verdict in both orders"]
    same, first, second = orders["consistent"], orders["first"], orders["second"]
    low, high = (100 * bound for bound in wilson_interval(same, decided) or (0.0, 1.0))
    lowest, highest = (100 * bound for bound in difference_interval(first, second, decided))
    lost = asked - decided
    left_out = f"; {lost} left out, without a verdict in one order or both" if lost else ""
    return [
        f"consistency: {same} of {decided} pairs have the same verdict in both orders "
        f"({100 * same / decided:.1f}%, 95% interval {low:.1f} to {high:.1f}){left_out}",
        f"position bias: {100 * (first - second) / decided:+.1f}% (95% interval {lowest:+.1f} to {highest:+.1f}): "
        f"the first place wins both ways in {first} pairs, the second in {second}",
    ]


def format_criteria_counts(summary: Mapping[str, Any]) -> list[str]:
    """A line about how many criteria that the judge was given it scored; none if it was given none."""
    if (found := summary.get("criteria")) is None:
        return []
    line = f"criteria: scored {found['scored']:,} of {found['asked']:,} for both answers"
    texts = f"{found['complete']:,} of {found['texts']:,} texts score all"
    return [f"{line}; {texts}"]
