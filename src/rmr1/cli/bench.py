"""Score a judge on a benchmark, exactly as the benchmark counts.

  rmr1 bench judgebench --data DIR -m MODEL -o runs/x     judge, store, score; goes on after a stop
  rmr1 bench judgebench --from runs/x --rule arena        score a finished run, read by another rule
  rmr1 bench rmb --from OUTPUTS                           score recorded outputs of another judge

rmb         RMB: pairs and best-of-N lists, helpfulness and harmlessness. DIR: the authors' RMB_dataset.
            OUTPUTS: RM-R1's logs (log_result/*.json). Order: seeded, unless --order both.
judgebench  JudgeBench: each pair in both orders. DIR: the folder of its JSONL files.
            OUTPUTS: its output files (response, scores, or one rating per answer).

A tie or a missing verdict scores 0 and is counted beside each score. The overall score is printed only
for the whole official data.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rmr1.cli import options

if TYPE_CHECKING:
    from rmr1.bench.base import Benchmark, BenchmarkScores

HELP = "score a judge on a benchmark"

NAMES = ("rmb", "judgebench")

_JUDGING = (
    *("model", "family", "order", "seed", "limit", "config", "set"),
    *("dry_run", "expect_tokens"),
    *("temperature", "top_p", "top_k", "max_new_tokens", "num_samples", "stop", "logprobs"),
    *("device", "dtype", "batch_size", "max_model_len", "on_overlong", "chat_template_kwargs"),
)
"""Flags that say how to judge."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("benchmark", choices=NAMES, metavar="BENCHMARK", help=" or ".join(NAMES))
    parser.add_argument("--data", metavar="DIR", help="folder of the official data")
    parser.add_argument(
        "--from", dest="source", metavar="RUN_OR_FILE", help="judgments that exist, instead of -m"
    )
    options.add_run_arguments(parser)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="only the first N items of each part, for a trial"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options.add_model_arguments(parser)
    options.add_sampling_arguments(parser)
    options.add_config_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from rmr1.bench.run import load_benchmark
    from rmr1.cli.usage import format_usage, read_summary

    benchmark = load_benchmark(arguments.benchmark)
    if arguments.dry_run and arguments.source is None:
        return _print_dry_run(arguments, benchmark)
    scores = (
        _score_finished(arguments, benchmark)
        if arguments.source is not None
        else _judge(arguments, benchmark)
    )
    if arguments.json:
        import json

        print(json.dumps(scores.describe(), ensure_ascii=False))
        return 0
    print_scores(scores)
    if arguments.source is None:
        for line in format_usage(read_summary(arguments.output)):
            print(line)
    if arguments.output is not None:
        print(f"read them: rmr1 show {arguments.output}")
    return 0


def _score_finished(arguments: argparse.Namespace, benchmark: Benchmark) -> BenchmarkScores:
    from pathlib import Path

    from rmr1.bench.run import score_finished
    from rmr1.errors import ConfigError

    for name in _JUDGING:
        if getattr(arguments, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} asks for judging, --from for judgments that exist; leave one out")
    return score_finished(
        benchmark,
        Path(arguments.source),
        rule=arguments.rule,
        data=None if arguments.data is None else Path(arguments.data),
        folder=None if arguments.output is None else Path(arguments.output),
    )


def _print_dry_run(arguments: argparse.Namespace, benchmark: Benchmark) -> int:
    from functools import partial
    from pathlib import Path

    from rmr1.bench.run import check_placement, fingerprint_data
    from rmr1.cli.config import build_config
    from rmr1.cli.dry_run import print_dry_run
    from rmr1.errors import ConfigError

    config = build_config(arguments)
    if arguments.data is None:
        raise ConfigError("--data DIR is missing; a dry run needs --data and -m")
    settings = config.judge_settings(order=benchmark.order)
    check_placement(benchmark, settings.order)
    data = Path(arguments.data)
    pairs = benchmark.read_pairs(data, config.data.limit)
    return print_dry_run(arguments, config, settings, pairs, data=partial(fingerprint_data, benchmark, data))


