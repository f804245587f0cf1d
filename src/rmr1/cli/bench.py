"""Score a judge on benchmarks, exactly as each counts, with intervals.

  rmr1 bench rewardbench rm-bench rmb judgebench --data rmb=DIR ... -m MODEL -o runs/x
                                                  judge, store, score; goes on after a stop
  rmr1 bench judgebench --from runs/x --rule arena    score a finished run, read by another rule
  rmr1 bench rmb --from OUTPUTS                       score recorded outputs of another judge
  rmr1 bench pairs FILE... -m MODEL -o RUN --baseline OLD --fail-under 80
                                                  own labelled pairs, as a gate: exit code 1 where it fails

rewardbench   RewardBench, filtered split. DIR: its rows as JSONL, JSON or Parquet.
rm-bench      RM-Bench, nine pairs an item. DIR: the authors' total_dataset.json or *_filtered.json.
rmb           RMB: pairs and best-of-N lists, helpfulness and harmlessness. DIR: the authors' RMB_dataset.
              OUTPUTS: RM-R1's logs (log_result/*.json).
judgebench    JudgeBench: each pair in both orders. DIR: the folder of its JSONL files.
              OUTPUTS: its output files (response, scores, or one rating per answer).
rewardbench2  RewardBench 2, from its documented form. DIR: its rows. --ask pairs, ratings or four_way.
pairs         own pairs with labels A, B or tie, in any form that `rmr1 judge` reads; several files are one
              measurement, with a part for each.

--data also takes the name of a hub dataset, as allenai/reward-bench@filtered. With several benchmarks it is
NAME=DIR for each, or one folder that holds a folder for each; --from and --baseline likewise, and -o makes one.

A tie or a missing verdict is no win and is counted beside each score. The answers' places are drawn per pair
from the seed, unless --order both (JudgeBench's own way), which adds position-consistent accuracy. An overall
score is printed only for the whole official data, and only then placed among published ones.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from rmr1.bench.jobs import (
    Asked,
    check_baselines,
    check_jobs,
    check_order,
    judge_jobs,
    plan_jobs,
    refuse_reading,
    require_data,
    split_names,
)
from rmr1.bench.published import TITLES
from rmr1.bench.results import Collected, Job, ScoringOptions, check_fail_under, collect
from rmr1.bench.run import NAMES, Scored, fingerprint_data, own_keys, read_pairs, score_finished
from rmr1.cli.dry_run import print_dry_run
from rmr1.cli.options import (
    add,
    add_cluster_arguments,
    add_judging_arguments,
    add_run_arguments,
    build_config,
    read_cluster,
)
from rmr1.cli.session import format_usage, list_sources, open_judge, refuse_foreign, tell, tell_resumed
from rmr1.console import Console, Progress
from rmr1.errors import ConfigError
from rmr1.judge.base import Watcher
from rmr1.judge.config import JudgeConfig
from rmr1.judge.summary import is_unanswered
from rmr1.report.benchmarks import describe_results, format_markdown, print_results
from rmr1.report.leaderboard import print_leaderboard
from rmr1.report.leaderboard_plot import check_plot, draw_leaderboard
from rmr1.report.tables import WIDTH
from rmr1.screen import print, print_json
from rmr1.store.runs import read_summary

FEWEST_RESAMPLES = 100

_JUDGING = (
    "model",
    "family",
    "order",
    "seed",
    "criteria",
    "share_rubric",
    "data.limit",
    "config",
    "set",
    "ask",
    "dry_run",
    "expect_tokens",
    "machine",
    "retry_failed",
    "ray",
)
"""Flags that say how to judge."""


_NOT_PLACED = "no overall is complete and official"


def add_arguments(parser: ArgumentParser) -> None:
    add(
        parser,
        "BENCHMARK",
        "rewardbench, rm-bench, rmb, judgebench, rewardbench2, pairs FILE...; in any number and sequence; a file may be a pattern such as 'data/*.jsonl'",
        nargs="*",
    )
    add(parser, "--data [NAME=]DIR", "the official data; repeatable", action="append")
    existing = "judgments that exist, instead of -m; repeatable"
    add(parser, "--from [NAME=]RUN_OR_FILE", existing, dest="source", action="append")
    add_run_arguments(parser)
    askings = ("pairs", "ratings", "four_way")
    add(parser, "--ask", "how RewardBench 2 is asked (default: by judge)", choices=askings)
    scoring = partial(add, parser.add_argument_group("scoring"))
    scoring(
        "--as-published",
        "RM-R1's scoring with its faults, for comparison with its figures; texts are read by rule published",
    )
    scoring(
        "--scoring NAME",
        "official (default), as-published, or upstream (RewardBench: a tie or no verdict is 0.5; "
        "their reading of texts, [[A]] where both marks occur, is no part of it)",
    )
    scoring("--resamples N", "of the bootstrap (default 2000); 0: none", default=2000)
    scoring(
        "--baseline [NAME=]RUN_OR_FILE",
        "compare item by item with these judgments, fail if significantly worse; repeatable",
        action="append",
    )
    scoring(
        "--fail-under PERCENT",
        "exit code 1 unless every overall score reaches it; the last lines say so",
    )
    report = partial(add, parser.add_argument_group("report"))
    report("--json", "one JSON object on standard output")
    report("--categories", "the finest division too: subsets, categories, sources, the shares inside Ties")
    report("--markdown FILE", "the table as Markdown; - is standard output")
    report("--leaderboard", "print the published field around the judge")
    report("--plot FILE", "the same as a picture: .png, .svg or .pdf")
    report("--quiet", "no progress")
    add_judging_arguments(
        parser,
        about="--limit is for every benchmark, the others say how own pairs are read",
        limit="only the first N items of each part, for a trial",
    )
    add_cluster_arguments(parser)


def run(arguments: Namespace) -> int:
    read_cluster(arguments)  # an address may have taken the place of BENCHMARK
    if arguments.fail_under is not None:
        check_fail_under(arguments.fail_under)
    if arguments.resamples < FEWEST_RESAMPLES and (arguments.resamples != 0 or arguments.baseline):
        no = "" if arguments.baseline else "0 for none, or "
        raise ConfigError(
            f"--resamples {arguments.resamples}: expected {no}{FEWEST_RESAMPLES} or more; fewer tell nothing"
        )
    if not arguments.benchmark:
        raise ConfigError(f"BENCHMARK is missing; expected one or more of {', '.join(NAMES)}")
    names, own = split_names(arguments.benchmark)
    asked = Asked(
        benchmarks=names,
        own=[Path(one) for one in list_sources(own)],
        data=arguments.data,
        source=arguments.source,
        baseline=arguments.baseline,
        output=None if arguments.output is None else Path(arguments.output),
        ask=arguments.ask,
        scoring=arguments.scoring,
        as_published=arguments.as_published,
    )
    config = build_config(arguments)
    jobs = plan_jobs(asked, config.data, tell)
    _check_report(arguments, jobs)
    check_baselines(jobs)
    scored: dict[str, Scored] = {}
    unanswered: list[str] = []
    if jobs[0].source is not None:
        _refuse_judging(arguments)
        refuse_reading(config.data, jobs)
        _store_finished(arguments, jobs)
    elif arguments.dry_run:
        return _print_dry_run(arguments, config, jobs)
    else:
        scored = _judge(arguments, config, jobs)
        summaries = {job.benchmark.title: read_summary(job.folder) for job in jobs if job.folder is not None}
        unanswered = [name for name, one in summaries.items() if is_unanswered(one["items"], one["problems"])]
    scoring = ScoringOptions(
        rule=arguments.rule,
        as_published=arguments.as_published,
        resamples=arguments.resamples,
        fail_under=arguments.fail_under,
        categories=arguments.categories,
    )
    collected = collect(jobs, scored, scoring)
    _report(arguments, jobs, collected)
    for name in unanswered:
        told = f"{name}: nothing is scored, because the model has answered nothing"
        print(told, file=_beside(arguments))
    return 0 if not unanswered and all(gate.is_passed for gate in collected.gates) else 1


def _beside(arguments: Namespace) -> TextIO:
    """The stream for people's lines: below the tables, or aside if standard output is for a program."""
    return sys.stderr if arguments.json or arguments.markdown == "-" else sys.stdout


