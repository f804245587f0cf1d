"""Judge pairs and say why.

  rmr1 judge pairs.jsonl -m MODEL -o runs/x          a file of pairs, stored in a run folder
  rmr1 judge a.jsonl 'more/*.csv' -m MODEL -o runs/x several files; a file that grew goes on where it was
  rmr1 judge -o runs/x                               the stored run goes on as it was asked for
  rmr1 judge - -m MODEL < pairs.jsonl                the same from standard input
  rmr1 judge -m MODEL --question Q --a TEXT --b TEXT one pair

PAIRS is JSONL, JSON, CSV or Parquet (also .gz), or a Hugging Face dataset; its form is recognised by
its columns. With -o an interrupted run goes on where it was when the same command is given again.
Without -o the judgments are printed and nothing is stored.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from rmr1.cli.dry_run import print_dry_run
from rmr1.cli.options import (
    add,
    add_cluster_arguments,
    add_judging_arguments,
    add_run_arguments,
    build_config,
    read_cluster,
)
from rmr1.cli.session import (
    format_criteria_counts,
    format_orders,
    format_usage,
    named_sources,
    open_judge,
    refuse_foreign,
    tell,
    tell_resumed,
)
from rmr1.console import Console, Progress
from rmr1.errors import ConfigError
from rmr1.judge.asked import describe_command, find_summary, read_command
from rmr1.judge.config import JudgeConfig
from rmr1.judge.identity import describe_run
from rmr1.judge.reliability import format_reliability
from rmr1.judge.source import PairSource, scan_pairs
from rmr1.judge.summary import Tally, is_unanswered, summarize_run
from rmr1.messages import assistant, user
from rmr1.records import PreferencePair
from rmr1.report.terminal import print_judgment
from rmr1.screen import print, print_json
from rmr1.store.codec import dump_record, dumps
from rmr1.store.runs import JUDGMENTS_FILE, open_run
from rmr1.verdicts.probability import tell_probability

_SHOWN_REASONS = 5  # summary.json holds more of them


def add_arguments(parser: ArgumentParser) -> None:
    pairs = "files, patterns such as 'data/*.jsonl', folders or datasets of pairs; - for standard input"
    add(parser, "PAIRS", pairs, nargs="*")
    add_run_arguments(parser)
    add(parser, "--json", "JSON on standard output")
    add(parser, "--quiet", "no progress")
    one = parser.add_argument_group("one pair")
    add(one, "--question TEXT", "what was asked")
    add(one, "--a TEXT", "the first answer")
    add(one, "--b TEXT", "the second answer")
    add_judging_arguments(parser)
    add_cluster_arguments(parser)


def run(arguments: Namespace) -> int:
    read_cluster(arguments)  # an address may have taken the place of PAIRS
    texts = {"--question": arguments.question, "--a": arguments.a, "--b": arguments.b}
    missing = [flag for flag, text in texts.items() if text is None]
    is_one = len(missing) < len(texts)
    if arguments.pairs and is_one:
        raise ConfigError("both PAIRS and --question, --a or --b were given; expected one of them")
    stored: dict[str, Any] | None = None
    if not arguments.pairs and not is_one and arguments.output is not None:
        arguments.pairs, stored = read_command(arguments.output, "judge")
    config = build_config(arguments, stored)
    config.judge_settings()  # a wrong setting is said before the data are read
    if not arguments.pairs:
        if not is_one:
            raise ConfigError("nothing to judge; name a file of PAIRS, or pass --question, --a and --b")
        if missing:
            told = f"{' and '.join(missing)} missing"
            raise ConfigError(f"{told}; one pair takes --question, --a and --b")
        question, first, second = user(arguments.question), assistant(arguments.a), assistant(arguments.b)
        pairs = [PreferencePair(id="0", prompt=(question,), response_a=(first,), response_b=(second,))]
        refuse_foreign(config, pairs)
        if arguments.dry_run:
            return print_dry_run(arguments, config, config.judge_settings(), pairs)
        return _print_judgments(arguments, config, pairs)
    with named_sources(arguments.pairs) as (sources, is_piped):
        goes_on = arguments.output is not None and (Path(arguments.output) / JUDGMENTS_FILE).is_file()
        source = scan_pairs(sources, config.data, tell=tell, is_piped=is_piped, keeps_keys=goes_on)
        refuse_foreign(config, source.pairs())
        if arguments.dry_run:
            return print_dry_run(
                arguments,
                config,
                config.judge_settings(),
                source.pairs(),
                data=source.describe,
                keys=source.keys,
            )
        if arguments.output is None:
            return _print_judgments(arguments, config, source.pairs())
        if stored is not None:
            folder, again = Path(arguments.output), arguments.retry_failed
            if (summary := find_summary(folder, config, stored, source, retry_failed=again)) is not None:
                if not arguments.quiet:
                    limit = config.data.limit
                    widen = "" if limit is None else f" up to --limit {limit}; a higher one goes on"
                    tell(f"{folder}: nothing is left to judge{widen}")
                return _print_summary(arguments, summary)
        return _run_to_folder(arguments, config, source, stored)


def _print_judgments(arguments: Namespace, config: JudgeConfig, pairs: Iterable[PreferencePair]) -> int:
    console = Console()
    tally = Tally()
    with closing(open_judge(config, cluster=read_cluster(arguments))) as judge:
        for key, judgment in judge.run(pairs):
            tally.add(judgment)
            if arguments.json:
                told = {"key": key, **dump_record(judgment), "probability": tell_probability(judgment)}
                sys.stdout.buffer.write(dumps(told) + b"\n")
                sys.stdout.buffer.flush()
            else:
                print_judgment(console, key, judgment)
    if not arguments.json and tally.items > 1:
        for line in (*format_orders(tally.summary()), *format_criteria_counts(tally.summary())):
            print(line)
    return 1 if is_unanswered(tally.items, tally.problems) else 0


def _run_to_folder(
    arguments: Namespace, config: JudgeConfig, source: PairSource, stored: dict[str, Any] | None
) -> int:
    with (
        closing(open_judge(config, cluster=read_cluster(arguments))) as judge,
        open_run(
            arguments.output,
            {
                **describe_run("judge", judge, data=None, folder=arguments.output),
                **describe_command(config, source, arguments.output, stored),
            },
            retry_failed=arguments.retry_failed,
            keys=source.keys,
        ) as writer,
    ):
        tell_resumed(arguments.output, writer.num_resumed, config.data.limit, quiet=arguments.quiet)
        with Progress(
            max(source.total, writer.num_resumed), done=writer.num_resumed, quiet=arguments.quiet
        ) as progress:
            for _, judgment in judge.run(source.pairs(), run=writer):
                progress.update(judgment)
        summary = summarize_run(writer, progress.tally, judge)
        summary["invalid_rows"] = source.num_invalid
        writer.write_summary(summary)
    return _print_summary(arguments, summary)


def _print_summary(arguments: Namespace, summary: dict[str, Any]) -> int:
    """The figures of a run; returns the exit code."""
    has_answers = not is_unanswered(summary["items"], summary["problems"])
    if arguments.json:
        print_json(summary)
        return 0 if has_answers else 1
    if not has_answers:
        print(f"none of {summary['items']} pairs is judged: the model has answered nothing")
    else:
        winners = ", ".join(f"{name} {count}" for name, count in summary["winners"].items())
        print(f"{summary['items']} pairs judged: {winners}")
    if summary["labelled"] and has_answers:
        share = 100 * summary["accuracy"]
        print(f"right: {summary['correct']} of {summary['labelled']} labelled ({share:.2f}%)")
    for line in (*format_orders(summary), *format_criteria_counts(summary)):
        print(line)
    if "reliability" in summary:
        print(format_reliability(summary["reliability"]))
    problems = dict(summary["problems"])
    num_undecided, num_left = problems.pop("split_vote", 0), problems.pop("abstained", 0)
    if problems:
        told = ", ".join(f"{name} {count}" for name, count in problems.items())
        print(
            f"without verdict: {sum(problems.values())} ({told}){'; they count as wrong' if has_answers else ''}"
        )
    if num_undecided:
        print(f"undecided: {num_undecided}, whose verdicts contradict each other; they count as wrong")
    if summary.get("stages"):
        told = ", ".join(f"{name} {count}" for name, count in summary["stages"].items())
        decided = summary["labelled"] - num_left
        right = (
            f"; {summary['correct']} of {decided} decided ones are right"
            if summary["labelled"] and num_left
            else ""
        )
        print(f"decided by: {told or 'none'}; left for a person: {num_left}{right}")
    for name, found in summary.get("stage_problems", {}).items():
        reasons = ", ".join(f"{problem} {count}" for problem, count in found.items())
        print(f"stage {name}: no verdict of {sum(found.values())} pairs ({reasons})")
    if summary["failed"]:
        print(f"failed: {summary['failed']}, for which the engine gave an error")
        for reason, count in list(summary["failures"].items())[:_SHOWN_REASONS]:
            print(f"  {count} x {reason}")
        if len(summary["failures"]) > _SHOWN_REASONS:
            print(f"  and {len(summary['failures']) - _SHOWN_REASONS} more reasons")
        print(f"  list them: rmr1 show {arguments.output} --failed --list; judge them again: --retry-failed")
    if summary.get("invalid_rows"):  # a run of Python counts none
        print(f"rows passed over: {summary['invalid_rows']}")
    for line in format_usage(summary):
        print(line)
    if summary["cached"]:
        print(f"from the cache: {summary['cached']} of them, for which nothing was asked")
    print(f"read them: rmr1 show {arguments.output}")
    return 0 if has_answers else 1