def _judge(arguments: argparse.Namespace, benchmark: Benchmark) -> BenchmarkScores:
    import sys
    from contextlib import closing
    from pathlib import Path

    from rmr1.bench.run import check_placement, count_pairs, open_benchmark_run, run_benchmark
    from rmr1.cli.config import build_config
    from rmr1.cli.progress import Progress
    from rmr1.cli.session import open_judge
    from rmr1.errors import ConfigError

    config = build_config(arguments)
    if arguments.data is None or arguments.output is None:
        missing = "--data DIR" if arguments.data is None else "-o RUN"
        raise ConfigError(
            f"{missing} is missing; a benchmark run needs --data and -o, and mostly -m (or --from alone)"
        )
    settings = config.judge_settings(order=benchmark.order)
    check_placement(benchmark, settings.order)
    data, limit = Path(arguments.data), config.data.limit
    total = count_pairs(benchmark, data, limit)
    with (
        closing(open_judge(config, settings)) as judge,
        open_benchmark_run(
            benchmark, data, judge, Path(arguments.output), retry_failed=arguments.retry_failed
        ) as writer,
    ):
        if writer.num_resumed and not arguments.quiet:
            print(
                f"rmr1: {arguments.output}: going on after {writer.num_resumed} finished items",
                file=sys.stderr,
            )
        with Progress(total, done=writer.num_resumed, quiet=arguments.quiet) as progress:
            return run_benchmark(benchmark, data, judge, writer, limit=limit, on_judgment=progress.update)


def print_scores(scores: BenchmarkScores) -> None:
    """A table on a terminal, aligned plain lines elsewhere; then what was counted and how."""
    import sys

    rows = _rows(scores)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*_HEADER, box=None, header_style="bold", pad_edge=False)
        for column in table.columns[2:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row, style="bold" if row[1] == "overall" else None)
        Console().print(table)
    else:
        widths = [max(len(row[index]) for row in (_HEADER, *rows)) for index in range(len(_HEADER))]
        for row in (_HEADER, *rows):
            cells = [
                cell.ljust(width) if index < 2 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(cells).rstrip())
    print()
    for line in _remarks(scores):
        print(line)


_HEADER = ("group", "score", "%", "95%", "right", "of", "no verdict", "ties")


def _rows(scores: BenchmarkScores) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in scores.figures:
        of = str(one.total) if one.is_complete else f"{one.total} of {one.official}"
        rows.append(
            (
                one.group,
                one.name,
                _percent(one.value),
                _range(one.interval),
                str(one.correct),
                of,
                str(one.no_verdict),
                str(one.ties),
            )
        )
    for whole in scores.overall:
        right = "" if whole.correct is None else str(whole.correct)
        of = (
            str(whole.total)
            if whole.official in (None, whole.total)
            else f"{whole.total} of {whole.official}"
        )
        lacking = (str(whole.no_verdict), str(whole.ties))
        rows.append(
            (whole.group, "overall", _percent(whole.value), _range(whole.interval), right, of, *lacking)
        )
    return rows


def _remarks(scores: BenchmarkScores) -> list[str]:
    lines = []
    for one in scores.overall:
        if one.value is None:
            lines.append(
                f"{one.group}: no overall score, {one.status} official items"
                if one.official
                else f"{one.group}: {one.status}"
            )
            if one.missing:
                shown = ", ".join(one.missing[:3]) + (
                    f" and {len(one.missing) - 3} more" if len(one.missing) > 3 else ""
                )
                lines.append(f"  incomplete parts: {shown}")
    if scores.unfinished:
        lines.append(f"{scores.unfinished} lists left out: some of their comparisons are not judged")
    orders = ", ".join(f"{name} {count}" for name, count in scores.orders)
    lines.append(f"{scores.judgments} judgments (order: {orders})")
    if scores.problems:
        lines.append("without verdict: " + ", ".join(f"{name} {count}" for name, count in scores.problems))
    lines += scores.notes
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.1f}-{100 * interval[1]:.1f}"