def _check_report(arguments: Namespace, jobs: Sequence[Job]) -> None:
    """What would fail only after judging."""
    if arguments.json and arguments.markdown == "-":
        raise ConfigError("--json and --markdown - both write to standard output; name a file for --markdown")
    if arguments.markdown not in (None, "-"):
        path = Path(arguments.markdown)
        if path.is_dir() or not path.parent.is_dir():
            raise ConfigError(f"--markdown {path}: expected a file in a folder that exists")
    if (arguments.plot or arguments.leaderboard) and not any(job.benchmark.name in TITLES for job in jobs):
        flag = "--plot" if arguments.plot else "--leaderboard"
        raise ConfigError(f"{flag}: no judges are published on {jobs[0].benchmark.title}; leave it out")
    if arguments.plot is not None:
        check_plot(Path(arguments.plot))


def _refuse_judging(arguments: Namespace) -> None:
    for name, value in vars(arguments).items():
        is_judging = name in _JUDGING or name.startswith(("sampling.", "engine."))
        if is_judging and value is not None and value is not False:
            key = name.rpartition(".")[2]
            flag = "--adapter" if key == "lora_adapter" else "--" + key.replace("_", "-")
            raise ConfigError(f"{flag} asks for judging, --from for judgments that exist; leave one out")


