"""Put the answers to each question in order, by comparisons.

  rmr1 rank candidates.jsonl -m MODEL                     a table for each question
  rmr1 rank candidates.jsonl -m MODEL -o runs/x           stored; goes on where it was, also with another method
  rmr1 rank -o runs/x                                     the stored run goes on as it was asked for
  rmr1 rank candidates.jsonl -m MODEL --dpo pairs.jsonl   best and worst answers, to train on (TRL's form)

LISTS is JSONL, JSON, CSV or Parquet (also .gz) with a question and its answers in each row: `prompt` and
`responses`, and perhaps `id` and `best` (from 0); --map names other columns.

swiss         (default) ceil(log2 n) + 1 rounds among answers that have lost as often
round_robin   all pairs; the finest order, n (n - 1) / 2 comparisons
pivot         quicksort: all others against one, then those above and those below likewise
knockout      n - 1 comparisons; finds the best, and says little of the others
listwise      knockout of four at once, for judges that write and compare

Strengths are those of the Bradley-Terry model, in log-odds, with their standard errors. A tie, and votes or
orders that contradict each other, are half a win for each; comparisons without verdict are only counted.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

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
    format_usage,
    named_sources,
    open_judge,
    refuse_foreign,
    tell,
    tell_resumed,
)
from rmr1.console import Progress
from rmr1.errors import ConfigError
from rmr1.judge.asked import SECTION, describe_command, read_command
from rmr1.judge.base import PairJudge
from rmr1.judge.config import JudgeConfig
from rmr1.judge.ranking.contest import list_pairs
from rmr1.judge.ranking.export import foresee_pairs, preference_row
from rmr1.judge.ranking.methods import DEFAULT_METHOD, LISTWISE, METHODS
from rmr1.judge.ranking.record import Ranking
from rmr1.judge.ranking.run import RankingTally, list_stored_keys, rank_to_folder
from rmr1.judge.ranking.waves import prepare_judge, rank_all
from rmr1.judge.source import CandidateSource, scan_candidates
from rmr1.judge.summary import Tally, describe_cost, is_unanswered
from rmr1.records import Judgment
from rmr1.report.rankings import describe_rankings, print_ranking
from rmr1.rewards.strengths import PRIOR_SD
from rmr1.screen import print, print_json
from rmr1.store.codec import dump_record, dumps
from rmr1.store.replace import replacing, writing
from rmr1.store.runs import JUDGMENTS_FILE, read_description, read_summary

_SHOWN = 5
"""Rankings that are printed of a run that is stored."""


def add_arguments(parser: ArgumentParser) -> None:
    add(
        parser,
        "LISTS",
        "files, patterns, folders or datasets of lists of answers; - for standard input",
        nargs="*",
    )
    add_run_arguments(parser)
    add(parser, "--json", "JSON on standard output: a line for each question, or with -o the summary")
    add(parser, "--quiet", "no progress")
    ranking = parser.add_argument_group("ranking")
    add(ranking, "--method", f"how answers are compared (default {DEFAULT_METHOD})", choices=tuple(METHODS))
    prior = f"standard deviation of the strengths' normal prior, in log-odds (default {PRIOR_SD:g})"
    add(ranking, "--prior-sd SD", prior, type=float)
    add(
        ranking,
        "--dpo FILE",
        "write the best and the worst answer of each question (prompt, chosen, rejected)",
    )
    printed = "print the best and the worst answer of each question, a line of JSON each, instead of tables"
    add(ranking, "--to FORM", printed, choices=("dpo",))
    add(ranking, "--force", "replace the file of --dpo if it exists")
    add_cluster_arguments(parser)
    add_judging_arguments(parser, limit="only the first N questions")


def run(arguments: Namespace) -> int:
    stored: dict[str, Any] | None = None
    read_cluster(arguments)  # an address may have taken the place of LISTS
    if not arguments.lists and arguments.output is not None:
        arguments.lists, stored = read_command(arguments.output, "rank")
        asked = read_description(arguments.output)[SECTION]
        arguments.method = arguments.method or asked.get("method")
        arguments.prior_sd = arguments.prior_sd or asked.get("prior_sd")
    if not arguments.lists:
        raise ConfigError("nothing to rank; name a file of LISTS")
    arguments.method = arguments.method or DEFAULT_METHOD
    arguments.prior_sd = PRIOR_SD if arguments.prior_sd is None else arguments.prior_sd
    if not arguments.prior_sd > 0:
        raise ConfigError(f"--prior-sd {arguments.prior_sd:g}: expected more than 0")
    if arguments.dpo is not None and Path(arguments.dpo).exists() and not arguments.force:
        raise ConfigError(f"--dpo {arguments.dpo}: exists; choose another name or pass --force")
    if arguments.to is not None and (arguments.json or arguments.dpo is not None):
        raise ConfigError(f"--to {arguments.to} prints the pairs; leave --json and --dpo out")
    config = build_config(arguments, stored)
    config.judge_settings()  # a wrong setting is said before the data are read
    with named_sources(arguments.lists) as (sources, is_piped):
        source = scan_candidates(sources, config.data, tell=tell, is_piped=is_piped)
        refuse_foreign(config, (pair for one in source.candidates() for pair in list_pairs(one)))
        if arguments.dry_run:
            return _print_dry_run(arguments, config, source)
        return _rank(arguments, config, source, stored)


def _print_dry_run(arguments: Namespace, config: JudgeConfig, source: CandidateSource) -> int:
    if arguments.method == LISTWISE:
        raise ConfigError("--dry-run does not reckon with four answers at once; estimate --method knockout")
    if arguments.method != "round_robin":
        tell("which pairs are asked follows from the verdicts; reckoned with verdicts drawn by lot")
    pairs = foresee_pairs(source.candidates(), method=arguments.method, seed=config.seed)
    keys = None
    if arguments.output is not None:
        path = Path(arguments.output) / JUDGMENTS_FILE
        keys = list_stored_keys(path, lambda: source.candidates(limited=False))
    return print_dry_run(arguments, config, config.judge_settings(), pairs, data=source.describe, keys=keys)


def _rank(
    arguments: Namespace, config: JudgeConfig, source: CandidateSource, stored: dict[str, Any] | None
) -> int:
    counts = RankingTally(method=arguments.method, prior_sd=arguments.prior_sd)
    written = 0
    with ExitStack() as opened:
        file = None
        if arguments.dpo is not None:
            part = opened.enter_context(replacing(Path(arguments.dpo)))
            with writing(Path(arguments.dpo)):
                file = opened.enter_context(part.open("wb"))
        judge = opened.enter_context(closing(open_judge(config, cluster=read_cluster(arguments))))
        shown = Tally()
        rankings = (
            _rank_alone(arguments, config, source, judge, shown)
            if arguments.output is None
            else _rank_to_folder(arguments, config, source, judge, stored)
        )
        for ranking in rankings:
            counts.add(ranking)
            _show(arguments, ranking, counts.questions)
            written += file is not None and _write_preference(file, ranking, arguments.dpo)
        summary = (
            {**shown.summary(), **describe_cost(shown.summary(), judge)}
            if arguments.output is None
            else read_summary(arguments.output)
        )
    return _print_summary(arguments, counts, summary, written)


def _rank_alone(
    arguments: Namespace, config: JudgeConfig, source: CandidateSource, judge: PairJudge, tally: Tally
) -> Iterator[Ranking]:
    yield from rank_all(
        source.candidates(),
        prepare_judge(judge, arguments.method),
        method=arguments.method,
        seed=config.seed,
        prior_sd=arguments.prior_sd,
        watch=tally.add,
    )


def _rank_to_folder(
    arguments: Namespace,
    config: JudgeConfig,
    source: CandidateSource,
    judge: PairJudge,
    stored: dict[str, Any] | None,
) -> Iterator[Ranking]:
    sections = describe_command(config, source, arguments.output, stored)
    asked = {"method": arguments.method, "prior_sd": arguments.prior_sd}
    sections = {**sections, SECTION: {**sections[SECTION], **asked}}
    with ExitStack() as opened:

        def watch(num_resumed: int) -> Callable[[Judgment], None]:
            tell_resumed(arguments.output, num_resumed, None, quiet=arguments.quiet)
            progress = Progress(None, done=num_resumed, label="compared", quiet=arguments.quiet)
            return opened.enter_context(progress).update

        yield from rank_to_folder(
            arguments.output,
            judge,
            source.candidates,
            all_questions=lambda: source.candidates(limited=False),
            method=arguments.method,
            seed=config.seed,
            prior_sd=arguments.prior_sd,
            sections=sections,
            more={"invalid_rows": source.num_invalid},
            retry_failed=arguments.retry_failed,
            on_open=watch,
        )


def _show(arguments: Namespace, ranking: Ranking, number: int) -> None:
    if arguments.to is not None:
        if (row := preference_row(ranking)) is not None:
            sys.stdout.buffer.write(dumps(row) + b"\n")
            sys.stdout.buffer.flush()
        return
    if arguments.output is not None:
        if not arguments.json and number <= _SHOWN:
            print_ranking(ranking)
    elif arguments.json:
        sys.stdout.buffer.write(dumps(dump_record(ranking)) + b"\n")
        sys.stdout.buffer.flush()
    else:
        print_ranking(ranking)


def _write_preference(file: BinaryIO, ranking: Ranking, path: str) -> bool:
    row = preference_row(ranking)
    if row is not None:
        with writing(Path(path)):
            file.write(dumps(row) + b"\n")
    return row is not None


def _print_summary(arguments: Namespace, counts: RankingTally, summary: dict[str, Any], written: int) -> int:
    is_useless = is_unanswered(summary["items"], summary["problems"])
    say = partial(print, file=None if arguments.to is None else sys.stderr)
    if arguments.json:
        if arguments.output is not None:
            print_json(summary)
    else:
        if counts.questions > _SHOWN and arguments.output is not None:
            say(f"and {counts.questions - _SHOWN} more in {arguments.output}/rankings.jsonl\n")
        if is_useless:
            say(f"none of {summary['items']} comparisons is judged: the model has answered nothing")
        for line in (*describe_rankings(counts.describe()), *format_usage(summary)):
            say(line)
        if summary["failed"]:
            say(
                f"failed: {summary['failed']} comparisons, for which the engine gave an error; --retry-failed asks again"
            )
        if summary["cached"]:
            say(f"from the cache: {summary['cached']} comparisons, for which nothing was asked")
        if arguments.output is not None:
            say(f"read the comparisons: rmr1 show {arguments.output}")
    if arguments.dpo is not None:
        left = counts.questions - written
        told = f"; {left} left out, whose best and worst are not told apart" if left else ""
        print(f"preferences: {written} in {arguments.dpo}{told}", file=sys.stderr if arguments.json else None)
    return 1 if is_useless else 0
