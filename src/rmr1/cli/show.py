"""Read judgments: question, both answers, rubric, solution, quotes, verdict; or what a training folder holds.

rmr1 show runs/x               the first ten
rmr1 show runs/x ID            one, by its pair's id or the beginning of its key
rmr1 show runs/x --wrong       those whose verdict is not the label
rmr1 show runs/x --failed      those for which the engine gave an error, with the reason
rmr1 show runs/x --flips --list              whose orders disagree, one line each
rmr1 show runs/x --wrong --unsure 0.7        wrong and not sure of it
rmr1 show runs/x --wrong --diff              what is only in one of the answers, word by word
rmr1 show runs/x --follow --list             of a run that is being judged: the last ten, and each as it is written
rmr1 show models/x             a folder of sft, grpo, scalar, train, curate or distill: its data, how far it is, figures

Judgments come in the sequence of the data. A quotation of the judge has a number, which stands at its place in the
answer too: [1 A]; one that is not there is marked [2 not in A]. Of a distillation the same options read the teachers'
judgments. On a terminal what is longer than the screen goes through $PAGER, or less.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rmr1.audit.filters import Filter
from rmr1.cli.filters import add_filter_arguments, read_filter
from rmr1.cli.folders import print_folder
from rmr1.cli.options import add
from rmr1.cli.pager import paged
from rmr1.console import Console
from rmr1.distill.folder import list_passes, read_pass
from rmr1.errors import ConfigError
from rmr1.records import Judgment
from rmr1.report.listing import format_header, format_line
from rmr1.report.terminal import print_judgment
from rmr1.screen import print
from rmr1.store.codec import dump_record, dumps
from rmr1.store.folder import is_being_written
from rmr1.store.kinds import find_kind
from rmr1.store.order import RunTail, read_in_order

_SHOWN = 10
"""Judgments that are shown unless more are asked for."""
_WAIT_SECONDS = 0.25
"""Time between two looks at a run that is followed."""


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folder of a run or a training", dest="run_folder")
    add(parser, "ID", "a pair's id, or the beginning of a key", nargs="?")
    add(parser, "--limit N", "at most N (default 10; 0 = all)")
    add(parser, "--list", "one line per judgment")
    add(parser, "--json", "the stored records as JSON lines")
    add(parser, "--diff", "the answers as what is only in A [-...-] and only in B {+...+}")
    add(
        parser,
        "--follow",
        "go on with each judgment as it is written, until the run ends; --limit is of earlier ones",
    )
    add(parser, "--no-pager", "print at once, however long it is")
    add_filter_arguments(parser)


def run(arguments: Namespace) -> int:
    folder = Path(arguments.run_folder)
    kind = find_kind(folder)
    wanted = read_filter(arguments)
    asked = [name for name in ("list", "diff", "follow") if getattr(arguments, name)]
    filters = [*wanted.given, *asked, *["limit"] * (arguments.limit is not None)]
    if arguments.diff and (arguments.list or arguments.json):
        raise ConfigError(f"--diff and --{'list' if arguments.list else 'json'}: choose one")
    if kind != "run" and not (kind == "distill" and filters and not arguments.follow):
        if filters:
            word = "an ID" if filters[0] == "id" else f"--{'follow' if arguments.follow else filters[0]}"
            raise ConfigError(
                f"{folder}: holds no judgments (it was made by rmr1 {kind}); {word} is for runs"
            )
        with paged(is_wanted=not arguments.no_pager and not arguments.json):
            print_folder(folder, kind, as_json=arguments.json)
        return 0
    if arguments.follow:
        return _follow(arguments, folder, wanted)
    judgments = read_in_order(folder) if kind == "run" else _read_passes(folder)
    limit = arguments.limit if arguments.limit is not None else (0 if arguments.id else _SHOWN)
    matching = shown = 0
    with paged(is_wanted=not arguments.no_pager and not arguments.json):
        printer = _Printer(arguments)
        for key, judgment in judgments:
            if wanted.matches(key, judgment):
                matching += 1
                if not limit or shown < limit:
                    shown += 1
                    printer.show(key, judgment)
    if shown < matching and not arguments.json:
        print(f"rmr1: {shown} of {matching} shown; --limit 0 shows all, an ID shows one", file=sys.stderr)
    return _end(matching, arguments, folder)


def _read_passes(folder: Path) -> Iterator[tuple[str, Judgment]]:
    return chain.from_iterable(read_pass(folder, number) for number in list_passes(folder))


def _follow(arguments: Namespace, folder: Path, wanted: Filter) -> int:
    """The last ones that are stored, then each that comes, until nobody writes the run any more."""
    limit = _SHOWN if arguments.limit is None else arguments.limit
    tail, printer, matching = RunTail(folder), _Printer(arguments), 0
    try:
        has_ended = not is_being_written(folder)
        earlier = deque((one for one in tail.read() if wanted.matches(*one)), maxlen=limit or None)
        for one in earlier:
            printer.show(*one)
        matching = len(earlier)
        while not has_ended:
            sys.stdout.flush()
            time.sleep(_WAIT_SECONDS)
            has_ended = not is_being_written(folder)  # before the reading, so that no last line is missed
            for one in tail.read():
                if wanted.matches(*one):
                    matching += 1
                    printer.show(*one)
    except KeyboardInterrupt:
        return 130
    return _end(matching, arguments, folder)


def _end(matching: int, arguments: Namespace, folder: Path) -> int:
    if matching:
        return 0
    told = f"matches {arguments.id!r}" if arguments.id else "matches"
    print(f"rmr1: {folder}: no judgment {told}", file=sys.stderr)
    return 1


class _Printer:
    """Prints judgments in the form that is asked for."""

    def __init__(self, arguments: Namespace):
        self._arguments = arguments
        self._console = Console()
        # The last column stays free, because some terminals break the line there.
        self._width = self._console.width - 1 if self._console.is_terminal else None
        self._has_header = False

    def show(self, key: str, judgment: Judgment) -> None:
        if self._arguments.json:
            sys.stdout.buffer.write(dumps({"key": key, **dump_record(judgment)}) + b"\n")
            sys.stdout.buffer.flush()
        elif self._arguments.list:
            if self._width is not None and not self._has_header:
                self._console.print(format_header(self._width), soft_wrap=True)
                self._has_header = True
            self._console.print(format_line(key, judgment, self._width), soft_wrap=True)
        else:
            print_judgment(self._console, key, judgment, has_difference=self._arguments.diff)
