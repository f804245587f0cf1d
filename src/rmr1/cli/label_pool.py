"""`rmr1 label` of a pool: judge pairs under several rubrics, ask people about those that pay, and use what they say."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

from rmr1.active.choose import Strategy
from rmr1.active.judging import count_judged
from rmr1.active.outcome import format_outcome, write_outcome
from rmr1.active.pool import Pool, open_pool, prepare_pool
from rmr1.active.settings import AskFor, PoolSettings, pool_judge_settings
from rmr1.cli.asking import ask_people
from rmr1.cli.options import add, build_config
from rmr1.cli.session import named_sources, open_judge, refuse_foreign, tell, tell_resumed
from rmr1.console import Progress
from rmr1.errors import ConfigError
from rmr1.judge.config import JudgeConfig
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.source import scan_pairs
from rmr1.screen import print, print_json
from rmr1.store.labels import read_labels

_OWN = ("rubrics", "check", "strategy", "beta", "ask")
_CHOOSING = ("number", "people", "strategy", "beta", "ask")
"""What a pool that is judged may go on with otherwise."""


def add_pool_arguments(parser: ArgumentParser) -> None:
    """How a pool is judged and asked about, and what is made of the answers."""
    of = partial(add, parser.add_argument_group("pool", "pairs of which people are asked only where it pays"))
    usual = PoolSettings()
    of("--rubrics N", f"rubrics that the judge writes for each question (default {usual.rubrics})")
    check = (
        "share of the questions that are drawn at random; calibration and the test of a guideline use only these "
        f"(default {usual.check})"
    )
    of("--check P", check)
    of("--strategy", "what chooses the pairs (default information)", choices=get_args(Strategy))
    of("--beta X", f"weight of the distance to what was asked before (default {usual.beta:g})", type=float)
    ask = "when a criterion is asked for beside the label: if the rubric is in doubt (default), or always"
    of("--ask", ask, choices=get_args(AskFor))
    outcome = (
        "no page: turn the labels of POOL into a guideline, a calibration and training pairs; with -m MODEL criteria that "
        "people named are tried with the judge"
    )
    of("--outcome", outcome)
    of("--retry-failed", "judge pairs again for which the engine gave an error")


def is_about_pool(arguments: Namespace) -> bool:
    """Whether the command line says something of a pool alone."""
    return (
        arguments.outcome
        or arguments.retry_failed
        or any(getattr(arguments, name) is not None for name in _OWN)
    )


def make_pool(arguments: Namespace) -> int:
    """Judge the pairs into the folder, then ask."""
    if arguments.output is None:
        raise ConfigError("a pool is judged into a folder first; name it with -o DIR")
    if arguments.outcome:
        raise ConfigError(
            f"--outcome is of a pool that was labelled: rmr1 label {arguments.output} --outcome"
        )
    config = build_config(arguments)
    settings = _read_settings(arguments, config)
    judging = _ask_judge(config, settings)
    with named_sources(arguments.sources) as (sources, is_piped):
        source = scan_pairs(sources, config.data, tell=tell, is_piped=is_piped)
        pairs = list(source.pairs())
        refuse_foreign(config, pairs)
        done, total = count_judged(arguments.output), settings.rubrics * len(pairs)
        tell_resumed(arguments.output, done, None, quiet=arguments.quiet)
        with (
            closing(open_judge(config, judging)) as judge,
            Progress(max(total, done), done=done, quiet=arguments.quiet) as progress,
        ):
            pool = prepare_pool(
                pairs,
                judge,
                arguments.output,
                settings,
                data=source.describe(),
                watcher=progress,
                retry_failed=arguments.retry_failed,
            )
    return _ask(arguments, pool)


def go_on(arguments: Namespace, folder: Path) -> int:
    """Ask further about a pool that is judged, or turn its labels into what they are for."""
    pool, config, judge = open_pool(folder), build_config(arguments), None
    pool.check_labels(read_labels(folder))
    if not arguments.outcome:
        judging = [name for name in ("rubrics", "check", "retry_failed") if getattr(arguments, name)]
        if judging or "model" in config.model_fields_set:
            raise ConfigError(
                f"{folder}: is judged; name the pairs and -o {folder} to judge it otherwise, or --outcome to use a model"
            )
        given = {name: getattr(arguments, name) for name in _CHOOSING}
        given = {name: value for name, value in given.items() if value is not None}
        return _ask(arguments, open_pool(folder, settings=replace(pool.settings, **given)))
    with Progress(None, quiet=arguments.quiet or "model" not in config.model_fields_set) as progress:
        if "model" in config.model_fields_set:
            judge = open_judge(config, _ask_judge(config, pool.settings))
        try:
            outcome = write_outcome(pool, list(read_labels(folder)), judge, watcher=progress)
        finally:
            if judge is not None:
                judge.close()
    if arguments.json:
        print_json(outcome.describe())
    else:
        for line in format_outcome(outcome):
            print(line)
    return 0


def _ask_judge(config: JudgeConfig, settings: PoolSettings) -> JudgeSettings:
    """How the judge is asked for the pool."""
    return pool_judge_settings(
        config.judge_settings(), settings, model=config.asked_model, options=config.engine
    )


def _read_settings(arguments: Namespace, config: JudgeConfig) -> PoolSettings:
    """What the flags say; the number of votes is the one of judging, if several are said (one is a preset's, unless a flag
    says it)."""
    given = {name: getattr(arguments, name) for name in (*_OWN, "number", "people")}
    votes = config.sampling.num_samples
    if votes != 1 or vars(arguments)["sampling.num_samples"] is not None:
        given["votes"] = votes
    return PoolSettings(
        seed=config.seed, **{name: value for name, value in given.items() if value is not None}
    )


def _ask(arguments: Namespace, pool: Pool) -> int:
    for note in pool.notes:
        tell(note)
    if arguments.json:
        print_json(pool.describe())
    folder = pool.folder
    then = [f"rmr1 label {folder} --outcome", f"rmr1 label {folder} --outcome -m MODEL"]
    ask_people(arguments, pool, seed=pool.settings.seed, then=then)
    labels = list(read_labels(folder))
    named = len({one.key for one in labels if one.label is not None})
    print(f"{folder}: {named} of {len(pool.items)} pairs have a label; next: {then[0]}")
    return 0