def _store_finished(arguments: Namespace, jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.source is not None and job.folder is not None:
            score_finished(
                job.benchmark,
                job.source,
                rule=arguments.rule,
                data=job.data,
                folder=job.folder,
                num_resamples=arguments.resamples,
            )


def _print_dry_run(arguments: Namespace, config: JudgeConfig, jobs: Sequence[Job]) -> int:
    if arguments.json and len(jobs) > 1:
        raise ConfigError("--dry-run --json tells of one benchmark at a time; name one")
    refuse_reading(config.data, jobs)
    for job in jobs:
        check_order(job, config)
        data = require_data(job)
        if len(jobs) > 1:
            print(f"{job.benchmark.title}:")
        if job.benchmark.askings and not job.is_asking_said:
            print("asked by pairs here; without --ask the judge decides, see rmr1 bench --help")
        read = partial(read_pairs, job.benchmark, data, config.data.limit, asking=job.asking)
        refuse_foreign(config, read())
        output = None if job.folder is None else str(job.folder)
        print_dry_run(
            Namespace(**{**vars(arguments), "output": output}),
            config,
            config.judge_settings(order=job.benchmark.order),
            read(),
            data=partial(fingerprint_data, job.benchmark, data),
            keys=own_keys(job.benchmark, data),
        )
    return 0


def _judge(arguments: Namespace, config: JudgeConfig, jobs: Sequence[Job]) -> dict[str, Scored]:
    """Load the model once and judge benchmark by benchmark."""

    @contextmanager
    def watch(job: Job, num_stored: int, total: int) -> Iterator[Watcher]:
        limit = None if job.benchmark.is_sized else config.data.limit
        tell_resumed(job.folder, num_stored, limit, quiet=arguments.quiet)
        label = "judged" if len(jobs) == 1 else job.benchmark.title
        with Progress(total, done=num_stored, label=label, quiet=arguments.quiet) as progress:
            yield progress

    totals = check_jobs(jobs, config)
    for job in jobs:
        data, limit = require_data(job), config.data.limit
        refuse_foreign(config, read_pairs(job.benchmark, data, limit, asking=job.asking))
    settings, cluster = config.judge_settings(order=jobs[0].benchmark.order), read_cluster(arguments)
    with closing(open_judge(config, settings, cluster=cluster)) as judge:
        return judge_jobs(
            jobs,
            judge,
            config,
            totals,
            watch,
            retry_failed=arguments.retry_failed,
            num_resamples=arguments.resamples,
        )


def _report(arguments: Namespace, jobs: Sequence[Job], collected: Collected) -> None:
    results, average = collected.results, collected.average
    if arguments.markdown is not None:
        text = format_markdown(results, average, categories=arguments.categories)
        if arguments.markdown == "-":
            sys.stdout.write(text)
        else:
            Path(arguments.markdown).write_text(text, encoding="utf-8", errors="backslashreplace")
    if arguments.json:
        print_json(describe_results(results, average))
    elif arguments.markdown != "-":
        print_results(results, average, categories=arguments.categories)
        for job in jobs:
            if job.source is None and job.folder is not None:
                for line in format_usage(read_summary(job.folder)):
                    print(line)
            if job.folder is not None:
                print(f"read them: rmr1 show {job.folder}")
        if arguments.leaderboard:
            console = Console(width=max(WIDTH, Console().width))
            if not collected.standings:
                print(f"no place among published judges: {_NOT_PLACED}")
            for standing, parts in collected.standings:
                print_leaderboard(console, standing, collected.judge, parts=parts)
    if arguments.plot is not None and not collected.standings:
        print(f"rmr1: {arguments.plot}: not drawn, because {_NOT_PLACED}", file=sys.stderr)
    elif arguments.plot is not None:
        drawn = draw_leaderboard([one for one, _ in collected.standings], arguments.plot, collected.judge)
        print(f"rmr1: drawn: {drawn}", file=sys.stderr)
    for gate in collected.gates:
        print(gate.sentence(), file=_beside(arguments))
