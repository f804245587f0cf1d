"""Read judgments: question, both answers, rubric, solution, quotes, verdict; or what a training folder holds.

rmr1 show runs/x               the first ten
rmr1 show runs/x ID            one, by its pair's id or the beginning of its key
rmr1 show runs/x --wrong       those whose verdict is not the label
rmr1 show runs/x --failed      those for which the engine gave an error, with the reason
rmr1 show runs/x --flips --list              whose orders disagree, one line each
rmr1 show runs/x --wrong --unsure 0.7        wrong and not sure of it
rmr1 show models/x             a folder of sft, grpo, scalar, train, curate or distill: its data, how far it is, figures

Of a distillation the same options read the teachers' judgments. On a terminal what is longer than the screen goes
through $PAGER, or less.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from itertools import chain
from pathlib import Path

from rmr1.cli.filters import add_filter_arguments, read_filter
from rmr1.cli.folders import print_folder
from rmr1.cli.options import add
from rmr1.cli.pager import paged
from rmr1.console import Console
from rmr1.distill.folder import list_passes, read_pass
from rmr1.errors import ConfigError
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment
from rmr1.report.terminal import print_judgment, verdict_line
from rmr1.screen import inert, one_line, print
from rmr1.store.codec import dump_record, dumps
from rmr1.store.kinds import find_kind
from rmr1.store.runs import read_judgments


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folder of a run or a training", dest="run_folder")
    add(parser, "ID", "a pair's id, or the beginning of a key", nargs="?")
    add(parser, "--limit N", "at most N (default 10; 0 = all)")
    add(parser, "--list", "one line per judgment")
    add(parser, "--json", "the stored records as JSON lines")
    add(parser, "--no-pager", "print at once, however long it is")
    add_filter_arguments(parser)


def run(arguments: Namespace) -> int:
    folder = Path(arguments.run_folder)
    kind = find_kind(folder)
    wanted = read_filter(arguments)
    filters = [*wanted.given, *["list"] * arguments.list, *["limit"] * (arguments.limit is not None)]
    pager = paged(is_wanted=not arguments.no_pager and not arguments.json)
    if kind != "run" and not (kind == "distill" and filters):
        if filters:
            word = "an ID" if filters[0] == "id" else f"--{filters[0]}"
            raise ConfigError(
                f"{folder}: holds no judgments (it was made by rmr1 {kind}); {word} is for runs"
            )
        with pager:
            print_folder(folder, kind, as_json=arguments.json)
        return 0
    judgments = read_judgments(folder)
    if kind == "distill":
        judgments = chain.from_iterable(read_pass(folder, number) for number in list_passes(folder))
    limit = arguments.limit if arguments.limit is not None else (0 if arguments.id else 10)
    matching = shown = 0
    with pager:
        console = Console()
        for key, judgment in judgments:
            if wanted.matches(key, judgment):
                matching += 1
                if not limit or shown < limit:
                    shown += 1
                    _show_one(arguments, console, key, judgment)
    if matching == 0:
        told = f"matches {arguments.id!r}" if arguments.id else "matches"
        print(f"rmr1: {folder}: no judgment {told}", file=sys.stderr)
        return 1
    if shown < matching and not arguments.json:
        print(f"rmr1: {shown} of {matching} shown; --limit 0 shows all, an ID shows one", file=sys.stderr)
    return 0


def _show_one(arguments: Namespace, console: Console, key: str, judgment: Judgment) -> None:
    if arguments.json:
        sys.stdout.buffer.write(dumps({"key": key, **dump_record(judgment)}) + b"\n")
    elif arguments.list:
        question = " ".join(inert(judgment.pair.prompt[-1].text).split())[:60]
        line = verdict_line(judgment)
        if failures := list_failures(judgment):
            line.append(f" ({one_line('; '.join(failures))})", style="red")
        start = f"{one_line(key[:12])}  {one_line(judgment.pair.id)[:24]:<24} "
        console.print(start, line, f"  {question}", sep="", soft_wrap=True)
    else:
        print_judgment(console, key, judgment)
